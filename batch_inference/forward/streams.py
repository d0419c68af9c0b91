"""How passes get onto a device and their results off it: at once on a CPU, beside other passes on a GPU.

A GPU works by itself, and is never idle if the next pass is launched before it ends one. So nothing here waits for a
pass but a thread that asks for its result. Under confidential computing, as on the platform, a copy from or to pinned
memory holds its thread until all that its stream was given before is done (measured in vLLM's pull request 52226): so
copies have streams of their own, and a result is copied once it is there, not in line behind its pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

Upload = Callable[[NDArray[Any]], torch.Tensor]
"""Brings an array to a device; the copy may still go on. `torch.from_numpy` is one for a CPU."""

NUM_PINNED_BUFFERS = 3
"""For two passes in flight and one that is prepared."""


class Computation(Protocol):
    """What a device has been given to compute."""

    def wait(self) -> None:
        """Wait for its end. Any thread may."""
        ...

    def to_host(self) -> torch.Tensor:
        """Wait for the result, and bring it to the host."""
        ...


class Streams(Protocol):
    """One thread's way to a device."""

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Start copying an array to the device; what is launched later sees it whole."""
        ...

    def launch(self, compute: Callable[[], torch.Tensor]) -> Computation:
        """Launch on the device what `compute` does."""
        ...


class CpuStreams:
    """Computes at once, and copies nothing."""

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array)

    def launch(self, compute: Callable[[], torch.Tensor]) -> Computation:
        return Computed(compute())


@dataclass(frozen=True, slots=True)
class Computed:
    """What was computed at once."""

    _result: torch.Tensor

    def wait(self) -> None:
        pass

    def to_host(self) -> torch.Tensor:
        return self._result


class CudaStreams:
    """A stream for kernels, one for uploads and one for results. One thread at a time may launch and upload."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._kernels = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._results = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers = cycle([PinnedBuffer() for _ in range(NUM_PINNED_BUFFERS)])

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        buffer = next(self._buffers)
        source = buffer.filled_with(array)
        with torch.cuda.stream(self._copies):
            copy = source.to(self._device, non_blocking=True)
        buffer.copied.record(self._copies)
        self._kernels.wait_event(buffer.copied)
        # The memory is the copies' stream's, which must not write to it again before the kernels have read it.
        copy.record_stream(self._kernels)
        return copy

    def launch(self, compute: Callable[[], torch.Tensor]) -> Computation:
        with torch.cuda.stream(self._kernels):
            # Weights came to the device in the default stream.
            self._kernels.wait_stream(torch.cuda.default_stream(self._device))
            result = compute()
            # The thread that waits sleeps, and leaves its core to those that tokenize.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._kernels)
        return CudaComputation(result, done, self._results)


class CudaComputation:
    """What a GPU computes until `done`.

    Whichever thread waits first reads the result back, so that the one that launches passes need not cross the bus for
    it: under confidential computing each crossing holds its thread for 0.33 ms (arXiv 2606.23969).
    """

    def __init__(self, result: torch.Tensor, done: torch.cuda.Event, results: torch.cuda.Stream) -> None:
        self._result = result
        self._done = done
        self._results = results
        self._on_host: torch.Tensor | None = None
        self._lock = threading.Lock()

    def wait(self) -> None:
        self.to_host()

    def to_host(self) -> torch.Tensor:
        with self._lock:
            if self._on_host is None:
                self._done.synchronize()
                with torch.cuda.stream(self._results):
                    self._on_host = self._result.cpu()
            return self._on_host


class PinnedBuffer:
    """Pinned memory from which an array is copied to a GPU.

    Attributes:
        copied: to be recorded after each such copy: until then the memory is not written to again.
    """

    def __init__(self) -> None:
        self.copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._memory = torch.empty(0, dtype=torch.uint8)

    def filled_with(self, array: NDArray[Any]) -> torch.Tensor:
        """The array, in this memory; waits for the copy of the last one to end."""
        self.copied.synchronize()
        source = torch.from_numpy(array)
        if source.nbytes > len(self._memory):
            # Twice as much each time, for the driver takes long to pin memory.
            self._memory = torch.empty(1 << source.nbytes.bit_length(), dtype=torch.uint8, pin_memory=True)
        filled = self._memory[: source.nbytes].view(source.dtype).view(source.shape)
        return filled.copy_(source)
