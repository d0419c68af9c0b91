"""A spreadsheet (`.xlsx`) of one sheet, written row by row.

By hand, as the libraries that write spreadsheets put the whole sheet into files beside it first, round numbers to 16
digits, or note the time, so that a run that is resumed would not end in the same bytes.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import count, product
from string import ascii_uppercase
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from batch_client.errors import OutputError
from batch_client.formats.cells import CellError, SerialText
from batch_client.formats.sheet_parts import HEADER_STYLE, PARTS, SHEET_END, SHEET_PART, SHEET_START, STYLES
from batch_client.formats.source import Reader, Row
from batch_client.formats.values import as_cell

MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARACTERS = 1_048_576, 16_384, 32_767
"""What Excel opens."""
_MAX_SHEET_BYTES = 2 * 2**30 - 2**20
"""Beyond 2 GiB, a member of a ZIP archive needs a form that some programs do not read."""
_ADDED_COLUMNS, _ADDED_BYTES_PER_ROW = 200, 400
_FIRST_INEXACT = 10**15
"""Excel keeps 15 digits of a number; a longer one, such as an identifier, is written as text."""
_ROWS_PER_WRITE = 256
_NOT_IN_XML = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\\x00-\\x08\\x0b-\\x1f\ud800-\udfff\ufffe\uffff]")
_DAY_0, _FIRST_SAFE_DAY = datetime(1899, 12, 30), datetime(1900, 3, 1)
"""Excel counts a 29 February 1900, so that earlier days differ from program to program."""


class SheetWriter:
    """Writes rows as a spreadsheet: numbers, truth values and times as such, texts as texts whatever they begin with.

    `dates` names the columns whose texts are dates or times in ISO 8601, to be written as Excel has them.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], has_header: bool, dates: Collection[str] = ()) -> None:
        self._columns = columns
        self._dates = frozenset(dates)
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        for name, content in PARTS.items():
            self._archive.writestr(_member(name), content)
        self._sheet = self._archive.open(_member(SHEET_PART), "w")
        self._waiting = [SHEET_START[has_header]]
        self._letters = [letters for _, letters in zip(columns, _column_letters(), strict=False)]
        self._numbers = count(1)
        if has_header:
            self._add([_text(name, f' s="{HEADER_STYLE}"') for name in columns])

    def write(self, row: Row) -> None:
        """Write one row."""
        self._add([self._cell(name, row.get(name)) for name in self._columns])

    def close(self) -> None:
        """Write what is still held back and the archive's directory; the file stays open."""
        self._waiting.append(SHEET_END)
        self._flush()
        self._sheet.close()
        self._archive.close()

    def _cell(self, column: str, value: Any) -> str:
        if column in self._dates and isinstance(value, str):
            return cell_of(_moment(value))
        return cell_of(value)

    def _add(self, cells: Sequence[str]) -> None:
        number = next(self._numbers)
        placed = (f'<c r="{at}{number}"{cell}' for at, cell in zip(self._letters, cells, strict=True) if cell)
        self._waiting.append(f'<row r="{number}">{"".join(placed)}</row>')
        if len(self._waiting) == _ROWS_PER_WRITE:
            self._flush()

    def _flush(self) -> None:
        self._sheet.write("".join(self._waiting).encode())
        self._waiting = []


def cell_of(value: Any) -> str:
    """The XML of a cell behind its address; empty for a value that is none."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f' t="b"><v>{value:d}</v></c>'
    if isinstance(value, SerialText):
        return f' s="{STYLES[value.kind]}"><v>{value.serial!r}</v></c>'
    if isinstance(value, CellError):
        return f' t="e"><v>{escape(value)}</v></c>'
    if _is_number(value):
        return f"><v>{value!r}</v></c>"
    return _text(as_cell(value))


def check_fits(reader: Reader, num_rows: int, has_header: bool) -> None:
    """Raise OutputError, before the first request, if the rows with what is added to them are too much for a sheet."""
    other = "write CSV, JSON lines or Parquet"
    if num_rows + has_header > MAX_ROWS:
        raise OutputError(
            f"the result has {num_rows:,} rows{' and a header' * has_header}, a sheet holds {MAX_ROWS:,}; {other}"
        )
    if len(reader.columns) + _ADDED_COLUMNS > MAX_COLUMNS:
        raise OutputError(f"{reader.name} has {len(reader.columns):,} columns, too many for a sheet; {other}")
    num_bytes = num_rows * _ADDED_BYTES_PER_ROW
    for number, row in enumerate(reader.rows(), 1):
        for column, value in row.items():
            cell = cell_of(value)
            num_bytes += len(cell) + len(column)
            if 2 * len(cell) > MAX_CELL_CHARACTERS and _length(as_cell(value)) > MAX_CELL_CHARACTERS:
                raise OutputError(
                    f"{reader.name}, row {number:,}: column {column!r} has {_length(as_cell(value)):,} characters, "
                    f"a cell of a spreadsheet holds {MAX_CELL_CHARACTERS:,}; {other}"
                )
    if num_bytes > _MAX_SHEET_BYTES:
        raise OutputError(f"the result is more than a sheet of 2 GiB; {other}")


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < _FIRST_INEXACT
    return isinstance(value, float) and math.isfinite(value)


def _text(value: str, attributes: str = "") -> str:
    safe = escape(_NOT_IN_XML.sub(lambda match: f"_x{ord(match[0]):04X}_", value))
    return f'{attributes} t="inlineStr"><is><t xml:space="preserve">{safe}</t></is></c>'


def _moment(text: str) -> str:
    """A date or a time as a workbook holds it, or as text where that would change it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    if found.tzinfo is not None or found < _FIRST_SAFE_DAY or text[23:].strip("0"):  # a workbook keeps milliseconds
        return text
    days = (found - _DAY_0).total_seconds() / 86_400
    return SerialText(text, int(days) if days.is_integer() else days, "day" if len(text) == 10 else "moment")


def _length(text: str) -> int:
    """Characters as Excel counts them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of 1980, always
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _column_letters() -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_uppercase, repeat=length):
            yield "".join(letters)
