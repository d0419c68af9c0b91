"""Equal texts of a request are run once, and an answer from the cache is the one that was computed."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from batch_classification.in_process import start_engine
from batch_inference.answer_cache import AnswerCache, keys_of
from batch_inference.caller import Caller
from batch_inference.engine import Engine
from batch_inference.errors import ForwardPassError
from batch_inference.request_rows import RequestRows
from batch_inference.token_rows import TokenRows

MAX_BYTES = 300_000
ROWS = TokenRows.of([[1, 2], [3], [1, 2], [4, 5, 6]])


@pytest.fixture(scope="module")
def caching() -> Iterator[Engine]:
    engine = start_engine(model="bundled", device="cpu", precision="float32", answer_cache_mib=16)
    yield engine
    engine.close()


def test_equal_rows_of_a_request_are_run_once() -> None:
    asked = RequestRows(ROWS, "", 1, AnswerCache(10_000)).ask(0, 4)
    assert asked.group.rows.tolists() == [[1, 2], [3], [4, 5, 6]]
    asked.group.answer(np.array([[1.0], [2.0], [3.0]], np.float32))
    assert asked.outputs().tolist() == [[1.0], [2.0], [1.0], [3.0]]


def test_what_an_earlier_part_of_the_request_runs_is_not_run_again() -> None:
    rows = RequestRows(ROWS, "", 1, AnswerCache(10_000))
    first, second = rows.ask(0, 2), rows.ask(2, 4)
    assert second.group.rows.tolists() == [[4, 5, 6]]
    first.group.answer(np.array([[1.0], [2.0]], np.float32))
    second.group.answer(np.array([[3.0]], np.float32))
    assert first.outputs().tolist() + second.outputs().tolist() == [[1.0], [2.0], [1.0], [3.0]]


def test_what_is_known_is_not_run_again() -> None:
    cache = AnswerCache(10_000)
    cache.keep(keys_of(TokenRows.of([[3], [4, 5, 6]])), np.array([[2.0], [3.0]], np.float32))
    asked = RequestRows(ROWS, "", 1, cache).ask(0, 4)
    assert asked.group.rows.tolists() == [[1, 2]]
    asked.group.answer(np.array([[1.0]], np.float32))
    assert asked.outputs().tolist() == [[1.0], [2.0], [1.0], [3.0]]


def test_rows_are_told_apart_by_where_they_end() -> None:
    assert len(set(keys_of(TokenRows.of([[1, 2, 3], [1, 2], [3], [1], [2, 3]])))) == 5


def test_off_is_off() -> None:
    cache = AnswerCache(0)
    for _ in range(2):
        asked = RequestRows(ROWS, "", 1, cache).ask(0, 4)
        asked.group.answer(np.zeros((4, 1), np.float32))
        assert asked.outputs().shape == (4, 1)
        assert len(asked.group.rows) == 4
    assert cache.num_bytes == 0


def test_it_stays_within_its_size_and_forgets_the_oldest() -> None:
    cache = AnswerCache(MAX_BYTES)
    for number in range(2000):
        cache.keep([number.to_bytes(4)], np.zeros((1, 3), np.float32))
        assert cache.num_bytes <= MAX_BYTES
    assert cache.look_up([(1999).to_bytes(4)]) == [bytes(12)]
    assert cache.look_up([(0).to_bytes(4)]) == [None]


@pytest.mark.parametrize("num_outputs", [3, 384, 1024])
def test_the_bytes_of_outputs_are_counted(num_outputs: int) -> None:
    cache = AnswerCache(4 * 2**20)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(400):
        rows = TokenRows.of([[number, index, *range(20)] for index in range(100)])
        cache.keep(keys_of(rows), np.zeros((100, num_outputs), np.float32))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.5 * cache.num_bytes < held < 1.1 * 4 * 2**20


def test_a_cached_answer_is_the_computed_one(caching: Engine, tweets: list[str]) -> None:
    first = caching.run(tweets[:60], 512)
    num_passes = caching.stats.snapshot().models.forward_passes
    again = caching.run(tweets[:60][::-1], 512)
    assert again.answers.tolist() == first.answers.tolist()[::-1]
    assert caching.stats.snapshot().models.forward_passes == num_passes
    assert (again.usage.num_passes, again.queue_time_s) == (0, 0.0)


def test_what_the_model_does_not_see_makes_no_difference(caching: Engine) -> None:
    texts = ["@anna ok " + "fine " * 60 + "one", "@bert ok " + "fine " * 60 + "two"]
    before = caching.stats.snapshot().models
    outcome = caching.run(texts, 50)
    after = caching.stats.snapshot().models
    assert (after.cache_hits - before.cache_hits, after.cache_misses - before.cache_misses) == (1, 1)
    assert outcome.answers[0].tolist() == outcome.answers[1].tolist()
    assert len(caching.run(texts, 64)) == 2


def test_other_lengths_are_other_texts_to_the_model(caching: Engine) -> None:
    text = "it was good, " * 20
    assert caching.run([text], 50).num_tokens[0] == 50
    assert caching.run([text], 60).num_tokens[0] == 60


def test_chunks_find_what_earlier_chunks_ran(caching: Engine) -> None:
    texts = [f"chunked text {number % 4}" for number in range(12)]
    before = caching.stats.snapshot().models.cache_misses
    with caching.admitted(texts, 512) as admitted:
        answers = [chunk.answers.tolist() for chunk in admitted.in_chunks([4, 4, 4])]
    assert answers[0] == answers[1] == answers[2]
    assert caching.stats.snapshot().models.cache_misses == before + 4


class HeldPasses:
    """Passes of an engine that are held until they may run; how many rows each has."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_rows: list[int] = []
        self.is_running, self.may_run = threading.Event(), threading.Event()
        self._launch = engine.model.launch
        monkeypatch.setattr(engine.model, "launch", self._held)

    def _held(self, prepared: Any) -> Any:
        self.num_rows.append(prepared.num_rows)
        self.is_running.set()
        assert self.may_run.wait(60)
        return self._launch(prepared)


