"""Opening input files: gzip undone, text decoded, lines of bounded length, faults told in a sentence."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from batch_client.errors import InputError

MAX_LINE_CHARACTERS = 32 * 2**20
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def is_gzip(path: Path) -> bool:
    """Whether the content is gzip, whatever the name says. Raises InputError if the file cannot be opened."""
    with readable(path), path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the faults of reading `path` within the block into InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name a file in it") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged or was cut short: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """The content, gzip undone. Raises InputError if it cannot be read."""
    with readable(path):
        if is_gzip(path):
            with gzip.open(path) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            with path.open("rb") as file:
                yield file


@contextmanager
def open_text(path: Path, encoding: str | None, newline: str) -> Iterator[TextIO]:
    """The content decoded: from `encoding`, or else as the byte order mark says, or else from UTF-8.

    Raises:
        InputError: it cannot be read, or holds bytes that are not in this encoding (the line is named).
    """
    with open_binary(path) as binary:
        chosen = encoding or guess_encoding(path)
        try:
            with io.TextIOWrapper(binary, encoding=chosen, newline=newline) as text:
                yield text
        except LookupError:
            raise InputError(f"{chosen!r} is not a known encoding; try utf-8, latin-1, cp1252 or utf-16") from None
        except UnicodeError:
            raise InputError(_undecodable(path, chosen)) from None


def bounded_lines(text: TextIO, path: Path) -> Iterator[str]:
    """The lines with their ends. Raises InputError at one that would not fit into memory."""
    number = 1
    while line := text.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS:
            raise InputError(
                f"{path}, line {number} is longer than {MAX_LINE_CHARACTERS:,} characters; is this a text?"
            )
        yield line
        number += 1


def guess_encoding(path: Path) -> str:
    """The encoding that the byte order mark tells, or UTF-8."""
    with open_binary(path) as binary:
        start = binary.read(3)
    return next((encoding for bom, encoding in _BOMS.items() if start.startswith(bom)), "utf-8")


def _undecodable(path: Path, encoding: str) -> str:
    mend = "say which encoding the file has, for example --encoding latin-1"
    if encoding.startswith("utf-8"):
        with open_binary(path) as binary:
            for number, line in enumerate(binary, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    return f"{path}, line {number}: byte 0x{line[error.start]:02x} is not valid UTF-8; {mend}"
    return f"{path} is not valid {encoding}; {mend}"
