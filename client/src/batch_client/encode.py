"""Joining the input with the outcomes into the final file, in one deterministic stream."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from batch_client.columns import PredictionColumns
from batch_client.formats.delimited import DelimitedReader, DelimitedWriter
from batch_client.formats.json_lines import JsonLinesWriter
from batch_client.formats.source import Reader, Row
from batch_client.outcomes import Outcome


class _Writer(Protocol):
    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...


def encode(
    reader: Reader,
    outcomes: Iterable[Outcome],
    columns: PredictionColumns,
    path: Path,
    format: str,
    is_packed: bool,
    has_header: bool,
) -> None:
    """Write every row with its outcome to `path` as `format` ("csv", "tsv", "jsonl" or "parquet"), durably.

    The same input and outcomes give the same bytes. `is_packed` gzips the file. Raises OutputError for a value that the
    format cannot hold.
    """
    with _created(path, is_packed) as file:
        if format == "parquet":
            _encode_parquet(reader, outcomes, columns, file)
        else:
            _encode_rows(reader, outcomes, columns, _text_writer(file, reader, columns, format, has_header))


def _encode_rows(reader: Reader, outcomes: Iterable[Outcome], columns: PredictionColumns, writer: _Writer) -> None:
    for row, outcome in zip(reader.rows(), outcomes, strict=True):
        writer.write(row | columns.values(outcome))
    writer.close()


def _encode_parquet(reader: Reader, outcomes: Iterable[Outcome], columns: PredictionColumns, file: BinaryIO) -> None:
    from batch_client.formats.parquet import ParquetReader, ParquetWriter, TextParquetWriter

    if not isinstance(reader, ParquetReader):
        _encode_rows(reader, outcomes, columns, TextParquetWriter(file, reader.columns, columns.types))
        return
    writer = ParquetWriter(file, reader.schema, columns.types)
    remaining = iter(outcomes)
    for batch in reader.batches():
        writer.write_batch(batch, [columns.values(outcome) for outcome in islice(remaining, batch.num_rows)])
    writer.close()


def _text_writer(file: BinaryIO, reader: Reader, columns: PredictionColumns, format: str, has_header: bool) -> _Writer:
    if format == "jsonl":
        return JsonLinesWriter(file)
    # A TSV file without quotes stays one; anything else may hold tabs and line breaks, which only quotes can keep.
    has_quotes = reader.has_quotes if isinstance(reader, DelimitedReader) and format == "tsv" else True
    names = [*reader.columns, *columns.types]
    return DelimitedWriter(file, names, "\t" if format == "tsv" else ",", has_header, has_quotes)


@contextmanager
def _created(path: Path, is_packed: bool) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        if is_packed:
            # No name and no time in the header: they would make equal results differ.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                yield cast(Any, packed)
        else:
            yield file
        file.flush()
        os.fsync(file.fileno())
