"""Scoring a file: survey, ask, encode, publish. Each step can be killed at any moment and taken up again.

Whatever can be checked is checked before the first request, and the books are balanced before a result gets its name:
as many rows in the result as answers, and as many answers as rows in the survey.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from dataclasses import replace as changed
from itertools import islice
from pathlib import Path

from rich.console import Console

from batch_client import places
from batch_client.async_client import AsyncClient
from batch_client.columns import PredictionColumns
from batch_client.durable import locked, replace
from batch_client.encode import encode
from batch_client.errors import InputError, OutputError, UnavailableError
from batch_client.formats.detect import OUTPUT_FORMATS, detect_output
from batch_client.formats.packings import packing_by_name
from batch_client.formats.readers import open_reader, require_pyarrow
from batch_client.formats.source import Reader, ReadOptions
from batch_client.journal import (
    INPUT,
    RESULT,
    Journal,
    check_is_ours,
    discard,
    is_finished,
    num_rows_done,
    open_journal,
    remove,
)
from batch_client.options import Options
from batch_client.outcomes import Prediction
from batch_client.progress import Tick, progress_bar
from batch_client.rescored import RescoredReader
from batch_client.survey import Survey, sha256_of, take_survey

_PATIENCE_AT_THE_START_S = 15.0
"""A wrong address should show at once, not after the patience that a service in the middle of a run deserves."""
_PROBE = "This is a text."
"""Asked where no text of a job got an answer, to learn which columns its result has."""


@dataclass(frozen=True)
class Job:
    """What to score and where to write it: files, addresses (`s3://...`), or `-` for standard input and output."""

    source: str
    out: str
    options: Options
    read: ReadOptions
    text_column: str | None = None
    prefix: str = ""
    overwrite: bool = False
    start_over: bool = False
    report: Path | None = None
    report_by: str | None = None
    retry_errors: bool = False
    out_format: str | None = None

    @property
    def path(self) -> Path:
        """Where the result goes; for an address, the file name of it."""
        if places.is_address(self.out):
            return Path(self.out.rstrip("/").rpartition("/")[2])
        return Path(os.path.realpath(self.out)) if os.path.islink(self.out) else Path(self.out)

    @property
    def is_to_standard_output(self) -> bool:
        """Whether the result is written to standard output, once it is complete."""
        return self.out == places.STANDARD

    @property
    def folder(self) -> Path:
        """Where the run works until the result is complete."""
        return self.path.with_name(self.path.name + ".partial")


@dataclass(frozen=True)
class Plan:
    """What a run would do. `description` says how the input is read."""

    survey: Survey
    output_format: str
    num_done: int
    description: str


@dataclass(frozen=True)
class Summary:
    """What a run did. `num_resumed` rows were answered by an earlier one; `elapsed_s` is this run's time."""

    num_rows: int
    num_failed: int
    num_resumed: int
    num_retries: int
    elapsed_s: float
    description: str
    text_column: str


def plan(job: Job) -> Plan:
    """Read the input and say what `score` would do. The service is not asked and nothing is written.

    Raises:
        InputError, OutputError: `score` would refuse too.
    """
    _check_places(job)
    with tempfile.TemporaryDirectory() as folder:
        reader = _open_source(job, Path(folder))
        output_format = _output_format(job, reader)
        survey = take_survey(reader, job.text_column)
        _check_columns(job, reader, output_format)
        is_new = job.start_over or job.is_to_standard_output
        return Plan(survey, output_format, 0 if is_new else num_rows_done(job.folder), reader.description)


def score(job: Job, console: Console) -> Summary:
    """Score the file; progress goes to `console`.

    Raises:
        InputError, OutputError: the job cannot be done as asked.
        ServiceError: the service is not to be reached or refuses access. What was answered is kept: the same job
            resumes there.
    """
    if job.is_to_standard_output:
        # Nobody can resume a pipe, so the run works where nothing is kept.
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "out"
            return _score(job, place.with_name("out.partial"), console)
    return _score(job, job.folder, console)


