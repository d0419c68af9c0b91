"""Print which kind of model gets what, as a table for docs/your-model.md: `python -m tools.architectures`.

Each kind is made with a few random weights and its usual number of positions, and loaded as a chute would load it.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from batch_classification.in_process import load_classifier
from batch_inference.errors import ModelLoadError
from batch_inference.model import EncoderModel
from rehearsal.small_classifiers import save_checkpoint

KINDS = (
    "roberta", "xlm-roberta", "camembert", "bert", "data2vec-text", "roberta-prelayernorm", "distilbert", "electra",
    "albert", "mpnet", "deberta", "deberta-v2", "longformer", "modernbert", "ibert", "xlnet",
)  # fmt: skip
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


def loaded(folder: Path, **settings: object) -> EncoderModel | None:
    """A checkpoint as it is served on a CPU; None if it is refused."""
    try:
        return load_classifier(model=str(folder), device="cpu", **settings)
    except ModelLoadError:
        return None


def row(kind: str, folder: Path) -> str:
    """A line of the table."""
    positions = getattr(AutoConfig.for_model(kind), "max_position_embeddings", None)
    save_checkpoint(folder, kind, **({} if positions is None else {"max_position_embeddings": positions}))
    can_pack = loaded(folder, forward="packed", precision="float32") is not None
    served = {precision: loaded(folder, precision=precision) for precision in PRECISIONS}
    taken = [precision for precision, model in served.items() if model]
    longest = served["float32"].max_tokens if served["float32"] else "-"
    return f"| {kind} | {'packed' if can_pack else 'padded'} | {', '.join(taken) or 'refused'} | {longest} |"


def main() -> None:
    logging.disable()
    transformers_logging.set_verbosity_error()
    print("| kind | pass | precisions | longest text, in tokens |\n|---|---|---|---|")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            print(row(kind, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
