"""The training itself, and the measures by which it is judged."""

from __future__ import annotations

import copy
import json
import random
import time
from statistics import mean

import torch
from transformers import PreTrainedTokenizerFast, RobertaForSequenceClassification

from tools.measures import measures_of
from tools.train_bundled_model.examples import Example, make_batches
from tools.train_bundled_model.recipes import Recipe

WARMUP_SHARE = 0.06
LEARNING_RATE = 1.5e-4


def train(
    model: RobertaForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    validation: list[Example],
    recipe: Recipe,
    seed: int,
) -> RobertaForSequenceClassification:
    """Fine-tune; returns the running average of the weights."""
    rng = random.Random(seed)
    num_steps = recipe.epochs * -(-len(examples) // recipe.batch_size)
    optimizer, schedule = _optimizer(model, recipe, num_steps)
    weights = torch.tensor(recipe.class_weights) if recipe.class_weights else None
    loss_of = torch.nn.CrossEntropyLoss(weights, label_smoothing=recipe.label_smoothing)
    average = copy.deepcopy(model).eval()
    step, started = 0, time.monotonic()
    for epoch in range(recipe.epochs):
        model.train()
        for batch in make_batches(examples, tokenizer, recipe.batch_size, rng, recipe.max_tokens):
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.has_bfloat16):
                logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = loss_of(logits.float(), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            decay = min(recipe.average_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                for averaged, current in zip(average.parameters(), model.parameters(), strict=True):
                    if current.requires_grad:
                        averaged.lerp_(current, 1 - decay)
            if step % 50 == 0:
                print(f"step {step}/{num_steps} loss {loss.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
        measured = {name: judge(each, tokenizer, validation) for name, each in (("last", model), ("averaged", average))}
        print(f"epoch {epoch + 1}: validation {json.dumps(measured)}", flush=True)
    return average


def _optimizer(
    model: RobertaForSequenceClassification, recipe: Recipe, num_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and its schedule: a warm-up, then linear decay."""
    body = [p for p in model.roberta.parameters() if p.requires_grad]
    plain = [] if recipe.decays_vectors else [p for p in body if p.ndim <= 1]
    decayed = body if recipe.decays_vectors else [p for p in body if p.ndim > 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "lr": LEARNING_RATE, "weight_decay": 0.01},
            {"params": plain, "lr": LEARNING_RATE, "weight_decay": 0.0},
            {
                "params": list(model.classifier.parameters()),
                "lr": recipe.head_rate * LEARNING_RATE,
                "weight_decay": 0.01,
            },
        ]
    )
    num_warmup = int(WARMUP_SHARE * num_steps)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / num_warmup, max(0.0, (num_steps - step) / (num_steps - num_warmup))),
    )


@torch.inference_mode()
def judge(
    model: RobertaForSequenceClassification, tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> dict[str, float]:
    """TweetEval's measures: macro-averaged recall for the sentiment, macro F1 for the others."""
    model.eval()
    expected, guessed = list[int](), list[int]()
    for batch in make_batches(examples, tokenizer, 64, None):
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        expected += batch.labels.tolist()
        guessed += logits.argmax(-1).tolist()
    measures = measures_of(expected, guessed)
    return {
        "macro_recall": round(mean(each.recall for each in measures.values()), 4),
        "macro_f1": round(mean(each.f1 for each in measures.values()), 4),
    }
