"""What is asked here of a chute's engine, whatever it computes."""

from __future__ import annotations

from typing import Protocol


class Counters(Protocol):
    """The part of an engine's statistics that is written from here."""

    def count_error(self, kind: str) -> None:
        """Count a request that got an error instead of results."""
        ...


class ServedEngine(Protocol):
    """An engine behind HTTP. A chute has it as its attribute `engine`, from its start-up hook on."""

    @property
    def stats(self) -> Counters:
        """Counters of what happens to requests."""
        ...

    def check_room(self, num_texts: int, num_characters: int) -> None:
        """Say before any work for a request of so many texts and characters whether it would be in vain.

        Raises:
            QueueFullError: it is a large one, and there is no room for it.
        """
        ...

    def stop_admitting(self) -> None:
        """Refuse new requests from now on; those admitted are answered."""
        ...


def count_error(chute: object, kind: str) -> None:
    """Count an error in the statistics of a chute's engine, if it has one by now."""
    engine: ServedEngine | None = getattr(chute, "engine", None)
    if engine:
        engine.stats.count_error(kind)
