"""Replayed passes, on a stand-in for a GPU: a function replays by running again on the same memory.

A real capture needs a GPU. What can go wrong around it does not: unused slots, what the last pass left behind, two
passes in flight.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, RobertaConfig

from batch_classification.head import SentimentHead
from batch_classification.settings import BUNDLED_MODEL_PATH, ClassifierSettings
from batch_embedding.head import PackedPooler
from batch_inference.forward.attention_cuda import attend_row_by_row
from batch_inference.forward.buckets import LARGEST_TOKENS, Bucket, Buckets
from batch_inference.forward.kernels_cuda import CudaKernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.replay import BucketRows, ReplayedForward, sample_rows
from batch_inference.forward.rows import pack
from batch_inference.forward.streams import Computation, CpuStreams
from batch_inference.loading import load_model
from batch_inference.replaying import with_replay
from batch_inference.settings import load_settings
from batch_inference.token_rows import TokenRows

NUM_PASSES = int(os.environ.get("REPLAY_PASSES", "150"))
"""`make test-slow` runs 10,000."""

NUM_IDS, MAX_TOKENS = 200, 150
BUCKETS = Buckets(MAX_TOKENS, 384)

Launch = Callable[[TokenRows], Computation]


class ReplayingCpu(CpuStreams):
    """Stands for a GPU that captures: a replay runs the function again, and writes where the first run wrote.

    Attributes:
        num_replays: so many were asked for.
        fault: what becomes of a replay's outputs; None leaves them alone.
    """

    def __init__(self) -> None:
        self.num_replays = 0
        self.fault: Callable[[torch.Tensor], torch.Tensor] | None = None

    def record(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        outputs = compute().clone()

        def replay() -> torch.Tensor:
            self.num_replays += 1
            outputs.copy_(self.fault(compute()) if self.fault else compute())
            return outputs

        return replay


@pytest.fixture(scope="module")
def packed() -> PackedClassifier:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=NUM_IDS, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        num_labels=3, max_position_embeddings=MAX_TOKENS + 2, pad_token_id=1,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return PackedClassifier(model, CudaKernels(torch.from_numpy, attend_at_once))


def attend_at_once(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, row_starts: torch.Tensor, longest: int
) -> torch.Tensor:
    """For small passes faster than row by row. As with a GPU's, no row may be longer than it was said."""
    lengths = row_starts.diff()
    assert int(lengths.max()) <= longest
    owners = torch.arange(len(lengths)).repeat_interleave(lengths)
    scores = torch.einsum("qhd,khd->hqk", queries, keys) * queries.shape[-1] ** -0.5
    weights = scores.masked_fill(owners[:, None] != owners, -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, values)


@pytest.fixture(scope="module")
def streams() -> ReplayingCpu:
    return ReplayingCpu()


@pytest.fixture(scope="module")
def replayed(packed: PackedClassifier, streams: ReplayingCpu) -> ReplayedForward:
    replayed = ReplayedForward(packed, streams, BUCKETS, "cpu")
    assert replayed.capture() is None
    return replayed


@torch.inference_mode()
def launched(forward: Any, streams: CpuStreams, rows: TokenRows) -> Computation:
    prepared = forward.prepare(rows)
    return streams.launch(lambda: forward.logits(prepared))


def random_rows(rng: random.Random) -> TokenRows:
    """Often about as many tokens as a bucket has, one more or one less; now and then rows of one token or the most."""
    longest = rng.choice([1, 4, 30, 64, 65, 128, MAX_TOKENS])
    num_tokens = max(1, rng.choice([rng.randint(1, 420), rng.choice(BUCKETS.all()).num_tokens + rng.randint(-1, 1)]))
    lengths = []
    while (left := num_tokens - sum(lengths)) > 0:
        lengths.append(min(left, rng.randint(1, longest)))
    # The pad token is one that a text can spell.
    return TokenRows.of([[rng.randrange(NUM_IDS) for _ in range(length)] for length in lengths])


