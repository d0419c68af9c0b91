"""Parquet, through Arrow. The only module that imports pyarrow, so that nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batch_client.errors import InputError
from batch_client.formats.json_lines import compact_json
from batch_client.formats.opened import is_gzip, readable
from batch_client.formats.source import Row

_ROWS_PER_BATCH = 4096
_ROWS_PER_GROUP = 65_536
_ARROW_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


class ParquetReader:
    """Reads a Parquet file, some thousand rows at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if is_gzip(path):
            raise InputError(f"{path} is Parquet inside gzip; Parquet is packed already: gunzip it first")
        with self._open() as file:
            self.schema = file.schema_arrow
        self.columns: list[str] = self.schema.names
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"{path} has two columns of the same name; give them different names")

    def rows(self) -> Iterator[Row]:
        """All rows as Python values; times, dates, decimals and bytes as text."""
        for batch in self.batches():
            yield from _as_json_types(batch).to_pylist()

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column; no other is read."""
        for batch in self.batches([column]):
            yield from _as_json_types(batch).column(0).to_pylist()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows as Arrow has them, or some columns of them."""
        with self._open() as file:
            yield from file.iter_batches(_ROWS_PER_BATCH, columns=columns)

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with readable(self.path), pq.ParquetFile(self.path, pre_buffer=False) as file:
                yield file
        except pa.ArrowException as error:
            raise InputError(f"{self.path} is not sound Parquet: {str(error).splitlines()[0]}") from error


class ParquetWriter:
    """Writes rows with the given columns: those of `schema` as they are, and further ones of Python types."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, further: Mapping[str, type]) -> None:
        self._further = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in further.items()])
        self._schema = pa.unify_schemas([schema, self._further]).with_metadata(schema.metadata)
        self._writer = pq.ParquetWriter(file, self._schema)
        self._waiting: list[pa.RecordBatch] = []

    def write_batch(self, batch: pa.RecordBatch, further: Sequence[Row]) -> None:
        """Write a batch with the further columns of its rows."""
        added = pa.RecordBatch.from_pylist(list(further), self._further)
        self._waiting.append(pa.RecordBatch.from_arrays([*batch.columns, *added.columns], schema=self._schema))
        if sum(waiting.num_rows for waiting in self._waiting) >= _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is still held back and the footer; the file stays open."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
            self._waiting = []


class TextParquetWriter:
    """Writes rows of other formats: their columns become text (what is no text, its JSON), the further ones typed."""

    def __init__(self, file: BinaryIO, columns: Sequence[str], further: Mapping[str, type]) -> None:
        self._columns = pa.schema([(name, pa.string()) for name in columns])
        self._further = list(further)
        self._writer = ParquetWriter(file, self._columns, further)
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        """Write one row."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is still held back and the footer; the file stays open."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        texts = [{name: _as_text(row.get(name)) for name in self._columns.names} for row in self._rows]
        further = [{name: row[name] for name in self._further} for row in self._rows]
        self._writer.write_batch(pa.RecordBatch.from_pylist(texts, self._columns), further)
        self._rows = []


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else compact_json(value)
    return text.encode("utf-8", "backslashreplace").decode()


def _as_json_types(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with what JSON has no type for as text: Python's own types would lose nanoseconds, or refuse them."""
    columns = [column.cast(pa.string()) if _needs_text(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _needs_text(kind: pa.DataType) -> bool:
    return (pa.types.is_temporal(kind) and not pa.types.is_duration(kind)) or pa.types.is_decimal(kind)
