"""Which texts are worth sending: the rules that the service would refuse a text for."""

from __future__ import annotations

import math

from batch_client.outcomes import Failure, Outcome, Prediction

MAX_TEXT_CHARACTERS = 10_000


def check_text(value: object) -> str | Outcome:
    """The text as it is to be sent (stripped), or why the service would refuse it. What has an outcome keeps it."""
    if not isinstance(value, str):  # asked first: nearly all are
        return _check_other(value)
    text = value.strip()
    if not text:
        return Failure("blank", "the text is blank")
    if len(text) > MAX_TEXT_CHARACTERS:
        return Failure("too_long", f"the text has {len(text)} characters, {MAX_TEXT_CHARACTERS} are allowed")
    if "\0" in text:
        return Failure("nul", "the text holds a NUL character")
    if not text.isascii() and not _is_unicode(text):
        return Failure("not_unicode", "the text holds half of a surrogate pair, which is not valid Unicode")
    return text


def _check_other(value: object) -> Outcome:
    if isinstance(value, Prediction | Failure):
        return value
    if value is None or _is_missing(value):
        return Failure("missing", "the text is missing")
    return Failure("not_text", f"the value is of type {type(value).__name__}, not a text")


def _is_missing(value: object) -> bool:
    """Whether it is how pandas and NumPy say that there is nothing."""
    return (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
