"""How far a run is: a bar on a terminal and in a notebook, and now and then a line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import rich.progress
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn

from batch_client.outcomes import Failure, Outcome
from batch_client.screen import Screen

_SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True)
class Tick:
    """Where a run is: rows done and failed so far, and requests that may be in flight."""

    num_rows: int
    num_failed: int
    concurrency: int


Show: TypeAlias = Callable[[Tick], None]
"""What is called with each tick."""


Progress: TypeAlias = bool | Show
"""Whether a bar is shown, or what is called instead."""


@contextmanager
def progress_of(texts: object, progress: Progress) -> Iterator[Show]:
    """What shows how far the work on `texts` is: what the caller gave, or a bar on standard error, or nothing."""
    if callable(progress):
        yield progress
    elif progress:
        with progress_on(Screen(), len(texts) if isinstance(texts, Sized) else None) as show:
            yield show
    else:
        yield lambda tick: None


class Gathered:
    """All outcomes for some texts, in order, and how far they are shown meanwhile."""

    def __init__(self, texts: object, progress: Progress) -> None:
        self.outcomes: list[Outcome] = []
        self._num_failed = 0
        self._context = progress_of(texts, progress)

    def __enter__(self) -> Self:
        self._show = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def add(self, outcomes: list[Outcome], concurrency: int) -> None:
        """Add the outcomes of the next texts."""
        self.outcomes += outcomes
        self._num_failed += sum(isinstance(outcome, Failure) for outcome in outcomes)
        self._show(Tick(len(self.outcomes), self._num_failed, concurrency))


class _Speed(ProgressColumn):
    def render(self, task: Task) -> str:
        return f"{task.speed:,.0f} rows/s" if task.speed else "- rows/s"


@contextmanager
def progress_on(screen: Screen, num_rows: int | None, num_done: int = 0) -> Iterator[Show]:
    """What shows ticks on `screen`: a bar where that is a terminal or a notebook, else a line every 15 seconds.

    Args:
        screen: where it is shown.
        num_rows: all there are; None if that is not known.
        num_done: of which so many were done before.
    """
    if not (screen.console.is_terminal or screen.console.is_jupyter):
        yield _Lines(screen, num_rows, num_done).show
        return
    with rich.progress.Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tick].num_failed} errors, {task.fields[tick].concurrency} in flight"),
        console=screen.console,
    ) as progress:
        task = progress.add_task("", total=num_rows, completed=num_done, tick=Tick(num_done, 0, 0))
        yield lambda tick: progress.update(task, completed=tick.num_rows, tick=tick)


class _Lines:
    def __init__(self, screen: Screen, num_rows: int | None, num_done: int) -> None:
        self._screen = screen
        self._num_rows, self._num_done = num_rows, num_done
        self._started = time.monotonic()
        self._next_line = self._started + _SECONDS_BETWEEN_LINES

    def show(self, tick: Tick) -> None:
        now = time.monotonic()
        if now < self._next_line:
            return
        self._next_line = now + _SECONDS_BETWEEN_LINES
        rate = (tick.num_rows - self._num_done) / (now - self._started or 1e-9)
        of, left = "", ""
        if self._num_rows is not None:
            of = f" of {self._num_rows:,}"
            left = f", {_clock((self._num_rows - tick.num_rows) / rate)} left" if rate else ""
        errors = f"{tick.num_failed:,} errors, {tick.concurrency} in flight"
        self._screen.say(f"{tick.num_rows:,}{of} rows, {rate:,.0f} rows/s, {errors}{left}")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
