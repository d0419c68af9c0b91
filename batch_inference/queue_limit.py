"""Backpressure: how many tokens may have been admitted and not answered yet."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from batch_inference.errors import EngineStoppedError, QueueFullError

SHARE_OF_LARGE: Final = 7 / 8
"""What large requests may hold of the queue together. One that has more counts as so many, so that it is admitted when
no other is: then it holds the whole share, and small requests are answered beside it."""

SMALL_SHARE: Final = 1 / 64
"""Of the queue: a request that has no more is a small one. By default 8,192 tokens, some 300 tweets."""

MAX_RETRY_AFTER_S: Final = 60


@dataclass
class QueueSlot:
    """What a request holds of the queue, until the block ends."""

    limit: QueueLimit
    num_tokens: int = 0
    is_large: bool = False

    def __enter__(self) -> QueueSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.resize(0)

    def resize(self, num_tokens: int) -> None:
        """Hold room for so many tokens from now on.

        Raises:
            QueueFullError: there is none; the slot stays as it was.
        """
        self.limit.resize(self, num_tokens)


class Projection:
    """Corrects what a request holds of the queue while it is tokenized, turn by turn: the texts so far stand for all.
    So one that was estimated too low is refused after its first turn, and not after its last.

    Args:
        slot: the request's.
        texts: all of its texts.
    """

    def __init__(self, slot: QueueSlot, texts: Sequence[str]) -> None:
        self._slot = slot
        self._num_characters = sum(map(len, texts))
        self._num_characters_seen = 0
        self._num_tokens_seen = 0

    def add(self, texts: Sequence[str], num_tokens: int) -> None:
        """Further texts have so many tokens.

        Raises:
            QueueFullError: there is no room for what all texts are likely to have.
        """
        self._num_characters_seen += sum(map(len, texts))
        self._num_tokens_seen += num_tokens
        self._slot.resize(self._num_tokens_seen * self._num_characters // max(1, self._num_characters_seen))


class QueueLimit:
    """Admits requests by their tokens, from any thread, until it is closed.

    Args:
        max_tokens: of all requests that are admitted at a time.
        seconds_for: how long so many tokens are likely to take.
        patience_s: how long a request waits in its own thread for room, before it is refused.
    """

    def __init__(self, max_tokens: int, seconds_for: Callable[[int], float], patience_s: float = 0.0) -> None:
        self._max_tokens = max_tokens
        self._max_large = max(1, int(max_tokens * SHARE_OF_LARGE))
        self._max_small = int(max_tokens * SMALL_SHARE)
        self._seconds_for = seconds_for
        self._patience_s = patience_s
        self._num_tokens = 0
        self._num_large_tokens = 0
        self._is_open = True
        self._room = threading.Condition()

    @property
    def is_open(self) -> bool:
        """Whether a request would be admitted if there was room."""
        return self._is_open

    @property
    def num_tokens(self) -> int:
        """Tokens that the requests which are admitted now count as."""
        return self._num_tokens

    def close(self) -> None:
        """Refuse all requests from now on; those admitted keep their slots."""
        self._is_open = False

    def check_open(self) -> None:
        """Say before any work for a request whether it would be in vain.

        Raises:
            EngineStoppedError: it is closed.
        """
        if not self._is_open:
            raise EngineStoppedError

    def check_room(self, num_tokens: int) -> None:
        """Say before any work for a large request whether it would be in vain. A small one, and one that may wait for
        room, is never refused here.

        Args:
            num_tokens: that it has at least.

        Raises:
            QueueFullError: there is no room.
        """
        if num_tokens <= self._max_small or self._patience_s:
            return
        with self._room:
            excess = self._excess(QueueSlot(self), min(num_tokens, self._max_large), is_large=True)
            if excess > 0:
                raise self._queue_full(num_tokens, self._num_tokens, excess)

    def slot(self, num_tokens: int) -> QueueSlot:
        """Hold a request's slot until it has been answered.

        Args:
            num_tokens: as far as they are known; `QueueSlot.resize` corrects them.

        Raises:
            QueueFullError: there is no room, and none has come within `patience_s`; nothing was admitted.
        """
        slot = QueueSlot(self)
        slot.resize(num_tokens)
        return slot

    def resize(self, slot: QueueSlot, num_tokens: int) -> None:
        """As `QueueSlot.resize`."""
        is_large = num_tokens > self._max_small
        counted = min(num_tokens, self._max_large) if is_large else num_tokens
        with self._room:
            # What holds room already does not wait for more: two such requests would wait for each other.
            patience_s = 0.0 if slot.num_tokens else self._patience_s
            if counted and not self._room.wait_for(lambda: self._excess(slot, counted, is_large) <= 0, patience_s):
                num_others = self._num_tokens - slot.num_tokens
                raise self._queue_full(num_tokens, num_others, self._excess(slot, counted, is_large))
            self._num_tokens += counted - slot.num_tokens
            self._num_large_tokens += counted * is_large - slot.num_tokens * slot.is_large
            slot.num_tokens, slot.is_large = counted, is_large
            if self._patience_s:
                self._room.notify_all()

    def _excess(self, slot: QueueSlot, counted: int, is_large: bool) -> int:
        """By how many tokens the queue would be too full if this slot counted as so many."""
        excess = self._num_tokens - slot.num_tokens + counted - self._max_tokens
        if is_large:
            other_large = self._num_large_tokens - slot.num_tokens * slot.is_large
            excess = max(excess, other_large + counted - self._max_large)
        return excess

    def _queue_full(self, num_tokens: int, num_taken: int, excess: int) -> QueueFullError:
        """The refusal of a request of so many tokens; room is likely once those in excess have been run."""
        retry_after_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(self._seconds_for(min(excess, num_taken)))))
        return QueueFullError(
            f"the queue is full: this request has some {num_tokens} tokens, {num_taken} of {self._max_tokens} are "
            f"taken; try again in {retry_after_s} s",
            retry_after_s,
        )
