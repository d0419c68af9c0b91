"""Sentiments by the values of one column, which holds dates or categories."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

_MAX_VALUES = 10_000
_MAX_BARS = 40
_OTHER = "(other)"
_EMPTY = "(empty)"


class Groups:
    """Counts sentiments by group. The first value that is there decides whether the column holds dates."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.is_dates = False
        self._is_decided = False
        self._counts: dict[str, Counter[str]] = {}

    def add(self, value: Any, sentiment: str) -> None:
        """Count one row. Beyond 10,000 different values, further ones are counted together."""
        key = "" if value is None else str(value).strip()
        if key and not self._is_decided:
            self.is_dates = _is_date(key)
            self._is_decided = True
        if self.is_dates:
            key = key[:10] if _is_date(key) else ""
        key = key or _EMPTY
        if key not in self._counts and len(self._counts) >= _MAX_VALUES:
            key = _OTHER
        self._counts.setdefault(key, Counter())[sentiment] += 1

    def bars(self) -> list[tuple[str, Counter[str]]]:
        """At most 40 groups to draw: dates in order, by day, month or year; or categories, the largest first."""
        if self.is_dates:
            return next(
                bars for length in (10, 7, 4, 3) if len(bars := self._by_start(length)) <= _MAX_BARS or length == 3
            )
        by_size = sorted(self._counts.items(), key=lambda item: (-item[1].total(), item[0]))
        if len(by_size) <= _MAX_BARS:
            return by_size
        rest: Counter[str] = Counter()
        for _, counts in by_size[_MAX_BARS - 1 :]:
            rest.update(counts)
        return [*by_size[: _MAX_BARS - 1], (_OTHER, rest)]

    def _by_start(self, length: int) -> list[tuple[str, Counter[str]]]:
        merged: dict[str, Counter[str]] = {}
        for key, counts in sorted(self._counts.items()):
            start = key if key in (_EMPTY, _OTHER) else key[:length]
            merged.setdefault(start, Counter()).update(counts)
        return list(merged.items())


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True
