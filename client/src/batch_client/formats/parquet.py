"""Parquet, through Arrow. With `arrow_values` the only module that imports pyarrow: nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_client.errors import InputError
from batch_client.formats.arrow_values import as_python, decoded, holds_bytes
from batch_client.formats.opened import readable
from batch_client.formats.source import Row
from batch_client.formats.values import as_cell

_ROWS_PER_BATCH = 4096
_ROWS_PER_GROUP = 65_536
_ARROW_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
_NANOSECONDS_FROM, _NANOSECONDS_TO = datetime(1678, 1, 1), datetime(2262, 1, 1)


class ParquetReader:
    """Reads a Parquet file, some thousand rows at a time."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, name or str(path)
        self.format = "parquet"
        self._int96_unit = "ns"
        self._int96_unit = self._find_int96_unit()
        with self._open() as file:
            self.schema = file.schema_arrow
        self.columns: list[str] = self.schema.names
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"{self.name} has two columns of the same name; give them different names")
        with_bytes = [field.name for field in self.schema if holds_bytes(field.type)]
        self.description = "Parquet" + (
            f", bytes of {', '.join(map(repr, with_bytes))} as text where they are UTF-8, else in base64"
            if with_bytes
            else ""
        )

    def rows(self) -> Iterator[Row]:
        """All rows as Python values; times, dates and decimals as text; bytes as text or base64."""
        for batch in self.batches():
            columns = [as_python(column) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                yield dict(zip(self.columns, cells, strict=True))

    def values(self, column: str) -> Iterator[Any]:
        """The values of one column; no other is read. Bytes that are no text stay bytes."""
        for batch in self.batches([column]):
            found = batch.column(batch.schema.names.index(column))
            yield from decoded(found) if holds_bytes(found.type) else as_python(found)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows as Arrow has them, or some columns of them."""
        with self._open() as file:
            yield from file.iter_batches(_ROWS_PER_BATCH, columns=columns)

    def _find_int96_unit(self) -> str:
        """The old timestamps of Spark and Hive reach from year 1 to 9999: nanoseconds would wrap around there."""
        with self._open() as file:
            schema = file.schema
            leaves = [schema.column(index) for index in range(len(schema.names))]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
        if not paths:
            return "ns"
        self._int96_unit = "us"
        if any("." in path for path in paths):
            return "us"
        for batch in self.batches(paths):
            for column in batch.columns:
                ends = pc.min_max(column)
                low, high = (ends[end].cast(pa.int64()).as_py() for end in ("min", "max"))
                for moment in (low, high):
                    if moment is not None and not _fits_nanoseconds(moment):
                        return "us"
        return "ns"

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with (
                readable(self.name),
                pq.ParquetFile(self.path, pre_buffer=False, coerce_int96_timestamp_unit=self._int96_unit) as file,
            ):
                yield file
        except pa.ArrowException as error:
            raise InputError(f"{self.name} is not sound Parquet: {str(error).splitlines()[0]}") from error


class ParquetWriter:
    """Writes rows with the given columns: those of `schema` as they are, and further ones of Python types."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, further: Mapping[str, type]) -> None:
        self._further = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in further.items()])
        self._schema = pa.schema([*schema, *self._further], metadata=schema.metadata)
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


def check_writable(schema: pa.Schema, name: str) -> None:
    """Raise InputError if a column cannot be written as Parquet: found out on a table without rows."""
    try:
        with pa.BufferOutputStream() as sink, pq.ParquetWriter(sink, schema):
            pass
    except (pa.ArrowException, NotImplementedError) as error:
        raise InputError(f"{name} cannot be written as Parquet again: {str(error).splitlines()[0]}") from error


def _as_text(value: Any) -> str | None:
    return None if value is None else as_cell(value).encode("utf-8", "backslashreplace").decode()


def _fits_nanoseconds(microseconds: int) -> bool:
    epoch = datetime(1970, 1, 1)
    return (_NANOSECONDS_FROM - epoch).total_seconds() < microseconds / 1e6 < (_NANOSECONDS_TO - epoch).total_seconds()
