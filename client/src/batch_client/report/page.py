"""The page that people look at instead of the file."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batch_client.durable import write_atomically
from batch_client.formats.source import Reader
from batch_client.journal import Journal
from batch_client.outcomes import SENTIMENT
from batch_client.report import charts
from batch_client.report.tally import NUM_BINS, AnalysisTally, Tally
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
    tally = Tally(group_column)
    for row, outcome in zip(reader.rows(), journal.outcomes(), strict=True):
        tally.add(texts.of(row), outcome, row.get(group_column) if group_column else None)
    page = render(tally, measure_throughput(journal.checkpoints()), shown_name(reader.name), facts)
    write_atomically(path, page.encode())


def shown_name(name: str) -> str:
    """The last part of a file's name, which on some systems may hold any bytes."""
    return _as_text(Path(name).name or name)


def _as_text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


@dataclass(frozen=True)
class Panel:
    """The charts of one analysis.

    Attributes:
        name: of the analysis; empty if it is the only one and the sentiment, whose charts need none.
        colours: the class of CSS of each label.
        groups: the bars by the values of the column to report by; `date_columns` draws them if these are dates.
    """

    name: str
    tally: AnalysisTally
    colours: Mapping[str, str]
    label_bars: Sequence[charts.Bar]
    confidence_columns: charts.Columns
    groups: Sequence[tuple[str, Counter[str]]]
    group_notes: Sequence[str]
    date_columns: charts.Columns | None
    group_bars: Sequence[charts.Bar]

    @property
    def labels(self) -> list[str]:
        """Those that were answered."""
        return sorted(self.tally.best)

    def titled(self, title: str) -> str:
        """The title of one of the charts."""
        return f"{_spoken(self.name)}: {title[0].lower()}{title[1:]}" if self.name else title

    @property
    def title(self) -> str:
        """The title of the first chart."""
        return _spoken(self.name) if self.name else "Sentiments"

    def id_of(self, chart: str) -> str:
        """The anchor of one of the charts."""
        return f"{self.name}-{chart}" if self.name else chart


def _panel(name: str, tally: AnalysisTally, num_failed: int) -> Panel:
    groups = tally.groups.bars() if tally.groups else []
    is_dates = bool(tally.groups and tally.groups.is_dates)
    failed = [f"{num_failed:,} rows without an answer are in no group."] if num_failed else []
    stacks = [label for label, _ in groups], [counts for _, counts in groups]
    counts = tally.holding if tally.is_multi_label else tally.best
    return Panel(
        name,
        tally,
        charts.colours(sorted(tally.best | tally.holding)),
        charts.label_bars(counts, tally.num_rows),
        _confidence_columns(tally),
        groups,
        tally.groups.notes() + failed if tally.groups else [],
        charts.stacked_columns(*stacks) if groups and is_dates else None,
        [] if is_dates else charts.share_bars(groups),
    )


def render(tally: Tally, throughput: Throughput | None, name: str, facts: Mapping[str, str] | None = None) -> str:
    """The page as HTML; `name` is the input's, `facts` say where the numbers come from."""
    environment = Environment(
        loader=PackageLoader("batch_client.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    is_plain = set(tally.analyses) <= {SENTIMENT}
    return environment.get_template("page.html.j2").render(
        name=name,
        subject=_spoken(_listed(list(tally.analyses) or [SENTIMENT])),
        facts={label: _printable(value) for label, value in (facts or {}).items()},
        tally=tally,
        throughput=throughput,
        charts=charts,
        panels=[
            _panel("" if is_plain else analysis, counts, tally.failures.total())
            for analysis, counts in tally.analyses.items()
        ],
        throughput_line=charts.line(throughput.points) if throughput and len(throughput.points) > 1 else None,
    )


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _printable(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()


def _confidence_columns(tally: AnalysisTally) -> charts.Columns:
    first = min((index for bins in tally.confidences.values() for index, n in enumerate(bins) if n), default=0)
    bins = range(first, NUM_BINS)
    edges = [f"{index / NUM_BINS:.0%}" for index in range(first, NUM_BINS + 1)]
    labels = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    stacks = [{label: counts[index] for label, counts in tally.confidences.items()} for index in bins]
    return charts.stacked_columns(labels, stacks, edges)
