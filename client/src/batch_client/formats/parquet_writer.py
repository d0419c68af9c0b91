"""Parquet, through Arrow, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batch_client.errors import InputError
from batch_client.formats.parquet_footer import KEPT_METADATA, ROWS_PER_BATCH
from batch_client.formats.source import Row
from batch_client.formats.values import as_cell

_ROWS_PER_GROUP = 65_536
_ARROW_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


class ParquetWriter:
    """Writes rows with the given columns: those of `schema` as they are, and further ones of Python types."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, further: Mapping[str, type]) -> None:
        self._further = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in further.items()])
        kept = {key: value for key, value in (schema.metadata or {}).items() if key in KEPT_METADATA}
        self._schema = pa.schema([*schema, *self._further], metadata=kept)
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
        if len(self._rows) == ROWS_PER_BATCH:
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


def check_writable(schema: pa.Schema, name: str) -> None:
    """Raise InputError if a column cannot be written as Parquet: found out on a table without rows."""
    try:
        with pa.BufferOutputStream() as sink, pq.ParquetWriter(sink, schema):
            pass
    except (pa.ArrowException, NotImplementedError) as error:
        raise InputError(f"{name} cannot be written as Parquet again: {str(error).splitlines()[0]}") from error


def _as_text(value: Any) -> str | None:
    return None if value is None else as_cell(value).encode("utf-8", "backslashreplace").decode()
