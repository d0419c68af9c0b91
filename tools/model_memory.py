"""What a model's weights take of a GPU's memory, known from its checkpoint before anything is loaded."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Final

from huggingface_hub import get_safetensors_metadata
from safetensors import safe_open

from batch_inference.settings import ModelSettings

BYTES_OF: Final = {"auto": 2, "float16": 2, "bfloat16": 2, "float32": 4}
"""By the precision of the setting; `auto` is float16 on a GPU."""

GIB: Final = 2**30


def weights_gib(settings: ModelSettings) -> float | None:
    """GiB of a model's weights in the precision that it runs in on a GPU; None if that cannot be known from here: the
    hub cannot be reached, or the checkpoint is not in safetensors."""
    folder = Path(settings.model_source)
    try:
        if folder.is_dir():
            num_parameters = sum(map(_parameters_in, folder.glob("*.safetensors")))
        else:
            metadata = get_safetensors_metadata(settings.model_source, revision=settings.pinned_revision)
            num_parameters = sum(metadata.parameter_count.values())
    # Whatever the network, the hub or a file does.
    except Exception:
        return None
    return num_parameters * BYTES_OF.get(settings.precision, 4) / GIB or None


def _parameters_in(file: Path) -> int:
    with safe_open(file, framework="numpy") as weights:
        return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
