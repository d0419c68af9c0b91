"""What becomes of a request that the queue has no room for."""

from __future__ import annotations

import threading
import time

import pytest

from batch_inference.errors import QueueFullError
from batch_inference.queue_limit import QueueLimit

MAX_TOKENS = 6400
"""5,600 of them for large requests."""


def test_without_patience_it_is_refused_at_once() -> None:
    limit = QueueLimit(MAX_TOKENS, lambda tokens: tokens / 1000)
    with limit.slot(4000):
        with pytest.raises(QueueFullError, match="try again in 3 s"), limit.slot(4000):
            pass
        with limit.slot(1600):
            assert limit.num_tokens == 5600
    assert limit.num_tokens == 0


def test_with_patience_no_room_is_no_reason_to_refuse_before_any_work() -> None:
    limit = QueueLimit(MAX_TOKENS, lambda _: 1.0, patience_s=60.0)
    with limit.slot(5600):
        limit.check_room(5600)


def test_with_patience_it_gets_its_turn() -> None:
    limit = QueueLimit(MAX_TOKENS, lambda _: 1.0, patience_s=60.0)
    admitted: list[int] = []

    def request(num_tokens: int) -> None:
        with limit.slot(num_tokens):
            admitted.append(limit.num_tokens)

    with limit.slot(5600):
        waiting = [threading.Thread(target=request, args=(num_tokens,)) for num_tokens in (3000, 50_000)]
        for thread in waiting:
            thread.start()
        while len(limit._room._waiters) < 2:  # type: ignore[attr-defined]
            time.sleep(0.01)
        assert admitted == []
    for thread in waiting:
        thread.join()
    # The one that is larger than the queue counts as all that large requests may hold, and is admitted alone.
    assert sorted(admitted) == [3000, 5600]
    assert limit.num_tokens == 0


def test_patience_has_an_end() -> None:
    limit = QueueLimit(MAX_TOKENS, lambda _: 1.0, patience_s=0.05)
    with limit.slot(5600), pytest.raises(QueueFullError), limit.slot(1000):
        pass


def test_what_holds_room_does_not_wait_for_more() -> None:
    limit = QueueLimit(MAX_TOKENS, lambda _: 1.0, patience_s=600.0)
    with limit.slot(3000), limit.slot(2000) as slot:
        with pytest.raises(QueueFullError):
            slot.resize(4000)
        assert limit.num_tokens == 5000
