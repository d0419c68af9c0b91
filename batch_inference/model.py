"""The model on its device: loading, precision, and what can go wrong there. Its passes are in `forward/`."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from batch_inference.device import pick_device
from batch_inference.errors import DeviceLostError, DeviceOutOfMemoryError, ForwardPassError, ModelLoadError
from batch_inference.forward.kernels import Kernels
from batch_inference.forward.kernels_cpu import CpuKernels, can_run
from batch_inference.forward.kernels_cuda import CudaKernels
from batch_inference.forward.kernels_int8 import CALIBRATION_TEXTS, Int8Kernels
from batch_inference.forward.streams import Computation, CpuStreams, CudaStreams, Streams
from batch_inference.forward.weights import can_pack
from batch_inference.forward_check import proven
from batch_inference.heads import Head, SentimentHead
from batch_inference.host_memory import bound_kept_memory, keep_freed_memory
from batch_inference.settings import Settings
from batch_inference.token_rows import TokenRows
from batch_inference.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
"""What weights are loaded in. The linear layers of `int8` are quantised after loading."""

_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer"}
"""Architectures whose positions count from `pad_token_id + 1`, as RoBERTa's do."""

MAX_IN_FLIGHT_ON_GPU = 2
"""Passes without padding that a GPU has at a time: one that it computes, and one that follows it without a gap. `make
check-gpu` measures what the second one brings."""

GIB = 1024**3


class Forward(Protocol):
    """How a model's logits are computed: `PaddedForward` or, where it can be, `PackedClassifier`."""

    @property
    def is_padded(self) -> bool:
        """Whether a pass computes every row up to the longest one."""
        ...

    def prepare(self, rows: TokenRows) -> Any:
        """Rows of token ids as `logits` takes them; copying to a device may still go on."""
        ...

    def logits(self, prepared: Any) -> torch.Tensor:
        """One forward pass; shape (rows, outputs)."""
        ...


