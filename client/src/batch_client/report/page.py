"""The page that people look at instead of the file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batch_client.durable import write_atomically
from batch_client.formats.source import Reader
from batch_client.journal import Journal
from batch_client.report import charts
from batch_client.report.groups import Groups
from batch_client.report.tally import NUM_BINS, Tally
from batch_client.report.throughput import Throughput, measure_throughput
from batch_client.text_path import TextPath


def write_report(
    path: Path,
    reader: Reader,
    texts: TextPath,
    group_column: str | None,
    journal: Journal,
    facts: Mapping[str, str],
) -> None:
    """Write one self-contained page about all rows, whole or not at all. `group_column` adds a chart by its values."""
    tally = Tally(Groups(group_column) if group_column else None)
    for row, outcome in zip(reader.rows(), journal.outcomes(), strict=True):
        tally.add(texts.of(row), outcome, row.get(group_column) if group_column else None)
    page = render(tally, measure_throughput(journal.checkpoints()), shown_name(reader.name), facts)
    write_atomically(path, page.encode())


def shown_name(name: str) -> str:
    """The last part of a file's name, which on some systems may hold any bytes."""
    return _as_text(Path(name).name or name)


def _as_text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _group_notes(tally: Tally) -> list[str]:
    if tally.groups is None:
        return []
    num_failed = tally.failures.total()
    failed = [f"{num_failed:,} rows without an answer are in no group."] if num_failed else []
    return tally.groups.notes() + failed


def render(tally: Tally, throughput: Throughput | None, name: str, facts: Mapping[str, str] | None = None) -> str:
    """The page as HTML; `name` is the input's, `facts` say where the numbers come from."""
    environment = Environment(
        loader=PackageLoader("batch_client.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sentiments = sorted(tally.sentiments)
    groups = tally.groups.bars() if tally.groups else []
    is_dates = bool(tally.groups and tally.groups.is_dates)
    return environment.get_template("page.html.j2").render(
        name=name,
        facts={label: _printable(value) for label, value in (facts or {}).items()},
        tally=tally,
        throughput=throughput,
        charts=charts,
        sentiments=sentiments,
        colours=charts.colours(sentiments),
        sentiment_bars=charts.sentiment_bars(tally.sentiments),
        confidence_columns=_confidence_columns(tally),
        group_notes=_group_notes(tally),
        groups=groups,
        date_columns=charts.stacked_columns([label for label, _ in groups], [counts for _, counts in groups])
        if groups and is_dates
        else None,
        group_bars=[] if is_dates else charts.share_bars(groups),
        throughput_line=charts.line(throughput.points) if throughput and len(throughput.points) > 1 else None,
    )


def _printable(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()


def _confidence_columns(tally: Tally) -> charts.Columns:
    first = min((index for bins in tally.confidences.values() for index, n in enumerate(bins) if n), default=0)
    bins = range(first, NUM_BINS)
    edges = [f"{index / NUM_BINS:.0%}" for index in range(first, NUM_BINS + 1)]
    labels = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    stacks = [{sentiment: counts[index] for sentiment, counts in tally.confidences.items()} for index in bins]
    return charts.stacked_columns(labels, stacks, edges)
