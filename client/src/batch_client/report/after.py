"""The page of charts about a file that was scored before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from batch_client.durable import write_atomically
from batch_client.errors import InputError, OutputError
from batch_client.formats.readers import open_reader
from batch_client.formats.source import ReadOptions
from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.report.facts import now
from batch_client.report.page import render, shown_name
from batch_client.report.tally import Tally
from batch_client.rescored import RescoredReader, analyses_in
from batch_client.result_note import services_noted_for
from batch_client.screen import no_column
from batch_client.service_identity import listed_services
from batch_client.text_path import find_text_path


def report_on(
    source: Path, read: ReadOptions, page: Path, text_column: str | None, by: str | None, prefix: str, overwrite: bool
) -> int:
    """Write the page about a scored file; returns its number of rows.

    Raises:
        InputError: the file was not scored, or lacks a column.
        OutputError: the page exists, or cannot be written.
    """
    if page.exists() and not overwrite:
        raise OutputError(f"{page} exists; pass --overwrite to replace it, or choose another --out")
    reader = open_reader(source, read, text_column)
    scored = RescoredReader(reader, prefix, analyses_in(reader.columns, prefix))
    path = find_text_path(scored, text_column)
    if by is not None and by not in scored.columns:
        raise InputError(no_column(scored.name, by, scored.columns))
    tally = Tally(by)
    for row, outcome in zip(scored.rows(), _outcomes(scored), strict=True):
        tally.add(path.of(row), outcome, row.get(by) if by else None)
    services = services_noted_for(source)
    facts = {
        "File": shown_name(scored.name),
        "Column": str(path),
        "Read as": reader.description,
        "Answered by": listed_services(services) if services else "not known: there is no note beside the file",
        "Date of this page": now(),
    }
    try:
        write_atomically(page, render(tally, None, shown_name(scored.name), facts).encode())
    except OSError as error:
        raise OutputError(f"{page} cannot be written: {error.strerror or error}") from error
    return tally.num_rows


def _outcomes(scored: RescoredReader) -> Iterator[Outcome]:
    """What became of each row. A failure's kind is its reason without its numbers."""
    for answered, reason in zip(scored.values(scored.columns[0]), scored.reasons(), strict=True):
        if isinstance(answered, Prediction):
            yield answered
        else:
            yield Failure(re.sub(r"[\d,]*\d", "N", reason), reason)
