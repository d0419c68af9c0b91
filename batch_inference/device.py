"""Which device serves: a GPU where there is one that works, unless the settings say otherwise."""

from __future__ import annotations

import torch

from batch_inference.errors import ModelLoadError
from batch_inference.settings import ModelSettings


def pick_device(settings: ModelSettings) -> str:
    """The device's name, as torch has it.

    Raises:
        ModelLoadError: the settings ask for a GPU, and there is none.
    """
    if settings.device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda:0"
    if settings.device == "cuda":
        variable = settings.variable("device")
        raise ModelLoadError(f"{variable}='cuda', but there is no usable GPU here. Use 'auto' or 'cpu'.")
    return "cpu"
