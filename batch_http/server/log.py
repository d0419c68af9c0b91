"""A log that never blocks: a thread that writes a line goes on at once, even if the line is dropped.

With a pipe as standard output that nobody reads, a full disk or a terminal that is held, the event loop would stand
still in the middle of a log line, and every request with it.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import Any, TextIO

MAX_WAITING_CHARACTERS = 2**20
"""Of lines that are not written yet; further ones are dropped, and counted."""

DRAIN_S = 1.0


class NonBlockingStream:
    """A text stream in front of another one, which a thread of its own writes to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._num_waiting = 0
        self._num_dropped = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name=f"log-{stream.name}", daemon=True).start()
        atexit.register(self.drain)

    def write(self, text: str) -> int:
        """Have a text written soon, or dropped if too many wait."""
        with self._changed:
            if self._num_waiting > MAX_WAITING_CHARACTERS:
                self._num_dropped += 1
            else:
                self._waiting.append(text)
                self._num_waiting += len(text)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing: handlers of logs call it after every line, and the line is on its way."""

    def drain(self) -> None:
        """Wait a bounded time until all is written: for the end of the process."""
        with self._changed:
            self._changed.wait_for(lambda: not self._num_waiting, DRAIN_S)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                text = "".join(self._waiting)
                self._waiting.clear()
                if self._num_dropped:
                    text += f"{self._num_dropped} pieces of this log were dropped: nobody took them.\n"
                    self._num_dropped = 0
            # A full disk or a closed pipe: there is nowhere to say so.
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
            with self._changed:
                self._num_waiting = sum(map(len, self._waiting))
                self._changed.notify_all()


def keep_log_from_blocking() -> None:
    """Replace standard output and error by streams that never block, also for what logs to them already."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    handlers = [handler for each in loggers for handler in each.handlers if isinstance(handler, logging.StreamHandler)]
    for name in ("stdout", "stderr"):
        blocking = getattr(sys, name)
        setattr(sys, name, NonBlockingStream(blocking))
        for handler in handlers:
            if handler.stream is blocking:
                handler.setStream(getattr(sys, name))


def drain_log() -> None:
    """Wait a moment for what has been logged to be written: before `os._exit`, which writes nothing more."""
    for stream in (sys.stdout, sys.stderr):
        write_out = stream.drain if isinstance(stream, NonBlockingStream) else stream.flush
        write_out()
