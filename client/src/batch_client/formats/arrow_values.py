"""From Arrow's arrays to Python's values that JSON and CSV can hold, at any depth, without a change of any digit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from batch_client.formats.values import bytes_as_text, iso_duration


def as_python(array: pa.Array) -> list[Any]:
    """The values: times, dates and decimals as text, durations as ISO 8601, bytes as text or base64."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return as_python(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return as_python(array.storage)
    if pa.types.is_struct(kind):
        return _structs(array)
    if pa.types.is_map(kind):
        return _lists(array, [list(pair) for pair in zip(as_python(array.keys), as_python(array.items), strict=True)])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(array, as_python(array.values))
    if pa.types.is_fixed_size_list(kind):
        return _fixed_lists(array)
    if pa.types.is_duration(kind):
        return [
            None if value is None else iso_duration(value, kind.unit) for value in array.cast(pa.int64()).to_pylist()
        ]
    if holds_bytes(kind):
        return [bytes_as_text(value) if isinstance(value, bytes) else value for value in decoded(array)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(array)
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        # As a double it would grow digits that nobody wrote: 0.1 becomes 0.10000000149011612.
        return [None if digits is None else float(digits) for digits in array.cast(pa.string()).to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return _as_strings(array)
    return list(array.to_pylist())


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column is of bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or kind == pa.binary_view()
    )


def decoded(array: pa.Array) -> list[str | bytes | None]:
    """Bytes as text where they are UTF-8; others stay bytes."""
    return [_decoded(value) for value in array.to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _texts(array: pa.Array) -> list[Any]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:  # Arrow trusts files about this
        return as_python(array.cast(pa.large_binary()))


def _structs(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    fields = [as_python(array.field(index)) for index in range(len(names))]
    rows = zip(*fields, strict=True) if fields else (() for _ in range(len(array)))
    are_valid = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if is_valid else None for row, is_valid in zip(rows, are_valid, strict=True)
    ]


def _lists(array: pa.Array, values: list[Any]) -> list[Any]:
    offsets = array.offsets.to_pylist()
    return [
        values[offsets[index] : offsets[index + 1]] if valid.as_py() else None
        for index, valid in enumerate(array.is_valid())
    ]


def _fixed_lists(array: pa.Array) -> list[Any]:
    size = array.type.list_size
    values = as_python(array.values)
    start = array.offset
    return [
        values[(start + index) * size : (start + index + 1) * size] if valid.as_py() else None
        for index, valid in enumerate(array.is_valid())
    ]


def _as_strings(array: pa.Array) -> list[Any]:
    try:
        return list(array.cast(pa.string()).to_pylist())
    except pa.ArrowException:
        if pa.types.is_timestamp(array.type):  # a time zone that this machine does not know
            instants = array.cast(pa.timestamp(array.type.unit)).cast(pa.string()).to_pylist()
            return [None if instant is None else instant + "Z" for instant in instants]
        return [None if value.as_py() is None else str(value.as_py()) for value in array]