def _score(job: Job, folder: Path, console: Console) -> Summary:
    started = time.monotonic()
    _check_places(job)
    with _disk_faults(job.out), locked(folder), _tidied(folder):
        if job.start_over:
            discard(folder)
        reader = _open_source(job, folder)
        output_format = _output_format(job, reader)
        survey = take_survey(reader, job.text_column)
        _check_columns(job, reader, output_format)
        with open_journal(folder, _identity(job, survey)) as journal:
            num_resumed = journal.num_rows
            num_retries = 0
            if not journal.is_finished:
                num_retries = _ask(job, reader, survey, journal, console)
                _write_result(job, reader, survey, journal, folder, output_format)
                journal.checkpoint(is_finished=True)
            if (folder / RESULT).exists():
                _publish(job, folder / RESULT)
            return Summary(
                survey.num_rows, journal.num_failed, num_resumed, num_retries, time.monotonic() - started,
                reader.description, survey.text_column,
            )  # fmt: skip


def _ask(job: Job, reader: Reader, survey: Survey, journal: Journal, console: Console) -> int:
    """Get the outcomes that the journal lacks; returns how many attempts were repeated."""

    async def ask() -> int:
        async with AsyncClient(
            **asdict(job.options), on_waiting=lambda what: console.print(what, markup=False)
        ) as client:
            if survey.num_sendable:
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
    if sha256_of(reader.path) != survey.sha256:
        raise InputError(f"{reader.name} was changed while it was scored; pass --start-over to score it anew")
    _balance(survey.num_rows, journal.num_rows, "answers")
    return num_retries


def _write_result(job: Job, reader: Reader, survey: Survey, journal: Journal, folder: Path, output_format: str) -> None:
    columns = PredictionColumns(job.prefix, _labels(job, journal))
    columns.check_against(reader.columns)
    num_rows = encode(
        reader, journal.outcomes, columns, folder / RESULT, output_format,
        None if job.is_to_standard_output else packing_by_name(job.path), job.read.has_header,
    )  # fmt: skip
    _balance(survey.num_rows, num_rows, "rows in the result")
    if job.report:
        from batch_client.report.page import write_report

        write_report(job.report, reader, survey.text_column, job.report_by, journal)


def _labels(job: Job, journal: Journal) -> list[str]:
    """The labels that have columns: the same for every part of a data set, answered or not."""
    if not job.options.all_scores:
        return []
    labels: set[str] = set()
    for outcome in journal.outcomes():
        if isinstance(outcome, Prediction) and outcome.scores:
            labels.update(outcome.scores)
    if not labels:
        labels.update(asyncio.run(_probe(job.options)))
    return sorted(labels)


async def _probe(options: Options) -> list[str]:
    async with AsyncClient(**asdict(options)) as client:
        await client.check(_PATIENCE_AT_THE_START_S)
        async with aclosing(client.classify_stream([_PROBE])) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Prediction) and outcome.scores:
                    return list(outcome.scores)
    raise UnavailableError("the service gave no scores, so that the result's columns are not known")


def _publish(job: Job, result: Path) -> None:
    if job.is_to_standard_output:
        with result.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 2**20)
        sys.stdout.buffer.flush()
        result.unlink()
    elif places.is_address(job.out):
        places.upload(result, job.out)
        result.unlink()
    else:
        replace(result, job.path)


def _balance(expected: int, found: int, what: str) -> None:
    if expected != found:
        raise OutputError(
            f"the books do not balance: {expected:,} rows were read at first, but there are {found:,} {what}; "
            "nothing was published. Pass --start-over to score the input anew"
        )


def _check_places(job: Job) -> None:
    """Raise OutputError if the result or the report may not be written where it is to go."""
    if job.report_by and not job.report:
        raise OutputError("--report-by needs --report, which says where the page goes")
    if job.report:
        _check_report(job, job.report)
    if job.is_to_standard_output:
        return
    if job.out_format is None:
        detect_output(job.path)
    check_is_ours(job.folder)
    is_unfinished = job.start_over or not is_finished(job.folder)
    if places.is_address(job.out):
        places.check_can_upload(job.out)
        if job.source == job.out:
            raise OutputError(f"{job.out} is the input; choose another --out")
        if not job.overwrite and is_unfinished and places.exists(job.out):
            raise OutputError(f"{job.out} exists; pass --overwrite to replace it, or choose another --out")
        return
    if _is_same(job.path, job.source):
        raise OutputError(f"{job.out} is the input; choose another --out")
    if job.path.is_dir():
        raise OutputError(f"{job.out} is a folder; name a file in it")
    _check_folder_of(job.path, "--out")
    if job.path.exists() and not job.path.is_file():
        raise OutputError(f"{job.out} is no file; for a pipe, write to standard output with --out -")
    if job.path.exists() and not job.overwrite and is_unfinished:
        raise OutputError(f"{job.out} exists; pass --overwrite to replace it, or choose another --out")


