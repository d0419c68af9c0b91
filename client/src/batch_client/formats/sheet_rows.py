"""The rows of one sheet's XML, one at a time. Only what is there counts: neither `<dimension>` nor row numbers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import Element, iterparse

from batch_client.formats.cells import CellContext, TooLargeError, local_name, value_of

_MAX_COLUMNS = 16_384
_MAX_ROW_BYTES = 64 * 2**20


def rows_of(stream: IO[bytes], context: CellContext) -> Iterator[list[Any]]:
    """The values of each row, None where a cell is empty or left out; a row may be empty.

    Raises:
        ValueError, IndexError, SyntaxError: the sheet is damaged.
        TooLargeError: a row would not fit into memory.
    """
    counted = _Counted(stream)
    rows: Element | None = None
    for event, element in iterparse(counted, events=("start", "end")):
        name = local_name(element)
        if event == "start":
            if name == "sheetData":
                rows = element
        elif name == "row" and rows is not None:
            yield _values(element, context)
            rows.clear()
            counted.num_bytes = 0
        elif name == "sheetData":
            break
    while stream.read(2**16):  # the archive's checksum is compared at the end only
        pass


def _values(row: Element, context: CellContext) -> list[Any]:
    values: list[Any] = []
    for cell in row:
        if local_name(cell) != "c":
            continue
        address = cell.get("r")
        index = _column_of(address) if address else len(values)
        if index < len(values):
            raise ValueError(f"the cell {address} is there twice, or out of order")
        values.extend([None] * (index - len(values)))
        values.append(value_of(cell, context))
    return values


def _column_of(address: str) -> int:
    number = 0
    for letter in address.rstrip("0123456789"):
        if not "A" <= letter <= "Z":
            raise ValueError(f"{address!r} is no address of a cell")
        number = number * 26 + ord(letter) - ord("A") + 1
        if number > _MAX_COLUMNS:
            raise ValueError(f"{address!r} is beyond the last column that a sheet can have")
    return number - 1


class _Counted:
    """A stream that ends the reading of a row without end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As the stream's own, within bounds."""
        found = self._stream.read(size)
        self.num_bytes += len(found)
        if self.num_bytes > _MAX_ROW_BYTES:
            raise TooLargeError(f"a row of its sheet is larger than {_MAX_ROW_BYTES // 2**20} MiB")
        return found
