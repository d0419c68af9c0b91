"""What survives a crash: the outcomes so far, and how far they are known to be on the disk.

A run that writes `scored.csv` works in the folder `scored.csv.partial`:

    job.json          what is being done; resuming something else is refused
    outcomes.jsonl    one line per row, in order
    journal.jsonl     checkpoints: that many rows and bytes of outcomes.jsonl are on the disk
    batch-client.lock  held while a run works here
    services.json     which services gave the answers
    finished.jsonl    of a run of several files, which works beside their folder: which are finished
    input           a copy of an input that can be read only once, if that is scored
    result            the result, until it is complete

Whatever outcomes.jsonl holds beyond the last checkpoint is cut off on resuming. The result is encoded from the outcomes
only at the end, so that it does not depend on where a run was interrupted, in any format.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from batch_client.durable import LOCK, open_own, sync, sync_folder, write_atomically
from batch_client.errors import OutputError
from batch_client.outcomes import Analysis, Failure, Outcome, Prediction

_JOB, _OUTCOMES, _JOURNAL = "job.json", "outcomes.jsonl", "journal.jsonl"
INPUT, RESULT, SERVICES, FINISHED = "input", "result", "services.json", "finished.jsonl"
OWN_FILES = frozenset({_JOB, _OUTCOMES, _JOURNAL, INPUT, RESULT, SERVICES, FINISHED, LOCK})
_SECONDS_BETWEEN_CHECKPOINTS = 1.0
_FIELDS_WITH_ANALYSES = len(fields(Prediction))


@dataclass(frozen=True)
class Checkpoint:
    """So many rows, of which so many failed, and bytes of outcomes were on the disk at `time_s` (Unix time).

    `is_start` marks where a run began or resumed: the time before it is not working time. `is_finished` says that the
    result was complete.
    """

    num_rows: int
    num_failed: int
    num_bytes: int
    time_s: float
    concurrency: int = 0
    is_start: bool = False
    is_finished: bool = False


@dataclass(frozen=True)
class Mark:
    """How far outcomes were appended at some moment."""

    num_rows: int
    num_failed: int
    num_bytes: int


class Journal:
    """The outcomes of one job, in the folder `folder`. Use `open_journal`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outcomes_path = folder / _OUTCOMES
        self._journal_path = folder / _JOURNAL
        last = self._truncate_to_last_checkpoint()
        self.num_rows, self.num_failed = last.num_rows, last.num_failed
        self.is_finished = last.is_finished
        self._outcomes = open_own(self._outcomes_path, "ab")
        self._journal = open_own(self._journal_path, "ab")
        self._concurrency = 0
        self._next_checkpoint = time.monotonic() + _SECONDS_BETWEEN_CHECKPOINTS
        if not self.is_finished:
            self.checkpoint(is_start=True)

    def append(self, outcomes: Iterable[Outcome], concurrency: int) -> None:
        """Add the outcomes of the next rows. They are safe after the next checkpoint."""
        for outcome in outcomes:
            self._outcomes.write(_encode(outcome))
            self.num_rows += 1
            self.num_failed += isinstance(outcome, Failure)
        self._concurrency = concurrency

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether a second has passed since the last checkpoint."""
        return time.monotonic() >= self._next_checkpoint

    def mark(self) -> Mark:
        """How far outcomes are appended now."""
        return Mark(self.num_rows, self.num_failed, self._outcomes.tell())

    def checkpoint(self, mark: Mark | None = None, is_start: bool = False, is_finished: bool = False) -> None:
        """Make safe what was appended, or what was until `mark` was taken."""
        mark = mark or self.mark()
        sync(self._outcomes)
        point = Checkpoint(
            mark.num_rows, mark.num_failed, mark.num_bytes, time.time(), self._concurrency, is_start, is_finished
        )
        self._journal.write(json.dumps(asdict(point)).encode() + b"\n")
        sync(self._journal)
        self._next_checkpoint = time.monotonic() + _SECONDS_BETWEEN_CHECKPOINTS

    def outcomes(self) -> Iterator[Outcome]:
        """All outcomes up to the last checkpoint, in the order of the rows."""
        with open_own(self._outcomes_path, "rb") as file:
            yield from map(_decode, file)

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, oldest first."""
        return _read_checkpoints(self._journal_path)

    def close(self) -> None:
        """Close the files. What was not checkpointed may be lost."""
        self._outcomes.close()
        self._journal.close()

    def _truncate_to_last_checkpoint(self) -> Checkpoint:
        """Cut off what is not known to be whole: a torn line of the journal, outcomes beyond the last checkpoint."""
        for path in (self._outcomes_path, self._journal_path):
            open_own(path, "ab").close()
        sync_folder(self.folder)
        points = self.checkpoints()
        with open_own(self._journal_path, "r+b") as journal:
            journal.truncate(sum(len(line) for line in journal if line.endswith(b"\n")))
        last = points[-1] if points else Checkpoint(0, 0, 0, 0.0)
        with open_own(self._outcomes_path, "r+b") as outcomes:
            if os.fstat(outcomes.fileno()).st_size < last.num_bytes:
                raise _damaged(self.folder)
            outcomes.truncate(last.num_bytes)
        return last


