"""Scoring a file: survey, ask, encode, publish. Each step can be killed at any moment and taken up again.

Whatever can be checked is checked before the first request, and the books are balanced before a result gets its name:
as many rows in the result as answers, and as many answers as rows in the survey.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from batch_client import locations
from batch_client.ask import ask
from batch_client.async_client import AsyncClient
from batch_client.checks import check_columns, check_destinations, output_format
from batch_client.durable import locked
from batch_client.errors import OutputError, ServiceError
from batch_client.failures import Failed, failures_of
from batch_client.formats.readers import open_reader
from batch_client.formats.source import Reader
from batch_client.job import Job
from batch_client.journal import INPUT, RESULT, check_is_ours, discard, num_rows_done, open_journal, remove
from batch_client.options import Options
from batch_client.protocols import protocol_for
from batch_client.rescored import rescored
from batch_client.result import is_published, publish, report, write_result
from batch_client.result_note import services_noted_for
from batch_client.screen import Screen
from batch_client.selected import selected
from batch_client.served import ServedBy, noted_services
from batch_client.service_identity import ServiceIdentity
from batch_client.survey import Survey, take_survey

_DRY_RUN_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What a run would do. `description` says how the input is read."""

    survey: Survey
    output_format: str
    num_done: int
    description: str
    services: Sequence[ServiceIdentity]
    """What gave the answers that there are already."""
    service: str
    """What is at the address now, or why that is not known."""


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
    services: Sequence[ServiceIdentity]
    """What gave the answers; none if that is not known."""
    failures: Mapping[str, Failed]
    """The rows without an answer, by kind."""
    num_joined: int = 0
    """Rows whose text was put together from a list."""
    is_origin_known: bool = True
    """Whether the services include those that gave the answers which the input held."""


def check(job: Job) -> Survey:
    """Read the input and find out whatever can be known before the first request. Raises as `plan` does."""
    check_destinations(job)
    with tempfile.TemporaryDirectory() as folder:
        return _prepare(job, Path(folder))[1]


def plan(job: Job) -> Plan:
    """Read the input and say what `score` would do. No text is sent and nothing is written.

    Raises:
        InputError, OutputError: `score` would refuse too.
    """
    check_destinations(job)
    with tempfile.TemporaryDirectory() as folder:
        reader, survey, format = _prepare(job, Path(folder))
        is_new = job.start_over or job.is_to_standard_output
        num_done = 0 if is_new else num_rows_done(job.folder)
        services = (noted_services(job.folder) if num_done else []) or _services_before(job)
        return Plan(survey, format, num_done, reader.description, services, asyncio.run(service_now(job.options)))


def score(job: Job, screen: Screen) -> Summary:
    """Score the file; progress goes to `screen`.

    Raises:
        InputError, OutputError: the job cannot be done as asked.
        ServiceError: the service is not to be reached or refuses access. What was answered is kept: the same job
            resumes there.
    """
    if job.is_to_standard_output:
        # Nobody can resume a pipe, so the run works where nothing is kept.
        with tempfile.TemporaryDirectory() as folder:
            return _score(job, Path(folder) / "out.partial", screen)
    return _score(job, job.folder, screen)


def _score(job: Job, folder: Path, screen: Screen) -> Summary:
    started = time.monotonic()
    check_destinations(job)
    with _disk_faults(job.out), locked(folder), _tidied(folder):
        check_is_ours(folder)
        if job.start_over:
            discard(folder)
        reader, survey, format = _prepare(job, folder)
        with open_journal(folder, job.identity(survey)) as journal:
            num_resumed = journal.num_rows
            num_retries = 0
            before = _services_before(job)
            is_origin_known = bool(before) or not job.retry_errors
            served = ServedBy(folder, before, job.accept_model_change)
            result = folder / RESULT
            if not journal.is_finished or not (result.exists() or is_published(job, result)):
                num_retries = ask(job.options, reader, survey, journal, served, screen)
                write_result(job, reader, survey, journal, result, format)
                journal.checkpoint(is_finished=True)
            if result.exists():
                publish(job, result, served.services if is_origin_known else [])
            report(job, reader, survey, journal, served.services)
            return Summary(
                survey.num_rows, journal.num_failed, num_resumed, num_retries, time.monotonic() - started,
                reader.description, survey.text_column, served.services, failures_of(journal), survey.num_joined,
                is_origin_known,
            )  # fmt: skip


def _prepare(job: Job, folder: Path) -> tuple[Reader, Survey, str]:
    """The input opened and read once, and the result's format: all that can be known before the first request."""
    protocol_for(job.options)
    reader = _open_source(job, folder)
    format = output_format(job, reader)
    survey = take_survey(reader, job.text_column)
    check_columns(job, reader, format)
    if format == "xlsx":
        from batch_client.formats.sheet_writer import check_fits

        check_fits(reader, survey.num_rows, job.cell_style.has_header)
    return reader, survey, format


def _services_before(job: Job) -> list[ServiceIdentity]:
    """What gave the answers that there are: in the run's other files, and in the input, as far as that is noted."""
    if job.expected:
        return list(job.expected)
    if not job.retry_errors or locations.is_read_once(job.source):
        return []
    return services_noted_for(Path(job.source)) or []


async def service_now(options: Options) -> str:
    """What is at the address now, or why that is not known."""
    limited = replace(options, timeout_s=min(options.timeout_s, _DRY_RUN_TIMEOUT_S))
    try:
        async with AsyncClient(limited) as client:
            found = await client.identity(is_patient=False)
    except ServiceError as error:
        return f"not known ({error})"
    return str(found) if found else "not known, as it does not say"


def _open_source(job: Job, folder: Path) -> Reader:
    if locations.is_read_once(job.source):
        path = folder / INPUT
        locations.copy_input(job.source, path)
        reader = open_reader(path, replace(job.read, name=locations.name_of(job.source)), job.text_column)
    else:
        reader = open_reader(Path(job.source), job.read, job.text_column)
    return selected(rescored(reader, job.prefix, job.options.analyses) if job.retry_errors else reader, job.selection)


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Remove the folder at the end, unless it holds answers that are worth resuming with."""
    try:
        yield
    except BaseException:
        if not num_rows_done(folder):
            remove(folder)
        raise
    remove(folder)


@contextmanager
def _disk_faults(out: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or out}: {error.strerror or error}; "
            "put that right and run the same command again to resume"
        ) from error
