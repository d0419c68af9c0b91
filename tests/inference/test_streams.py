"""Copies to a GPU and results from it, with stand-ins for CUDA's streams and events, which need a GPU: they note who
waits for what, and an event is done when the test says so. What is copied stays on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from batch_inference.forward.streams import NUM_BUFFERS, CpuStreams, CudaStreams

WAIT_S = 30


class Cuda:
    """Stands for `torch.cuda` with one GPU.

    Attributes:
        log: what was asked of it, in order.
        is_done: what an event waits for on the host; done unless a test clears it.
        current: the name of the stream that kernels and copies go to.
        sources, targets: the pinned memory that was copied from and the device's, copy by copy.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.is_done = threading.Event()
        self.is_done.set()
        self.current = "default"
        self.sources: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream.name
        yield
        self.current = before


class FakeStream:
    def __init__(self, cuda: Cuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_event(self, event: FakeEvent) -> None:
        self.cuda.log.append(f"{self.name} waits for the event in {event.recorded_in}")

    def wait_stream(self, stream: FakeStream) -> None:
        self.cuda.log.append(f"{self.name} waits for {stream.name}")


class FakeEvent:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.recorded_in: str | None = None

    def record(self, stream: FakeStream) -> None:
        self.recorded_in = stream.name

    def synchronize(self) -> None:
        # One that was never recorded is done.
        if self.recorded_in:
            self.cuda.log.append(f"host waits for the event in {self.recorded_in}")
            assert self.cuda.is_done.wait(WAIT_S)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    cuda = Cuda()
    names = iter(["kernels", "copies", "results"])
    empty, copy, to_host = torch.empty, torch.Tensor.copy_, torch.Tensor.cpu

    def copying(tensor: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        if non_blocking:
            cuda.log.append(f"copy in {cuda.current}")
            cuda.sources.append(source)
            cuda.targets.append(tensor)
        return copy(tensor, source)

    def reading_back(tensor: torch.Tensor) -> torch.Tensor:
        cuda.log.append(f"read back in {cuda.current}")
        return to_host(tensor)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(cuda, next(names)))
    monkeypatch.setattr(torch.cuda, "Event", lambda blocking: FakeEvent(cuda))
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: FakeStream(cuda, "default"))
    monkeypatch.setattr(torch.cuda, "stream", cuda.stream)
    monkeypatch.setattr(torch, "empty", lambda *size, dtype, **where: empty(*size, dtype=dtype))
    monkeypatch.setattr(torch.Tensor, "copy_", copying)
    monkeypatch.setattr(torch.Tensor, "cpu", reading_back)
    return cuda


@pytest.fixture
def streams(cuda: Cuda) -> CudaStreams:
    return CudaStreams("cpu")


def test_kernels_wait_for_a_copy_that_has_a_stream_of_its_own(cuda: Cuda, streams: CudaStreams) -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert streams.upload(array).tolist() == array.tolist()
    assert cuda.log == ["copy in copies", "kernels waits for the event in copies"]


def test_copies_of_all_passes_go_into_the_same_memory(cuda: Cuda, streams: CudaStreams) -> None:
    for number in range(10):
        streams.upload(np.full(64, number, np.int32))
        streams.launch(lambda: torch.zeros(1))
    for memory in (cuda.sources, cuda.targets):
        assert len({tensor.data_ptr() for tensor in memory}) == NUM_BUFFERS


def test_a_copy_waits_for_the_kernels_that_read_what_it_overwrites(cuda: Cuda, streams: CudaStreams) -> None:
    for number in range(NUM_BUFFERS + 1):
        cuda.log.clear()
        streams.upload(np.full(64, number, np.int32))
        streams.launch(lambda: torch.zeros(1))
    assert cuda.log[:3] == [
        "host waits for the event in copies", "copies waits for the event in kernels", "copy in copies",
    ]  # fmt: skip


def test_nothing_is_read_back_before_it_is_asked_for(cuda: Cuda, streams: CudaStreams) -> None:
    first, second = streams.launch(lambda: torch.tensor([1.0])), streams.launch(lambda: torch.tensor([2.0]))
    assert cuda.log == ["kernels waits for default"] * 2
    assert second.to_host().tolist() == [2.0]
    assert first.to_host().tolist() == [1.0]
    assert cuda.log[2:] == ["host waits for the event in kernels", "read back in results"] * 2


def test_the_thread_that_waits_reads_back_and_nobody_does_so_again(cuda: Cuda, streams: CudaStreams) -> None:
    computation = streams.launch(lambda: torch.tensor([1.0]))
    watcher = threading.Thread(target=computation.wait)
    watcher.start()
    watcher.join(WAIT_S)
    assert cuda.log[-1] == "read back in results"
    num_entries = len(cuda.log)
    assert computation.to_host().tolist() == [1.0]
    assert len(cuda.log) == num_entries


def test_kernels_are_launched_in_a_stream_of_their_own(cuda: Cuda, streams: CudaStreams) -> None:
    def compute() -> torch.Tensor:
        launched_in.append(cuda.current)
        return torch.zeros(1)

    launched_in: list[str] = []
    streams.launch(compute)
    assert (launched_in, cuda.current) == (["kernels"], "default")


def test_arrays_of_any_sizes_and_types_arrive_whole(streams: CudaStreams) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 1000, size=(1 + number % 7, 1 + number * 37 % 501)).astype(dtype)
        for number in range(40)
        for dtype in (np.int32, np.int64)
    ]
    for array in arrays:
        copy = streams.upload(array)
        assert copy.dtype == torch.from_numpy(array).dtype
        assert np.array_equal(copy.numpy(), array)


def test_a_buffer_is_not_written_to_before_its_copy_is_done(cuda: Cuda, streams: CudaStreams) -> None:
    for number in range(NUM_BUFFERS):
        streams.upload(np.full(64, number, np.int32))
    cuda.is_done.clear()
    uploading = threading.Thread(target=streams.upload, args=(np.full(64, 7, np.int32),))
    uploading.start()
    uploading.join(0.2)
    assert [source.tolist() for source in cuda.sources] == [[number] * 64 for number in range(NUM_BUFFERS)]
    cuda.is_done.set()
    uploading.join(WAIT_S)
    # Now the first buffer is in use again.
    assert cuda.sources[0].tolist() == cuda.sources[-1].tolist() == [7] * 64


def test_two_passes_and_one_that_is_prepared_wait_for_no_buffer(cuda: Cuda, streams: CudaStreams) -> None:
    cuda.is_done.clear()
    for number in range(NUM_BUFFERS):
        streams.upload(np.full(64, number, np.int32))
    assert not [entry for entry in cuda.log if entry.startswith("host waits")]


def test_on_a_cpu_all_is_done_at_once() -> None:
    streams = CpuStreams()
    array = np.arange(3)
    assert np.shares_memory(streams.upload(array).numpy(), array)
    computed = streams.launch(lambda: torch.tensor([1.0]))
    computed.wait()
    assert computed.to_host().tolist() == [1.0]
