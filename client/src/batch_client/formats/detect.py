"""Which format a file is in: by its name, and by its content where the name says nothing."""

from __future__ import annotations

from pathlib import Path

from batch_client.errors import InputError, OutputError
from batch_client.formats.opened import guess_encoding, open_binary

FORMATS_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
INPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "text")
_PARQUET_MAGIC = b"PAR1"


def detect_input(path: Path, text_column: str | None) -> str:
    """The format of a file. Parquet shows in the content; else the name decides; else the first line.

    Raises:
        InputError: the file cannot be read, or its name promises Parquet that it does not hold.
    """
    named = _format_by_name(path)
    with open_binary(path) as file:
        start = file.read(64 * 1024)
    if start.startswith(_PARQUET_MAGIC):
        return "parquet"
    if named == "parquet":
        raise InputError(f"{path} is not Parquet, although its name says so; name the format with --format")
    return named or _format_by_content(start.decode(guess_encoding(path), "replace"), text_column)


def detect_output(path: Path) -> str:
    """The format that a result's name asks for. Raises OutputError if it asks for none that can hold columns."""
    found = _format_by_name(path)
    if found in (None, "text"):
        raise OutputError(f"{path.name} should end in .csv, .tsv, .jsonl or .parquet (.gz after it packs the file)")
    if found == "parquet" and path.suffix == ".gz":
        raise OutputError(f"{path.name}: Parquet is packed already; leave .gz away")
    assert found is not None
    return found


def _format_by_name(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    return FORMATS_BY_SUFFIX.get(Path(name).suffix)


def _format_by_content(start: str, text_column: str | None) -> str:
    first_line = start.lstrip("\ufeff").partition("\n")[0].strip("\r")
    if first_line.lstrip().startswith("{"):
        return "jsonl"
    if "\t" in first_line:
        return "tsv"
    cells = [cell.strip('"') for cell in first_line.split(",")]
    return "csv" if text_column in cells else "text"
