"""Plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator

from batch_client.formats.opened import TextFile
from batch_client.formats.source import Row

COLUMN = "text"


class PlainReader:
    """Reads lines; a blank line is a row too, so that the result lines up with the input."""

    def __init__(self, file: TextFile) -> None:
        self.path, self.name = file.path, file.name
        self.columns = [COLUMN]
        self.format = "text"
        self.description = f"plain text, {file.description}, one text per line"
        self._file = file

    def rows(self) -> Iterator[Row]:
        """All lines without their ends."""
        for line in self.values(COLUMN):
            yield {COLUMN: line}

    def values(self, column: str) -> Iterator[str]:
        """All lines without their ends."""
        for line in self._file.lines(newline="\n"):
            yield line.removesuffix("\n").removesuffix("\r")
