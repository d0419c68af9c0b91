"""Which format a file is in: by its content where that is plain, by its name, and never by falling through.

What a file is called and what it holds must not contradict each other: then it is refused, and `--format` decides.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from batch_client.errors import InputError, OutputError
from batch_client.formats.delimiters import cells_of, looks_like_a_table, name_of, splitting
from batch_client.formats.opened import TextFile
from batch_client.formats.packings import SUFFIXES, packing_by_name

FORMATS_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
INPUT_FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "text")
OUTPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
_FAMILIES = {"json": "JSON", "jsonl": "JSON"}
_CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\r\f\v\x1b")
_MAX_SHARE_OF_CONTROLS = 0.1


def detect_text_format(file: TextFile, named: str | None, text_column: str | None) -> str:
    """The format of a file that is no spreadsheet and no Parquet: "csv", "tsv", "jsonl", "json" or "text".

    Raises:
        InputError: its content is not what its name says, or may be several things.
    """
    start = file.start.lstrip("\ufeff")
    held = _held(start)
    if held == "markup":
        raise InputError(
            f"{file.name} is HTML or XML; convert it to CSV or JSON lines, or pass --format text for its lines"
        )
    if named in ("json", "jsonl"):
        return held if held in ("json", "jsonl") else named
    if held is not None and named in (None, "text"):
        return held
    if held is not None:
        raise InputError(
            f"{file.name} holds JSON, although its name says {named.upper() if named else ''}; "
            f"pass --format {held}, or --format {named} if it really is"
        )
    if named in ("csv", "tsv"):
        return named
    return _table_or_text(file, start, named, text_column)


def detect_output(path: Path) -> str:
    """The format that a result's name asks for. Raises OutputError if it asks for none that can hold columns."""
    found = format_by_name(path)
    if found == "json":
        raise OutputError(f"{path.name}: JSON is written as lines; call it .jsonl")
    if found not in OUTPUT_FORMATS:
        raise OutputError(
            f"{path.name} should end in .csv, .tsv, .jsonl, .parquet or .xlsx (.gz, .bz2, .xz, .zst pack the file)"
        )
    if packing_by_name(path) and found in ("parquet", "xlsx"):
        kind = "Parquet" if found == "parquet" else "a spreadsheet"
        raise OutputError(f"{path.name}: {kind} is packed already; leave {path.suffix} away")
    if path.suffix.lower() == ".xlsm":
        raise OutputError(f"{path.name}: a spreadsheet is written without macros; call it .xlsx")
    return found


def format_by_name(path: Path) -> str | None:
    """The format that a file's name stands for, if any."""
    name = path.name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return FORMATS_BY_SUFFIX.get(Path(name).suffix)


def _held(start: str) -> str | None:
    """What a text shows itself to be: "jsonl", "json" or "markup"; None if it may be anything."""
    content = start.lstrip()
    first_line = re.split("[\r\n]", content, maxsplit=1)[0].strip()
    if content.startswith("{"):
        if _is_json(first_line) or (len(content) == len(first_line) and '"' in content[1:].lstrip()[:1]):
            return "jsonl"
        # An object over several lines: not rows, but certainly not texts.
        return "json" if content[1:].lstrip().startswith('"') and '":' in content.replace(" ", "") else None
    if content.startswith("["):
        inner = content[1:].lstrip()
        return "json" if inner.startswith("{") or (_is_json(content) and content.rstrip().endswith("]")) else None
    lowered = content[:200].lower()
    is_markup = lowered.startswith(("<?xml", "<!doctype", "<html", "<svg", "<rss", "<feed"))
    return "markup" if is_markup else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _table_or_text(file: TextFile, start: str, named: str | None, text_column: str | None) -> str:
    lines = [line for line in start.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if not lines:
        return "text"
    if sum(character in _CONTROLS for character in start) > _MAX_SHARE_OF_CONTROLS * len(start):
        raise InputError(f"{file.name} holds neither text nor a table that is known; say what it is with --format")
    header = lines[0]
    if text_column is not None and any(text_column in cells_of(header, sign) for sign in splitting(header)):
        return "tsv" if "\t" in header else "csv"
    if named is None and text_column is not None and cells_of(header, ",") == [text_column]:
        return "csv"
    if named is None and "\t" in header:
        return "tsv"
    if named is None and (delimiter := looks_like_a_table(lines)):
        raise InputError(
            f"{file.name} looks like a table parted by {name_of(delimiter)}, but its name does not say so; "
            "pass --format csv and --text-column, or --format text for one text per line"
        )
    return "text"
