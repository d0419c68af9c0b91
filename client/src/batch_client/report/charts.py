"""Geometry of the charts: numbers in, shapes out, in units of a drawing `WIDTH` wide. The template draws them.

Drawn by hand, as SVG: five simple charts need less than a library would bring, which is half a megabyte of JavaScript
in each page, or pictures that follow neither the reader's dark setting nor the width of a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 400.0
HEIGHT = 150.0
"""Of a chart of columns or a line."""
BAR_PITCH = 26.0
"""From one horizontal bar to the next."""
AXIS = 44.0
"""Where charts with a vertical axis begin."""
_LABEL_WIDTH = 100.0
_VALUE_WIDTH = 104.0
_BAR_WIDTH = WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
_LEAST_WIDTH_OF_A_SHARE = 30.0
_MOST_LABELS = 5
_FIXED_COLOURS = {"NEGATIVE": "negative", "NEUTRAL": "neutral", "POSITIVE": "positive"}
_NUM_COLOURS = 9


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is, and what it says; `anchor` is how its text is aligned."""

    position: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Box:
    """A rectangle that stands for rows of one label; `title` is its tool tip, `share` what stands in it."""

    label: str
    x: float
    y: float
    width: float
    height: float
    title: str
    share: str = ""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar of one or more boxes with a label before and a value after it."""

    label: str
    value: str
    y: float
    boxes: Sequence[Box]


@dataclass(frozen=True)
class Columns:
    """Columns of boxes, with their axes."""

    boxes: Sequence[Box]
    across: Sequence[Tick]
    up: Sequence[Tick]


@dataclass(frozen=True)
class Line:
    """An SVG path, with its axes."""

    path: str
    across: Sequence[Tick]
    up: Sequence[Tick]


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The class of CSS that colours each label: the usual three as ever, others by one of nine colours in turn."""
    others = [label for label in labels if label not in _FIXED_COLOURS]
    return _FIXED_COLOURS | {label: f"c{index % _NUM_COLOURS}" for index, label in enumerate(others)}


def label_bars(counts: Mapping[str, int], num_rows: int) -> list[Bar]:
    """One bar per label, as long as its share of the most frequent one; its value is its share of the rows."""
    most = max(counts.values(), default=1)
    bars = []
    for index, label in enumerate(sorted(counts)):
        value = f"{counts[label] / num_rows:.1%} · {counts[label]:,}"
        y, width = index * BAR_PITCH, _BAR_WIDTH * counts[label] / most
        box = Box(label, _LABEL_WIDTH, y, width, 18.0, f"{label}: {value}")
        bars.append(Bar(_cut(label), value, y, [box]))
    return bars


def share_bars(groups: Sequence[tuple[str, Mapping[str, int]]]) -> list[Bar]:
    """One bar per group, all of the same length, parted by the shares of the labels."""
    bars = []
    for index, (group, counts) in enumerate(groups):
        y, x, total = index * BAR_PITCH, _LABEL_WIDTH, sum(counts.values())
        boxes = []
        for label in sorted(counts):
            part = counts[label] / total
            width = _BAR_WIDTH * part
            share = f"{part:.0%}" if width >= _LEAST_WIDTH_OF_A_SHARE else ""
            title = f"{group}, {label}: {part:.1%} of {total:,}, {counts[label]:,}"
            boxes.append(Box(label, x, y, width, 18.0, title, share))
            x += width
        bars.append(Bar(_cut(group), f"n = {total:,}", y, boxes))
    return bars


def share_ticks() -> list[Tick]:
    """The axis below bars of shares."""
    return [Tick(_LABEL_WIDTH + _BAR_WIDTH * part / 4, f"{part / 4:.0%}") for part in range(5)]


def stacked_columns(
    names: Sequence[str], stacks: Sequence[Mapping[str, int]], edges: Sequence[str] | None = None
) -> Columns:
    """One column per stack, parted by label.

    Args:
        names: what each column stands for.
        stacks: rows by label, for each column.
        edges: names of the columns' edges, one more than columns, where these matter; else the columns are named.
    """
    up = _ticks_up(max((sum(stack.values()) for stack in stacks), default=0), whole=True)
    highest = float(up[-1].label.replace(",", ""))
    pitch = (WIDTH - AXIS) / max(len(stacks), 1)
    boxes = []
    for index, (name, stack) in enumerate(zip(names, stacks, strict=True)):
        y = HEIGHT
        total = sum(stack.values())
        for label in sorted(stack):
            height = HEIGHT * stack[label] / highest
            y -= height
            part = f"{stack[label] / total:.1%} of {total:,}" if total else "none"
            title = f"{name}, {label}: {part}, {stack[label]:,}"
            boxes.append(Box(label, AXIS + index * pitch + pitch * 0.06, y, pitch * 0.88, height, title))
    if edges is not None:
        return Columns(boxes, _some([Tick(AXIS + i * pitch, edge) for i, edge in enumerate(edges)]), up)
    return Columns(boxes, _some([Tick(AXIS + (i + 0.5) * pitch, name) for i, name in enumerate(names)]), up)


def line(points: Sequence[tuple[float, float]]) -> Line:
    """A line through points (seconds, rows per second), both from 0 on."""
    longest = max((x for x, _ in points), default=0) or 1
    up = _ticks_up(max((y for _, y in points), default=0))
    highest = float(up[-1].label.replace(",", ""))
    scaled = [(AXIS + (WIDTH - AXIS) * x / longest, HEIGHT - HEIGHT * y / highest) for x, y in points]
    path = " ".join(f"{'L' if index else 'M'}{x:.1f},{y:.1f}" for index, (x, y) in enumerate(scaled))
    step = _round_step(longest)
    moments = [step * index for index in range(int(longest / step + 1e-9) + 1)]
    seconds = [Tick(AXIS + (WIDTH - AXIS) * moment / longest, f"{moment:,.12g} s") for moment in moments]
    return Line(path, _some(seconds), up)


def _ticks_up(highest: float, whole: bool = False) -> list[Tick]:
    """Three to six round numbers from 0 to at least `highest`, with where they are."""
    step = max(_round_step(max(highest, 1)), 1.0) if whole else _round_step(highest)
    num_steps = max(1, math.ceil(highest / step - 1e-9))
    labels = [f"{step * index:,.12g}" for index in range(num_steps + 1)]
    return [Tick(HEIGHT - HEIGHT * index / num_steps, label) for index, label in enumerate(labels)]


def _round_step(highest: float) -> float:
    """A round number of which three to five make `highest`, or nearly."""
    least = max(highest, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999)


def _some(ticks: Sequence[Tick]) -> list[Tick]:
    """At most five of the ticks, equally far from each other; a text at the drawing's end does not leave it."""
    stride = -(-len(ticks) // _MOST_LABELS)
    return [
        Tick(tick.position, tick.label, "end" if tick.position >= WIDTH - 20 else "middle")
        for tick in ticks[:: max(stride, 1)]
    ]


def _cut(label: str) -> str:
    return label if len(label) <= 13 else label[:11] + "…"