def check_random_passes(replayed: ReplayedForward, streams: ReplayingCpu, num_passes: int) -> Iterator[bool]:
    """Run pairs of passes, the second launched before the first is read; yield whether a pass was replayed."""
    rng = random.Random(0)
    for _ in range(num_passes // 2):
        pair = [random_rows(rng), random_rows(rng)]
        running = []
        for rows in pair:
            before = streams.num_replays
            running.append(launched(replayed, streams, rows))
            yield streams.num_replays > before
        for rows, computation in zip(pair, running, strict=True):
            expected = launched(replayed.eager, streams, rows).to_host()
            assert torch.allclose(computation.to_host(), expected, atol=2e-5), rows.lengths.tolist()


def test_random_passes_equal_the_eager_ones(replayed: ReplayedForward, streams: ReplayingCpu) -> None:
    was_replayed = list(check_random_passes(replayed, streams, NUM_PASSES))
    # The others are too large, or of too many short rows.
    assert 0.5 < sum(was_replayed) / len(was_replayed) < 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_random_passes_equal_the_eager_ones(replayed: ReplayedForward, streams: ReplayingCpu) -> None:
    assert sum(1 for _ in check_random_passes(replayed, streams, 10_000)) == 10_000


def test_a_replay_is_that_pass_bit_for_bit_whatever_ran_before(
    replayed: ReplayedForward, streams: ReplayingCpu
) -> None:
    full, small = sample_rows(Bucket(384, 150), 3), TokenRows.of([[0, 7, 2], [0, 9, 9, 2]])
    alone = launched(replayed, streams, small).to_host()
    for before in (full, TokenRows.of([[5] * 20]), small):
        kept = launched(replayed, streams, before).to_host().clone()
        first = launched(replayed, streams, before)
        assert torch.equal(launched(replayed, streams, small).to_host(), alone)
        # Not overwritten by the pass after it.
        assert torch.equal(first.to_host(), kept)


def test_what_no_bucket_holds_is_launched_call_by_call(replayed: ReplayedForward, streams: ReplayingCpu) -> None:
    before = streams.num_replays
    for rows in (TokenRows.of([[7] * 100] * 4), TokenRows.of([[7]] * 60)):
        assert len(launched(replayed, streams, rows).to_host()) == len(rows)
    assert streams.num_replays == before


def test_a_row_without_an_embedding_is_refused_before_the_launch(replayed: ReplayedForward) -> None:
    for row in ([NUM_IDS], [5] * (MAX_TOKENS + 1)):
        with pytest.raises(IndexError):
            replayed.prepare(TokenRows.of([row]))


def test_passes_of_a_bucket_share_one_buffer_of_its_size(replayed: ReplayedForward) -> None:
    for number in range(1, 5):
        prepared = replayed.prepare(TokenRows.of([[0, 5, 2]] * number))
        assert isinstance(prepared, BucketRows)
        assert (prepared.bucket, prepared.num_rows) == (Bucket(32, 64), number)
        assert prepared.buffer.shape == (prepared.bucket.num_integers,)


@pytest.mark.parametrize(
    "fault",
    [lambda outputs: outputs + 1e-6, lambda outputs: torch.full_like(outputs, torch.nan), torch.zeros_like],
    ids=["rounding", "not a number", "stale"],
)
def test_a_replay_that_differs_is_not_used(packed: PackedClassifier, fault: Callable[..., torch.Tensor]) -> None:
    streams = ReplayingCpu()
    streams.fault = fault
    replayed = ReplayedForward(packed, streams, BUCKETS, "cpu")
    reason = replayed.capture()
    assert reason == "a replay of 384 tokens differs from the pass that was captured"
    rows, num_replays = TokenRows.of([[0, 7, 2]]), streams.num_replays
    expected = launched(packed, streams, rows).to_host()
    assert torch.equal(launched(replayed, streams, rows).to_host(), expected)
    assert streams.num_replays == num_replays


def test_a_device_that_cannot_capture_launches_call_by_call(packed: PackedClassifier) -> None:
    class CannotCapture(ReplayingCpu):
        def record(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    replayed = ReplayedForward(packed, CannotCapture(), BUCKETS, "cpu")
    assert replayed.capture() == "capturing failed: CUDA error: operation not permitted when stream is capturing"


@pytest.mark.parametrize("mode", ["cls", "mean", "max", "mean_sqrt_len"])
def test_slots_without_a_token_do_not_disturb_pooling(mode: str) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=NUM_IDS, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    kernels = CudaKernels(torch.from_numpy, attend_at_once)
    pooler = PackedPooler(AutoModel.from_config(config).eval(), kernels, (mode,))
    streams = ReplayingCpu()
    replayed = ReplayedForward(pooler, streams, Buckets(MAX_TOKENS, 64), "cpu")
    assert replayed.capture() is None
    rows = TokenRows.of([[5, 6, 7], [8] * 20, [9]])
    expected = launched(pooler, streams, rows).to_host()
    assert torch.allclose(launched(replayed, streams, rows).to_host(), expected, atol=1e-5)


@given(st.integers(1, 9000), st.integers(1, 600), st.integers(0, 2**32))
def test_a_bucket_holds_its_rows_and_few_tokens_more(num_tokens: int, longest: int, seed: int) -> None:
    rng = random.Random(seed)
    lengths: list[int] = []
    while (left := num_tokens - sum(lengths)) > 0:
        lengths.append(min(left, rng.randint(min(8, longest), longest)))
    bucket = Buckets(600).of(num_tokens, lengths)
    if bucket is None:
        assert num_tokens > LARGEST_TOKENS or len(lengths) > num_tokens // 10
        return
    assert bucket in Buckets(600).all()
    assert num_tokens <= bucket.num_tokens <= max(32, 1.5 * num_tokens + 1)
    assert max(lengths) <= bucket.longest
    packed = pack(TokenRows.of([[5] * length for length in lengths]), weights(600), bucket)
    assert len(packed.buffer) == bucket.num_integers
    assert len(packed.lengths) == bucket.num_slots
    assert sum(packed.lengths) == bucket.num_tokens
    assert packed.longest <= bucket.longest
    # On a GPU, a row that begins where no token is would end the process.
    assert packed.row_starts[:-1].max() < bucket.num_tokens
    real = packed.lengths[packed.num_empty : packed.num_empty + packed.num_rows]
    assert list(real) == lengths


def weights(max_tokens: int) -> Any:
    """Those parts that laying rows out asks for."""
    return SimpleNamespace(
        max_tokens=max_tokens, words=range(100), pad_token_id=1, is_pad_skipped=True, first_position=2
    )


def test_no_bucket_is_larger_than_a_pass() -> None:
    assert [bucket.num_tokens for bucket in Buckets(512, 100).all()] == [96, 96, 64, 48, 32]
    assert len(Buckets(512).all()) == 43
    assert Buckets(512, 5).all() == [Bucket(32, 64)]


def test_a_model_s_passes_are_replayed_where_they_can_be() -> None:
    settings = load_settings(ClassifierSettings, model="bundled", device="cpu", forward="packed", max_batch_tokens=64)
    model = load_model(settings, SentimentHead())
    plain = AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float32).eval()
    on_gpu = model.on(PackedClassifier(plain, CudaKernels(torch.from_numpy, attend_row_by_row)), model.precision)
    streams = ReplayingCpu()
    replaying = with_replay(on_gpu, streams, settings)
    assert replaying.notes.choices[-1].startswith("Launches by CUDA graphs up to 64 tokens: 3 were captured in ")
    rows = model.tokenizer.encode(["I love this!", "What a waste of money."], 512).rows
    before = streams.num_replays
    assert np.allclose(replaying.answers(rows), model.answers(rows), atol=1e-5)
    assert streams.num_replays == before + 1
    streams.fault = torch.zeros_like
    assert with_replay(on_gpu, streams, settings) is on_gpu
    assert on_gpu.notes.choices[-1].startswith("Launches call by call: a replay of 64 tokens differs")