class SentimentModel:
    """An encoder with a head, in evaluation mode on one device.

    Attributes:
        head: what kind of model it is.
        tokenizer: turns texts into the rows that `prepare` takes.
        labels: names of the outputs, in their order.
        num_outputs: how many numbers there are for each row.
        max_tokens: longest row the model can take, special tokens included.
        device: `cpu` or `cuda:0`.
        precision: `float32`, `bfloat16`, `float16` or `int8`.
        inner_size: width of the feed-forward layers, the widest there are; 0 if the configuration does not say.
    """

    def __init__(
        self,
        head: Head,
        forward: Forward,
        streams: Streams,
        config: Any,
        tokenizer: TextTokenizer,
        device: str,
        precision: str,
    ) -> None:
        self.head = head
        self._forward = forward
        self._streams = streams
        self.inner_size = int(getattr(config, "intermediate_size", 0))
        self.tokenizer = tokenizer
        self.device = device
        self.precision = precision
        self.max_tokens = min(_max_tokens(config), head.max_tokens or sys.maxsize)
        self.labels = head.labels(config)
        self.num_outputs = head.num_outputs(config)

    @classmethod
    def load(cls, settings: Settings, head: Head | None = None) -> SentimentModel:
        """Load tokenizer and weights, the weights straight onto the device and in the dtype they run in.

        `head` says what kind of model it is; a sentiment classifier if left out.

        Raises:
            ModelLoadError: the checkpoint is missing, unusable, or needs a device that is not there.
        """
        head = head or SentimentHead()
        device = pick_device(settings)
        precision = settings.precision
        if precision == "auto":
            precision = "float32" if device == "cpu" else "float16"
        if precision == "int8" and device != "cpu":
            raise ModelLoadError(f"{settings.variable('precision')}='int8' runs on a CPU only. Use 'auto' on a GPU.")
        if device == "cpu":
            bound_kept_memory()
        else:
            torch.cuda.set_per_process_memory_fraction(settings.gpu_memory_fraction, device)
        if precision == "float16" and device == "cpu":
            logger.warning(
                "float16 is slow on most CPUs; set %s to float32 or bfloat16.", settings.variable("precision")
            )
        # A checkpoint without safetensors would be sent for conversion, on a thread that outlives the start-up.
        os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
        try:
            source, revision = settings.model_source, settings.pinned_revision
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
            model = head.auto_class.from_pretrained(
                source,
                revision=revision,
                # Left out, transformers asks at the terminal whether to run a checkpoint's code.
                trust_remote_code=False,
                # Left out, transformers takes the dtype the checkpoint was stored in.
                dtype=DTYPES[precision],
                device_map={"": device},
                attn_implementation="sdpa",
                # Old checkpoints are pickles: tensors are read from them, nothing is run.
                weights_only=True,
            )
        except (OSError, ValueError, ImportError, pickle.UnpicklingError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelLoadError(
                f"{settings.variable('model')}={settings.model!r} cannot be loaded: {reason} "
                "Use a hub id, a folder with a checkpoint, or 'bundled'."
            ) from error
        model.eval()
        streams: Streams = CpuStreams() if device == "cpu" else CudaStreams(device)
        # No transformers' pass computes in int8: float32 is what its results are measured against, and what is left.
        padded_precision = "float32" if precision == "int8" else precision
        padded = cls(
            head,
            head.padded(model, streams.upload),
            streams,
            model.config,
            TextTokenizer(tokenizer, head.prepare_text),
            device,
            padded_precision,
        )

        def packed() -> SentimentModel:
            kernels: Kernels
            if device != "cpu":
                kernels = CudaKernels(streams.upload)
            elif precision == "int8":
                kernels = Int8Kernels(padded.tokenizer.encode(CALIBRATION_TEXTS, padded.max_tokens).rows)
            else:
                kernels = CpuKernels()
            return padded._running(head.packed(model, kernels), precision)

        picked = _pick_forward(settings, packed, padded, _why_not_packed(head, model, device, precision))
        if device == "cpu":
            # Not before: what loading needs and frees goes back to the system.
            keep_freed_memory()
        return picked

    @property
    def is_padded(self) -> bool:
        """Whether a pass computes every row up to the longest one."""
        return self._forward.is_padded

    @property
    def max_in_flight(self) -> int:
        """How many passes are worth launching before the first of them is read back.

        transformers' own pass looks at its mask on the host, and so waits for the pass before it.
        """
        return 1 if self.device == "cpu" or self.is_padded else MAX_IN_FLIGHT_ON_GPU

    def _running(self, forward: Forward, precision: str) -> SentimentModel:
        """This model on another forward pass."""
        other = copy(self)
        other._forward, other.precision = forward, precision
        return other

    def probabilities(self, rows: TokenRows) -> NDArray[np.float32]:
        """`prepare`, `launch`, the result and the head's `answers` in one."""
        return self.head.answers(self.launch(self.prepare(rows)).result())

    def prepare(self, rows: TokenRows) -> Any:
        """Make rows of token ids, each up to `max_tokens` long, ready to `launch`.

        Raises:
            as `launch`.
        """
        with self.device_errors(len(rows)):
            return self._forward.prepare(rows)

    def launch(self, prepared: Any) -> RunningPass:
        """Start one forward pass. A GPU works by itself once it has its orders; on a CPU the pass is over by then.

        Raises:
            DeviceOutOfMemoryError: the pass does not fit the device's memory.
            DeviceLostError: the device fails at everything from now on.
            ForwardPassError: the model failed.
        """

        def compute() -> torch.Tensor:
            return self._forward.logits(prepared).float()

        num_rows = prepared.num_rows
        with self.device_errors(num_rows), torch.inference_mode(), self._autocast():
            return RunningPass(self, num_rows, self._streams.launch(compute))

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES[self.precision]
        return torch.autocast(self.device.split(":")[0], dtype, enabled=dtype != torch.float32)

    def memory_gib(self) -> float | None:
        """GiB of device memory that tensors hold now; None on a CPU."""
        return None if self.device == "cpu" else torch.cuda.memory_allocated(self.device) / GIB

    def peak_memory_gib(self) -> float | None:
        """Most GiB of device memory that tensors ever held; None on a CPU."""
        return None if self.device == "cpu" else torch.cuda.max_memory_allocated(self.device) / GIB

    @contextmanager
    def device_errors(self, num_rows: int) -> Iterator[None]:
        """Tell apart what a pass of so many rows can run into: too little memory, a lost device, anything else."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            _let_go_of_tensors(error)
            torch.cuda.empty_cache()
            raise DeviceOutOfMemoryError(f"{num_rows} rows do not fit the memory of {self.device}") from None
        except (RuntimeError, IndexError) as error:
            _let_go_of_tensors(error)
            if not self._is_device_alive():
                raise DeviceLostError(f"{self.device} answers nothing any more: {error}") from error
            raise ForwardPassError(f"the forward pass failed: {error}") from error

    def _is_device_alive(self) -> bool:
        try:
            return bool(torch.ones(1, device=self.device).item())
        except RuntimeError:
            return False


@dataclass(frozen=True, slots=True)
class RunningPass:
    """A pass that was launched."""

    _model: SentimentModel
    _num_rows: int
    _logits: Computation

    def wait(self) -> None:
        """Wait for the end of the pass, however it ends. Any thread may."""
        with suppress(RuntimeError):
            self._logits.wait()

    def result(self) -> NDArray[np.float32]:
        """Wait for the pass, and read its outputs back.

        Returns:
            What the head makes answers of, such as each label's logit; shape (rows, outputs).

        Raises:
            as `SentimentModel.launch`; also ForwardPassError: the model answered with something that is no number.
        """
        with self._model.device_errors(self._num_rows):
            outputs: NDArray[np.float32] = self._logits.to_host().numpy()
        if not np.isfinite(outputs).all():
            precision = self._model.precision
            raise ForwardPassError(f"the model answered with numbers that are not finite in {precision}")
        return outputs


def _pick_forward(
    settings: Settings,
    packed: Callable[[], SentimentModel],
    padded: SentimentModel,
    why_not_packed: str | None,
) -> SentimentModel:
    forward = settings.variable("forward")
    if why_not_packed is None:
        match settings.forward:
            case "packed":
                return packed()
            case "auto":
                return proven(packed, padded)
    if settings.forward == "packed":
        raise ModelLoadError(f"{forward}='packed' needs {why_not_packed}. Use 'auto' here.")
    if settings.precision == "int8":
        needed = why_not_packed or f"a pass without padding, and {forward} is 'padded'"
        raise ModelLoadError(f"{settings.variable('precision')}='int8' needs {needed}. Use 'auto' here.")
    return padded


def _why_not_packed(head: Head, model: Any, device: str, precision: str) -> str | None:
    """What a pass without padding would need, and is not here; None if it can be had."""
    if not can_pack(model.base_model) or not head.can_pack(model):
        return "a RoBERTa or BERT model"
    if device == "cpu" and not can_run(DTYPES[precision]):
        return f"a CPU on which oneDNN can compute in {precision}"
    return None


def _let_go_of_tensors(error: Exception) -> None:
    """What a failed pass computed lives on in the frames that its error remembers, in the way of the next pass."""
    traceback.clear_frames(error.__traceback__)


def _max_tokens(config: Any) -> int:
    """The longest sequence the position embeddings allow; the tokenizer of the default model declares no limit."""
    positions = int(config.max_position_embeddings)
    return positions - config.pad_token_id - 1 if config.model_type in _OFFSET_POSITIONS else positions