def _check_report(job: Job, report: Path) -> None:
    if _is_same(report, job.source):
        raise OutputError(f"{report} is the input; choose another --report")
    if not job.is_to_standard_output and (_is_same(report, job.out) or report.absolute() == job.path.absolute()):
        raise OutputError(f"{report} is the result; choose another --report")
    if report.is_dir():
        raise OutputError(f"{report} is a folder; name a file in it")
    _check_folder_of(report, "--report")
    if report.exists() and not job.overwrite and (job.start_over or not is_finished(job.folder)):
        raise OutputError(f"{report} exists; pass --overwrite to replace it, or choose another --report")


def _check_folder_of(path: Path, option: str) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder; create it or choose another {option}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path.parent} cannot be written to; choose another {option}")
    if len(os.fsencode(path.name)) > 200:  # beside it stand names that are longer
        raise OutputError(f"the name of {path} is too long; choose a shorter {option}")


def _is_same(path: Path, source: str) -> bool:
    if places.is_address(source) or source == places.STANDARD:
        return False
    try:
        return path.samefile(source)
    except OSError:
        return False


def _output_format(job: Job, reader: Reader) -> str:
    """The result's format: asked for, or of the result's name; to standard output, the input's or JSON lines."""
    if job.out_format is not None:
        found = job.out_format
    elif job.is_to_standard_output:
        kind = reader.description.partition(",")[0].lower()
        found = kind if kind in ("csv", "tsv") else "jsonl"
    else:
        found = detect_output(job.path)
    if found not in OUTPUT_FORMATS:
        raise OutputError(f"--out-format {found} is not known; use one of {', '.join(OUTPUT_FORMATS)}")
    if found == "parquet":
        require_pyarrow("the result is to be Parquet; to write it")
    return found


def _check_columns(job: Job, reader: Reader, output_format: str) -> None:
    """Raise InputError if the added columns are in the way of the input's, or a column cannot be written."""
    PredictionColumns(job.prefix, None if job.options.all_scores else ()).check_against(reader.columns)
    if job.report_by is not None and job.report_by not in reader.columns:
        raise InputError(f"{reader.name} has no column {job.report_by!r} to report by")
    if output_format != "parquet":
        return
    for name in (*reader.columns, job.prefix):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the column {name!r} has half of a surrogate pair in its name, which Parquet cannot hold; "
                "write CSV or JSON lines"
            ) from None
    if hasattr(reader, "schema"):
        from batch_client.formats.parquet import check_writable

        check_writable(reader.schema, reader.name)


def _open_source(job: Job, folder: Path) -> Reader:
    if places.is_read_once(job.source):
        path = folder / INPUT
        places.copy_input(job.source, path)
        named = job.source if places.is_address(job.source) else places.name_of(job.source)
        reader = open_reader(path, changed(job.read, name=named), job.text_column)
    else:
        reader = open_reader(Path(job.source), job.read, job.text_column)
    return RescoredReader(reader, job.prefix) if job.retry_errors else reader


def _identity(job: Job, survey: Survey) -> dict[str, object]:
    """What must be the same for an unfinished run to be resumed."""
    return {
        "input": survey.sha256,
        "--text-column": survey.text_column,
        "--url": job.options.url,
        "--protocol": job.options.protocol,
        "--max-length": job.options.max_length,
        "--on-long-text": job.options.on_long_text,
        "--all-scores": job.options.all_scores,
        "--retry-errors": job.retry_errors,
        "--format": job.read.format,
        "--encoding": job.read.encoding,
        "--delimiter": job.read.delimiter,
        "--sheet": job.read.sheet,
        "--no-header": not job.read.has_header,
        "--quotes": job.read.has_quotes,
    }


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Remove the folder at the end, unless it holds answers that are worth resuming with."""
    try:
        yield
    finally:
        is_published = is_finished(folder) and not (folder / RESULT).exists()
        if is_published or not num_rows_done(folder):
            remove(folder)


@contextmanager
def _disk_faults(out: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or out}: {error.strerror or error}; mend that and run the same command again to resume"
        ) from error
