"""From a path to the reader of its format."""

from __future__ import annotations

from pathlib import Path

from batch_client.errors import InputError
from batch_client.formats.delimited import DelimitedReader
from batch_client.formats.detect import detect_text_format, format_by_name
from batch_client.formats.json_lines import JsonArrayReader, JsonLinesReader
from batch_client.formats.opened import open_binary, open_text_file, start_of
from batch_client.formats.packings import OLE_MAGIC, PARQUET_MAGIC, ZIP_MAGIC, refuse_known, refuse_protected
from batch_client.formats.plain import PlainReader
from batch_client.formats.source import Reader, ReadOptions


def open_reader(path: Path, options: ReadOptions, text_column: str | None = None) -> Reader:
    """A reader of the file. `text_column` helps to recognise a file by its content. Raises InputError."""
    name = options.name or str(path)
    start = start_of(path, name)
    named = options.format or format_by_name(Path(name))
    if start.startswith(PARQUET_MAGIC):
        return _open_parquet(path, options)
    if start.startswith(ZIP_MAGIC):
        from batch_client.formats.spreadsheet import SpreadsheetReader

        return SpreadsheetReader(path, options)
    if start.startswith(OLE_MAGIC):
        with open_binary(path, name) as file:
            refuse_protected(file, name)
    with open_binary(path, name) as file:
        refuse_known(file.read(512), name)
    if named in ("parquet", "xlsx"):
        kind = "Parquet" if named == "parquet" else "a spreadsheet"
        raise InputError(f"{name} is not {kind}, although its name says so; name the format with --format")
    text = open_text_file(path, options)
    match options.format or detect_text_format(text, named, text_column):
        case "csv":
            return DelimitedReader(text, ",", options, text_column)
        case "tsv":
            return DelimitedReader(text, "\t", options, text_column)
        case "jsonl":
            return JsonLinesReader(text, text_column)
        case "json":
            return JsonArrayReader(text, text_column)
        case _:
            return PlainReader(text)


def _open_parquet(path: Path, options: ReadOptions) -> Reader:
    require_pyarrow(f"{options.name or path} is Parquet; to read it")
    from batch_client.formats.parquet import ParquetReader

    return ParquetReader(path, options.name)


def require_pyarrow(why: str) -> None:
    """Raise InputError if Parquet cannot be read or written here."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise InputError(f"{why}, pyarrow is needed: pip install pyarrow") from None
