"""What a file is packed with, by its first bytes: undone where that can be done, else refused by its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from batch_client.errors import InputError, OutputError
from batch_client.formats.streams import Decompressor, StreamsReader

START_BYTES = 64 * 1024
"""As much of a file as guesses are made from."""


@dataclass(frozen=True)
class Packing:
    """A way to pack a file: the suffix of its name, its first bytes, and how to open it."""

    name: str
    suffix: str
    magic: bytes
    unpack: Callable[[BinaryIO], Any]
    pack: Callable[[BinaryIO], Any]


def _zstd() -> Any:
    try:
        from compression import zstd  # Python 3.14 has it
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise InputError("for Zstandard a package is needed: pip install backports.zstd") from None
    return zstd


def _streams(decompressor: Callable[[], Decompressor]) -> Callable[[BinaryIO], BinaryIO]:
    return lambda file: cast(BinaryIO, io.BufferedReader(StreamsReader(file, decompressor)))


PACKINGS = (
    # No name and no time in gzip's header: they would make equal results differ.
    Packing(
        "gzip", ".gz", b"\x1f\x8b", gzip.open, lambda file: gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0)
    ),
    Packing("bzip2", ".bz2", b"BZh", _streams(bz2.BZ2Decompressor), lambda file: bz2.BZ2File(file, "wb")),
    Packing("xz", ".xz", b"\xfd7zXZ\0", _streams(lzma.LZMADecompressor), lambda file: lzma.LZMAFile(file, "wb")),  # noqa: SIM115
    Packing(
        "Zstandard", ".zst", b"\x28\xb5\x2f\xfd", _streams(lambda: _zstd().ZstdDecompressor()),
        lambda file: _zstd().open(file, "wb"),
    ),
)  # fmt: skip
SUFFIXES = tuple(packing.suffix for packing in PACKINGS)

ZIP_MAGIC, PARQUET_MAGIC, OLE_MAGIC = b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_REFUSED = {
    b"PK\x05\x06": "an empty ZIP archive",
    b"PK\x07\x08": "a ZIP archive in parts",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    OLE_MAGIC: "an old Office file (such as .xls)",
    b"\x1f\x9d": "packed with compress (.Z)",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"\xff\x06\x00\x00sNaPpY": "packed with Snappy",
    b"LZIP": "packed with lzip",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow (Feather) file",
    b"FEA1": "an old Feather file",
    b"SQLite format 3\0": "an SQLite database",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
    b"%PDF-": "a PDF file",
    b"{\\rtf": "an RTF file",
    b"\x89PNG\r\n\x1a\n": "an image",
    b"GIF8": "an image",
    b"\xff\xd8\xff": "an image",
    b"\x7fELF": "a program",
    b"PAR1": "Parquet inside a packing; Parquet is packed already",
    b"PK\x03\x04": "a ZIP archive",
}
_TAR_PLACE, _TAR_MAGIC = 257, b"ustar"
_ZIPPED = {
    "xl/workbook.bin": "a binary workbook (.xlsb)",
    "word/": "a Word document",
    "ppt/": "a presentation",
    "META-INF/manifest.xml": "an OpenDocument file (such as .ods)",
    "Index/Document.iwa": "a document of Apple's (such as .numbers)",
}
"""What a ZIP archive is that has a member whose name begins like this."""
_PROTECTED = "EncryptedPackage".encode("utf-16-le")
"""The stream that a workbook with a password is packed into, as the directory of the file names it."""


def packing_of(start: bytes) -> Packing | None:
    """What a file that begins like this is packed with, if it is one that can be undone."""
    return next((packing for packing in PACKINGS if start.startswith(packing.magic)), None)


def packing_by_name(path: Path) -> Packing | None:
    """What a result of this name is to be packed with. Raises OutputError if a package for it is missing."""
    found = next((packing for packing in PACKINGS if path.name.lower().endswith(packing.suffix)), None)
    if found and found.suffix == ".zst":
        try:
            _zstd()
        except InputError as error:
            raise OutputError(f"{path.name}: {error}") from None
    return found


def refuse_known(start: bytes, name: str) -> None:
    """Raise InputError, by its name, for a kind of file that is known and never a table or a text."""
    kind = next((kind for magic, kind in _REFUSED.items() if start.startswith(magic)), None)
    if kind is None and start[_TAR_PLACE:].startswith(_TAR_MAGIC):
        kind = "a tar archive"
    if kind is None and packing_of(start) is not None:
        kind = "packed twice"
    if kind is not None:
        raise _not_read(name, kind)


def refuse_zip(members: Iterable[str], name: str) -> NoReturn:
    """Raise InputError for a ZIP archive that is no spreadsheet, by what its members show it to be."""
    found = (kind for start, kind in _ZIPPED.items() if any(member.startswith(start) for member in members))
    raise _not_read(name, next(found, "a ZIP archive"))


def refuse_protected(file: BinaryIO, name: str) -> None:
    """Raise InputError if an Office file, which begins with `OLE_MAGIC`, is protected by a password."""
    end = b""
    while part := file.read(2**20):
        if _PROTECTED in end + part:
            raise InputError(
                f"{name} is protected by a password; open it in Excel, save it without one (or as CSV), and score that"
            )
        end = part[-len(_PROTECTED) :]


def _not_read(name: str, kind: str) -> InputError:
    return InputError(f"{name} is {kind}, which is not read; unpack or convert it to CSV, JSON lines or Parquet first")


def unpacked(file: BinaryIO, packing: Packing) -> BinaryIO:
    """The content of a packed file."""
    return cast(BinaryIO, packing.unpack(file))
