"""Start-up check: the engine answers what transformers' own pipeline answers, or it does not start.

It catches what nobody thought of: another tokenizer, a function that a checkpoint asks for, padding that counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from batch_inference.errors import ForwardPassError, ModelLoadError, first_line
from batch_inference.forward_check import TOLERANCES
from batch_inference.heads import Head
from batch_inference.model import EncoderModel
from batch_inference.token_rows import Outputs

REFERENCE_TEXTS = (
    "I love this!",
    "@ana_b thanks, see https://example.org/a?b=1 and tell @bob.",
    "Worst purchase of my life: the screen cracked on day one,\nand nobody answers the phone... 0/10, AVOID!!!",
    "¿Por qué nadie contesta? Größe L ist ausverkauft. この映画は面白かったです。 😀",
    "The committee shall, pursuant to section 4(b), publish its findings no later than 30 June 2024.",
)
"""Of several lengths, so that a padded pass pads, with what a preparation would change."""

FLOAT32_TOLERANCE = 1e-3


def reference_answers(head: Head, module: Any, tokenizer: Any, max_tokens: int) -> Outputs | None:
    """What transformers' own pipeline answers to the texts, on the device and in the dtype of `module`.

    Raises:
        ModelLoadError: it fails.
    """
    try:
        return head.reference(module, tokenizer, REFERENCE_TEXTS, max_tokens)
    # Whatever a foreign model's code runs into.
    except Exception as error:
        reason = first_line(error)
        raise ModelLoadError(
            f"transformers' own pipeline cannot run the model: {reason} Its configuration, its tokenizer and its "
            "weights do not fit together, or transformers does not know this kind of model. Use another checkpoint."
        ) from error


def check_reference(model: EncoderModel, expected: Outputs | None) -> None:
    """Hold the model that serves against the pipeline's answers, the texts in one pass as those of callers are.

    Raises:
        ModelLoadError: an answer is another, or there is none.
    """
    if expected is None:
        return
    rows = model.tokenizer.encode(REFERENCE_TEXTS, model.max_tokens).rows
    try:
        answers = model.answers(rows)
    except ForwardPassError as error:
        raise ModelLoadError(f"texts cannot run together: {error}. Use another checkpoint.") from error
    differences = np.abs(answers - expected).max(axis=1)
    tolerance = FLOAT32_TOLERANCE if model.precision == "float32" else TOLERANCES[model.precision]
    worst = int(differences.argmax())
    # A number that is none is no answer either.
    if differences[worst] <= tolerance:
        return
    alone = model.answers(rows.part(worst, worst + 1))[0]
    cause = (
        "Alone it does not: the model lets padding change its answers"
        if np.abs(alone - expected[worst]).max() <= tolerance
        else "The model needs something that is not known here"
    )
    raise ModelLoadError(
        f"the model answers otherwise here than in transformers' own pipeline: {REFERENCE_TEXTS[worst]!r} differs by "
        f"{differences[worst]:.3g}, {tolerance:g} is allowed in {model.precision}. {cause}. Use another checkpoint, "
        "and please report this one."
    )
