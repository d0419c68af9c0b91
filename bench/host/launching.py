"""A model whose passes are launched as a GPU's, while the device's own time is slept: what launching costs the host.

The packing, the choice of a bucket and the calls are the service's own; tensors are tiny, so that only dispatch is
paid. A replay is one call that lets go of the interpreter's lock for 0.1 ms, which is what a CUDA graph's launch is
taken for. No GPU has confirmed that.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from numpy.typing import NDArray
from transformers import RobertaConfig, RobertaForSequenceClassification

from batch_inference.forward.buckets import Bucket, Buckets
from batch_inference.forward.kernels import DeviceRows
from batch_inference.forward.kernels_cuda import CudaKernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.replay import BucketRows, ReplayedForward
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.streams import Computation, Computed
from batch_inference.planner import PassCost
from batch_inference.token_rows import TokenRows
from bench.host.instant_model import ANSWERS, MAX_LENGTH, InstantModel

TOKENS_PER_S = 1.5e6
FIXED_S = 0.0003
REPLAY_US = 100
"""The device: RoBERTa-base on a large card, by arithmetic."""

COST = PassCost(8192, 0, is_padded=False, is_by_arrival=True, min_second_tokens=2000)
"""As on a GPU."""

_usleep = ctypes.CDLL(None).usleep


class TinyPass:
    """The calls of RoBERTa-base's twelve blocks, whatever the rows, on three tokens."""

    is_padded = False

    def __init__(self, upload: Callable[[NDArray[Any]], torch.Tensor]) -> None:
        config = RobertaConfig(
            hidden_size=48, num_hidden_layers=12, num_attention_heads=12, intermediate_size=96, num_labels=3,
            max_position_embeddings=MAX_LENGTH + 2,
        )  # fmt: skip
        self._upload = upload
        kernels = CudaKernels(torch.from_numpy, lambda queries, keys, values, starts, longest: queries.contiguous())
        self._net = PackedClassifier(RobertaForSequenceClassification(config).eval(), kernels)
        self._rows = self._net.prepare(TokenRows.of([[0, 5, 2]]))

    def pack(self, rows: TokenRows, bucket: Bucket | None = None) -> PackedRows:
        return self._net.pack(rows, bucket)

    def prepare(self, rows: TokenRows) -> DeviceRows:
        packed = self.pack(rows)
        return DeviceRows.of(packed, self._upload(packed.buffer))

    def logits(self, rows: DeviceRows) -> torch.Tensor:
        return self._net.logits(self._rows).expand(rows.num_rows, -1)


class SleepingStreams:
    """Copies on the host, and replays by sleeping."""

    def __init__(self) -> None:
        self._memory = torch.empty(1 << 20, dtype=torch.int32)

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        source = torch.from_numpy(array)
        return self._memory[: len(source)].copy_(source)

    def launch(self, compute: Callable[[], torch.Tensor]) -> Computation:
        return Computed(compute())

    def record(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        outputs = compute()

        def replay() -> torch.Tensor:
            _usleep(REPLAY_US)
            return outputs

        return replay


class LaunchingModel(InstantModel):
    """Stands in for `EncoderModel` on a GPU, with two passes in flight."""

    max_in_flight = 2

    def __init__(self, checkpoint: str, launches: str) -> None:
        super().__init__(checkpoint)
        torch.set_num_threads(1)
        self._launches = launches
        self._is_free_at = 0.0
        streams = SleepingStreams()
        self.forward: Any = TinyPass(streams.upload)
        if launches == "replay":
            self.forward = ReplayedForward(self.forward, streams, Buckets(MAX_LENGTH), "cpu")
            assert self.forward.capture() is None

    def prepare(self, rows: TokenRows) -> Any:
        return self.forward.prepare(rows)

    def launch(self, prepared: BucketRows | DeviceRows) -> Any:
        started_at = time.perf_counter()
        if self._launches != "none":
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                self.forward.logits(prepared)
        num_tokens = prepared.bucket.num_tokens if isinstance(prepared, BucketRows) else len(prepared.input_ids)
        launched_at = time.perf_counter()
        ends_at = max(self._is_free_at, started_at) + FIXED_S + num_tokens / TOKENS_PER_S
        self._is_free_at = ends_at = max(ends_at, launched_at)

        def wait() -> None:
            if (left_s := ends_at - time.perf_counter()) > 0:
                time.sleep(left_s)

        def result() -> Any:
            wait()
            return ANSWERS[: prepared.num_rows].copy()

        return SimpleNamespace(wait=wait, result=result)
