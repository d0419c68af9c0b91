"""Print what each architecture gets on a CPU, as the table in docs/your-model.md: `python -m tools.architectures`.

Each is made with few random weights and the positions of its best-known checkpoint, and loaded as a chute loads it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from transformers.utils import logging as transformers_logging

from batch_classification.in_process import load_classifier
from batch_inference.errors import ModelLoadError
from batch_inference.model import EncoderModel
from rehearsal.small_classifiers import POSITIONS, save_checkpoint
from schemas import LONGEST_MAX_LENGTH

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
HEADER = "| architecture | pass | precisions on a CPU | longest text, in tokens |\n|---|---|---|---|"
REFUSED = "refused"


def longest_text(model: EncoderModel) -> str:
    """Tokens that a request can have the model see of a text, special tokens included, as the table says it."""
    return str(min(model.max_tokens, LONGEST_MAX_LENGTH))


def row(kind: str, folder: Path) -> str:
    """The table's line for an architecture, by its name in transformers; its checkpoint is left in `folder`."""
    # As narrow as most models start: how far apart two precisions are is not the matter here.
    save_checkpoint(folder, kind, initializer_range=0.02)
    served = {precision: _loaded(folder, precision) for precision in PRECISIONS}
    taken = {precision: model for precision, model in served.items() if model}
    if not taken:
        return f"| {kind} | {REFUSED} | | |"
    model = next(iter(taken.values()))
    return f"| {kind} | {model.forward_name} | {', '.join(taken)} | {longest_text(model)} |"


def _loaded(folder: Path, precision: str) -> EncoderModel | None:
    """The checkpoint on the best pass there is for it, whether or not it is the faster one here; None if refused."""
    for forward in ("packed", "padded"):
        try:
            return load_classifier(model=str(folder), device="cpu", precision=precision, forward=forward)
        except ModelLoadError:
            continue
    return None


def lines() -> Iterator[str]:
    """The table's lines."""
    yield from HEADER.splitlines()
    for kind in POSITIONS:
        with tempfile.TemporaryDirectory() as folder:
            yield row(kind, Path(folder))


if __name__ == "__main__":
    logging.disable()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for line in lines():
        print(line, flush=True)
