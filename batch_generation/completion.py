"""What becomes of one prompt, and of the prompts of one request together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to one prompt.

    Attributes:
        order: index of the prompt in its request.
        text: without special tokens.
        finish_reason: `stop` if the model ended it, `length` if it was cut off.
        num_prompt_tokens: those of the chat template included.
        num_completion_tokens: all that were generated, the one that ended it included.
        started_at: when the first step that held the prompt began, by `time.perf_counter`.
    """

    order: int
    text: str
    finish_reason: Literal["stop", "length"]
    num_prompt_tokens: int
    num_completion_tokens: int
    started_at: float


class Completions(Iterator[Completion]):
    """The answers to the prompts of one request, as they finish. Results come from one thread, and any may cancel.

    Attributes:
        num_awaited: answers that have not been taken yet.
        first_started_at: the earliest `started_at` of those that have.
    """

    def __init__(self, num_prompts: int) -> None:
        self.num_awaited = num_prompts
        self.first_started_at: float | None = None
        self._arrived: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._on_cancel: Callable[[], object] = lambda: None

    def __next__(self) -> Completion:
        """Wait for the next answer.

        Raises:
            ForwardPassError, DeviceLostError: there will be no more.
            CancelledError: the request was cancelled.
            StopIteration: all answers have been given.
        """
        if self.num_awaited == 0:
            raise StopIteration
        arrived = self._arrived.get()
        if isinstance(arrived, BaseException):
            self.num_awaited = 0
            raise arrived
        self.num_awaited -= 1
        self.first_started_at = min(arrived.started_at, self.first_started_at or arrived.started_at)
        return arrived

    def put(self, completion: Completion) -> None:
        """Deliver an answer."""
        self._arrived.put(completion)

    def fail(self, error: BaseException) -> None:
        """Let `next` raise an error, once what arrived before has been taken."""
        self._arrived.put(error)

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """What `cancel` calls to free the request's places."""
        self._on_cancel = callback

    def cancel(self) -> None:
        """Stop what has not finished. Harmless when all has."""
        if not self._is_over.is_set():
            self._is_over.set()
            self._on_cancel()
            self.fail(CancelledError())
