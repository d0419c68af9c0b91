"""Who tokenizes next, and what a turn holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from batch_inference.caller import Caller
from batch_inference.turns import MAX_CHARACTERS, Turns, estimated_tokens, in_turns


def test_small_requests_go_first_and_every_other_time_the_oldest() -> None:
    turns, order = Turns(1), []
    held = threading.Event()

    def work(size: int) -> None:
        with turns.turn(size):
            order.append(size)

    with ThreadPoolExecutor(8) as pool:
        with turns.turn(0):
            calls = []
            for number, size in enumerate((900, 800, 10, 20, 30), 1):
                calls.append(pool.submit(work, size))
                while turns.num_waiting < number:
                    held.wait(0.001)
        for call in calls:
            call.result(60)
    assert order == [900, 10, 800, 20, 30]


def test_no_more_work_at_once_than_there_are_turns() -> None:
    turns, at_work, most = Turns(2), [0], [0]
    lock = threading.Lock()
    pause = threading.Event()

    def work(_: Sequence[str]) -> None:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        pause.wait(0.001)
        with lock:
            at_work[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(in_turns, turns, ["x" * 20_000] * 10, work, Caller()) for _ in range(8)]
        for call in calls:
            call.result(60)
    assert most[0] == 2


def test_a_turn_is_given_back_when_the_work_fails() -> None:
    turns = Turns(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            in_turns(turns, ["a"], lambda texts: 1 // 0, Caller())
    assert in_turns(turns, ["a"], len, Caller()) == [1]


@pytest.mark.parametrize("lengths", [[], [0], [10], [MAX_CHARACTERS + 1] * 3, [9_000] * 100, [1, MAX_CHARACTERS, 1]])
def test_all_texts_come_once_and_in_order(lengths: list[int]) -> None:
    texts = [f"{number}".ljust(length) for number, length in enumerate(lengths)]
    parts = in_turns(Turns(1), texts, list, Caller())
    assert [text for part in parts for text in part] == texts
    assert all(sum(map(len, part)) <= MAX_CHARACTERS or len(part) == 1 for part in parts)


def test_an_estimate_is_no_more_than_what_may_be_seen() -> None:
    assert estimated_tokens(["word " * 100] * 4, 50) == 200
    assert estimated_tokens(["word " * 16] * 4, None) == 44
