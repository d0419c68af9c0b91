"""Which stream of an HTTP/2 connection sends next."""

import pytest
from priority.priority import DeadlockError, DuplicateStreamError, MissingStreamError

from batch_http.server.http2_turns import StreamTurns


def test_streams_that_have_something_take_turns() -> None:
    turns = StreamTurns()
    for stream_id in (1, 3, 5):
        turns.insert_stream(stream_id)
    turns.block(3)
    assert [next(turns) for _ in range(4)] == [1, 5, 1, 5]
    turns.unblock(3)
    turns.remove_stream(1)
    assert [next(turns) for _ in range(3)] == [5, 3, 5]


def test_a_stream_that_is_unblocked_again_and_again_gets_no_more_turns_than_others() -> None:
    turns = StreamTurns()
    turns.insert_stream(1)
    turns.insert_stream(3)
    taken = []
    for _ in range(4):
        turns.unblock(1)
        taken.append(next(turns))
    assert taken == [1, 3, 1, 3]


def test_when_none_has_anything_that_is_said_as_hypercorn_expects_it() -> None:
    turns = StreamTurns()
    with pytest.raises(DeadlockError):
        next(turns)
    turns.insert_stream(1)
    turns.block(1)
    with pytest.raises(DeadlockError):
        next(turns)
    with pytest.raises(DuplicateStreamError):
        turns.insert_stream(1)
    for ask in (turns.block, turns.unblock, turns.remove_stream):
        with pytest.raises(MissingStreamError):
            ask(7)


def test_a_client_s_priorities_change_nothing() -> None:
    turns = StreamTurns()
    turns.reprioritize(stream_id=1, depends_on=None, weight=256, exclusive=True)
    turns.insert_stream(1)
    turns.insert_stream(3)
    turns.reprioritize(stream_id=3, depends_on=1, weight=1, exclusive=False)
    assert [next(turns) for _ in range(4)] == [1, 3, 1, 3]
