"""Opening input files: packing undone, text decoded, lines of bounded length, faults in a sentence."""

from __future__ import annotations

import codecs
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from batch_client.errors import InputError
from batch_client.formats.packings import START_BYTES, packing_of, unpacked
from batch_client.formats.source import ReadOptions

MAX_LINE_CHARACTERS = 32 * 2**20
DOS_END = "\x1a"
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SAY_ENCODING = "say which encoding the file has with --encoding"
_UNPACKING_FAULTS: tuple[type[Exception], ...] = (EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class TextFile:
    """A file of lines: what people call it, how it is decoded, and whether its lines end in carriage returns alone."""

    path: Path
    name: str
    encoding: str
    has_lone_returns: bool
    start: str
    """Its first characters, decoded."""

    @property
    def description(self) -> str:
        """How it is decoded, for people."""
        encoding = self.encoding.removesuffix("-sig").upper()
        return encoding + (", lines ended by carriage returns" if self.has_lone_returns else "")

    @contextmanager
    def open(self, newline: str) -> Iterator[TextIO]:
        """The content decoded. Raises InputError for bytes that are not in its encoding (the line is named)."""
        with open_binary(self.path, self.name) as binary:
            try:
                with io.TextIOWrapper(binary, encoding=self.encoding, newline=newline) as text:
                    yield text
            except UnicodeError:
                raise InputError(self._undecodable()) from None

    def lines(self, newline: str) -> Iterator[str]:
        """The lines with their ends, which are those of `newline` or, in a file that has no other, carriage returns."""
        with self.open("" if self.has_lone_returns else newline) as text:
            yield from bounded_lines(text, self.name)

    def _undecodable(self) -> str:
        if self.encoding.startswith("utf-8"):
            with open_binary(self.path, self.name) as binary:
                if fault := _first_fault_of_utf8(binary, self.name):
                    return fault
        return f"{self.name} is not valid {self.encoding}; {_SAY_ENCODING}"


def open_text_file(path: Path, options: ReadOptions) -> TextFile:
    """Find out how a file of lines is decoded: as its byte order mark says, or `options.encoding`, or as UTF-8.

    Raises:
        InputError: it cannot be read, or the encoding is unknown or not the one of the mark.
    """
    name = options.name or str(path)
    with open_binary(path, name) as binary:
        start = binary.read(START_BYTES)
    marked = next((encoding for bom, encoding in _BOMS.items() if start.startswith(bom)), None)
    encoding = _chosen_encoding(options.encoding, marked, start, name)
    # The sample may end within a character.
    characters = codecs.getincrementaldecoder(encoding)("replace").decode(start)
    has_lone_returns = "\r" in characters[:-1] and "\n" not in characters
    return TextFile(path, name, encoding, has_lone_returns, characters.rstrip(DOS_END))


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn the faults of reading a file within the block into InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{name} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder; name a file in it") from None
    except _UNPACKING_FAULTS as error:
        raise InputError(f"{name} is damaged or was cut short: {error}") from error
    except OSError as error:  # gzip's and bzip2's own faults among them
        if error.errno is None:
            raise InputError(f"{name} is damaged or was cut short: {error}") from error
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":  # of a package that need not be there
            raise InputError(f"{name} is damaged or was cut short: {error}") from error
        raise


def start_of(path: Path, name: str) -> bytes:
    """The first bytes of a file, packing and all."""
    with readable(name), path.open("rb") as file:
        return file.read(512)


@contextmanager
def open_binary(path: Path, name: str) -> Iterator[BinaryIO]:
    """The content, packing undone. Raises InputError if it cannot be read."""
    packing = packing_of(start_of(path, name))
    with readable(name), path.open("rb") as file:
        if packing is None:
            yield file
        else:
            with unpacked(file, packing) as content:
                yield content


def bounded_lines(text: TextIO, name: str) -> Iterator[str]:
    """The lines with their ends, without the Ctrl-Z by which DOS ends a file.

    Raises InputError at one that would not fit into memory.
    """
    number = 1
    while line := text.readline(MAX_LINE_CHARACTERS):
        if line.endswith(DOS_END):  # has no end, so it is the last one
            line = line.rstrip(DOS_END)
            if not line:
                return
        if len(line) == MAX_LINE_CHARACTERS:
            raise InputError(
                f"{name}, line {number} is longer than {MAX_LINE_CHARACTERS:,} characters; is this a text?"
            )
        yield line
        number += 1


def _first_fault_of_utf8(lines: Iterable[bytes], name: str) -> str | None:
    """What is wrong with the first line that is not UTF-8, and what to do; None if all lines are."""
    utf8_line: int | None = None
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and not line.endswith(b"\n"):
                return f"{name} ends within a character; it was cut short: get it whole"
            found = f"{name}, line {number}: byte 0x{line[error.start]:02x} is not valid UTF-8"
            if utf8_line is not None:
                # Another encoding would change what is right in that line, and nobody would see it.
                return f"{found}, but line {utf8_line} is: the file mixes encodings; correct line {number}"
            return f"{found}; {_SAY_ENCODING}{_likely_encoding(line)}"
        if utf8_line is None and not line.isascii():
            utf8_line = number
    return None


def _likely_encoding(line: bytes) -> str:
    """Windows' encoding, where the line can be in it; its letters are those of latin-1 and more."""
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return ", for example --encoding cp1252"


def _chosen_encoding(asked: str | None, marked: str | None, start: bytes, name: str) -> str:
    if asked is None:
        return marked or _unmarked_encoding(start)
    try:
        found = codecs.lookup(asked)
        "".encode(asked)
    except (LookupError, ValueError, TypeError):
        raise InputError(f"{asked!r} is not a known encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    if marked is None:
        # Without a mark, plain UTF-16 would be read in this machine's byte order, whatever the file's is.
        is_open = found.name in ("utf-16", "utf-32")
        return _unmarked_encoding(start) if is_open and "utf-16" in _unmarked_encoding(start) else asked
    family = marked.removesuffix("-sig")
    if not found.name.startswith(family):
        raise InputError(
            f"{name} begins with the byte order mark of {family.upper()}, but --encoding says {asked}; "
            "leave --encoding away"
        )
    return marked


def _unmarked_encoding(start: bytes) -> str:
    """UTF-8, or UTF-16 if the sample is mostly of characters whose one byte is zero."""
    sample = start[: len(start) // 2 * 2]
    for encoding, zeros, others in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if len(sample) > 3 and zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.05 * len(others):
            return encoding
    return "utf-8"
