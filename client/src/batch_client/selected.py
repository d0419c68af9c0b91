"""A part of an input's rows, for a trial: the first ones, or some drawn at random, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from batch_client.errors import InputError
from batch_client.formats.source import ArrowReader, Reader, Row

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_SEED = 0


@dataclass(frozen=True)
class Selection:
    """Which rows: the first `limit`, or `sample` drawn from all of them. Raises InputError for both, or none."""

    limit: int | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.sample is not None:
            raise InputError("--limit and --sample cannot both be given: leave one out")
        for name, value in (("--limit", self.limit), ("--sample", self.sample)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more, not {value}")

    def __str__(self) -> str:
        if self.limit is not None:
            return f"only its first {self.limit:,} rows"
        return f"only {self.sample:,} of its rows, drawn at random" if self.sample is not None else ""


def selected(reader: Reader, selection: Selection) -> Reader:
    """The input with only the selected rows; all of them if nothing is selected."""
    if selection.sample is not None:
        num_rows = sum(1 for _ in reader.values(reader.columns[0]))
        indexes: Sequence[int] = range(num_rows)
        if selection.sample < num_rows:
            indexes = sorted(random.Random(_SEED).sample(indexes, selection.sample))
    elif selection.limit is not None:
        indexes = range(selection.limit)
    else:
        return reader
    kind = SelectedArrowReader if isinstance(reader, ArrowReader) else SelectedReader
    return kind(reader, indexes, str(selection))  # type: ignore[arg-type]


class SelectedReader:
    """The rows of a reader whose numbers, from 0, are in `indexes`, which ascend."""

    def __init__(self, reader: Reader, indexes: Sequence[int], what: str) -> None:
        self.path, self.name, self.format, self.columns = reader.path, reader.name, reader.format, reader.columns
        self._reader = reader
        self._indexes = indexes
        self._what = what

    @property
    def description(self) -> str:
        """How the input is read, and that it is not read as a whole."""
        return f"{self._reader.description}, {self._what}"

    def rows(self) -> Iterator[Row]:
        """The selected rows."""
        return self._picked(self._reader.rows())

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column in the selected rows."""
        return self._picked(self._reader.values(column))

    def _picked(self, items: Iterator[T]) -> Iterator[T]:
        number = -1
        for index in self._indexes:
            for item in items:
                number += 1
                if number == index:
                    yield item
                    break
            else:
                return


class SelectedArrowReader(SelectedReader):
    """A `SelectedReader` whose rows are to be had as Arrow batches too."""

    def __init__(self, reader: ArrowReader, indexes: Sequence[int], what: str) -> None:
        super().__init__(reader, indexes, what)
        self._arrow = reader
        self.schema = reader.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The selected rows, or some columns of them."""
        start = position = 0
        for batch in self._arrow.batches(columns):
            here = []
            while position < len(self._indexes) and self._indexes[position] < start + batch.num_rows:
                here.append(self._indexes[position] - start)
                position += 1
            if here:
                yield batch.take(here)
            if position == len(self._indexes):
                return
            start += batch.num_rows
