"""Equal texts are run once, and an answer from the cache is the one that was computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from batch_classification.in_process import start_engine
from batch_inference.answer_cache import AnswerCache, fill_in
from batch_inference.engine import Engine
from batch_inference.errors import ForwardPassError
from batch_inference.token_rows import Outputs, TokenRows

MAX_BYTES = 300_000
ROWS = TokenRows.of([[1, 2], [3], [1, 2], [4, 5, 6]])


@pytest.fixture(scope="module")
def caching() -> Iterator[Engine]:
    engine = start_engine(model="bundled", device="cpu", precision="float32", answer_cache_mib=16)
    yield engine
    engine.close()


def test_equal_rows_are_missing_once() -> None:
    future: Future[Outputs] = Future()
    known = AnswerCache(10_000).look_up(ROWS, future)
    assert known.missing.tolist() == [0, 1, 3]
    assert known.found == [(2, (future, 0))]


def test_rows_are_told_apart_by_where_they_end() -> None:
    known = AnswerCache(10_000).look_up(TokenRows.of([[1, 2, 3], [1, 2], [3], [1], [2, 3]]), Future())
    assert known.missing.tolist() == [0, 1, 2, 3, 4]


def test_off_is_off() -> None:
    cache = AnswerCache(0)
    assert [cache.look_up(ROWS, Future()).missing.tolist() for _ in range(2)] == [[0, 1, 2, 3]] * 2
    assert cache.num_bytes == 0


def test_it_stays_within_its_size_and_forgets_the_oldest() -> None:
    cache = AnswerCache(MAX_BYTES)
    for number in range(1000):
        cache.look_up(TokenRows.of([[number]]), Future())
        assert cache.num_bytes <= MAX_BYTES
    assert len(cache.look_up(TokenRows.of([[999]]), Future()).found) == 1
    assert len(cache.look_up(TokenRows.of([[0]]), Future()).found) == 0


def test_what_others_lost_is_told() -> None:
    good: Future[Outputs] = Future()
    cancelled: Future[Outputs] = Future()
    failed: Future[Outputs] = Future()
    good.set_result(np.array([[1.0], [2.0]], np.float32))
    cancelled.cancel()
    failed.set_exception(ForwardPassError("no"))
    outputs = np.zeros((4, 1), np.float32)
    lost = fill_in(outputs, [(0, (good, 1)), (1, (cancelled, 0)), (2, (failed, 5)), (3, (good, 0))])
    assert sorted(lost.tolist()) == [1, 2]
    assert outputs[[0, 3]].tolist() == [[2.0], [1.0]]


def test_a_cached_answer_is_the_computed_one(caching: Engine, tweets: list[str]) -> None:
    first = caching.run(tweets[:60], 512)
    num_passes = caching.stats.snapshot().forward_passes
    again = caching.run(tweets[:60][::-1], 512)
    assert again.answers.tolist() == first.answers.tolist()[::-1]
    assert caching.stats.snapshot().forward_passes == num_passes
    assert (again.usage.num_passes, again.queue_time_s) == (0, 0.0)


def test_what_the_model_does_not_see_makes_no_difference(caching: Engine) -> None:
    texts = ["@anna ok " + "fine " * 60 + "one", "@bert ok " + "fine " * 60 + "two"]
    before = caching.stats.snapshot()
    outcome = caching.run(texts, 50)
    after = caching.stats.snapshot()
    assert (after.cache_hits - before.cache_hits, after.cache_misses - before.cache_misses) == (1, 1)
    assert outcome.answers[0].tolist() == outcome.answers[1].tolist()
    assert len(caching.run(texts, 64)) == 2


def test_other_lengths_are_other_texts_to_the_model(caching: Engine) -> None:
    text = "it was good, " * 20
    assert caching.run([text], 50).num_tokens[0] == 50
    assert caching.run([text], 60).num_tokens[0] == 60


def test_chunks_find_what_earlier_chunks_ran(caching: Engine) -> None:
    texts = [f"chunked text {number % 4}" for number in range(12)]
    with caching.run_chunks([texts[start : start + 4] for start in range(0, 12, 4)], 512) as chunks:
        answers = [chunk.answers.tolist() for chunk in chunks]
    assert answers[0] == answers[1] == answers[2]


def test_equal_texts_in_flight_are_run_once(caching: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first pass is held until everybody has asked.
    launch, is_running, may_run = caching.model.launch, threading.Event(), threading.Event()
    num_rows: list[int] = []

    def held(prepared: Any) -> Any:
        num_rows.append(prepared.num_rows)
        is_running.set()
        may_run.wait(60)
        return launch(prepared)

    monkeypatch.setattr(caching.model, "launch", held)
    with ThreadPoolExecutor(8) as pool:
        before = caching.stats.snapshot().cache_hits
        calls = [pool.submit(caching.run, ["asked by eight at once"], 512) for _ in range(8)]
        is_running.wait(60)
        while caching.stats.snapshot().cache_hits < before + 7:
            pass
        may_run.set()
        answers = [call.result().answers.tolist() for call in calls]
    assert num_rows == [1]
    assert answers == answers[:1] * 8


def test_who_waits_for_a_request_that_is_cancelled_gets_an_answer(
    caching: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, is_running, may_run = caching.model.launch, threading.Event(), threading.Event()

    def held(prepared: Any) -> Any:
        is_running.set()
        may_run.wait(60)
        return launch(prepared)

    monkeypatch.setattr(caching.model, "launch", held)
    cancels: list[Any] = []
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(caching.run, ["keeps the model busy"], 512)
        is_running.wait(60)
        leaving = pool.submit(caching.run, ["asked by one who leaves"], 512, cancels.append)
        while not cancels:
            pass
        before = caching.stats.snapshot().cache_hits
        staying = pool.submit(caching.run, ["asked by one who leaves"], 512)
        while caching.stats.snapshot().cache_hits == before:
            pass
        cancels[0]()
        may_run.set()
        with pytest.raises(CancelledError):
            leaving.result()
        assert len(busy.result()) == len(staying.result()) == 1


def test_a_failed_pass_is_not_remembered(caching: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(prepared: Any) -> Any:
        raise RuntimeError("once")

    with monkeypatch.context() as patched:
        patched.setattr(caching.model, "launch", failing)
        with pytest.raises(ForwardPassError):
            caching.run(["fails the first time"], 512)
    assert len(caching.run(["fails the first time"], 512)) == 1
