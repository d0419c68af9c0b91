"""What people read on a terminal or in a log: sentences that come out as they are, whatever they quote."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

_MOST_NAMES = 20


def console_on(stream: TextIO | None, is_stderr: bool = False) -> Console:
    """A console that is a terminal only if its stream is one, whatever FORCE_COLOR says, and interprets no markup."""
    return Console(
        stderr=is_stderr,
        force_terminal=bool(stream and stream.isatty()),
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
    )


class Screen:
    """Standard error: sentences, and a progress display above which they stand."""

    def __init__(self) -> None:
        self.console = console_on(sys.stderr, is_stderr=True)

    def say(self, *lines: str) -> None:
        """Write lines. What is not printable in them, such as a terminal's control codes, is shown escaped."""
        for line in lines:
            self.console.print(printable(line))


def printable(text: str) -> str:
    """A line of text with everything that is not printable escaped, such as `\\x1b`; so no line can become two."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def listed(names: Sequence[object], others: Sequence[object] = ()) -> str:
    """Names for people, quoted, not more than twenty; in escapes where they or `others` only look alike."""
    shown = ", ".join(_quoted(name, [*names, *others]) for name in names[:_MOST_NAMES])
    further = len(names) - _MOST_NAMES
    return (shown or "none") + (f" and {further:,} more" if further > 0 else "")


def no_column(holder: str, name: object, columns: Sequence[object]) -> str:
    """The sentence for a column that is not there."""
    return f"{holder} has no column {_quoted(name, columns)}; it has {listed(columns, [name])}"


def _quoted(name: object, others: Sequence[object]) -> str:
    if not isinstance(name, str) or name.isascii():
        return repr(name)
    form = unicodedata.normalize("NFKC", name)
    has_double = any(
        isinstance(other, str) and other != name and unicodedata.normalize("NFKC", other) == form for other in others
    )
    return ascii(name) if has_double else repr(name)
