"""JSON: one object per line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from batch_client.errors import InputError
from batch_client.formats.opened import TextFile
from batch_client.formats.source import Row
from batch_client.formats.values import compact_json, exact_number

_MAX_ARRAY_CHARACTERS = 256 * 2**20
_DEEP = 200
"""So many brackets in a row are looked at twice: what can be read may be nested too deeply to be written again."""


class JsonLinesReader:
    """Reads objects; blank lines are no rows. Rows may have different fields: `columns` are all there are."""

    def __init__(self, file: TextFile) -> None:
        self.path, self.name = file.path, file.name
        self._file = file
        self.format = "jsonl"
        self.description = f"JSON lines, {file.description}"
        self.columns = list(dict.fromkeys(name for row in self.rows() for name in row))

    def rows(self) -> Iterator[Row]:
        """All objects."""
        for number, line in enumerate(self._file.lines(newline="\n"), 1):
            if line.strip():
                yield as_row(_parse(line, f"{self.name}, line {number}"), f"{self.name}, line {number}")

    def values(self, column: str) -> Iterator[Any]:
        """The values of one field."""
        for row in self.rows():
            yield row.get(column)


class JsonArrayReader:
    """Reads an array of objects. It is held in memory, which is why its size is bounded."""

    def __init__(self, file: TextFile) -> None:
        self.path, self.name = file.path, file.name
        self.format = "json"
        self.description = f"a JSON array, {file.description}"
        with file.open(newline="") as text:
            content = text.read(_MAX_ARRAY_CHARACTERS + 1)
        if len(content) > _MAX_ARRAY_CHARACTERS:
            raise InputError(
                f"{self.name} is a JSON array of more than {_MAX_ARRAY_CHARACTERS:,} characters; "
                "make JSON lines of it first, for example with jq -c '.[]'"
            )
        found = _parse(content, self.name)
        if not isinstance(found, list):
            raise InputError(f"{self.name} holds one JSON value, not rows; write one object per line (JSON lines)")
        self._rows = [as_row(row, f"{self.name}, element {number}") for number, row in enumerate(found, 1)]
        self.columns = list(dict.fromkeys(name for row in self._rows for name in row))

    def rows(self) -> Iterator[Row]:
        """All objects."""
        yield from self._rows

    def values(self, column: str) -> Iterator[Any]:
        """The values of one field."""
        for row in self._rows:
            yield row.get(column)


class JsonLinesWriter:
    """Writes one object per row, in UTF-8; fields that are None are written as null."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, row: Row) -> None:
        """Write one row."""
        self._file.write(f"{compact_json(row)}\n".encode())

    def close(self) -> None:
        """Nothing is held back."""


def as_row(value: Any, where: str) -> Row:
    """The object that a row must be. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError(f'{where} is not an object such as {{"text": "I love this!"}}')
    return value


def _parse(text: str, where: str) -> Any:
    try:
        found = json.loads(text, parse_float=exact_number, object_pairs_hook=_without_repetition)
        if text.count("[") + text.count("{") > _DEEP:
            compact_json(found)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise InputError(f"{where} cannot be read: {error}") from None
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the field {twice!r} twice")
    return found
