"""Which model serves: what is loaded, in which precision, and by which forward pass."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from batch_inference.checkpoint import load_checkpoint
from batch_inference.device import pick_device, set_up_gpu
from batch_inference.errors import ModelLoadError
from batch_inference.forward.kernels import Kernels
from batch_inference.forward.kernels_cpu import CpuKernels, can_run
from batch_inference.forward.kernels_cuda import CudaKernels, can_fuse_gelu
from batch_inference.forward.kernels_int8 import Int8Kernels
from batch_inference.forward.row_layout import layout_of
from batch_inference.forward.streams import CpuStreams, CudaStreams, Streams
from batch_inference.forward.weights import EncoderWeights, can_pack
from batch_inference.forward_check import pick_verified
from batch_inference.heads import Head
from batch_inference.host_memory import bound_kept_memory
from batch_inference.kernel_choice import attention_by_length, is_fused_gelu_faster, seconds_on
from batch_inference.model import DTYPES, EncoderModel
from batch_inference.reference_check import check_reference, reference_answers
from batch_inference.replaying import with_replay
from batch_inference.row_limit import max_tokens_of
from batch_inference.sample_texts import SAMPLE_TEXTS
from batch_inference.settings import EncoderSettings
from batch_inference.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)


def load_model(settings: EncoderSettings, head: Head, streams: Streams | None = None) -> EncoderModel:
    """Load the checkpoint of `settings`, of the kind that `head` says, on the pass that serves it best.

    Args:
        settings: what to load, and how.
        head: what kind of model it is.
        streams: those of a model whose passes the same thread launches.

    Raises:
        ModelLoadError: the checkpoint is missing, unusable, or needs a device that is not there.
    """
    device = pick_device(settings)
    precision = _pick_precision(settings, device)
    if device == "cpu":
        bound_kept_memory()
    else:
        set_up_gpu(device, settings.gpu_memory_fraction)
    tokenizer, module = load_checkpoint(
        settings, head.auto_class, "a checkpoint", device, DTYPES[precision], head.unused_weights
    )
    head = head.fitted(module.config, settings.model_source)
    if streams is None:
        streams = CpuStreams() if device == "cpu" else CudaStreams(device)
    max_tokens = min(max_tokens_of(module, tokenizer), head.max_tokens or sys.maxsize)
    # Before a pad token is lent to it, and before the pass without padding takes its layers.
    try:
        expected = reference_answers(head, module, tokenizer, max_tokens)
    except ModelLoadError as error:
        if settings.precision != "auto" or precision == "float32":
            raise
        logger.warning("The model does not run in %s, and is loaded in float32 instead: %s", precision, error)
        del module
        return load_model(settings.model_copy(update={"precision": "float32"}), head, streams)
    layout = layout_of(tokenizer, module.config)
    if module.config.pad_token_id is None:
        module.config.pad_token_id = layout.pad_token_id
    padded = EncoderModel(
        head,
        head.padded(module, streams.upload, layout),
        streams,
        module.config,
        max_tokens,
        TextTokenizer(tokenizer, head.prepare_text),
        device,
        # transformers has no int8 pass, so the reference and the fallback run in float32.
        "float32" if precision == "int8" else precision,
    )

    def packed() -> EncoderModel:
        kernels = _kernels(padded, streams, precision, module)
        return padded.on(head.packed(module, kernels), precision)

    def exact() -> EncoderModel:
        return padded.on(head.padded(deepcopy(module).float(), streams.upload, layout), "float32")

    picked = _pick_forward(settings, packed, padded, exact, _why_not_packed(head, module, device, precision))
    if isinstance(streams, CudaStreams) and settings.cuda_graphs and not picked.is_padded:
        picked = with_replay(picked, streams, settings)
    check_reference(picked, expected)
    return picked


def _pick_precision(settings: EncoderSettings, device: str) -> str:
    variable = settings.variable("precision")
    precision = settings.precision
    if precision == "auto":
        return "float32" if device == "cpu" else "float16"
    if precision == "int8" and device != "cpu":
        raise ModelLoadError(f"{variable}='int8' runs on a CPU only. Use 'auto' on a GPU.")
    if precision == "float16" and device == "cpu":
        logger.warning("float16 is slow on most CPUs; set %s to float32 or bfloat16.", variable)
    return precision


def _kernels(model: EncoderModel, streams: Streams, precision: str, module: Any) -> Kernels:
    """How the pass without padding computes on this device, in this precision."""
    if model.device != "cpu":
        weights, seconds_of = EncoderWeights.of(module.base_model), seconds_on(streams)
        block = weights.blocks[0]
        is_fused = can_fuse_gelu(precision) and is_fused_gelu_faster(block.inner, seconds_of, model.notes)
        attend = attention_by_length(block.attention_in, weights.num_heads, seconds_of, model.notes)
        return CudaKernels(streams.upload, attend, has_fused_gelu=is_fused)
    if precision == "int8":
        return Int8Kernels(model.tokenizer.encode(SAMPLE_TEXTS, model.max_tokens).rows)
    return CpuKernels()


def _pick_forward(
    settings: EncoderSettings,
    packed: Callable[[], EncoderModel],
    padded: EncoderModel,
    exact: Callable[[], EncoderModel],
    why_not_packed: str | None,
) -> EncoderModel:
    forward = settings.variable("forward")
    if why_not_packed is None:
        match settings.forward:
            case "packed":
                return packed()
            case "auto":
                return pick_verified(packed, padded, exact)
    if settings.forward == "packed":
        raise ModelLoadError(f"{forward}='packed' needs {why_not_packed}. Use 'auto' here.")
    if settings.precision == "int8":
        needed = why_not_packed or f"a pass without padding, and {forward} is 'padded'"
        raise ModelLoadError(f"{settings.variable('precision')}='int8' needs {needed}. Use 'auto' here.")
    return padded


def _why_not_packed(head: Head, module: Any, device: str, precision: str) -> str | None:
    """What a pass without padding would need, and is not here; None if it can be had."""
    if not can_pack(module.base_model) or not head.can_pack(module):
        return "a RoBERTa or BERT model"
    if device == "cpu" and not can_run(DTYPES[precision]):
        return f"a CPU on which oneDNN can compute in {precision}"
    return None
