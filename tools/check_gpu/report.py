"""The report for people: what the rules decided, then every figure, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from tools.check_gpu.parts import Figures
from tools.check_gpu.rules import decide


def as_table(report: Figures) -> str:
    """The report as Markdown."""
    lines = ["# What a GPU says", "", "| rule | measured | verdict |", "|---|---|---|"]
    lines += [f"| {one.question} | {one.figure} | {one.verdict} |" for one in decide(report)]
    for part, figures in report.items():
        lines += ["", f"## {part}", "", *_part(figures)]
    return "\n".join(lines) + "\n"


def _part(figures: Figures) -> Iterator[str]:
    rows = {key: value for key, value in figures.items() if isinstance(value, dict)}
    for key, value in figures.items():
        if key not in rows:
            yield f"- {key}: {_shown(value)}"
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    if rows:
        yield from ["", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for key, row in rows.items():
        yield f"| {key} | {' | '.join(_shown(row.get(column, '')) for column in columns)} |"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
