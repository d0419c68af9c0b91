"""What a person sees on stderr while a file is scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn

from batch_client.screen import Screen


@dataclass(frozen=True)
class Tick:
    """Where a run is: rows done and failed so far, and requests that may be in flight."""

    num_rows: int
    num_failed: int
    concurrency: int


class Bar:
    """A progress bar, moved by ticks."""

    def __init__(self, progress: Progress, num_rows: int, num_done: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=num_rows, completed=num_done, tick=Tick(num_done, 0, 0))

    def show(self, tick: Tick) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=tick.num_rows, tick=tick)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> str:
        return f"{task.speed:,.0f} rows/s" if task.speed else "- rows/s"


@contextmanager
def progress_bar(screen: Screen, num_rows: int, num_done: int) -> Iterator[Bar]:
    """A bar on `screen`, which shows nothing unless it is a terminal."""
    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tick].num_failed} errors, {task.fields[tick].concurrency} in flight"),
        console=screen.console,
        disable=not screen.console.is_terminal,
    )
    with progress:
        yield Bar(progress, num_rows, num_done)
