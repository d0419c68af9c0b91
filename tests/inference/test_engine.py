"""The engine with the bundled model: an answer does not depend on its company, and refusals leave nothing behind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from batch_classification.in_process import start_engine
from batch_inference.caller import Caller
from batch_inference.engine import Engine
from batch_inference.errors import EngineStoppedError, QueueFullError
from batch_inference.outcome import Prediction
from batch_inference.passes_in_flight import PassRecord
from batch_inference.tokenizer import EncodedTexts


def same(one: Prediction, other: Prediction) -> bool:
    return one.label == other.label and all(abs(one.scores[label] - other.scores[label]) < 1e-4 for label in one.scores)


@pytest.fixture
def texts(tweets: list[str]) -> list[str]:
    """30 texts: tweets, some of them joined to long ones."""
    rng = random.Random(0)
    return [" ".join(rng.choices(tweets, k=rng.choice([2, 8, 30]))) if n % 10 == 0 else tweets[n] for n in range(30)]


def test_batched_equals_alone(engine: Engine, texts: list[str]) -> None:
    alone = [engine.run([text], 512).predictions[0] for text in texts]
    for size in (7, 20, 30):
        for start in range(0, len(texts), size):
            together = engine.run(texts[start : start + size], 512).predictions
            assert all(map(same, together, alone[start : start + size]))


def test_an_answer_does_not_depend_on_other_requests(engine: Engine, texts: list[str]) -> None:
    alone = engine.run(texts, 512).predictions
    with ThreadPoolExecutor(16) as pool:
        crowded = list(pool.map(lambda text: engine.run([text], 512).predictions[0], texts))
    assert all(map(same, crowded, alone))


@pytest.mark.parametrize("chunk_size", [1, 5, 22])
def test_chunks_give_the_same_answers_in_order(engine: Engine, texts: list[str], chunk_size: int) -> None:
    whole = engine.run(texts, 512).predictions
    parts = [texts[start : start + chunk_size] for start in range(0, len(texts), chunk_size)]
    with engine.admitted(texts, 512) as admitted:
        sizes = [len(parts[0]), 0, *map(len, parts[1:])]
        pieces = [chunk.predictions for chunk in admitted.in_chunks(sizes)]
    assert [len(piece) for piece in pieces] == [len(parts[0]), 0, *map(len, parts[1:])]
    assert all(map(same, [prediction for piece in pieces for prediction in piece], whole))


def test_max_length_is_capped_at_what_the_model_takes(engine: Engine) -> None:
    assert engine.effective_max_length(1024) == 512
    prediction = engine.run(["word " * 3000], 1024).predictions[0]
    assert prediction.num_tokens == 512
    assert prediction.is_truncated


def test_a_call_whose_caller_leaves_leaves_the_queue() -> None:
    engine, caller = start_engine(model="bundled", device="cpu", answer_cache_mib=0), Caller()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(engine.run, ["word " * 500] * 120, 512, caller)
        while not engine.num_queued_texts:
            assert not call.done()
        caller.leave()
        with pytest.raises(CancelledError):
            call.result(60)
    engine.run(["next"], 512)
    engine.close()
    snapshot = engine.stats.snapshot()
    assert snapshot.total_texts == 1
    assert snapshot.models.forward_passes < 120 / 4
    assert snapshot.requests_in_flight == 0


def test_a_request_whose_caller_left_before_its_last_answer_was_taken_is_not_answered(engine: Engine) -> None:
    caller = Caller()
    before = engine.stats.snapshot().total_requests
    with engine.admitted(["left"], 512, caller) as admitted:
        chunks = admitted.in_chunks([1])
        next(chunks)
        caller.leave()
        with pytest.raises(CancelledError):
            next(chunks)
    assert engine.stats.snapshot().total_requests == before


def test_a_caller_who_has_left_costs_no_tokenization(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller()
    encode, encoded = engine.model.tokenizer.encode, []

    def leaving_after_the_first_turn(texts: Sequence[str], *args: Any) -> EncodedTexts:
        encoded.append(len(texts))
        caller.leave()
        return encode(texts, *args)

    monkeypatch.setattr(engine.model.tokenizer, "encode", leaving_after_the_first_turn)
    with pytest.raises(CancelledError):
        engine.run(["word " * 2000] * 100, 512, caller)
    assert encoded == [3]
    with pytest.raises(CancelledError):
        engine.run(["short"], 512, caller)
    assert encoded == [3]


def test_what_cannot_be_admitted_is_not_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=64_000)
    encode, encoded = engine.model.tokenizer.encode, []

    def noting(texts: Sequence[str], *args: Any) -> EncodedTexts:
        encoded.append(len(texts))
        return encode(texts, *args)

    with engine.admitted(["a " * 500] * 40, 512):
        monkeypatch.setattr(engine.model.tokenizer, "encode", noting)
        with pytest.raises(QueueFullError):
            engine.run(["word " * 2000] * 100, 512)
        assert encoded == []
        # It is estimated at a quarter of its tokens, as the first of its turns shows.
        with pytest.raises(QueueFullError, match="some 50"):
            engine.run(["a " * 500] * 100, 512)
        assert encoded == [32]
    monkeypatch.undo()
    engine.close()


def test_small_requests_are_answered_beside_one_that_fills_the_queue() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=6400)
    with engine.admitted(["word " * 1900] * 20, 50, in_windows=True):
        with pytest.raises(QueueFullError):
            engine.run(["word " * 100] * 2, 512)
        assert len(engine.run(["so small a request"] * 10, 512)) == 10
        with pytest.raises(QueueFullError, match="some 137 tokens"):
            engine.check_room(num_texts=100, num_characters=300)
        engine.check_room(num_texts=10, num_characters=300)
    engine.check_room(num_texts=100, num_characters=1_000_000)
    assert len(engine.run(["word " * 100] * 2, 512)) == 2
    engine.close()


def test_a_long_request_is_tokenized_in_turns_to_the_same_answers(engine: Engine, long_texts: list[str]) -> None:
    texts = [" ".join(long_texts)[start : start + 9000] for start in range(0, 8000, 2000)]
    for in_windows in (False, True):
        together = engine.run(texts, 128, in_windows=in_windows)
        alone = [engine.run([text], 128, in_windows=in_windows) for text in texts]
        assert together.num_tokens.tolist() == [int(each.num_tokens[0]) for each in alone]
        assert together.answers == pytest.approx(np.concatenate([each.answers for each in alone]), abs=1e-4)


def test_a_full_queue_refuses_the_whole_request_and_recovers() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=60)
    with engine.admitted(["word " * 38], 512) as admitted:
        with pytest.raises(QueueFullError, match="queue is full") as caught:
            engine.run(["word " * 38], 512)
        assert caught.value.retry_after_s >= 1
        assert len(admitted.run()) == 1
    assert len(engine.run(["word " * 38], 512).predictions) == 1
    engine.close()


def test_a_refusal_says_how_long_the_tokens_in_its_way_will_take() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=60)
    # What a slow device would have told: a second for every ten tokens.
    engine.stats.count_pass(PassRecord(1000, 100_000, num_padding_tokens=0, duration_s=10_000.0, model="sentiment"))
    # Large requests have room for 52 tokens. The first has 40, the second is estimated at 24: 12 are in its way.
    with engine.admitted(["word " * 38], 512), pytest.raises(QueueFullError) as caught:
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
