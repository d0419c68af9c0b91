"""A scored file as an input: its failed rows are asked for again, the others keep the answers that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from batch_client.errors import InputError
from batch_client.formats.source import Reader, Row
from batch_client.outcomes import Prediction


class RescoredReader:
    """What a scored file's input was, with the answers in place of the texts that have one.

    Raises InputError if the file has not the columns that a run adds.
    """

    def __init__(self, reader: Reader, prefix: str) -> None:
        self.path, self.name = reader.path, reader.name
        self._reader = reader
        self._prefix = prefix
        needed = [prefix + name for name in ("sentiment", "confidence", "token_count", "truncated", "error")]
        if missing := [name for name in needed if name not in reader.columns]:
            raise InputError(
                f"{reader.name} has no column {missing[0]!r}, which scored files have; "
                "--retry-errors is for these (and --prefix as in the run that made it)"
            )
        start = f"{prefix}score_"
        self.labels = [name[len(start) :].upper() for name in reader.columns if name.startswith(start)]
        self._added = {*needed, *(name for name in reader.columns if name.startswith(start))}
        self.columns = [name for name in reader.columns if name not in self._added]
        self.description = f"{reader.description}, of which the rows with an error are asked for again"
        if hasattr(reader, "batches"):
            self.schema = _without(reader.schema, self._added)  # type: ignore[attr-defined]
            self.batches = self._batches

    def rows(self) -> Iterator[Row]:
        """All rows without the columns that a run adds."""
        for row in self._reader.rows():
            yield {name: value for name, value in row.items() if name not in self._added}

    def values(self, column: str) -> Iterator[Any]:
        """The texts of the failed rows, and the answers of the others."""
        for number, row in enumerate(self._reader.rows(), 1):
            is_failed = row.get(f"{self._prefix}error") not in (None, "")
            yield row.get(column) if is_failed else self._prediction(row, number)

    def _batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        yield from self._reader.batches(columns or self.columns)  # type: ignore[attr-defined]

    def _prediction(self, row: Row, number: int) -> Prediction:
        cells = {name: row.get(self._prefix + name) for name in ("sentiment", "confidence", "token_count", "truncated")}
        scores = {label: row.get(f"{self._prefix}score_{label.lower()}") for label in self.labels}
        try:
            return Prediction(
                str(cells["sentiment"] or _absent()),
                float(cells["confidence"] or _absent()),
                None if cells["token_count"] in (None, "") else int(str(cells["token_count"])),
                None if cells["truncated"] in (None, "") else str(cells["truncated"]).lower() == "true",
                {label: float(score) for label, score in scores.items() if score not in (None, "")} or None,
            )
        except ValueError:
            raise InputError(
                f"{self.name}, row {number} has neither an answer nor an error; is it a scored file?"
            ) from None


def _absent() -> Any:
    raise ValueError


def _without(schema: Any, names: set[str]) -> Any:
    for name in names:
        schema = schema.remove(schema.get_field_index(name))
    return schema
