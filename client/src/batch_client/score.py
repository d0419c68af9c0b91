"""Scoring a file: survey, ask, encode, publish. Each step can be killed at any moment and taken up again."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from batch_client.async_client import AsyncClient
from batch_client.columns import PredictionColumns
from batch_client.durable import locked, replace
from batch_client.encode import encode
from batch_client.errors import InputError, OutputError
from batch_client.formats.detect import detect_output
from batch_client.formats.readers import open_reader
from batch_client.formats.source import Reader, ReadOptions
from batch_client.journal import Journal, discard, is_finished, num_rows_done, open_journal
from batch_client.options import Options
from batch_client.outcomes import Prediction
from batch_client.progress import Tick, progress_bar
from batch_client.survey import Survey, sha256_of, take_survey

_RESULT = "result"
_PATIENCE_AT_THE_START_S = 15.0
"""A wrong address should show at once, not after the patience that a service in the middle of a run deserves."""


@dataclass(frozen=True)
class Job:
    """What to score and where to write it. `source` None is standard input."""

    source: Path | None
    out: Path
    options: Options
    read: ReadOptions
    text_column: str | None = None
    prefix: str = ""
    overwrite: bool = False
    start_over: bool = False
    report: Path | None = None
    report_by: str | None = None

    @property
    def folder(self) -> Path:
        """Where the run works until the result is complete."""
        return self.out.with_name(self.out.name + ".partial")


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    survey: Survey
    output_format: str
    num_done: int


@dataclass(frozen=True)
class Summary:
    """What a run did. `num_resumed` rows were answered by an earlier one; `elapsed_s` is this run's time."""

    num_rows: int
    num_failed: int
    num_resumed: int
    num_retries: int
    elapsed_s: float


def plan(job: Job) -> Plan:
    """Read the input and say what `score` would do. The service is not asked and nothing is written.

    Raises:
        InputError, OutputError: `score` would refuse too.
    """
    output_format = _check_out(job)
    with tempfile.TemporaryDirectory() as folder:
        reader = _open_source(job, Path(folder))
        survey = take_survey(reader, job.text_column)
        _check_columns(job, reader)
    return Plan(survey, output_format, 0 if job.start_over else num_rows_done(job.folder))


def score(job: Job, console: Console) -> Summary:
    """Score the file; progress goes to `console`.

    Raises:
        InputError, OutputError: the job cannot be done as asked.
        ServiceError: the service is not to be reached or refuses access. What was answered is kept: the same job
            resumes there.
    """
    started = time.monotonic()
    output_format = _check_out(job)
    with _disk_faults(job.out), locked(job.folder), _tidied(job.folder):
        if job.start_over:
            discard(job.folder)
        reader = _open_source(job, job.folder)
        survey = take_survey(reader, job.text_column)
        _check_columns(job, reader)
        with open_journal(job.folder, _identity(job, survey)) as journal:
            num_resumed = journal.num_rows
            num_retries = 0
            if not journal.is_finished:
                num_retries = _ask(job, reader, survey, journal, console)
                if sha256_of(reader.path) != survey.sha256:
                    raise InputError(
                        f"{reader.path} was changed while it was scored; pass --start-over to score it anew"
                    )
                _write_result(job, reader, survey, journal, output_format)
                journal.checkpoint(is_finished=True)
            if (job.folder / _RESULT).exists():
                replace(job.folder / _RESULT, job.out)
            return Summary(survey.num_rows, journal.num_failed, num_resumed, num_retries, time.monotonic() - started)


def _ask(job: Job, reader: Reader, survey: Survey, journal: Journal, console: Console) -> int:
    """Get the outcomes that the journal lacks; returns how many attempts were repeated."""

    async def ask() -> int:
        async with AsyncClient(**asdict(job.options)) as client:
            await client.check(_PATIENCE_AT_THE_START_S)
            values = islice(reader.values(survey.text_column), journal.num_rows, None)
            with progress_bar(console, survey.num_rows, journal.num_rows) as bar:
                async with aclosing(client.classify_batches(values)) as batches:
                    async for outcomes in batches:
                        journal.append(outcomes, client.concurrency)
                        bar.show(Tick(journal.num_rows, journal.num_failed, client.concurrency))
            return client.num_retries

    num_retries = 0
    try:
        if journal.num_rows < survey.num_rows:
            num_retries = asyncio.run(ask())
    finally:
        journal.checkpoint()
    return num_retries


def _write_result(job: Job, reader: Reader, survey: Survey, journal: Journal, output_format: str) -> None:
    labels: list[str] = []
    if job.options.all_scores:
        scored = (outcome for outcome in journal.outcomes() if isinstance(outcome, Prediction) and outcome.scores)
        labels = list(getattr(next(scored, None), "scores", None) or [])
    columns = PredictionColumns(job.prefix, tuple(labels))
    columns.check_against(reader.columns)
    is_packed = job.out.suffix == ".gz"
    encode(reader, journal.outcomes(), columns, job.folder / _RESULT, output_format, is_packed, job.read.has_header)
    if job.report:
        from batch_client.report.page import write_report

        write_report(job.report, reader, survey.text_column, job.report_by, journal)


def _check_out(job: Job) -> str:
    """The result's format. Raises OutputError if the result may not be written."""
    output_format = detect_output(job.out)
    if not job.out.parent.is_dir():
        raise OutputError(f"{job.out.parent} is not a folder; create it or choose another --out")
    if job.out.exists() and not job.overwrite and (job.start_over or not is_finished(job.folder)):
        raise OutputError(f"{job.out} exists; pass --overwrite to replace it, or choose another --out")
    if job.report and not job.report.parent.is_dir():
        raise OutputError(f"{job.report.parent} is not a folder; create it or choose another --report")
    if job.report_by and not job.report:
        raise OutputError("--report-by needs --report, which says where the page goes")
    return output_format


def _check_columns(job: Job, reader: Reader) -> None:
    """Raise InputError if the added columns are in the way of the input's, or there is none to report by."""
    PredictionColumns(job.prefix).check_against(reader.columns)
    if job.report_by is not None and job.report_by not in reader.columns:
        raise InputError(f"{reader.path} has no column {job.report_by!r} to report by")


def _open_source(job: Job, folder: Path) -> Reader:
    source = job.source
    if source is None:
        # Standard input can be read only once, and a result needs its input twice.
        source = folder / "input"
        with source.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy, 2**20)
    return open_reader(source, job.read, job.text_column)


def _identity(job: Job, survey: Survey) -> dict[str, object]:
    """What must be the same for an unfinished run to be resumed."""
    return {
        "input": survey.sha256,
        "--text-column": survey.text_column,
        "--url": job.options.url,
        "--protocol": job.options.protocol,
        "--max-length": job.options.max_length,
        "--all-scores": job.options.all_scores,
        "--format": job.read.format,
        "--encoding": job.read.encoding,
        "--no-header": not job.read.has_header,
        "--quotes": job.read.has_quotes,
    }


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Remove the folder at the end, unless it holds answers that are worth resuming with."""
    try:
        yield
    finally:
        is_published = is_finished(folder) and not (folder / _RESULT).exists()
        if is_published or not num_rows_done(folder):
            shutil.rmtree(folder)


@contextmanager
def _disk_faults(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or out}: {error.strerror or error}; mend that and run the same command again to resume"
        ) from error
