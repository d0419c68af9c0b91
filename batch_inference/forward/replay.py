"""Passes that are launched by one call: captured once for each bucket, and replayed.

Launching a pass from Python takes some 180 calls, which take the interpreter's lock from the requests' threads. A
captured pass (a CUDA graph) is the same kernels on the same memory, started by one call. So its rows go into a buffer
that stays where it is, and its outputs are copied before the next pass overwrites them. A pass that no bucket holds is
launched call by call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Protocol

import numpy as np
import torch

from batch_inference.errors import first_line
from batch_inference.forward.buckets import Bucket, Buckets
from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import DeviceRows
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.streams import Streams
from batch_inference.token_rows import TokenRows

Replay = Callable[[], torch.Tensor]
"""Computes again what was captured, from what its inputs' memory holds now; always into the same outputs."""


class CapturingStreams(Streams, Protocol):
    """A way to a device that can capture what it is given. On a CPU, a function can stand for its own replay."""

    def record(self, compute: Callable[[], torch.Tensor]) -> Replay:
        """Capture what a function computes.

        Raises:
            RuntimeError: it cannot be captured.
        """
        ...


class PackedForward(Forward, Protocol):
    """A pass without padding whose rows can be laid out apart from bringing them to the device."""

    def pack(self, rows: TokenRows, bucket: Bucket | None = None) -> PackedRows:
        """Lay rows out one after the other, filled up to a bucket if there is one.

        Raises:
            IndexError: a row or an id has no embedding.
        """
        ...


@dataclass(frozen=True, slots=True)
class BucketRows:
    """Rows of a pass that is replayed, on the device."""

    bucket: Bucket
    buffer: torch.Tensor
    num_empty: int
    num_rows: int


class ReplayedForward:
    """The passes of another forward pass, replayed where a bucket holds their rows.

    One thread at a time may launch them, on one stream: all share the same memory.

    Args:
        forward: what is captured, and what computes all other passes.
        streams: of the model.
        buckets: of the model.
        device: of the model.

    Attributes:
        eager: the same passes, launched call by call.
    """

    is_padded = False

    def __init__(self, forward: PackedForward, streams: CapturingStreams, buckets: Buckets, device: str) -> None:
        self.eager = forward
        self._streams = streams
        self._buckets = buckets
        self._replays: dict[Bucket, Replay] = {}
        longest = max(bucket.num_integers for bucket in buckets.all())
        self._inputs = torch.zeros(longest, dtype=torch.int32, device=device)

    @torch.inference_mode()
    def capture(self) -> str | None:
        """Capture a pass of each bucket, and compare it with what is captured, bit for bit.

        Returns:
            Why none is replayed; None if all of them are.
        """
        try:
            for bucket in self._buckets.all():
                self._capture(bucket)
                if not self._is_equal(bucket):
                    self._replays.clear()
                    return f"a replay of {bucket.num_tokens} tokens differs from the pass that was captured"
        # Whatever a driver, a card or a version of torch cannot capture.
        except RuntimeError as error:
            self._replays.clear()
            return f"capturing failed: {first_line(error)}"
        return None

    def prepare(self, rows: TokenRows) -> BucketRows | DeviceRows:
        """Lay rows out and start moving them to the device.

        Raises:
            IndexError: a row or an id has no embedding.
        """
        bucket = self._buckets.of(rows.num_tokens, rows.lengths.tolist())
        if bucket is None or bucket not in self._replays:
            eager: DeviceRows = self.eager.prepare(rows)
            return eager
        return self._bucket_rows(bucket, rows)

    def logits(self, rows: BucketRows | DeviceRows) -> torch.Tensor:
        """One forward pass; shape (rows, outputs)."""
        if isinstance(rows, DeviceRows):
            return self.eager.logits(rows)
        self._inputs[: rows.bucket.num_integers].copy_(rows.buffer)
        outputs = self._replays[rows.bucket]()
        # The next pass writes to the same memory while this one may still be read.
        return outputs[rows.num_empty : rows.num_empty + rows.num_rows].clone()

    def _bucket_rows(self, bucket: Bucket, rows: TokenRows) -> BucketRows:
        packed = self.eager.pack(rows, bucket)
        return BucketRows(bucket, self._streams.upload(packed.buffer), packed.num_empty, packed.num_rows)

    def _fixed_rows(self, bucket: Bucket) -> DeviceRows:
        """The inputs' memory as the rows of a bucket, each slot a row."""
        ids_end, positions_end = bucket.num_tokens, 2 * bucket.num_tokens
        return DeviceRows(
            self._inputs[:ids_end],
            self._inputs[ids_end:positions_end],
            self._inputs[positions_end : bucket.num_integers],
            num_rows=bucket.num_slots,
            longest=bucket.longest,
        )

    def _capture(self, bucket: Bucket) -> None:
        rows = self._bucket_rows(bucket, sample_rows(bucket, 0))
        self._streams.launch(lambda: self._inputs[: bucket.num_integers].copy_(rows.buffer))
        fixed = self._fixed_rows(bucket)
        self._replays[bucket] = self._streams.record(lambda: self.eager.logits(fixed).float())

    def _is_equal(self, bucket: Bucket) -> bool:
        fixed = self._fixed_rows(bucket)
        for seed in (1, 2):
            rows = self._bucket_rows(bucket, sample_rows(bucket, seed))
            replayed = self._streams.launch(partial(self.logits, rows)).to_host()
            # Its inputs are there by now.
            captured = self._streams.launch(lambda: self.eager.logits(fixed).float()).to_host()
            if not torch.equal(replayed, captured[rows.num_empty : rows.num_empty + rows.num_rows]):
                return False
        return True


def sample_rows(bucket: Bucket, seed: int) -> TokenRows:
    """Rows that fill nine tenths of a bucket; each seed has others."""
    num_tokens = max(1, bucket.num_tokens * 9 // 10)
    # Of eight tokens and more, so that there are slots for all.
    kinds = cycle([bucket.longest, max(8, bucket.longest // (2 + seed)), 9 + seed])
    lengths: list[int] = []
    while (left := num_tokens - sum(lengths)) > 0:
        lengths.append(min(left, next(kinds)))
    ids = np.fromiter(islice(cycle(range(3 + seed, 53)), num_tokens), np.int32)
    return TokenRows(ids, np.array(lengths, np.int32))
