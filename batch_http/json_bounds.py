"""Looks at a JSON text before anybody parses it: what it would cost, and whether a field would be lost."""

from __future__ import annotations

import json
import re
from itertools import islice

from starlette.types import Scope

from batch_http.body import MAX_JSON_BYTES, header
from batch_http.refusals import INVALID_REQUEST, Refused
from batch_http.requests import shown

MAX_JSON_VALUES, MAX_JSON_NAMES = 100_000, 10_000
"""Of a document. As many are parsed in 10 ms; 16 MiB of `[],` take two seconds and 400 MB."""

MAX_JSON_STRINGS = MAX_JSON_VALUES + MAX_JSON_NAMES

MAX_JSON_BACKSLASHES = MAX_JSON_BYTES // len(r"\uffff")
"""As many as a body of nothing but escaped characters has. A body of nothing but `\\"` would take 0.3 s to look at."""

MAX_DIGITS = 400
"""Of a number. No number needs so many, and those with more cost a parser much."""

_STRIDE = 50
_NO_MARKS = bytes(set(range(256)) - set(b'",[{'))
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")

_NAME_END = re.compile(rb'"[ \t\n\r]*:')

GZIP_MAGIC = b"\x1f\x8b"

FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")


def check_json(body: bytes, scope: Scope) -> None:
    """Look at a JSON text without parsing it, which for some texts takes seconds and a hundred times their size.

    Raises:
        Refused: it is compressed, in another encoding than UTF-8, has too many values, or has a field twice.
    """
    encoding = header(scope, b"content-encoding").decode("latin-1").strip().lower()
    if body.startswith(GZIP_MAGIC) or encoding not in ("", "identity"):
        name = "gzip" if body.startswith(GZIP_MAGIC) else encoding[:20]
        msg = f"the body is compressed ({name}); send it as it is, without Content-Encoding"
        raise Refused(INVALID_REQUEST, 400, msg, problem="compressed_body")
    if b"\0" in body:
        # As UTF-16 and UTF-32 do. No JSON in UTF-8 does.
        msg = "the body is not JSON: it holds NUL bytes; encode the body as UTF-8"
        raise Refused(INVALID_REQUEST, 400, msg, problem="json_invalid")
    if not body.lstrip().startswith((b"{", b"[")) and header(scope, b"content-type").startswith(FORMS):
        msg = "the body is a form; send it as JSON, with Content-Type: application/json"
        raise Refused(INVALID_REQUEST, 400, msg, problem="form_body")
    names = _likely_names(body) if _is_surely_within_bounds(body) else None
    if names is None or len(names) > MAX_JSON_NAMES:
        pieces = _split_at_strings(body)
        _check_outside(b'"'.join(pieces[::2]))
        names = _names(pieces)
    if len(names) > MAX_JSON_NAMES:
        raise _too_much(f"more than {MAX_JSON_NAMES} names; send fewer")
    if (repeated := _repeated_field(body, names)) is not None:
        msg = f"{repeated or 'an empty name'} is given twice, and only one of the two would be read; send it once"
        raise Refused(INVALID_REQUEST, 400, msg, problem="repeated_field")


def _is_surely_within_bounds(body: bytes) -> bool:
    """Whether its marks and digits are few enough wherever its strings are, as those of nearly all bodies are."""
    if len(body) < MAX_DIGITS:
        return True
    # A number of so many digits has one at each of these strides.
    if b"0" * (MAX_DIGITS // _STRIDE) in body[::_STRIDE].translate(_DIGITS_AS_ZERO):
        return False
    if len(body) <= MAX_JSON_VALUES:
        return True
    marks = body.translate(None, _NO_MARKS)
    num_quotes = marks.count(b'"')
    return num_quotes <= 2 * MAX_JSON_STRINGS and len(marks) - num_quotes <= MAX_JSON_VALUES


def _likely_names(body: bytes) -> list[bytes]:
    """Names of a JSON text, from their last escaped quotation mark on, and some of what only looks like one.

    They are all, unless there are more than allowed.
    """
    ends = [end.start() for end in islice(_NAME_END.finditer(body), MAX_JSON_NAMES + 1)]
    return [body[body.rfind(b'"', 0, end) + 1 : end] for end in ends]


def _too_much(what: str) -> Refused:
    return Refused(INVALID_REQUEST, 400, f"the body holds {what}", problem="too_many_values")


def _split_at_strings(body: bytes) -> list[bytes]:
    """What is outside of strings at even indices, and strings without escaped quotation marks at odd ones."""
    if b"\\" in body and b'\\"' in body:
        if body.count(b"\\") > MAX_JSON_BACKSLASHES:
            raise _too_much(f"more than {MAX_JSON_BACKSLASHES} backslashes; send fewer")
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 2 * MAX_JSON_STRINGS:
        raise _too_much(f"more than {MAX_JSON_STRINGS} strings; send fewer")
    return body.split(b'"')


def _check_outside(outside: bytes) -> None:
    """Look at what a JSON text has outside of strings, each of which is one quotation mark."""
    # Commas and opening brackets are at least as many as values, but for a few.
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > MAX_JSON_VALUES:
        raise _too_much(f"more than {MAX_JSON_VALUES} values; send fewer")
    if b"0" * MAX_DIGITS in outside.translate(_DIGITS_AS_ZERO):
        raise _too_much(f"a number of {MAX_DIGITS} digits or more; send a shorter one")


def _names(pieces: list[bytes]) -> list[bytes]:
    """The strings before a colon, of a text that was split at its strings."""
    return [
        name
        for name, after in zip(pieces[1::2], pieces[2::2], strict=False)
        if b":" in after and after.lstrip().startswith(b":")
    ]


def _repeated_field(body: bytes, names: list[bytes]) -> str | None:
    """The name of a field that an object of this JSON text has twice, if one does. Nothing if it is no JSON."""
    # A name may be written with escapes.
    if len(names) == len(set(names)) and b"\\" not in b"".join(names):
        return None
    # Seldom, and no fault if the two are of different objects. Numbers are not of interest, and cost much.
    try:
        json.loads(body, object_pairs_hook=_without_repetition, parse_float=str, parse_int=str)
    except _RepeatedFieldError as error:
        return shown(str(error))
    except (ValueError, RecursionError):
        pass
    return None


class _RepeatedFieldError(Exception):
    """The name of the field."""


def _without_repetition(fields: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in fields:
        if name in seen:
            raise _RepeatedFieldError(name)
        seen.add(name)
