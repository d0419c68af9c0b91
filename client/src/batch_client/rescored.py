"""A scored file as an input: its failed rows are asked for again, the others keep the answers that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from batch_client.errors import InputError
from batch_client.formats.source import ArrowReader, Reader, Row
from batch_client.outcomes import Prediction

if TYPE_CHECKING:
    import pyarrow as pa

_NEEDED = ("sentiment", "confidence", "token_count", "truncated", "error")


def rescored(reader: Reader, prefix: str) -> Reader:
    """A scored file's input, read from the scored file. `prefix` is the one of the added columns.

    Raises:
        InputError: the file has not the columns that a run adds.
    """
    if isinstance(reader, ArrowReader):
        return RescoredArrowReader(reader, prefix)
    return RescoredReader(reader, prefix)


class RescoredReader:
    """What a scored file's input was, with the answers instead of the texts that have one."""

    def __init__(self, reader: Reader, prefix: str) -> None:
        self.path, self.name, self.format = reader.path, reader.name, reader.format
        self._reader = reader
        self._prefix = prefix
        needed = [prefix + name for name in _NEEDED]
        if missing := [name for name in needed if name not in reader.columns]:
            raise InputError(
                f"{reader.name} has no column {missing[0]!r}, which scored files have; "
                "--retry-errors is for these (and --prefix as in the run that made it)"
            )
        start = f"{prefix}score_"
        self.labels = [name[len(start) :].upper() for name in reader.columns if name.startswith(start)]
        self._added = {*needed, *(name for name in reader.columns if name.startswith(start))}
        self.columns = [name for name in reader.columns if name not in self._added]

    @property
    def description(self) -> str:
        """How the scored file is read."""
        return f"{self._reader.description}, of which the rows with an error are asked for again"

    def rows(self) -> Iterator[Row]:
        """All rows without the columns that a run adds."""
        for row in self._reader.rows():
            yield {name: value for name, value in row.items() if name not in self._added}

    def values(self, column: str) -> Iterator[Any]:
        """The texts of the failed rows, and the answers of the others."""
        for number, row in enumerate(self._reader.rows(), 1):
            is_failed = not _is_empty(row.get(f"{self._prefix}error"))
            yield row.get(column) if is_failed else self._prediction(row, number)

    def reasons(self) -> Iterator[str]:
        """Why each row has no answer; empty for those that have one."""
        for reason in self._reader.values(f"{self._prefix}error"):
            yield "" if _is_empty(reason) else str(reason)

    def _prediction(self, row: Row, number: int) -> Prediction:
        cells: list[Any] = [row.get(self._prefix + name) for name in _NEEDED[:4]]
        sentiment, confidence, token_count, truncated = cells
        if _is_empty(sentiment) or _is_empty(confidence):
            raise self._is_not_scored(number)
        scores: dict[str, Any] = {label: row.get(f"{self._prefix}score_{label.lower()}") for label in self.labels}
        try:
            return Prediction(
                str(sentiment),
                float(confidence),
                None if _is_empty(token_count) else int(str(token_count)),
                None if _is_empty(truncated) else str(truncated).lower() == "true",
                {label: float(score) for label, score in scores.items() if not _is_empty(score)} or None,
            )
        except ValueError:
            raise self._is_not_scored(number) from None

    def _is_not_scored(self, number: int) -> InputError:
        return InputError(f"{self.name}, row {number} has neither an answer nor an error; is it a scored file?")


class RescoredArrowReader(RescoredReader):
    """A `RescoredReader` whose rows are to be had as Arrow batches too."""

    def __init__(self, reader: ArrowReader, prefix: str) -> None:
        super().__init__(reader, prefix)
        self._arrow = reader
        self.schema = reader.schema
        for name in self._added:
            self.schema = self.schema.remove(self.schema.get_field_index(name))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows without the columns that a run adds, or some columns of them."""
        yield from self._arrow.batches(columns or self.columns)


def _is_empty(cell: Any) -> bool:
    return cell is None or cell == ""
