"""INT96, the timestamps of Spark, Hive and Impala before 2017: days and nanoseconds, which Arrow reads in one unit.

Microseconds are what Spark itself counts in, reach from year 1 to 9999, and can be read by all when they are written
again. Nanoseconds are for files that have such digits; Arrow's wrap around before 1678 and after 2262.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_client.errors import InputError

_ROWS_PER_BATCH = 4096
_SPARK = b"org.apache.spark.version"
_MAX_MICROSECONDS = 2**63 // 1000 - 1


def int96_unit(opened: Callable[[str], AbstractContextManager[pq.ParquetFile]], name: str) -> str:
    """The unit ("us" or "ns") that keeps every digit of a file's INT96 timestamps. `opened` opens it with a unit.

    Raises:
        InputError: some need nanoseconds, and others are out of their reach.
    """
    with opened("us") as micro, opened("ns") as nano:
        leaves = [micro.schema.column(index) for index in range(len(micro.schema))]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
        if not paths:
            return "us"
        has_nanoseconds = is_far = False
        batches = (file.iter_batches(_ROWS_PER_BATCH, columns=paths) for file in (micro, nano))
        for pair in zip(*batches, strict=True):
            for in_us, in_ns in zip(*map(_timestamps_in, pair), strict=True):
                # Equal in all digits even where nanoseconds have wrapped around, as this product does too.
                has_nanoseconds |= not _is_all(pc.equal(in_ns, pc.multiply(in_us, 1000)))
                is_far |= not _is_all(pc.less_equal(pc.abs(in_us), _MAX_MICROSECONDS))
    if has_nanoseconds and is_far:
        raise InputError(
            f"{name} has times with nanoseconds and times before 1678 or after 2262, which no one type can hold; "
            "convert its INT96 columns to microseconds first"
        )
    return "ns" if has_nanoseconds else "us"


def with_instants(schema: pa.Schema, parquet: pq.ParquetSchema) -> pa.Schema:
    """The schema with INT96 as points in time, which they are to Spark, where Spark wrote the file.

    Without a zone they would be clock times, which Spark shows as they are wherever its session is.
    """
    if _SPARK not in (schema.metadata or {}):
        return schema
    are_int96 = iter([parquet.column(index).physical_type == "INT96" for index in range(len(parquet))])
    fields = [field.with_type(_with_zone(field.type, are_int96)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _with_zone(kind: pa.DataType, are_int96: Iterator[bool]) -> pa.DataType:
    """A type with a zone in those of its leaves that are INT96: `are_int96` says so for each leaf, in order."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_zone(field.type, are_int96)) for field in kind])
    if pa.types.is_map(kind):
        key, item = _with_zone(kind.key_type, are_int96), _with_zone(kind.item_type, are_int96)
        return pa.map_(kind.key_field.with_type(key), kind.item_field.with_type(item))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_with_zone(kind.value_type, are_int96)))
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):  # of Arrow's, which writes no INT96 there
        _with_zone(kind.value_type, are_int96)
        return kind
    return pa.timestamp(kind.unit, "UTC") if next(are_int96) else kind


def _is_all(values: pa.BooleanArray) -> bool:
    return bool(pc.all(values, min_count=0).as_py())


def _timestamps_in(batch: pa.RecordBatch) -> list[pa.Array]:
    return [leaf.cast(pa.int64()) for column in batch.columns for leaf in leaves_of(column)]


def leaves_of(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays without parts that a nested array is made of."""
    if isinstance(array, pa.StructArray):
        for field in array.flatten():
            yield from leaves_of(field)
    elif isinstance(array, pa.MapArray):
        yield from leaves_of(array.keys)
        yield from leaves_of(array.items)
    elif isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        yield from leaves_of(array.flatten())
    else:
        yield array
