"""Excel's spreadsheets: one sheet as a table."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_client.errors import InputError
from batch_client.formats.cells import UNSTORED, CellError, SerialText, TooLargeError
from batch_client.formats.opened import readable
from batch_client.formats.packings import refuse_zip
from batch_client.formats.sheet_rows import rows_of
from batch_client.formats.source import ReadOptions, Row
from batch_client.formats.values import as_cell
from batch_client.outcomes import Failure

if TYPE_CHECKING:
    from batch_client.formats.workbook import Workbook

_REMEDY = "open the file in Excel and save it"


class SpreadsheetReader:
    """Reads one sheet; its first row that holds anything names the columns."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path, self.name = path, options.name or str(path)
        self.format = "xlsx"
        self._has_header = options.has_header
        self._num_unstored = 0
        with self._opened() as archive:
            self._workbook = self._open_workbook(archive)
        self._sheet = self._chosen_sheet(options.sheet)
        self.columns = self._read_columns()

    @property
    def description(self) -> str:
        """How the file is read; what is missing in it is known once all rows were read."""
        described = f"spreadsheet, sheet {self._sheet!r}"
        if not self._num_unstored:
            return described
        number = "1 formula" if self._num_unstored == 1 else f"{self._num_unstored:,} formulas"
        return f"{described}, {number} without a stored value left empty ({_REMEDY} to have them computed)"

    def rows(self) -> Iterator[Row]:
        """All rows, numbers as numbers and times as text; a row without any value is none."""
        for cells in self._cells():
            yield dict(zip(self.columns, (None if cell is UNSTORED else cell for cell in cells), strict=True))

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column; a failure where a cell holds an error, or a formula without a value."""
        index = self.columns.index(column)
        for cells in self._cells():
            yield _as_text(cells[index])

    def _chosen_sheet(self, asked: str | None) -> str:
        sheets, charts = list(self._workbook.sheets), self._workbook.charts
        names = ", ".join(map(repr, sheets))
        if asked in charts:
            raise InputError(f"{self.name}: sheet {asked!r} holds no cells (a chart?); its other sheets are {names}")
        if asked is not None and asked not in sheets:
            raise InputError(f"{self.name} has no sheet {asked!r}; it has {names}")
        if not sheets:
            raise InputError(f"{self.name} has no sheet with cells")
        if asked is None and len(sheets) > 1:
            raise InputError(f"{self.name} has the sheets {names}; say which with --sheet")
        return asked or sheets[0]

    def _read_columns(self) -> list[str]:
        first = next(self._records(), [])
        if not first:
            raise InputError(f"{self.name}: sheet {self._sheet!r} is empty; its first row should name the columns")
        if not self._has_header:
            return [str(index + 1) for index in range(len(first))]
        if None in first or UNSTORED in first:
            raise InputError(f"{self.name}: a column has no name; its first row should name all columns")
        names = [as_cell(cell) for cell in first]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{self.name} has two columns named {twice[0]!r}; give them different names")
        return names

    def _cells(self) -> Iterator[list[Any]]:
        records = self._records()
        if self._has_header:
            next(records)
        num_unstored = 0
        for cells in records:
            if len(cells) > len(self.columns):
                raise InputError(f"{self.name}: a row has a value in a column without a name; name all columns")
            num_unstored += cells.count(UNSTORED)
            yield cells + [None] * (len(self.columns) - len(cells))
        self._num_unstored = num_unstored

    def _records(self) -> Iterator[list[Any]]:
        with self._opened() as archive, archive.open(self._workbook.sheets[self._sheet]) as stream:
            for cells in rows_of(stream, self._workbook.context):
                while cells and cells[-1] is None:
                    cells.pop()
                if cells:
                    yield cells

    def _open_workbook(self, archive: zipfile.ZipFile) -> Workbook:
        members = archive.namelist()
        if "xl/workbook.bin" in members or not any(member.startswith("xl/") for member in members):
            refuse_zip(members, self.name)
        try:
            from batch_client.formats.workbook import Workbook
        except ImportError:
            raise InputError(
                f"{self.name} is a spreadsheet, for which openpyxl is needed: pip install openpyxl, or save it as CSV"
            ) from None
        return Workbook(archive)

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        """The package. Whatever is wrong with it within the block becomes an InputError."""
        try:
            with readable(self.name), zipfile.ZipFile(self.path) as archive:
                yield archive
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.name} is a damaged ZIP archive or spreadsheet: {error}") from None
        except TooLargeError as error:
            raise InputError(f"{self.name} is too large to be read: {error}; save it as CSV") from None
        except RuntimeError as error:  # how zipfile says that a part is encrypted
            raise InputError(f"{self.name} cannot be read: {error}") from error
        except (KeyError, IndexError, ValueError, SyntaxError, StopIteration) as error:
            raise InputError(f"{self.name} is a damaged spreadsheet: {error}") from error


def _as_text(cell: Any) -> Any:
    if cell is UNSTORED:
        return Failure("no_value", f"the formula in the cell has no stored value; {_REMEDY}")
    if isinstance(cell, SerialText):  # a score such as 10/10 that Excel took for a day, for one
        return Failure("not_text", "the cell holds a date, a time or a duration, not a text")
    return Failure("cell_error", f"the cell holds the error {cell}") if isinstance(cell, CellError) else cell
