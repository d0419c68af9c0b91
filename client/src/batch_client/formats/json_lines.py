"""JSON: one object per line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from batch_client.errors import InputError
from batch_client.formats.opened import DOS_END, TextFile
from batch_client.formats.source import Row
from batch_client.formats.values import compact_json, exact_number

_MAX_ARRAY_CHARACTERS = 256 * 2**20
_DEEP = 200
"""So many brackets in a row are looked at twice: what can be read may be nested too deeply to be written again."""


class JsonLinesReader:
    """Reads objects; blank lines are no rows. Rows may have different fields: `columns` are all there are."""

    def __init__(self, file: TextFile, text_column: str | None = None) -> None:
        self.path, self.name = file.path, file.name
        self._file = file
        self.format = "jsonl"
        self.description = f"JSON lines, {file.description}"
        names: dict[str, None] = {}
        num_rows = 0
        for row in self.rows():
            names.update(dict.fromkeys(row))
            num_rows += 1
        if num_rows == 1:
            _check_is_row(row, self.name, text_column)
        self.columns = list(names)

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
    """Reads an array of objects, or objects over several lines. They are held in memory, so their size is bounded."""

    def __init__(self, file: TextFile, text_column: str | None = None) -> None:
        self.path, self.name = file.path, file.name
        self.format = "json"
        with file.open(newline="") as text:
            content = text.read(_MAX_ARRAY_CHARACTERS + 1)
        if len(content) > _MAX_ARRAY_CHARACTERS:
            raise InputError(
                f"{self.name} is JSON of more than {_MAX_ARRAY_CHARACTERS:,} characters over several lines; "
                "make JSON lines of it first, for example with jq -c '.[]' (or jq -c . if it is no array)"
            )
        is_array = content.lstrip("\ufeff \t\r\n").startswith("[")
        found = _parse(content.rstrip(DOS_END), self.name) if is_array else _parse_several(content, self.name)
        self.description = f"{'a JSON array' if is_array else 'JSON objects'}, {file.description}"
        if not is_array and len(found) == 1:
            _check_is_row(found[0], self.name, text_column)
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


def _check_is_row(value: Any, name: str, text_column: str | None) -> None:
    """Raise InputError if the only value of a file is no row but a whole table, of a shape that tools write."""
    if not isinstance(value, dict) or (text_column is not None and isinstance(value.get(text_column), str)):
        return
    if text_column is not None and any(text_column.startswith(f"{field}.") for field in value):
        return  # a text inside the object is asked for
    cells = list(value.values())
    for field, cell in value.items():
        least = 2 if text_column is None or text_column in value else 1
        if isinstance(cell, list) and len(cell) >= least and all(isinstance(row, dict) for row in cell):
            raise InputError(f"{name} holds one object, not rows; take them out of it with jq -c '.{field}[]'")
    is_by_columns = len(cells) > 1 and any(
        all(isinstance(cell, kind) and len(cell) == len(cells[0]) for cell in cells) for kind in (dict, list)
    )
    if is_by_columns or set(value) == {"columns", "index", "data"}:
        raise InputError(
            f"{name} holds columns, not rows; in pandas, write it with to_json(..., orient='records', lines=True)"
        )


def as_row(value: Any, where: str) -> Row:
    """The object that a row must be. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError(f'{where} is not an object such as {{"text": "I love this!"}}')
    return value


def _parse(text: str, where: str) -> Any:
    with _own_errors(where):
        found = _DECODER.decode(text)
        _check_depth(text, found)
    return found


def _parse_several(text: str, where: str) -> list[Any]:
    """The values that stand one behind another, each over as many lines as it likes."""
    found = []
    position = _next_value(text, 0)
    with _own_errors(where):
        while position < len(text):
            value, position = _DECODER.raw_decode(text, position)
            found.append(value)
            position = _next_value(text, position)
        _check_depth(text, found)
    return found


def _next_value(text: str, position: int) -> int:
    between = _BETWEEN.match(text, position)
    assert between is not None  # it matches nothing, too
    return between.end()


def _check_depth(text: str, found: Any) -> None:
    if text.count("[") + text.count("{") > _DEEP:
        compact_json(found)


@contextmanager
def _own_errors(where: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise InputError(f"{where} is not JSON: {error.msg} at {line}column {error.colno}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise InputError(f"{where} cannot be read: {error}") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the field {twice!r} twice")
    return found


_DECODER = json.JSONDecoder(parse_float=exact_number, object_pairs_hook=_without_repetition)
_BETWEEN = re.compile("[\\ufeff\\x1a\\s]*")
