"""Start-up check: the generator continues a prompt as transformers' own `generate` does, or it does not start.

It catches models that look at what comes after a token, as those for masks do, and whatever continuous batching does
not know of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import GenerationConfig

from batch_generation.prompts import PromptTokenizer
from batch_inference.errors import ModelLoadError, first_line

PROMPT: Final = "What would you take along on a walk in the rain?"
NUM_TOKENS: Final = 4
TIMEOUT_S: Final = 300.0

TOLERANCES: Final = {"float32": 0.01, "bfloat16": 1.0, "float16": 1.0}
"""How far the logit of a token may be below the largest one. The halves round after every layer, each way its own."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What transformers says comes after a prompt.

    Attributes:
        prompt: its token ids.
        tokens: the most probable ones after it.
        logits: of all tokens, at each of those; shape (tokens, vocabulary).
    """

    prompt: Sequence[int]
    tokens: Sequence[int]
    logits: torch.Tensor


def reference_of(model: Any, tokenizer: PromptTokenizer, end_tokens: Sequence[int]) -> Reference:
    """Ask transformers' own `generate`, before anything is done to the model.

    Raises:
        ModelLoadError: it fails.
    """
    [prompt] = tokenizer.encode([PROMPT])
    config = GenerationConfig(do_sample=False, max_new_tokens=NUM_TOKENS, eos_token_id=list(end_tokens), pad_token_id=0)
    ids = torch.tensor([prompt], device=model.device)
    try:
        answer = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            return_dict_in_generate=True,
            output_logits=True,
        )
    # Whatever a foreign model's code runs into.
    except Exception as error:
        reason = first_line(error)
        raise ModelLoadError(
            f"transformers' own generate cannot run the model: {reason} Use a checkpoint of a causal language model."
        ) from error
    return Reference(prompt, answer.sequences[0, len(prompt) :].tolist(), torch.cat(answer.logits).float().cpu())


def check_reference(manager: Any, expected: Reference, precision: str) -> None:
    """Hold a running manager's answer against transformers' own.

    Raises:
        ModelLoadError: it takes a token that is far from the most probable one; the manager is stopped.
    """
    manager.add_request(list(expected.prompt), max_new_tokens=NUM_TOKENS)
    output = manager.get_result(timeout=TIMEOUT_S)
    shortfall = _shortfall([] if output is None else output.generated_tokens, expected)
    if shortfall <= TOLERANCES[precision]:
        return
    manager.stop(block=False, hard_stop=True)
    raise ModelLoadError(
        f"the model continues a prompt otherwise here than in transformers' own generate: {PROMPT!r} goes on with a "
        f"token whose logit is {shortfall:.3g} below the largest one, {TOLERANCES[precision]:g} is allowed in "
        f"{precision}. Use a checkpoint of a causal language model, and please report this one if it is one."
    )


def _shortfall(tokens: Sequence[int], expected: Reference) -> float:
    """How far the logit of the first other token is below the largest one; infinite if there is no token."""
    for token, wanted, logits in zip(tokens, expected.tokens, expected.logits, strict=False):
        # What comes after another token is another text.
        if token != wanted:
            return float(logits.max() - logits[token])
    return 0.0 if tokens else math.inf
