"""CSV and TSV. Cells are kept as the texts they are: nothing is guessed to be a number or a date."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from batch_client.errors import InputError, OutputError
from batch_client.formats.delimiters import declared_delimiter, guess_delimiter, name_of, quotes_enclose, splitting
from batch_client.formats.opened import TextFile, bounded_lines
from batch_client.formats.source import ReadOptions, Row
from batch_client.formats.values import as_cell

_MAX_CELL_CHARACTERS = 16 * 2**20
_UNCLOSED = "is a quote left open? If quotes are ordinary characters in this file, pass --no-quotes"


class DelimitedReader:
    """Reads cells parted by one character.

    An empty line is no row, except in a file of one column, where it is an empty cell.
    """

    def __init__(self, file: TextFile, default: str, options: ReadOptions, text_column: str | None = None) -> None:
        self.path, self.name = file.path, file.name
        self._file = file
        self._options = options
        lines = file.start.removeprefix("\ufeff").splitlines()
        declared = declared_delimiter(lines[0]) if lines else None
        self._num_skipped = int(declared is not None)
        lines = [line for line in lines[self._num_skipped :] if line.strip()]
        if declared and lines and declared not in lines[0] and splitting(lines[0]):
            declared = None  # what the file says of itself is not so
        self.delimiter = options.delimiter or declared
        self._is_guessed = self.delimiter is None
        if self.delimiter is None:
            self.delimiter = guess_delimiter(
                lines[0] if lines else "", default, text_column, self.name, options.has_header
            )
        if options.has_quotes is not None:
            self.has_quotes = options.has_quotes
        else:
            is_tsv = self.delimiter == "\t" and default == "\t"
            self.has_quotes = not is_tsv or quotes_enclose(lines, self.delimiter, options.has_header)
        self.columns = self._read_columns()
        self.format = "tsv" if default == "\t" else "csv"
        parted = f"cells parted by {name_of(self.delimiter)}" + (" (guessed)" if self._is_guessed else "")
        quoted = "quotes enclose cells" if self.has_quotes else "quotes are ordinary characters"
        self.description = f"{self.format.upper()}, {file.description}, {parted}, {quoted}"

    def rows(self) -> Iterator[Row]:
        """All rows; a row with more or fewer cells than columns raises InputError."""
        for cells in self._cells(skip_header=self._options.has_header):
            yield dict(zip(self.columns, cells, strict=True))

    def values(self, column: str) -> Iterator[str]:
        """The cells of one column."""
        index = self.columns.index(column)
        for cells in self._cells(skip_header=self._options.has_header):
            yield cells[index]

    def _read_columns(self) -> list[str]:
        first = next((cells for _, cells in self._records() if cells), [])
        first[:1] = [name.lstrip("\ufeff") for name in first[:1]]  # programs that add a second mark leave one
        if not first:
            raise InputError(f"{self.name} is empty; it should hold at least a line that names the columns")
        if not self._options.has_header:
            return [str(number) for number in range(1, len(first) + 1)]
        if twice := sorted({name for name in first if first.count(name) > 1}):
            raise InputError(f"{self.name} has two columns named {twice[0]!r}; give them different names")
        return first

    def _cells(self, skip_header: bool) -> Iterator[list[str]]:
        num_columns = len(self.columns)
        is_header_next = skip_header
        for line, cells in self._records():
            if is_header_next:
                is_header_next = not cells
                continue
            if len(cells) != num_columns:
                if cells:
                    raise InputError(
                        f"{self.name}, line {line}: the row has {len(cells)} cells, but there are {num_columns} "
                        f"columns{self._guess()}; {self._advice(cells)}"
                    )
                if num_columns > 1:
                    continue
                cells = [""]
            yield cells

    def _advice(self, cells: Sequence[str]) -> str:
        if not self.has_quotes and any(cell.startswith('"') or cell.endswith('"') for cell in cells):
            return "quotes are taken as ordinary characters here: if they enclose cells, as Excel writes, pass --quotes"
        return "correct the line (a cell that holds a separator or a line break must be in quotes)"

    def _guess(self) -> str:
        if not self._is_guessed or self.delimiter == ",":
            return ""
        return f" (parted by {name_of(str(self.delimiter))}, as was guessed; --delimiter says otherwise)"

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of its last line."""
        csv.field_size_limit(_MAX_CELL_CHARACTERS)
        quoting: Any = csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE
        with self._file.open(newline="") as text:
            lines = bounded_lines(text, self.name)
            for _ in range(self._num_skipped):
                next(lines)
            reader = csv.reader(lines, delimiter=str(self.delimiter), quoting=quoting, strict=True)
            last_line = 1
            try:
                for cells in reader:
                    last_line = reader.line_num + 1
                    yield reader.line_num + self._num_skipped, cells
            except csv.Error as error:
                raise InputError(f"{self.name}, row that begins in line {last_line}: {error}; {_UNCLOSED}") from None


@dataclass(frozen=True)
class CellStyle:
    """How CSV and TSV are written. A byte order mark shows Excel that they are UTF-8."""

    delimiter: str | None = None
    has_bom: bool = False
    has_header: bool = True


class UnquotableError(OutputError):
    """A cell that cannot be written without quotes."""


class DelimitedWriter:
    """Writes rows as cells parted by `delimiter`, in UTF-8, quoted where necessary, lines ended by a line feed."""

    def __init__(
        self, file: BinaryIO, columns: Sequence[str], delimiter: str, style: CellStyle, has_quotes: bool = True
    ) -> None:
        if style.has_bom:
            file.write(codecs.BOM_UTF8)
        # A lone surrogate (JSON can spell one) is written as its escape: UTF-8 has no bytes for it.
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        self._columns = columns
        quoting: Any = {"quoting": csv.QUOTE_MINIMAL} if has_quotes else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        # The module quotes a lone carriage return only if it is part of the line's end.
        lines = _LineFeeds(self._text)
        self._csv = csv.writer(lines, delimiter=delimiter, lineterminator="\r\n", **quoting)
        if not style.has_header:
            return
        # Quotes around every name keep readers from taking a name's semicolon for a delimiter, and show our own reader
        # of TSV that quotes enclose cells.
        if has_quotes and (delimiter == "\t" or any(sign in name for name in columns for sign in ";|\t")):
            csv.writer(lines, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerow(columns)
        else:
            self._write(columns)

    def write(self, row: Row) -> None:
        """Write one row. Raises UnquotableError for a value that cannot be written without quotes."""
        cells = [row.get(column) for column in self._columns]
        self._write([cell if type(cell) is str else as_cell(cell) for cell in cells])  # most are: calls cost more

    def close(self) -> None:
        """Write what is still held back; the file stays open."""
        self._text.flush()
        self._text.detach()

    def _write(self, cells: Sequence[str]) -> None:
        try:
            self._csv.writerow(cells)
        except csv.Error as error:
            raise UnquotableError(
                f"a cell cannot be written without quotes ({error}); write CSV or JSON lines"
            ) from None


class _LineFeeds:
    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line[:-2] + "\n")
