"""The model on its device: its passes, and what can go wrong there. `loading` makes one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from batch_inference.errors import DeviceLostError, DeviceOutOfMemoryError, ForwardPassError
from batch_inference.forward.forward import Forward
from batch_inference.forward.streams import Computation, Streams
from batch_inference.heads import Head
from batch_inference.start_notes import StartNotes
from batch_inference.token_rows import Outputs, TokenRows
from batch_inference.tokenizer import TextTokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
"""What weights are loaded in. The linear layers of `int8` are quantised after loading."""

OUT_OF_MEMORY = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""What torch calls no `OutOfMemoryError`: a library's own memory, and a kernel that is loaded on its first launch."""

MAX_IN_FLIGHT_ON_GPU = 2
"""Passes without padding that a GPU has at a time: one that it computes, and one that follows it without a gap. `make
check-gpu` measures what the second one brings."""

GIB = 1024**3


class EncoderModel:
    """An encoder with a head, in evaluation mode on one device.

    Attributes:
        head: what kind of model it is.
        forward: how its passes are computed.
        streams: how they get onto the device.
        tokenizer: turns texts into the rows that `prepare` takes.
        labels: names of the outputs, in their order, upper case unless two would become one.
        own_labels: the same as the checkpoint writes them.
        num_outputs: how many numbers there are for each row.
        max_tokens: longest row the model can take, special tokens included.
        device: `cpu` or `cuda:0`.
        precision: `float32`, `bfloat16`, `float16` or `int8`.
        inner_size: width of the feed-forward layers, the widest there are; 0 if the configuration does not say.
        notes: what its start measured and chose; shared by all that `on` makes of it.
    """

    def __init__(
        self,
        head: Head,
        forward: Forward,
        streams: Streams,
        config: Any,
        max_tokens: int,
        tokenizer: TextTokenizer,
        device: str,
        precision: str,
    ) -> None:
        self.head = head
        self.forward = forward
        self.streams = streams
        self.inner_size = int(getattr(config, "intermediate_size", 0))
        self.tokenizer = tokenizer
        self.device = device
        self.precision = precision
        self.max_tokens = max_tokens
        self.labels, self.own_labels = head.labels(config), head.own_labels(config)
        self.num_outputs = head.num_outputs(config)
        self.notes = StartNotes()

    @property
    def is_padded(self) -> bool:
        """Whether a pass computes every row up to the longest one."""
        return self.forward.is_padded

    @property
    def forward_name(self) -> str:
        """How passes are computed, as settings and statistics say it: `packed` or `padded`."""
        return "padded" if self.is_padded else "packed"

    @property
    def max_in_flight(self) -> int:
        """How many passes are worth launching before the first of them is read back.

        transformers' own pass looks at its mask on the host, and so waits for the pass before it.
        """
        return 1 if self.device == "cpu" or self.is_padded else MAX_IN_FLIGHT_ON_GPU

    def on(self, forward: Forward, precision: str) -> EncoderModel:
        """The same model on another forward pass."""
        other = copy(self)
        other.forward, other.precision = forward, precision
        return other

    def answers(self, rows: TokenRows) -> Outputs:
        """`prepare`, `launch`, the result and the head's `answers` in one; shape (rows, outputs)."""
        return self.head.answers(self.launch(self.prepare(rows)).result())

    def prepare(self, rows: TokenRows) -> Any:
        """Make rows of token ids, each up to `max_tokens` long, ready to `launch`.

        Raises:
            as `launch`.
        """
        with self.device_errors(len(rows)):
            return self.forward.prepare(rows)

    def launch(self, prepared: Any) -> LaunchedPass:
        """Start one forward pass. A GPU works by itself once it has its orders; on a CPU the pass is over by then.

        Raises:
            DeviceOutOfMemoryError: the pass does not fit the device's memory.
            DeviceLostError: the device fails at everything from now on.
            ForwardPassError: the model failed.
        """

        def compute() -> torch.Tensor:
            return self.forward.logits(prepared).float()

        num_rows = prepared.num_rows
        with self.device_errors(num_rows), torch.inference_mode(), self._autocast():
            return LaunchedPass(self, num_rows, self.streams.launch(compute))

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
        """Translate what a pass of so many rows can run into: out of memory, a lost device, anything else."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            _let_go_of_tensors(error)
            torch.cuda.empty_cache()
            raise DeviceOutOfMemoryError(f"{num_rows} rows do not fit the memory of {self.device}") from None
        except (RuntimeError, IndexError) as error:
            _let_go_of_tensors(error)
            if any(words in str(error) for words in OUT_OF_MEMORY):
                raise DeviceOutOfMemoryError(f"{num_rows} rows do not fit the memory of {self.device}") from None
            if not self._is_device_alive():
                raise DeviceLostError(f"{self.device} answers nothing any more: {error}") from error
            raise ForwardPassError(f"the forward pass failed: {error}") from error

    def _is_device_alive(self) -> bool:
        try:
            return bool(torch.ones(1, device=self.device).item())
        except RuntimeError:
            return False


@dataclass(frozen=True, slots=True)
class LaunchedPass:
    """A pass that was launched."""

    _model: EncoderModel
    _num_rows: int
    _computation: Computation

    def wait(self) -> None:
        """Wait for the end of the pass, however it ends. Any thread may."""
        with suppress(RuntimeError):
            self._computation.wait()

    def result(self) -> Outputs:
        """Wait for the pass, and read its outputs back.

        Returns:
            What the head makes answers of, such as each label's logit; shape (rows, outputs).

        Raises:
            as `EncoderModel.launch`; also ForwardPassError: the model answered with something that is no number.
        """
        with self._model.device_errors(self._num_rows):
            outputs: Outputs = self._computation.to_host().numpy()
        if not np.isfinite(outputs).all():
            precision = self._model.precision
            cure = "; set PRECISION to bfloat16, whose range is that of float32" if precision == "float16" else ""
            raise ForwardPassError(f"the model answered with numbers that are not finite in {precision}{cure}")
        return outputs


def _let_go_of_tensors(error: Exception) -> None:
    """What a failed pass computed lives on in the frames that its error remembers, in the way of the next pass."""
    traceback.clear_frames(error.__traceback__)