@contextmanager
def open_journal(folder: Path, job: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a job that is described by `job` (JSON), new or as it was left. The folder must be locked.

    Raises:
        OutputError: the folder holds another job.
    """
    _begin(folder, job)
    journal = Journal(folder)
    try:
        yield journal
    finally:
        journal.close()


def num_rows_done(folder: Path) -> int:
    """Rows that an unfinished run left in `folder`; 0 if there is none."""
    points = _read_checkpoints(folder / _JOURNAL)
    return points[-1].num_rows if points else 0


def is_finished(folder: Path) -> bool:
    """Whether a run in `folder` was killed when only the tidying up was left."""
    points = _read_checkpoints(folder / _JOURNAL)
    return bool(points) and points[-1].is_finished


def discard(folder: Path) -> None:
    """Forget an unfinished run, if there is one in the folder, which must be locked."""
    for name in (_JOURNAL, _OUTCOMES, _JOB, SERVICES):
        (folder / name).unlink(missing_ok=True)


def check_is_ours(folder: Path) -> None:
    """Raise OutputError if `folder` is there but not one of a run of ours: it is never to be touched then.

    Another user's folder or file is not ours, and neither is a link: what a run writes would go where it points to.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is in the way, where the run would work; move it or choose another --out")
    if not folder.is_dir():
        return
    for path in (folder, *folder.iterdir()):
        if why := _why_not_ours(path):
            raise OutputError(f"{path} {why}; move {folder} away or choose another --out")
    names = {entry.name for entry in folder.iterdir() if not _is_leftover(entry)}
    if names and (LOCK not in names or not names <= OWN_FILES):
        raise OutputError(
            f"{folder} holds files that are not of a run of batch-client; move the folder or choose another --out"
        )


def _why_not_ours(path: Path) -> str | None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
        return "is a link, which no run makes there"
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "belongs to another user"
    return None


def remove(folder: Path) -> None:
    """Remove the folder of a run: the files that a run makes, and the folder itself if nothing else is in it."""
    for entry in list(folder.iterdir()):
        if entry.name in OWN_FILES or _is_leftover(entry):
            entry.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _is_leftover(path: Path) -> bool:
    return path.name.startswith((f".{_JOB}.", f".{SERVICES}.")) and path.name.endswith(".partial")


def _read_checkpoints(path: Path) -> list[Checkpoint]:
    if not path.exists():
        return []
    try:
        with open_own(path, "rb") as file:
            return [Checkpoint(**json.loads(line)) for line in file if line.endswith(b"\n")]
    except (ValueError, TypeError):
        raise _damaged(path.parent) from None


def _damaged(folder: Path) -> OutputError:
    return OutputError(f"the unfinished run in {folder} is damaged; pass --start-over to discard it")


def _begin(folder: Path, job: Mapping[str, Any]) -> None:
    path = folder / _JOB
    if not path.exists():
        write_atomically(path, json.dumps(job, indent=1).encode())
        return
    with open_own(path, "rb") as file:
        check_same_job(folder, json.load(file), job)


def check_same_job(folder: Path, begun: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """Raise OutputError if what was begun in `folder` is another job."""
    changed = [name for name in job if job[name] != begun.get(name)]
    if changed:
        raise OutputError(
            f"{folder} holds an unfinished run with another {' and '.join(changed)}; "
            "repeat that run's command to resume it, or pass --start-over to discard it"
        )


def _encode(outcome: Outcome) -> bytes:
    if isinstance(outcome, Failure):
        stored: list[Any] = [outcome.kind, outcome.reason]
    else:
        stored = [
            outcome.sentiment, outcome.confidence, outcome.token_count, outcome.truncated, outcome.scores,
            outcome.tokens_dropped, outcome.windows,
        ]  # fmt: skip
        if outcome.analyses:
            stored.append({name: astuple(analysis) for name, analysis in outcome.analyses.items()})
    return json.dumps(stored).encode() + b"\n"


def _decode(line: bytes) -> Outcome:
    found: list[Any] = json.loads(line.decode())  # of bytes, it would find out their encoding each time
    if len(found) == 2:
        return Failure(*found)
    if len(found) == _FIELDS_WITH_ANALYSES:
        found[-1] = _analyses(found[-1])
    return Prediction(*found)


def _analyses(stored: Mapping[str, list[Any]]) -> dict[str, Analysis]:
    found = {name: Analysis(*fields) for name, fields in stored.items()}
    return {
        name: analysis if analysis.labels is None else replace(analysis, labels=tuple(analysis.labels))
        for name, analysis in found.items()
    }
