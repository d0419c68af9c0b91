"""Which device serves: a GPU where there is one that works, unless the settings say otherwise."""

from __future__ import annotations

import warnings

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
        raise ModelLoadError(
            f"{variable}='cuda', but there is no usable GPU here: {_why_no_gpu()}. Use 'auto' or 'cpu'."
        )
    return "cpu"


def set_up_gpu(device: str, memory_fraction: float) -> None:
    """Bound what this process takes of a GPU, and of the cores that feed it. Call before anything is loaded."""
    torch.cuda.set_per_process_memory_fraction(memory_fraction, device)
    # What the host copies for a pass is too little to share. torch would start a thread for each core of the machine,
    # which spin beside the few cores that a container may use.
    torch.set_num_threads(1)
    # Sums in half precision would let a lone text, which takes other kernels than a full pass, differ from itself.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def _why_no_gpu() -> str:
    """What torch says, which is a warning, and the driver that it found."""
    if torch.version.cuda is None:
        return "this PyTorch is built for CPUs"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.is_available()
        # 12080 is a driver for CUDA 12.8; 0 is none.
        driver = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined]
    reasons = [str(warning.message).splitlines()[0] for warning in caught]
    reasons.append(f"PyTorch is built for CUDA {torch.version.cuda}, the driver is for {driver or 'none'}")
    return "; ".join(reasons)
