"""Excel's spreadsheets, through openpyxl. The only module that imports it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from batch_client.errors import InputError
from batch_client.formats.opened import readable
from batch_client.formats.packings import ZIP_MAGIC, refuse_known
from batch_client.formats.source import ReadOptions, Row


class SpreadsheetReader:
    """Reads one sheet; its first row that holds anything names the columns."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path, self.name = path, options.name or str(path)
        self.format = "xlsx"
        self._has_header = options.has_header
        _check_is_spreadsheet(path, self.name)
        with self._workbook() as workbook:
            sheets = workbook.sheetnames
        if options.sheet is None and len(sheets) > 1:
            names = ", ".join(repr(name) for name in sheets)
            raise InputError(f"{self.name} has the sheets {names}; say which with --sheet")
        if options.sheet is not None and options.sheet not in sheets:
            raise InputError(f"{self.name} has no sheet {options.sheet!r}; it has {', '.join(map(repr, sheets))}")
        self._sheet = options.sheet or sheets[0]
        self.description = f"spreadsheet, sheet {self._sheet!r}"
        self.columns = self._read_columns()

    def rows(self) -> Iterator[Row]:
        """All rows, numbers as numbers and times as text; a row without any value is none."""
        for cells in self._cells(skip_header=self._has_header):
            yield dict(zip(self.columns, cells, strict=True))

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column."""
        index = self.columns.index(column)
        for cells in self._cells(skip_header=self._has_header):
            yield cells[index]

    def _read_columns(self) -> list[str]:
        first = next(self._records(), [])
        if not first:
            raise InputError(f"{self.name}: sheet {self._sheet!r} is empty; its first row should name the columns")
        names = [str(cell) for cell in first] if self._has_header else [str(index + 1) for index in range(len(first))]
        if None in first and self._has_header:
            raise InputError(f"{self.name}: a column has no name; its first row should name all columns")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{self.name} has two columns named {twice[0]!r}; give them different names")
        return names

    def _cells(self, skip_header: bool) -> Iterator[list[Any]]:
        records = self._records()
        if skip_header:
            next(records)
        for cells in records:
            if len(cells) > len(self.columns):
                raise InputError(f"{self.name}: a row has a value in a column without a name; name all columns")
            yield cells + [None] * (len(self.columns) - len(cells))

    def _records(self) -> Iterator[list[Any]]:
        with self._workbook() as workbook:
            for row in workbook[self._sheet].iter_rows(values_only=True):
                cells = [_plain(cell) for cell in row]
                while cells and cells[-1] is None:
                    cells.pop()
                if cells:
                    yield cells

    @contextmanager
    def _workbook(self) -> Iterator[Any]:
        try:
            import openpyxl
        except ImportError:
            raise InputError(
                f"{self.name} is a spreadsheet; to read it: pip install 'batch-client[xlsx]', or save it as CSV"
            ) from None
        # From a file that is open, for openpyxl judges a name by its end.
        with readable(self.name), self.path.open("rb") as file:
            try:
                workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            except (KeyError, ValueError, zipfile.BadZipFile, SyntaxError) as error:
                raise InputError(f"{self.name} is a damaged spreadsheet: {error}") from error
            try:
                yield workbook
            finally:
                workbook.close()


def _check_is_spreadsheet(path: Path, name: str) -> None:
    try:
        with readable(name), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise InputError(f"{name} is a damaged ZIP archive or spreadsheet") from None
    if not any(member.startswith("xl/") for member in names):
        refuse_known(ZIP_MAGIC, name)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date | time) else value
