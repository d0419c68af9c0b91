"""From a path to the reader of its format."""

from __future__ import annotations

from pathlib import Path

from batch_client.formats.delimited import DelimitedReader
from batch_client.formats.detect import detect_input
from batch_client.formats.json_lines import JsonLinesReader
from batch_client.formats.plain import PlainReader
from batch_client.formats.source import Reader, ReadOptions


def open_reader(path: Path, options: ReadOptions, text_column: str | None = None) -> Reader:
    """A reader of the file. `text_column` helps to know a file without a telling name. Raises InputError."""
    match options.format or detect_input(path, text_column):
        case "csv":
            return DelimitedReader(path, ",", options)
        case "tsv":
            return DelimitedReader(path, "\t", options)
        case "jsonl":
            return JsonLinesReader(path, options)
        case "parquet":
            from batch_client.formats.parquet import ParquetReader

            return ParquetReader(path)
        case _:
            return PlainReader(path, options)
