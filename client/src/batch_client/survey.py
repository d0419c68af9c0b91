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
from batch_client.text_path import JoinedText, TextPath, find_text_path
from batch_client.texts import check_text


@dataclass(frozen=True)
class Survey:
    """What an input holds. `unsendable` counts the rows that no request is made for, by kind of failure."""

    num_rows: int
    unsendable: Mapping[str, int]
    path: TextPath
    """Where the texts are."""
    sha256: str
    num_answered: int = 0
    """Rows that have an answer already."""
    num_joined: int = 0
    """Rows whose text was put together from the texts of a list."""

    @property
    def text_column(self) -> str:
        """What people call the place of the texts."""
        return str(self.path)

    @property
    def num_sendable(self) -> int:
        """Rows that the service is to be asked about."""
        return self.num_rows - self.num_answered - sum(self.unsendable.values())


def take_survey(reader: Reader, text_column: str | None) -> Survey:
    """Read all rows of the input. `text_column` is as in `find_text_path`.

    Raises:
        InputError: the input is not sound, or does not have the column.
    """
    path = find_text_path(reader, text_column)
    unsendable: Counter[str] = Counter()
    num_rows = num_answered = num_joined = 0
    for value in path.values(reader):
        num_rows += 1
        num_joined += isinstance(value, JoinedText)
        checked = check_text(value)
        if isinstance(checked, Failure):
            unsendable[checked.kind] += 1
        num_answered += isinstance(checked, Prediction)
    if path.fields and num_rows and unsendable["missing"] == num_rows:
        raise InputError(f"no row of {reader.name} has anything at {text_column!r}; say where the texts are")
    return Survey(num_rows, unsendable, path, sha256_of(reader.path), num_answered, num_joined)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes. Raises InputError if it cannot be read."""
    with readable(str(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
