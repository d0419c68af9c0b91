"""Asks an instance whether it is alive, as the platform does, but 75 times as often."""

from __future__ import annotations

import http.client
import itertools
import threading
import time

INTERVAL_S = 0.2
"""The platform asks every 15 s."""

TIMEOUT_S = 1.0
"""And gives up after a second: 60 times in a row, and the instance has failed."""


class AliveProbe(threading.Thread):
    """Gets `/_alive` from the moment it is started. Use as a context manager.

    The SDK serves it from a thread of the instance's process, from before the chute is loaded: what delays it is
    a thread that holds the interpreter's lock for long.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._is_over = threading.Event()
        self._answered_at: list[float] = []
        self._num_late = 0

    def __enter__(self) -> AliveProbe:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        while not self._is_over.wait(INTERVAL_S):
            if self._is_answered():
                self._answered_at.append(time.monotonic())
            elif self._answered_at:
                self._num_late += 1

    @property
    def num_late(self) -> int:
        """How often there was no answer within `TIMEOUT_S`, since the first one."""
        return self._num_late

    def longest_gap_s(self, since: float = 0.0) -> float:
        """Longest time between two answers, of those that came after `since` (of `time.monotonic`)."""
        times = [moment for moment in self._answered_at if moment >= since]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def _is_answered(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/_alive")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
