"""When the server takes an instance out of service: its `consecutive_failures` and `disable_instance`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES_IN_A_ROW = 7
DISABLED_FOR_S = 90.0
"""Times the number of times it has been disabled."""

TIMES_DISABLED = 5
"""Once more within `TIMES_WITHIN_S`, and the instance is deleted."""

TIMES_WITHIN_S = 3600.0

OUTAGE = 50
"""Instances of the whole platform that are to be deleted at the same time: more is an outage, and none is deleted."""


@dataclass
class InstanceHealth:
    """What the server has against an instance. A 400 or a 429 says nothing about it, either way.

    Attributes:
        num_others_failing: instances of others that are about to be deleted as well.
    """

    clock: Callable[[], float] = time.monotonic
    num_others_failing: int = 0
    failures_in_a_row: int = 0
    is_deleted: bool = False
    _disabled_at: list[float] = field(default_factory=list)
    _disabled_until: float = 0.0

    @property
    def is_available(self) -> bool:
        """Whether the server sends it requests."""
        return not self.is_deleted and self.clock() >= self._disabled_until

    def succeeded(self) -> None:
        """A 200 that could be read to its end: everything before it is forgotten."""
        self.failures_in_a_row = 0
        self._disabled_at.clear()
        self._disabled_until = 0.0

    def failed(self, status: int | None = None) -> None:
        """Anything but 200, 400 and 429, or an answer that cannot be read."""
        if status == 426:
            # It wants to agree on another key: never heard of again.
            self.is_deleted = True
            return
        self.failures_in_a_row += 1
        now = self.clock()
        # Requests that were on their way when it was disabled do not disable it again.
        if self.failures_in_a_row < FAILURES_IN_A_ROW or now < self._disabled_until:
            return
        self._disabled_at = [before for before in self._disabled_at if now - before < TIMES_WITHIN_S] + [now]
        if len(self._disabled_at) <= TIMES_DISABLED:
            self._disabled_until = now + DISABLED_FOR_S * len(self._disabled_at)
        elif self.num_others_failing + 1 < OUTAGE:
            self.is_deleted = True
        else:
            self._disabled_until = now + DISABLED_FOR_S * 3
