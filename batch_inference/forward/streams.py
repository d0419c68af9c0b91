"""How passes get onto a device and their results off it: at once on a CPU, beside other passes on a GPU.

A GPU works by itself, and is never idle if the next pass is launched before it ends one. So nothing here waits for a
pass but a thread that asks for its result. Under confidential computing, as on the platform, a copy from or to pinned
memory holds its thread until all that its stream was given before is done (measured in vLLM's pull request 52226): so
copies have streams of their own, and a result is copied once it is there, not in line behind its pass.

A pass's arrays go through memory that stays: allocating some for each pass would take calls of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

Upload = Callable[[NDArray[Any]], torch.Tensor]
"""Brings an array to a device; the copy may still go on, and the third one after it overwrites it on a GPU.
`torch.from_numpy` is one for a CPU."""

NUM_BUFFERS = 3
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
        self._buffers = cycle([UploadBuffer(device, self._copies) for _ in range(NUM_BUFFERS)])
        self._unread: list[UploadBuffer] = []
        self._pool: Any = None

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        buffer = next(self._buffers)
        copy = buffer.copy_of(array)
        self._kernels.wait_event(buffer.copied)
        self._unread.append(buffer)
        return copy

    def launch(self, compute: Callable[[], torch.Tensor]) -> Computation:
        with torch.cuda.stream(self._kernels):
            # Weights came to the device in the default stream.
            self._kernels.wait_stream(torch.cuda.default_stream(self._device))
            result = compute()
            # The thread that waits sleeps, and leaves its core to those that tokenize.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._kernels)
        for buffer in self._unread:
            buffer.read = done
        self._unread.clear()
        return CudaComputation(result, done, self._results)

    def record(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """Capture what `compute` does as a CUDA graph. Its inputs' memory has to stay where it is.

        Returns:
            Launches it again; its outputs are always in the same memory.

        Raises:
            RuntimeError: it cannot be captured.
        """
        with torch.cuda.stream(self._kernels):
            # Loads kernels and allocates what cuBLAS keeps, neither of which a capture allows.
            compute()
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            # Not `torch.cuda.graph`, which collects garbage and empties the allocator's cache each time.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                outputs = compute()
            except BaseException:
                with suppress(RuntimeError):
                    graph.capture_end()
                raise
            graph.capture_end()
            self._pool = self._pool or graph.pool()

        def replay() -> torch.Tensor:
            graph.replay()
            return outputs

        return replay


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


class UploadBuffer:
    """Memory through which arrays reach a GPU: pinned on the host, and on the device.

    Attributes:
        copied: recorded after each copy. Before that, the pinned memory is not written to again.
        read: recorded once the device has read the last copy; None before the first launch. Before that, the device's
            memory is not written to again.
    """

    def __init__(self, device: str, copies: torch.cuda.Stream) -> None:
        self.copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self.read: torch.cuda.Event | None = None
        self._device = device
        self._copies = copies
        self._pinned = torch.empty(0, dtype=torch.uint8)
        self._on_device = torch.empty(0, dtype=torch.uint8)

    def copy_of(self, array: NDArray[Any]) -> torch.Tensor:
        """Start copying the array to the device; waits for the copy of the last one to end."""
        source = torch.from_numpy(array)
        self.copied.synchronize()
        with torch.cuda.stream(self._copies):
            if self.read is not None:
                self._copies.wait_event(self.read)
            if source.nbytes > len(self._pinned):
                # Twice as much each time, for the driver takes long to pin memory.
                num_bytes = 1 << source.nbytes.bit_length()
                self._pinned = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
                self._on_device = torch.empty(num_bytes, dtype=torch.uint8, device=self._device)
            pinned, copy = (
                memory[: source.nbytes].view(source.dtype).view(source.shape)
                for memory in (self._pinned, self._on_device)
            )
            pinned.copy_(source)
            copy.copy_(pinned, non_blocking=True)
            self.copied.record(self._copies)
        return copy
