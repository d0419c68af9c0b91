"""Joining the input with the outcomes into the final file, in one deterministic stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

from batch_client.columns import PredictionColumns
from batch_client.durable import open_own
from batch_client.errors import OutputError
from batch_client.formats.delimited import CellStyle, DelimitedReader, DelimitedWriter, UnquotableError
from batch_client.formats.json_lines import JsonLinesWriter
from batch_client.formats.packings import Packing
from batch_client.formats.source import ArrowReader, Reader, Row
from batch_client.outcomes import Outcome


class _Writer(Protocol):
    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...


def encode(
    reader: Reader,
    outcomes: Callable[[], Iterable[Outcome]],
    columns: PredictionColumns,
    path: Path,
    format: str,
    packing: Packing | None,
    style: CellStyle,
) -> int:
    """Write every row with its outcome to `path` as `format` (one of `OUTPUT_FORMATS`), durably.

    The same input and outcomes give the same bytes. Returns the number of rows.

    Raises:
        OutputError: a value that the format cannot hold, or not one outcome for each row.
    """
    if format != "tsv":
        return _encode(reader, outcomes(), columns, path, format, packing, style, has_quotes=True)
    if isinstance(reader, DelimitedReader) and not reader.has_quotes and reader.delimiter == "\t":
        return _encode(reader, outcomes(), columns, path, format, packing, style, has_quotes=False)
    try:  # TSV has no quotes, unless a cell holds a tab or a line break, which only quotes can keep
        return _encode(reader, outcomes(), columns, path, format, packing, style, has_quotes=False)
    except UnquotableError:
        return _encode(reader, outcomes(), columns, path, format, packing, style, has_quotes=True)


def _encode(
    reader: Reader,
    outcomes: Iterable[Outcome],
    columns: PredictionColumns,
    path: Path,
    format: str,
    packing: Packing | None,
    style: CellStyle,
    has_quotes: bool,
) -> int:
    with _created(path, packing) as file:
        if format == "parquet":
            return _encode_parquet(reader, outcomes, columns, file)
        return _encode_rows(reader, outcomes, columns, _text_writer(file, reader, columns, format, style, has_quotes))


def _encode_rows(reader: Reader, outcomes: Iterable[Outcome], columns: PredictionColumns, writer: _Writer) -> int:
    num_rows = 0
    remaining = iter(outcomes)
    for row in reader.rows():
        outcome = next(remaining, None)
        if outcome is None:
            raise _out_of_balance()
        writer.write(row | columns.values(outcome))
        num_rows += 1
    writer.close()
    if next(remaining, None) is not None:
        raise _out_of_balance()
    return num_rows


def _encode_parquet(reader: Reader, outcomes: Iterable[Outcome], columns: PredictionColumns, file: BinaryIO) -> int:
    from batch_client.formats.parquet_writer import ParquetWriter, TextParquetWriter

    if not isinstance(reader, ArrowReader):
        return _encode_rows(reader, outcomes, columns, TextParquetWriter(file, reader.columns, columns.types))
    writer = ParquetWriter(file, reader.schema, columns.types)
    remaining = iter(outcomes)
    num_rows = 0
    for batch in reader.batches():
        rows = [columns.values(outcome) for outcome in islice(remaining, batch.num_rows)]
        if len(rows) != batch.num_rows:
            raise _out_of_balance()
        writer.write_batch(batch, rows)
        num_rows += len(rows)
    writer.close()
    if next(remaining, None) is not None:
        raise _out_of_balance()
    return num_rows


def _out_of_balance() -> OutputError:
    return OutputError("the input has not as many rows as there are answers; pass --start-over to score it anew")


def _text_writer(
    file: BinaryIO, reader: Reader, columns: PredictionColumns, format: str, style: CellStyle, has_quotes: bool
) -> _Writer:
    if format == "jsonl":
        return JsonLinesWriter(file)
    names = [*reader.columns, *columns.types]
    if format == "xlsx":
        from batch_client.formats.sheet_writer import SheetWriter

        return SheetWriter(file, names, style.has_header, _date_columns(reader))
    if format == "tsv" and style.has_header and all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        has_quotes = True  # else they would be taken for quotes
    return DelimitedWriter(file, names, style.delimiter or ("\t" if format == "tsv" else ","), style, has_quotes)


def _date_columns(reader: Reader) -> list[str]:
    """The columns that a file says to hold dates, or times without a time zone."""
    if not isinstance(reader, ArrowReader):
        return []
    kinds = ((field.name, str(field.type)) for field in reader.schema)
    return [name for name, kind in kinds if kind.startswith(("date", "timestamp")) and "tz=" not in kind]


@contextmanager
def _created(path: Path, packing: Packing | None) -> Iterator[BinaryIO]:
    with open_own(path, "wb") as file:
        if packing is not None:
            with packing.pack(file) as packed:
                yield packed
        else:
            yield file
        file.flush()
        os.fsync(file.fileno())
