"""Where the texts of an input are: in a column, or inside the objects of a column, such as `messages.content`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batch_client.errors import InputError
from batch_client.formats.source import Reader, Row
from batch_client.outcomes import Failure, Prediction
from batch_client.screen import listed, no_column

_WITH_OBJECTS = ("jsonl", "json", "parquet")


class JoinedText(str):
    """The texts of a list, as one."""


@dataclass(frozen=True)
class TextPath:
    """A column, and the fields or positions to follow inside its values."""

    column: str
    fields: Sequence[str] = ()

    def __str__(self) -> str:
        return ".".join([self.column, *self.fields])

    def of(self, row: Row) -> Any:
        """What is there in a row; None if nothing is."""
        return value_at(row.get(self.column), self.fields)

    def values(self, reader: Reader) -> Iterator[Any]:
        """What is there in each row; None where nothing is."""
        if not self.fields:
            return reader.values(self.column)
        return (value_at(value, self.fields) for value in reader.values(self.column))


def find_text_path(reader: Reader, text_column: str | None) -> TextPath:
    """Where the texts are: in the column that is named, or inside it, or in the only one there is.

    A column whose own name holds dots counts before one that is looked into.

    Raises:
        InputError: there is no such column.
    """
    if text_column is None:
        if len(reader.columns) == 1:
            return TextPath(reader.columns[0])
        raise InputError(
            f"say which column holds the texts with --text-column; {reader.name} has {listed(reader.columns)}"
        )
    if text_column in reader.columns:
        return TextPath(text_column)
    parts = text_column.split(".")
    if reader.format in _WITH_OBJECTS and all(parts):
        for length in range(len(parts) - 1, 0, -1):
            if (column := ".".join(parts[:length])) in reader.columns:
                return TextPath(column, parts[length:])
    raise InputError(no_column(reader.name, text_column, reader.columns))


def value_at(value: Any, fields: Sequence[str]) -> Any:
    """What is inside a value where `fields` lead; None if nothing is there.

    A list is looked into at a position, where a field is a number (0 is its first, -1 its last element), and otherwise
    in each of its elements: their texts are joined by line breaks.
    """
    if isinstance(value, Prediction | Failure):
        return value
    for index, field in enumerate(fields):
        if isinstance(value, list):
            if field.removeprefix("-").isdecimal():
                position = int(field)
                value = value[position] if -len(value) <= position < len(value) else None
                continue
            return _joined([value_at(element, fields[index:]) for element in value])
        value = value.get(field) if isinstance(value, dict) else None
    return _joined(value) if fields and isinstance(value, list) else value


def _joined(values: Sequence[Any]) -> Any:
    """Texts as one, those that are missing left out; anything else as it is, so that it is refused as no text."""
    found = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in found):
        return list(values)
    return JoinedText("\n".join(found)) if found else None
