"""Geometry of the charts: numbers in, rectangles out, in units of a drawing `WIDTH` wide. The template draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 400.0
HEIGHT = 150.0
"""Of a chart of columns or a line."""
BAR_PITCH = 26.0
"""From one horizontal bar to the next."""
_LABEL_WIDTH = 100.0
_VALUE_WIDTH = 116.0


@dataclass(frozen=True)
class Box:
    """A rectangle that stands for `count` rows of one sentiment; `title` is its tool tip."""

    sentiment: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Bar:
    """A horizontal bar of one or more boxes with a label before and a value after it."""

    label: str
    value: str
    y: float
    boxes: Sequence[Box]


def sentiment_bars(counts: Mapping[str, int]) -> list[Bar]:
    """One bar per sentiment, as long as its share of the most frequent one."""
    total, most = sum(counts.values()), max(counts.values(), default=1)
    bars = []
    for index, sentiment in enumerate(sorted(counts)):
        count = counts[sentiment]
        value = f"{count:,} ({count / total:.1%})"
        y = index * BAR_PITCH
        width = (WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) * count / most
        bars.append(Bar(sentiment, value, y, [Box(sentiment, _LABEL_WIDTH, y, width, 18.0, f"{sentiment}: {value}")]))
    return bars


def share_bars(groups: Sequence[tuple[str, Mapping[str, int]]]) -> list[Bar]:
    """One bar per group, all of the same length, parted by the shares of the sentiments."""
    bars = []
    for index, (label, counts) in enumerate(groups):
        y, x, total = index * BAR_PITCH, _LABEL_WIDTH, sum(counts.values())
        boxes = []
        for sentiment in sorted(counts):
            width = (WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) * counts[sentiment] / total
            title = f"{label}, {sentiment}: {counts[sentiment]:,} ({counts[sentiment] / total:.1%})"
            boxes.append(Box(sentiment, x, y, width, 18.0, title))
            x += width
        bars.append(Bar(label if len(label) <= 16 else label[:15] + "…", f"{total:,}", y, boxes))
    return bars


def stacked_columns(labels: Sequence[str], stacks: Sequence[Mapping[str, int]]) -> list[Box]:
    """One column per label, as high as its share of the highest one, stacked by sentiment."""
    highest = max((sum(stack.values()) for stack in stacks), default=0) or 1
    pitch = WIDTH / max(len(stacks), 1)
    boxes = []
    for index, (label, stack) in enumerate(zip(labels, stacks, strict=True)):
        y = HEIGHT
        for sentiment in sorted(stack):
            height = HEIGHT * stack[sentiment] / highest
            y -= height
            title = f"{label}, {sentiment}: {stack[sentiment]:,}"
            boxes.append(Box(sentiment, index * pitch + pitch * 0.06, y, pitch * 0.88, height, title))
    return boxes


def line(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path through points (x from 0 on, y from 0 on), scaled to the drawing."""
    longest = max((x for x, _ in points), default=0) or 1
    highest = max((y for _, y in points), default=0) or 1
    scaled = [(WIDTH * x / longest, HEIGHT - HEIGHT * y / highest) for x, y in points]
    return " ".join(f"{'L' if index else 'M'}{x:.1f},{y:.1f}" for index, (x, y) in enumerate(scaled))
