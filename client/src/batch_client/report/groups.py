"""Sentiments by the values of one column, which holds dates, numbers or categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

_SAMPLE_SIZE = 1000
"""Values that are looked at before it is decided what the column holds."""
_ENOUGH = 0.9
"""Share of these that must be dates or numbers: a stray word does not make categories of a column of dates."""
_MAX_VALUES = 10_000
_MAX_BARS = 40
_NUM_BINS = 20
_OTHER = "(other)"
_EMPTY = "(empty)"
_NO_DATE, _NO_NUMBER = "(no date)", "(no number)"
_SIGNIFICANT_DIGITS = 3
_DATE_FORMATS = ("%d.%m.%Y", "%Y/%m/%d", "%Y-%m", "%a, %d %b %Y %H:%M:%S %z")


class Groups:
    """Counts sentiments by group. The first thousand values that are there decide what the column holds."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._kind: str | None = None
        self._sample: list[tuple[str, str]] = []
        self._counts: dict[Any, Counter[str]] = {}
        self._is_rounded = False

    def add(self, value: Any, sentiment: str) -> None:
        """Count one row. Beyond 10,000 different values, numbers are rounded and further others counted together."""
        text = "" if value is None else str(value).strip()
        if self._kind is None:
            self._sample.append((text, sentiment))
            if len(self._sample) == _SAMPLE_SIZE:
                self._decide()
            return
        self._count(text, sentiment)

    @property
    def is_dates(self) -> bool:
        """Whether the column holds dates."""
        self._decide()
        return self._kind == "dates"

    def bars(self) -> list[tuple[str, Counter[str]]]:
        """At most 40 groups to draw, and what belongs to none of them last.

        Dates in order, by day, month, year or decade; numbers in order, in bins if they are many; or categories, the
        largest first and rows without one last.
        """
        self._decide()
        if self._kind == "dates":
            days = [(key.isoformat(), counts) for key, counts in self._in_order()]
            merged = next(
                bars
                for length in (10, 7, 4, 3)
                if len(bars := _merged((day[:length], counts) for day, counts in days)) <= _MAX_BARS or length == 3
            )
            return merged + self._unordered()
        if self._kind == "numbers":
            numbers = self._in_order()
            bars = [(_shown(number), counts) for number, counts in numbers]
            return (bars if len(bars) <= _MAX_BARS else _binned(numbers)) + self._unordered()
        by_size = self._by_size()
        if len(by_size) <= _MAX_BARS:
            return sorted(by_size, key=lambda bar: bar[0] == _EMPTY)
        rest = _merged((_OTHER, counts) for _, counts in by_size[_MAX_BARS - 1 :])
        return [*by_size[: _MAX_BARS - 1], *rest]

    def notes(self) -> list[str]:
        """What the bars do not show, in sentences."""
        self._decide()
        notes = []
        for key, what in ((_NO_DATE, "no date"), (_NO_NUMBER, "no number")):
            if key in self._counts:
                notes.append(f"{self._counts[key].total():,} rows have {what} in this column.")
        if self._kind == "categories" and len(by_size := self._by_size()) > _MAX_BARS:
            left_out = by_size[_MAX_BARS - 1 :]
            names = ", ".join(name if len(name) <= 30 else name[:29] + "…" for name, _ in left_out[:3])
            num_rows = sum(counts.total() for _, counts in left_out)
            notes.append(
                f"{_OTHER} stands for {len(left_out):,} further values with {num_rows:,} rows, such as {names}."
            )
        if self._is_rounded:
            notes.append(f"The numbers are rounded to {_SIGNIFICANT_DIGITS} digits.")
        return notes

    def _decide(self) -> None:
        if self._kind is not None:
            return
        texts = [text for text, _ in self._sample if text]
        self._kind = "categories"
        for kind, parse in (("dates", _as_date), ("numbers", _as_number)):
            if texts and sum(parse(text) is not None for text in texts) >= _ENOUGH * len(texts):
                self._kind = kind
                break
        for text, sentiment in self._sample:
            self._count(text, sentiment)
        self._sample = []

    def _count(self, text: str, sentiment: str) -> None:
        key = self._key(text)
        if key not in self._counts and len(self._counts) >= _MAX_VALUES:
            if self._kind == "numbers" and not self._is_rounded:
                self._round()
            key = self._key(text) if self._kind == "numbers" else _OTHER
        self._counts.setdefault(key, Counter())[sentiment] += 1

    def _key(self, text: str) -> Any:
        if not text:
            return _EMPTY
        if self._kind == "dates":
            return _as_date(text) or _NO_DATE
        if self._kind == "numbers":
            number = _as_number(text)
            if number is None:
                return _NO_NUMBER
            return _rounded(number) if self._is_rounded else number
        return text

    def _round(self) -> None:
        self._is_rounded = True
        rounded: dict[Any, Counter[str]] = {}
        for key, counts in self._counts.items():
            rounded.setdefault(_rounded(key) if isinstance(key, float) else key, Counter()).update(counts)
        self._counts = rounded

    def _in_order(self) -> list[tuple[Any, Counter[str]]]:
        return sorted((key, counts) for key, counts in self._counts.items() if not isinstance(key, str))

    def _unordered(self) -> list[tuple[str, Counter[str]]]:
        return [(key, counts) for key, counts in self._counts.items() if isinstance(key, str)]

    def _by_size(self) -> list[tuple[str, Counter[str]]]:
        return sorted(self._counts.items(), key=lambda item: (-item[1].total(), item[0]))


def _merged(groups: Iterable[tuple[str, Counter[str]]]) -> list[tuple[str, Counter[str]]]:
    merged: dict[str, Counter[str]] = {}
    for label, counts in groups:
        merged.setdefault(label, Counter()).update(counts)
    return list(merged.items())


def _binned(numbers: list[tuple[float, Counter[str]]]) -> list[tuple[str, Counter[str]]]:
    """Bins of equal width whose bounds are round numbers; empty ones are left out."""
    low, high = numbers[0][0], numbers[-1][0]
    least_width = (high - low) / _NUM_BINS
    power = 10.0 ** math.floor(math.log10(least_width))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= least_width)

    def label(number: float) -> str:
        bin_number = math.floor(number / width)
        return f"{_shown(bin_number * width)} to {_shown((bin_number + 1) * width)}"

    return _merged((label(number), counts) for number, counts in numbers)


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _as_date(text: str) -> date | None:
    """The day of a date or a time in ISO 8601, or in another notation that can be read in one way only."""
    if len(text) < 7 or not any(character.isdigit() for character in text[:12]):
        return None
    attempts: list[Callable[[], date]] = [
        lambda: datetime.fromisoformat(text).date(),
        lambda: date.fromisoformat(text[:10]),
        *(lambda form=form: datetime.strptime(text, form).date() for form in _DATE_FORMATS),
    ]
    for attempt in attempts:
        try:
            found = attempt()
        except ValueError:
            continue
        # Eight digits may be a number as well; they are a date only where the year is one that data has.
        return found if not text.isdigit() or 1900 <= found.year <= 2100 else None
    return None


def _rounded(number: float) -> float:
    return float(f"{number:.{_SIGNIFICANT_DIGITS}g}")


def _shown(number: float) -> str:
    return f"{number:.12g}"
