"""Tokenization is work: as many texts at once as there are cores, in turns that are short."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from batch_inference.caller import Caller

ResultT = TypeVar("ResultT")

MAX_CHARACTERS: Final = 32_768
"""Of a turn, unless a single text has more. A hundred tweets have a third of that; a turn takes some 10 ms."""

CHARACTERS_PER_TOKEN: Final = 8
"""More than nearly all texts have; English has about four."""


class Turns:
    """Lets a number of threads work at once. Of those that wait, the one with the smallest request is next, and every
    other time the one that has waited longest: so small requests are quick, and none waits without end.
    """

    def __init__(self, num_at_once: int) -> None:
        self._num_free = num_at_once
        self._waiting: list[_Waiter] = []
        self._is_turn_of_oldest = False
        self._lock = threading.Lock()

    @property
    def num_waiting(self) -> int:
        """Threads that wait for a turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Work within the block, once it is this thread's turn; `size` is that of its request."""
        self._take(size)
        try:
            yield
        finally:
            self._give_back()

    def _take(self, size: int) -> None:
        with self._lock:
            if self._num_free:
                self._num_free -= 1
                return
            waiter = _Waiter(size)
            self._waiting.append(waiter)
        # The thread that gives its turn back hands it over, so that no other can take it in between.
        waiter.may_work.wait()

    def _give_back(self) -> None:
        with self._lock:
            if not self._waiting:
                self._num_free += 1
                return
            self._is_turn_of_oldest = not self._is_turn_of_oldest
            smallest = min(self._waiting, key=lambda waiter: waiter.size)
            following = self._waiting[0] if self._is_turn_of_oldest else smallest
            self._waiting.remove(following)
        following.may_work.set()


class _Waiter:
    def __init__(self, size: int) -> None:
        self.size = size
        self.may_work = threading.Event()


def in_turns(
    turns: Turns, texts: Sequence[str], work: Callable[[Sequence[str]], ResultT], caller: Caller
) -> list[ResultT]:
    """Do some work on texts, a turn for every `MAX_CHARACTERS` of them.

    Returns:
        What `work` gave for each run of texts, in their order; at least one.

    Raises:
        CancelledError: the caller has left.
    """
    num_characters = sum(map(len, texts))
    results = []
    for part in [texts] if num_characters <= MAX_CHARACTERS else _parts(texts):
        with turns.turn(num_characters):
            caller.check()
            results.append(work(part))
    return results


def estimated_tokens(texts: Sequence[str], max_length: int | None) -> int:
    """How many tokens texts are likely to have at least, known before they are tokenized.

    No bound: a text of longer words than the tokenizer knows may have fewer.

    Args:
        texts: the texts.
        max_length: at most so many are counted of a text on average; None if nothing is cut off.
    """
    return likely_tokens(len(texts), sum(map(len, texts)), max_length)


def likely_tokens(num_texts: int, num_characters: int, max_length: int | None) -> int:
    """As `estimated_tokens`, of so many texts with so many characters in all."""
    num_tokens = num_texts + num_characters // CHARACTERS_PER_TOKEN
    return num_tokens if max_length is None else min(num_tokens, num_texts * max_length)


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = num_characters = 0
    for index, text in enumerate(texts):
        if num_characters + len(text) > MAX_CHARACTERS and index > start:
            yield texts[start:index]
            start, num_characters = index, 0
        num_characters += len(text)
    yield texts[start:]