def test_nobody_waits_for_what_is_on_its_way_for_another(caching: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that also stands in a large request in flight is run by itself, with the small ones."""
    passes = HeldPasses(caching, monkeypatch)
    large = [f"{number} " + "large " * 400 for number in range(40)]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(caching.run, large, 512)
        assert passes.is_running.wait(60)
        single = pool.submit(caching.run, large[-1:], 512)
        while caching.num_queued_texts < 40 - passes.num_rows[0] + 1:
            assert not first.done()
        passes.may_run.set()
        answer = single.result(60)
        assert not first.done()
        assert first.result(60).answers[-1].tolist() == pytest.approx(answer.answers[0].tolist(), abs=1e-5)


def test_who_asks_for_a_text_of_one_who_leaves_gets_an_answer(caching: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, caller = HeldPasses(caching, monkeypatch), Caller()
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(caching.run, ["keeps the model busy"], 512)
        assert passes.is_running.wait(60)
        leaving = pool.submit(caching.run, ["asked by one who leaves"], 512, caller)
        staying = pool.submit(caching.run, ["asked by one who leaves"], 512)
        while caching.num_queued_texts < 2:
            assert not busy.done()
        caller.leave()
        with pytest.raises(CancelledError):
            leaving.result(60)
        passes.may_run.set()
        assert len(busy.result(60)) == len(staying.result(60)) == 1


def test_a_failed_pass_is_not_remembered(caching: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(prepared: Any) -> Any:
        raise RuntimeError("once")

    with monkeypatch.context() as patched:
        patched.setattr(caching.model, "launch", failing)
        with pytest.raises(ForwardPassError):
            caching.run(["fails the first time"], 512)
    assert len(caching.run(["fails the first time"], 512)) == 1
