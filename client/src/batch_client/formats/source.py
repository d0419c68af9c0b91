"""What every input format offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = dict[str, Any]
"""One row: values by the name of their column."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file. None means: find out."""

    format: str | None = None
    encoding: str | None = None
    has_header: bool = True
    """Whether the first line of CSV or TSV names the columns; if not, they are named 1, 2, 3 and so on."""
    has_quotes: bool | None = None
    """Whether quotes enclose cells (usual in CSV) or are ordinary characters (usual in TSV)."""
    delimiter: str | None = None
    """What parts the cells of CSV and TSV: one character."""
    sheet: str | None = None
    """Which sheet of a spreadsheet."""
    name: str | None = None
    """What people call the input, if the path is only that of a copy."""


class Reader(Protocol):
    """A file that can be read as often as needed, in bounded memory.

    Its methods raise InputError for a file that is not what it should be.
    """

    path: Path
    name: str
    """What people call the file."""
    columns: list[str]
    format: str
    """Which of `INPUT_FORMATS` it is."""

    @property
    def description(self) -> str:
        """How the file is read, for people: what was guessed must be said, and what was found missing meanwhile."""
        ...

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column, in the order of the rows; None where a row has none."""


@runtime_checkable
class ArrowReader(Reader, Protocol):
    """A reader whose rows are to be had as Arrow holds them, with their types."""

    schema: pa.Schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, or some columns of them."""
