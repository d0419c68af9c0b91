"""Looks at a JSON text before anybody parses it: what it would cost, and whether a field would be lost."""

from __future__ import annotations

import json

from starlette.types import Scope

from batch_http.body import header
from batch_http.refusals import INVALID_REQUEST, Refused
from batch_http.requests import shown

MAX_JSON_VALUES = 100_000
"""Values of a document, and names. As many are parsed in 10 ms; 16 MiB of `[],` take two seconds and 400 MB."""

MAX_JSON_QUOTES = 4 * MAX_JSON_VALUES
"""Quotation marks that begin or end a string: a value has at most two strings, its own and its name."""

MAX_DIGITS = 400
"""Of a number. No number needs so many, and those with more cost a parser much."""

_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")

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
    if header(scope, b"content-type").startswith(FORMS) and not body.lstrip().startswith((b"{", b"[")):
        msg = "the body is a form; send it as JSON, with Content-Type: application/json"
        raise Refused(INVALID_REQUEST, 400, msg, problem="form_body")
    # What follows is linear in the text, and in C but for what the number of strings bounds.
    if body.count(b'"') - body.count(b'\\"') > MAX_JSON_QUOTES:
        raise _too_much(f"more than {MAX_JSON_QUOTES // 2} strings; send fewer")
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    # Each string becomes one quotation mark.
    outside = b'"'.join(unescaped.split(b'"')[::2])
    # Commas and opening brackets are at least as many as values, but for a few.
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > MAX_JSON_VALUES:
        raise _too_much(f"more than {MAX_JSON_VALUES} values; send fewer")
    if outside.count(b":") > MAX_JSON_VALUES:
        raise _too_much(f"more than {MAX_JSON_VALUES} names; send fewer")
    if b"0" * MAX_DIGITS in outside.translate(_DIGITS_AS_ZERO):
        raise _too_much(f"a number of {MAX_DIGITS} digits or more; send a shorter one")
    if repeated := _repeated_field(body, _names(unescaped, outside)):
        msg = f"{repeated} is given twice, and only one of the two would be read; send it once"
        raise Refused(INVALID_REQUEST, 400, msg, problem="repeated_field")


def _too_much(what: str) -> Refused:
    return Refused(INVALID_REQUEST, 400, f"the body holds {what}", problem="too_many_values")


def _names(unescaped: bytes, outside: bytes) -> list[bytes]:
    """What stands before the colons of a JSON text, first without escaped quotation marks, then without strings."""
    parts = unescaped.split(b'":')
    if len(parts) - 1 == outside.count(b'":') == outside.count(b":"):
        return [part[part.rfind(b'"') + 1 :] for part in parts[:-1]]
    # White space before a colon, or a string that begins with one.
    pieces = unescaped.split(b'"')
    return [name for name, after in zip(pieces[1::2], pieces[2::2], strict=False) if after.lstrip().startswith(b":")]


def _repeated_field(body: bytes, names: list[bytes]) -> str | None:
    """The name of a field that an object of this JSON text has twice, if one does. Nothing if it is no JSON."""
    # A name may be written with escapes.
    if len(names) == len(set(names)) and b"\\" not in b"".join(names):
        return None
    # Seldom, and no fault if the two are of different objects.
    try:
        json.loads(body, object_pairs_hook=_without_repetition)
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
