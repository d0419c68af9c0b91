"""Reading the whole input once before anything is sent: a file that breaks off midway costs no request."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batch_client.errors import InputError
from batch_client.formats.opened import readable
from batch_client.formats.source import Reader
from batch_client.outcomes import Failure, Prediction
from batch_client.screen import listed, no_column
from batch_client.texts import check_text


@dataclass(frozen=True)
class Survey:
    """What an input holds. `unsendable` counts the rows that no request is made for, by kind of failure."""

    num_rows: int
    unsendable: Mapping[str, int]
    text_column: str
    sha256: str
    num_answered: int = 0
    """Rows that have an answer already."""

    @property
    def num_sendable(self) -> int:
        """Rows that the service is to be asked about."""
        return self.num_rows - self.num_answered - sum(self.unsendable.values())


def take_survey(reader: Reader, text_column: str | None) -> Survey:
    """Read all rows of the input. Without `text_column`, its only column is taken.

    Raises:
        InputError: the input is not sound, or does not have the column.
    """
    column = choose_column(reader, text_column)
    unsendable: Counter[str] = Counter()
    num_rows = num_answered = 0
    for value in reader.values(column):
        num_rows += 1
        checked = check_text(value)
        if isinstance(checked, Failure):
            unsendable[checked.kind] += 1
        num_answered += isinstance(checked, Prediction)
    return Survey(num_rows, unsendable, column, sha256_of(reader.path), num_answered)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes. Raises InputError if it cannot be read."""
    with readable(str(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def choose_column(reader: Reader, text_column: str | None) -> str:
    """The column of the texts: the one that is named, or the only one there is. Raises InputError."""
    if text_column is None:
        if len(reader.columns) == 1:
            return reader.columns[0]
        raise InputError(
            f"say which column holds the texts with --text-column; {reader.name} has {listed(reader.columns)}"
        )
    if text_column not in reader.columns:
        raise InputError(no_column(reader.name, text_column, reader.columns))
    return text_column
