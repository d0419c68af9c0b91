"""CSV and TSV. Cells are kept as the texts they are: nothing is guessed to be a number or a date."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from batch_client.errors import InputError, OutputError
from batch_client.formats.json_lines import compact_json
from batch_client.formats.opened import bounded_lines, open_text
from batch_client.formats.source import ReadOptions, Row

_MAX_CELL_CHARACTERS = 16 * 2**20
_UNCLOSED = "is a quote left open? If quotes are ordinary characters in this file, pass --no-quotes"


class DelimitedReader:
    """Reads cells parted by `delimiter`.

    An empty line is no row, except in a file of one column, where it is an empty cell.
    """

    def __init__(self, path: Path, delimiter: str, options: ReadOptions) -> None:
        self.path = path
        self._delimiter = delimiter
        self._options = options
        self.has_quotes = options.has_quotes if options.has_quotes is not None else delimiter == ","
        self.columns = self._read_columns()

    def rows(self) -> Iterator[Row]:
        """All rows; a row with more or fewer cells than columns raises InputError."""
        for cells in self._cells(skip_header=self._options.has_header):
            yield dict(zip(self.columns, cells, strict=True))

    def values(self, column: str) -> Iterator[str]:
        """The cells of one column."""
        place = self.columns.index(column)
        for cells in self._cells(skip_header=self._options.has_header):
            yield cells[place]

    def _read_columns(self) -> list[str]:
        first = next(self._records(), (0, []))[1]
        if not first:
            raise InputError(f"{self.path} is empty; it should hold at least a line that names the columns")
        if not self._options.has_header:
            return [str(number) for number in range(1, len(first) + 1)]
        if twice := sorted({name for name in first if first.count(name) > 1}):
            raise InputError(f"{self.path} has two columns named {twice[0]!r}; give them different names")
        return first

    def _cells(self, skip_header: bool) -> Iterator[list[str]]:
        num_columns = len(self.columns)
        records = self._records()
        if skip_header:
            next(records)
        for line, cells in records:
            if len(cells) != num_columns:
                if cells:
                    raise InputError(
                        f"{self.path}, line {line}: the row has {len(cells)} cells, but there are {num_columns} "
                        "columns; mend the line (a cell that holds a separator or a line break must be in quotes)"
                    )
                if num_columns > 1:
                    continue
                cells = [""]
            yield cells

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of its last line."""
        csv.field_size_limit(_MAX_CELL_CHARACTERS)
        quoting: Any = csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE
        with open_text(self.path, self._options.encoding, newline="") as text:
            lines = bounded_lines(text, self.path)
            reader = csv.reader(lines, delimiter=self._delimiter, quoting=quoting, strict=True)
            last_line = 1
            try:
                for cells in reader:
                    last_line = reader.line_num + 1
                    yield reader.line_num, cells
            except csv.Error as error:
                raise InputError(f"{self.path}, row that begins in line {last_line}: {error}; {_UNCLOSED}") from None


class DelimitedWriter:
    """Writes rows as cells parted by `delimiter`, in UTF-8, quoted where necessary, lines ended by a line feed."""

    def __init__(
        self, file: BinaryIO, columns: Sequence[str], delimiter: str, has_header: bool = True, has_quotes: bool = True
    ) -> None:
        # A lone surrogate (JSON can spell one) is written as its escape: UTF-8 has no bytes for it.
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        self._columns = columns
        quoting: Any = {"quoting": csv.QUOTE_MINIMAL} if has_quotes else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        # The module quotes a lone carriage return only if it is part of the line's end.
        self._csv = csv.writer(_LineFeeds(self._text), delimiter=delimiter, lineterminator="\r\n", **quoting)
        if has_header:
            self._csv.writerow(columns)

    def write(self, row: Row) -> None:
        """Write one row. Raises OutputError for a value that cannot be written without quotes."""
        try:
            self._csv.writerow([_cell(row.get(column)) for column in self._columns])
        except csv.Error as error:
            raise OutputError(f"a cell cannot be written without quotes ({error}); write CSV or JSON lines") from None

    def close(self) -> None:
        """Write what is still held back; the file stays open."""
        self._text.flush()
        self._text.detach()


class _LineFeeds:
    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line[:-2] + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return compact_json(value)
    return str(value)
