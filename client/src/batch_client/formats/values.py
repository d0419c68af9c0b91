"""Values on their way from one format to another.

No digit and no byte is changed, and nothing is written that the other format does not allow.
"""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import Any

import simplejson

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return bytes_as_text(value)
    if isinstance(value, dict | list | tuple):
        return compact_json(value)
    return str(value)


def bytes_as_text(value: bytes) -> str:
    """Bytes as the text they are in UTF-8, or else in base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def iso_duration(value: int, unit: str) -> str:
    """So many units ("s", "ms", "us", "ns") as a duration in ISO 8601, such as `PT1.5S`."""
    seconds, rest = divmod(abs(value), _PER_SECOND[unit])
    digits = len(str(_PER_SECOND[unit])) - 1
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if value < 0 else ''}PT{seconds}{fraction}S"


def compact_json(value: Any) -> str:
    """JSON that any reader takes: NaN and infinity as null, every digit of a number kept.

    Readable, but escaped as a whole if a string in it holds a lone surrogate, which UTF-8 cannot carry.
    """
    readable = _dumps(value, ensure_ascii=False)
    try:
        readable.encode()
    except UnicodeEncodeError:
        return _dumps(value, ensure_ascii=True)
    return readable


def _dumps(value: Any, ensure_ascii: bool) -> str:
    return str(simplejson.dumps(value, ensure_ascii=ensure_ascii, use_decimal=True, ignore_nan=True, default=_plain))


def _plain(value: Any) -> str:
    return bytes_as_text(value) if isinstance(value, bytes) else str(value)


def exact_number(digits: str) -> float | Decimal:
    """A JSON number with a point or an exponent: a float where that keeps every digit, else a decimal."""
    number = float(digits)
    return number if math.isfinite(number) and repr(number) == digits else Decimal(digits)
