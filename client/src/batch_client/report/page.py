"""The page that people look at instead of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batch_client.durable import write_atomically
from batch_client.formats.source import Reader
from batch_client.journal import Journal
from batch_client.report import charts
from batch_client.report.groups import Groups
from batch_client.report.tally import NUM_BINS, Tally
from batch_client.report.throughput import Throughput, measure_throughput
from batch_client.service_identity import ServiceIdentity


def write_report(
    path: Path,
    reader: Reader,
    text_column: str,
    group_column: str | None,
    journal: Journal,
    services: Sequence[ServiceIdentity] = (),
) -> None:
    """Write one self-contained page about all rows, whole or not at all. `group_column` adds a chart by its values."""
    tally = Tally(Groups(group_column) if group_column else None)
    for row, outcome in zip(reader.rows(), journal.outcomes(), strict=True):
        tally.add(row.get(text_column), outcome, row.get(group_column) if group_column else None)
    page = render(
        tally,
        measure_throughput(journal.checkpoints()),
        _shown_name(reader.name),
        [str(service) for service in services],
    )
    write_atomically(path, page.encode())


def _shown_name(name: str) -> str:
    """The last part of a file's name, which on some systems may hold any bytes."""
    return os.fsencode(Path(name).name or name).decode("utf-8", "replace")


def _group_notes(tally: Tally) -> list[str]:
    if tally.groups is None:
        return []
    num_failed = tally.failures.total()
    failed = [f"{num_failed:,} rows without an answer are in no group."] if num_failed else []
    return tally.groups.notes() + failed


def render(tally: Tally, throughput: Throughput, name: str, services: Sequence[str] = ()) -> str:
    """The page as HTML; `name` is the input's, `services` are what gave the answers."""
    environment = Environment(
        loader=PackageLoader("batch_client.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    first_bin = min((index for bins in tally.confidences.values() for index, n in enumerate(bins) if n), default=0)
    bins = range(first_bin, NUM_BINS)
    bin_labels = [f"{index / NUM_BINS:.0%} to {(index + 1) / NUM_BINS:.0%}" for index in bins]
    stacks = [{sentiment: counts[index] for sentiment, counts in tally.confidences.items()} for index in bins]
    groups = tally.groups.bars() if tally.groups else []
    is_dates = bool(tally.groups and tally.groups.is_dates)
    return environment.get_template("page.html.j2").render(
        name=name,
        services=services,
        tally=tally,
        throughput=throughput,
        charts=charts,
        sentiments=sorted(tally.sentiments),
        sentiment_bars=charts.sentiment_bars(tally.sentiments),
        confidence_start=f"{first_bin / NUM_BINS:.0%}",
        confidence_columns=charts.stacked_columns(bin_labels, stacks),
        group_notes=_group_notes(tally),
        group_labels=[label for label, _ in groups],
        date_columns=charts.stacked_columns([label for label, _ in groups], [counts for _, counts in groups])
        if is_dates
        else [],
        group_bars=[] if is_dates else charts.share_bars(groups),
        throughput_line=charts.line(throughput.points),
        throughput_peak=max((rate for _, rate in throughput.points), default=0.0),
    )
