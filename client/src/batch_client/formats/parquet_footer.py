"""What a Parquet file says about itself, held against what is in it: its counts, and what it grows to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_client.errors import InputError
from batch_client.formats.int96 import leaves_of
from batch_client.formats.streams import HARMLESS_BYTES, MAX_GROWTH

ROWS_PER_BATCH = 4096
_BATCH_BYTES = 64 * 2**20
_MAX_VALUE_BYTES = 32 * 2**20


KEPT_METADATA = frozenset(
    {
        b"org.apache.spark.version",
        b"org.apache.spark.timeZone",
        b"org.apache.spark.legacyDateTime",
        b"org.apache.spark.legacyINT96",
        b"writer.time.zone",
        b"writer.date.proleptic",
    }
)
"""Metadata that says which calendar values are in. All else (Spark's row schema, pandas', datasets' features ...) may
describe columns: programs that read it would not see the added ones, or refuse the file."""


def check_counts(file: pq.ParquetFile, name: str) -> None:
    """Raise InputError unless the rows of the file, of its groups and of their columns are as many."""
    metadata, num_rows = file.metadata, 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        num_rows += group.num_rows
        for column in range(group.num_columns):
            is_flat = file.schema.column(column).max_repetition_level == 0
            if is_flat and group.column(column).num_values != group.num_rows:
                raise _contradictory(name, f"column {group.column(column).path_in_schema!r} has another number of rows")
    check_total(metadata.num_rows, num_rows, name)


def check_total(num_said: int, num_found: int, name: str) -> None:
    """Raise InputError unless as many rows were found as the file says it has."""
    if num_said != num_found:
        raise _contradictory(name, f"it says that it has {num_said:,} rows, and holds {num_found:,}")


def rows_per_batch(
    opened: Callable[[list[str]], AbstractContextManager[pq.ParquetFile]], num_bytes: int, name: str
) -> int:
    """How many rows may be read at once: texts that come often are stored once, and grow when they are read.

    Args:
        opened: opens the file with the columns whose values are not to be repeated.
        num_bytes: size of the file.

    Raises:
        InputError: it grows beyond measure, or a value is too large.
    """
    with opened([]) as file:
        leaves = [file.schema.column(index) for index in range(len(file.schema))]
        bytes_per_row = sum(leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else 8 for leaf in leaves)
        paths = [leaf.path for leaf in leaves if _holds_texts(leaf)]
        total, least = file.metadata.num_rows * bytes_per_row, ROWS_PER_BATCH * bytes_per_row
    most = least
    _check_growth(total, num_bytes, name)
    with opened(paths) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=paths) if paths else ():
            size = sum(_size(leaf, name) for column in batch.columns for leaf in leaves_of(column))
            total, most = total + size, max(most, least + size)
            _check_growth(total, num_bytes, name)
    return max(1, ROWS_PER_BATCH * _BATCH_BYTES // most) if most > _BATCH_BYTES else ROWS_PER_BATCH


def _holds_texts(leaf: pq.ColumnSchema) -> bool:
    return bool(leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL")


def _size(array: pa.Array, name: str) -> int:
    """Bytes of all values, those that are stored once counted as often as they come."""
    if not isinstance(array, pa.DictionaryArray):
        return int(array.nbytes)
    lengths = pc.binary_length(array.dictionary)
    longest = pc.max(lengths).as_py() or 0
    if longest > _MAX_VALUE_BYTES:
        raise InputError(f"{name} has a value of {longest / 2**20:,.0f} MiB; is this a text?")
    return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)


def _check_growth(total: int, num_bytes: int, name: str) -> None:
    if total > HARMLESS_BYTES and total > MAX_GROWTH * num_bytes:
        raise InputError(
            f"{name} has {num_bytes:,} bytes and grows to more than {total / 2**30:.1f} GiB when it is read; "
            "if that is meant, write it as CSV or JSON lines first"
        )


def _contradictory(name: str, how: str) -> InputError:
    return InputError(f"{name} is not sound Parquet: {how}; write it anew with the program that made it")
