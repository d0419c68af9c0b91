"""Parquet, through Arrow, read. Modules that import pyarrow are imported where they are needed: it is slow to load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_client.errors import InputError
from batch_client.formats.arrow_values import as_python, decoded, holds_bytes
from batch_client.formats.int96 import int96_unit, with_instants
from batch_client.formats.opened import readable
from batch_client.formats.parquet_footer import KEPT_METADATA, check_counts, check_total, rows_per_batch
from batch_client.formats.source import Row


class ParquetReader:
    """Reads a Parquet file, some thousand rows at a time."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, name or str(path)
        self.format = "parquet"
        self._unit = int96_unit(lambda unit: self._open(unit), self.name)
        with self._open(self._unit) as file:
            check_counts(file, self.name)
            self.schema = with_instants(file.schema_arrow, file.schema)
        self.columns: list[str] = self.schema.names
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"{self.name} has two columns of the same name; give them different names")
        with_bytes = [field.name for field in self.schema if holds_bytes(field.type)]
        left_out = [key.decode(errors="replace") for key in self.schema.metadata or {} if key not in KEPT_METADATA]
        self.description = "".join(
            [
                "Parquet",
                f", bytes of {_listed(with_bytes)} as text where they are UTF-8, else in base64" if with_bytes else "",
                f", without the metadata {_listed(left_out)}" if left_out else "",
            ]
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
        num_rows = 0
        with self._open(self._unit) as file:
            for batch in file.iter_batches(self._rows_per_batch, columns=columns):
                num_rows += batch.num_rows
                yield self._typed(batch)
            check_total(file.metadata.num_rows, num_rows, self.name)

    def _typed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the types of `schema`."""
        schema = pa.schema([self.schema.field(name) for name in batch.schema.names], metadata=self.schema.metadata)
        columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    @cached_property
    def _rows_per_batch(self) -> int:
        return rows_per_batch(lambda once: self._open("us", once), self.path.stat().st_size, self.name)

    @contextmanager
    def _open(self, int96_unit: str, stored_once: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
        try:
            with (
                readable(self.name),
                pq.ParquetFile(
                    self.path,
                    pre_buffer=False,
                    coerce_int96_timestamp_unit=int96_unit,
                    read_dictionary=list(stored_once),
                ) as file,
            ):
                yield file
        except pa.ArrowException as error:
            raise InputError(f"{self.name} is not sound Parquet: {str(error).splitlines()[0]}") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
