"""JSON lines: one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from batch_client.errors import InputError
from batch_client.formats.opened import bounded_lines, open_text
from batch_client.formats.source import ReadOptions, Row


class JsonLinesReader:
    """Reads objects; blank lines are no rows. Rows may have different fields: `columns` are all there are."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self._options = options
        self.columns = list(dict.fromkeys(name for row in self.rows() for name in row))

    def rows(self) -> Iterator[Row]:
        """All objects."""
        with open_text(self.path, self._options.encoding, newline="\n") as text:
            for number, line in enumerate(bounded_lines(text, self.path), 1):
                if line.strip():
                    yield self._parse(line, number)

    def values(self, column: str) -> Iterator[Any]:
        """The values of one field."""
        for row in self.rows():
            yield row.get(column)

    def _parse(self, line: str, number: int) -> Row:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{self.path}, line {number} is not JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise InputError(f"{self.path}, line {number} is nested too deeply") from None
        except ValueError as error:
            raise InputError(f"{self.path}, line {number} cannot be read: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f'{self.path}, line {number} is not an object such as {{"text": "I love this!"}}')
        return row


class JsonLinesWriter:
    """Writes one object per row, in UTF-8; fields that are None are written as null."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, row: Row) -> None:
        """Write one row."""
        self._file.write(f"{compact_json(row)}\n".encode())

    def close(self) -> None:
        """Nothing is held back."""


def compact_json(value: Any) -> str:
    """JSON that UTF-8 can carry: readable, but escaped as a whole if a string in it holds a lone surrogate."""
    readable = json.dumps(value, ensure_ascii=False, default=str)
    try:
        readable.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=str)
    return readable
