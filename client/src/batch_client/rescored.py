"""A scored file as an input: its failed rows are asked for again, the others keep the answers that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batch_client.columns import LABEL_SEPARATOR
from batch_client.errors import InputError
from batch_client.formats.source import ArrowReader, Reader, Row
from batch_client.outcomes import SENTIMENT, Analysis, Prediction, prediction_from

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = ("token_count", "truncated", "error")


def rescored(reader: Reader, prefix: str, analyses: Sequence[str]) -> Reader:
    """A scored file's input, read from the scored file, whose added columns are of these analyses and this prefix.

    Raises:
        InputError: the file has not the columns that such a run adds.
    """
    found = analyses_in(reader.columns, prefix)
    if found and found != list(analyses):
        raise InputError(
            f"{reader.name} was scored with --analyses {','.join(found)}; give the same to ask its failed rows again"
        )
    if isinstance(reader, ArrowReader):
        return RescoredArrowReader(reader, prefix, analyses)
    return RescoredReader(reader, prefix, analyses)


def analyses_in(columns: Sequence[str], prefix: str) -> list[str]:
    """The analyses that a scored file's columns are of; none if they are of the sentiment alone.

    Their columns stand before the one of the tokens: for each a label, its confidence, and further ones.
    """
    found: list[str] = []
    end = columns.index(f"{prefix}token_count") if f"{prefix}token_count" in columns else 0
    for place in range(end - 2, -1, -1):
        name = columns[place]
        own = (f"{name}_confidence", f"{name}_labels")
        if not name.startswith(prefix) or columns[place + 1] != own[0]:
            continue
        if all(column in own or column.startswith(f"{name}_score_") for column in columns[place + 1 : end]):
            found.insert(0, name.removeprefix(prefix))
            end = place
    return found


class RescoredReader:
    """What a scored file's input was, with the answers instead of the texts that have one."""

    def __init__(self, reader: Reader, prefix: str, analyses: Sequence[str]) -> None:
        self.path, self.name, self.format = reader.path, reader.name, reader.format
        self._reader = reader
        self._prefix = prefix
        self.analyses = analyses
        self._stems = {name: f"{prefix}{name}_" for name in analyses} or {SENTIMENT: prefix}
        needed = [each for name, stem in self._stems.items() for each in (prefix + name, f"{stem}confidence")]
        needed += [prefix + name for name in _COUNTS]
        if missing := [name for name in needed if name not in reader.columns]:
            raise InputError(
                f"{reader.name} has no column {missing[0]!r}, which scored files have; "
                "--retry-errors is for these (and --prefix as in the run that made it)"
            )
        self._labels = {name: _score_columns(reader.columns, f"{stem}score_") for name, stem in self._stems.items()}
        self._added = {*needed, *(column for labels in self._labels.values() for column in labels.values())}
        self._added |= {f"{stem}labels" for stem in self._stems.values() if analyses} & set(reader.columns)
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
        token_count, truncated = (row.get(self._prefix + name) for name in _COUNTS[:2])
        try:
            analyses = {name: self._analysis(row, name) for name in self._stems}
            return replace(
                prediction_from(analyses),
                token_count=None if _is_empty(token_count) else int(str(token_count)),
                truncated=None if _is_empty(truncated) else str(truncated).lower() == "true",
                analyses=analyses if self.analyses else {},
            )
        except ValueError:
            raise self._is_not_scored(number) from None

    def _analysis(self, row: Row, name: str) -> Analysis:
        """The answer of one analysis in a row. Raises ValueError if there is none."""
        stem = self._stems[name]
        label, confidence = row.get(self._prefix + name), row.get(f"{stem}confidence")
        if _is_empty(label) or _is_empty(confidence):
            raise ValueError(f"there is no answer of {name}")
        scores: dict[str, Any] = {label: row.get(column) for label, column in self._labels[name].items()}
        holding = filter(None, str(row.get(f"{stem}labels") or "").split(LABEL_SEPARATOR))
        return Analysis(
            str(label),
            float(str(confidence)),
            scores={label: float(score) for label, score in scores.items() if not _is_empty(score)} or None,
            labels=tuple(holding) if f"{stem}labels" in self._added else None,
        )

    def _is_not_scored(self, number: int) -> InputError:
        return InputError(f"{self.name}, row {number} has neither an answer nor an error; is it a scored file?")


class RescoredArrowReader(RescoredReader):
    """A `RescoredReader` whose rows are to be had as Arrow batches too."""

    def __init__(self, reader: ArrowReader, prefix: str, analyses: Sequence[str]) -> None:
        super().__init__(reader, prefix, analyses)
        self._arrow = reader
        self.schema = reader.schema
        for name in self._added:
            self.schema = self.schema.remove(self.schema.get_field_index(name))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows without the columns that a run adds, or some columns of them."""
        yield from self._arrow.batches(columns or self.columns)


def _score_columns(columns: Sequence[str], start: str) -> dict[str, str]:
    """The columns of probabilities, whose names begin so, by label: upper case, unless they differ in case alone."""
    found = {column[len(start) :]: column for column in columns if column.startswith(start)}
    upper = {label.upper(): column for label, column in found.items()}
    return upper if len(upper) == len(found) else found


def _is_empty(cell: Any) -> bool:
    return cell is None or cell == ""
