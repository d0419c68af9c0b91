"""From a cell of a spreadsheet to its value: the one function that knows the types of cells.

| cell | value |
|---|---|
| text | text; `_x000D_` and the like are the characters that they stand for |
| number | an integer or a float |
| number shown as a date or a time | ISO 8601, such as `2024-01-05T00:00:00` or `09:30:00` |
| number shown as elapsed time (`[h]:mm`) | a duration in ISO 8601, such as `PT5400S` |
| truth value | a bool |
| error | `CellError`, such as `#N/A` |
| formula | its stored value; `UNSTORED` where the program that wrote the file computed none |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from xml.etree.ElementTree import Element

from batch_client.formats.values import iso_duration

_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_MILLISECONDS_PER_DAY = 86_400_000
_DAYS_TO_1904 = 1462
"""Between the first days of the two calendars that workbooks have."""


class CellError(str):
    """What a cell shows whose formula failed, such as `#N/A`: kept in a result, but never a text to classify."""


class SerialText(str):
    """A time in ISO 8601 that a workbook holds as a number of days, `serial`, since the end of 1899.

    `kind` is "day", "moment" (a day and a time), "time" or "duration".
    """

    serial: int | float
    kind: str

    def __new__(cls, text: str, serial: int | float, kind: str) -> Self:
        """The text with its number."""
        made = super().__new__(cls, text)
        made.serial, made.kind = serial, kind
        return made


class TooLargeError(Exception):
    """A part of a workbook that would not fit into memory."""


class _Unstored:
    """A formula's cell without a value."""


UNSTORED: Final = _Unstored()


@dataclass(frozen=True)
class CellContext:
    """What cells refer to: shared strings, the numbers of the styles that show dates and durations, and day 0."""

    strings: Sequence[str]
    date_styles: frozenset[int]
    duration_styles: frozenset[int]
    epoch: datetime


def value_of(cell: Element, context: CellContext) -> Any:
    """The value of a cell; None for an empty one.

    Raises:
        ValueError, IndexError: the cell is damaged.
    """
    kind = cell.get("t", "n")
    children = {local_name(child): child for child in cell}
    if kind == "inlineStr":
        return text_of(children["is"]) if "is" in children else None
    stored = None if "v" not in children else children["v"].text or ""
    if stored is None or (not stored and kind != "str"):  # a formula may yield an empty text
        return UNSTORED if "f" in children else None
    match kind:
        case "s":
            index = int(stored)
            if index < 0:
                raise ValueError(f"there is no shared string {index}")
            return context.strings[index]
        case "str":
            return unescaped(stored)
        case "b":
            return stored.strip() in ("1", "true")
        case "e":
            return CellError(stored)
        case "d":
            return stored
        case "n":
            return _number(stored, int(cell.get("s", 0)), context)
    raise ValueError(f"a cell is of the unknown type {kind!r}")


def text_of(item: Element) -> str:
    """The text of a shared or inline string, its runs put together; how to pronounce it is left out."""
    parts: list[str] = []
    for child in item:
        if local_name(child) == "t":
            parts.append(child.text or "")
        elif local_name(child) == "r":
            parts.extend(part.text or "" for part in child if local_name(part) == "t")
    return unescaped("".join(parts))


def unescaped(text: str) -> str:
    """Text without the escapes `_xHHHH_` that workbooks have for characters that XML cannot hold."""
    if "_x" not in text:
        return text
    found = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    # Two escapes may be the halves of one character.
    return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def local_name(element: Element) -> str:
    """The name of an element without its namespace, of which ordinary and Strict workbooks have different ones."""
    return element.tag.rpartition("}")[2]


def _number(digits: str, style: int, context: CellContext) -> int | float | str:
    digits = digits.strip()
    number = int(digits) if digits.lstrip("+-").isdigit() else float(digits)
    try:
        if style in context.duration_styles:
            return SerialText(iso_duration(round(number * _MILLISECONDS_PER_DAY), "ms"), number, "duration")
        if style in context.date_styles:
            return _moment(number, context.epoch)
    except (OverflowError, ValueError):  # no calendar has that day: the number is all there is
        return number
    return number


def _moment(number: int | float, epoch: datetime) -> SerialText:
    from openpyxl.utils.datetime import CALENDAR_MAC_1904, from_excel

    text = str(from_excel(number, epoch).isoformat())
    if "T" not in text:
        return SerialText(text, number, "time")
    serial = number + (_DAYS_TO_1904 if epoch == CALENDAR_MAC_1904 else 0)
    return SerialText(text, serial, "day" if serial == int(serial) else "moment")
