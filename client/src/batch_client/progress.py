"""How far a run is: a bar on a terminal, a line below a notebook's cell, and now and then a line in a log."""

from __future__ import annotations

import importlib
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
_SECONDS_BETWEEN_UPDATES = 0.2


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
    """What shows ticks on `screen`: a bar on a terminal, a line that changes in a notebook, else lines.

    Args:
        screen: where it is shown.
        num_rows: all there are; None if that is not known.
        num_done: of which so many were done before.
    """
    words = _Words(num_rows, num_done)
    if screen.console.is_jupyter:
        with _below_the_cell(words) as show:
            yield show
        return
    if not screen.console.is_terminal:
        yield _Seldom(_SECONDS_BETWEEN_LINES, lambda tick: screen.say(words.of(tick))).show
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


@contextmanager
def _below_the_cell(words: _Words) -> Iterator[Show]:
    """A line below a notebook's cell that changes: what rich shows there needs a package that few notebooks have."""
    handle = importlib.import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True)
    last: list[Tick] = []

    def update(tick: Tick) -> None:
        handle.update({"text/plain": words.of(tick)}, raw=True)

    seldom = _Seldom(_SECONDS_BETWEEN_UPDATES, update)

    def show(tick: Tick) -> None:
        last[:] = [tick]
        seldom.show(tick)

    yield show
    if last:
        update(last[0])


class _Seldom:
    """Passes a tick on only every so many seconds."""

    def __init__(self, seconds: float, show: Show) -> None:
        self._seconds, self._show = seconds, show
        self._next = time.monotonic() + seconds

    def show(self, tick: Tick) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._show(tick)


class _Words:
    """Ticks in words."""

    def __init__(self, num_rows: int | None, num_done: int) -> None:
        self._num_rows, self._num_done = num_rows, num_done
        self._started = time.monotonic()

    def of(self, tick: Tick) -> str:
        rate = (tick.num_rows - self._num_done) / (time.monotonic() - self._started or 1e-9)
        of, left = "", ""
        if self._num_rows is not None:
            of = f" of {self._num_rows:,}"
            left = f", {_clock((self._num_rows - tick.num_rows) / rate)} left" if rate else ""
        errors = f"{tick.num_failed:,} errors, {tick.concurrency} in flight"
        return f"{tick.num_rows:,}{of} rows, {rate:,.0f} rows/s, {errors}{left}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
