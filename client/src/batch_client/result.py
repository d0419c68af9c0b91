"""From the answers to the file that the user asked for: encoded, reported on, put under its name."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from batch_client import locations
from batch_client.async_client import AsyncClient
from batch_client.checks import check_balance
from batch_client.columns import PredictionColumns, Shape, shapes_of
from batch_client.durable import replace_durably
from batch_client.encode import encode
from batch_client.errors import OutputError, UnavailableError
from batch_client.formats.packings import packing_by_name
from batch_client.formats.source import Reader
from batch_client.job import Job
from batch_client.journal import Journal
from batch_client.options import Options
from batch_client.result_note import write_note
from batch_client.service_identity import ServiceIdentity
from batch_client.survey import Survey, sha256_of

_PATIENCE_S = 15.0
_PROBE = "This is a text."
"""Asked where no text of a job got an answer, to learn which columns its result has."""


def write_result(job: Job, reader: Reader, survey: Survey, journal: Journal, path: Path, format: str) -> None:
    """Write the result to `path`.

    Raises:
        InputError, OutputError: a value or a name that the format cannot hold, or rows that are missing.
        ServiceError: the labels of the columns could not be learned.
    """
    columns = PredictionColumns(job.prefix, job.options.analyses, _shapes(job, journal))
    columns.check_against(reader.columns)
    packing = None if job.is_to_standard_output else packing_by_name(job.path)
    num_rows = encode(reader, journal.outcomes, columns, path, format, packing, job.cell_style)
    check_balance(survey.num_rows, num_rows, "rows in the result")


def is_published(job: Job, result: Path) -> bool:
    """Whether a result that was complete, and is not at `result` any more, has got its name."""
    if result.exists() or job.is_to_standard_output:
        return False
    return locations.exists(job.out) if locations.is_address(job.out) else job.path.exists()


def publish(job: Job, result: Path, services: Sequence[ServiceIdentity]) -> None:
    """Put a result that is whole where the job wants it, in a file with a note of the services if these are known.

    Raises:
        OutputError: it cannot be uploaded.
    """
    if job.is_to_standard_output:
        with result.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 2**20)
        sys.stdout.buffer.flush()
        result.unlink()
    elif locations.is_address(job.out):
        locations.upload(result, job.out)
        result.unlink()
    else:
        digest = sha256_of(result)
        replace_durably(result, job.path)
        if services:
            write_note(job.path, digest, services)


def report(job: Job, reader: Reader, survey: Survey, journal: Journal, services: Sequence[ServiceIdentity]) -> None:
    """Write the page of charts, once the result has its name: a report that fails costs no answers.

    Raises:
        OutputError: it could not be written.
    """
    if job.report is None:
        return
    from batch_client.report.facts import facts_of
    from batch_client.report.page import write_report

    try:
        write_report(job.report, reader, survey.path, job.report_by, journal, facts_of(job, reader, survey, services))
    except OSError as error:
        advice = "" if job.is_to_standard_output else "; the same command only writes the report"
        raise OutputError(
            f"the result is complete, but the report {job.report} could not be written: "
            f"{error.strerror or error}{advice}"
        ) from error


def _shapes(job: Job, journal: Journal) -> Mapping[str, Shape]:
    """What has columns of its own: the same for every part of a data set, answered or not."""
    if not (job.options.all_scores or job.options.analyses):
        return {}
    found = shapes_of(journal.outcomes())
    is_known = found and (not job.options.all_scores or all(shape.scored for shape in found.values()))
    return found if is_known else asyncio.run(_probe(job.options))


async def _probe(options: Options) -> Mapping[str, Shape]:
    async with AsyncClient(options) as client:
        await client.check(_PATIENCE_S)
        async with aclosing(client.classify_stream([_PROBE])) as outcomes:
            found = shapes_of([outcome async for outcome in outcomes])
    if not found:
        raise UnavailableError("the service gave no answer, so that the result's columns are not known")
    return found
