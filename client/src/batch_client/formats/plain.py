"""Plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch_client.formats.opened import bounded_lines, open_text
from batch_client.formats.source import ReadOptions, Row

COLUMN = "text"


class PlainReader:
    """Reads lines; a blank line is a row too, so that the result lines up with the input."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self.columns = [COLUMN]
        self._options = options

    def rows(self) -> Iterator[Row]:
        """All lines without their ends."""
        for line in self.values(COLUMN):
            yield {COLUMN: line}

    def values(self, column: str) -> Iterator[str]:
        """All lines without their ends."""
        with open_text(self.path, self._options.encoding, newline="\n") as text:
            for line in bounded_lines(text, self.path):
                yield line.removesuffix("\n").removesuffix("\r")
