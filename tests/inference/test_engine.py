"""The engine with the bundled model: an answer does not depend on its company, and refusals leave nothing behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from batch_classification.in_process import start_engine
from batch_inference.engine import Engine
from batch_inference.errors import EngineStoppedError, QueueFullError
from batch_inference.outcome import Prediction
from batch_inference.passes_in_flight import PassRecord


def same(one: Prediction, other: Prediction) -> bool:
    return one.label == other.label and all(abs(one.scores[label] - other.scores[label]) < 1e-4 for label in one.scores)


@pytest.fixture
def texts(tweets: list[str]) -> list[str]:
    """500 texts: tweets, some of them joined to long ones."""
    rng = random.Random(0)
    return [" ".join(rng.choices(tweets, k=rng.choice([2, 8, 30]))) if n % 10 == 0 else tweets[n] for n in range(500)]


def test_batched_equals_alone(engine: Engine, texts: list[str]) -> None:
    alone = [engine.run([text], 512).predictions[0] for text in texts]
    for size in (7, 100, 500):
        for start in range(0, len(texts), size):
            together = engine.run(texts[start : start + size], 512).predictions
            assert all(map(same, together, alone[start : start + size]))


def test_an_answer_does_not_depend_on_other_requests(engine: Engine, texts: list[str]) -> None:
    alone = engine.run(texts, 512).predictions
    with ThreadPoolExecutor(16) as pool:
        crowded = list(pool.map(lambda text: engine.run([text], 512).predictions[0], texts))
    assert all(map(same, crowded, alone))


@pytest.mark.parametrize("chunk_size", [1, 5, 32])
def test_chunks_give_the_same_answers_in_order(engine: Engine, texts: list[str], chunk_size: int) -> None:
    whole = engine.run(texts[:70], 512).predictions
    parts = [texts[start : min(start + chunk_size, 70)] for start in range(0, 70, chunk_size)]
    with engine.run_chunks([*parts[:1], [], *parts[1:]], 512) as chunks:
        pieces = [chunk.predictions for chunk in chunks]
    assert [len(piece) for piece in pieces] == [len(parts[0]), 0, *map(len, parts[1:])]
    assert all(map(same, [prediction for piece in pieces for prediction in piece], whole))


def test_max_length_is_capped_at_what_the_model_takes(engine: Engine) -> None:
    assert engine.effective_max_length(1024) == 512
    prediction = engine.run(["word " * 3000], 1024).predictions[0]
    assert prediction.num_tokens == 512
    assert prediction.is_truncated


def test_a_cancelled_call_leaves_the_queue() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0)

    def cancel_once_queued(cancel: Callable[[], object]) -> None:
        assert engine.num_queued_texts > 0
        cancel()

    with pytest.raises(CancelledError):
        engine.run(["word " * 500] * 400, 512, cancel_once_queued)
    engine.run(["next"], 512)
    engine.close()
    snapshot = engine.stats.snapshot()
    assert snapshot.total_texts == 1
    assert snapshot.forward_passes < 400 / 4
    assert snapshot.requests_in_flight == 0


def test_a_full_queue_refuses_the_whole_request_and_recovers() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=60)
    with engine.run_chunks([["word " * 38]], 512) as chunks:
        with pytest.raises(QueueFullError, match="queue is full") as caught:
            engine.run(["word " * 38], 512)
        assert caught.value.retry_after_s >= 1
        assert len(list(chunks)) == 1
    assert len(engine.run(["word " * 38], 512).predictions) == 1
    engine.close()


def test_a_refusal_says_how_long_the_tokens_in_its_way_will_take() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=60)
    # What a slow device would have told: a second for every ten tokens.
    engine.stats.count_pass(PassRecord(num_rows=1000, num_tokens=100_000, num_padding_tokens=0, duration_s=10_000.0))
    # 40 tokens each, so 20 are in the way of the second.
    with engine.run_chunks([["word " * 38]], 512), pytest.raises(QueueFullError) as caught:
        engine.run(["word " * 38], 512)
    assert caught.value.retry_after_s == 2
    assert "try again in 2 s" in str(caught.value)
    engine.close()


def test_a_request_larger_than_the_queue_is_served_when_alone() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=60)
    assert len(engine.run(["word " * 100] * 5, 512).predictions) == 5
    engine.close()


def test_a_closed_engine_says_so() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0)
    engine.close()
    with pytest.raises(EngineStoppedError):
        engine.run(["too late"], 512)
