"""What parts the cells of a table of text, and whether quotes enclose them: found out from its first lines."""

from __future__ import annotations

import re

from batch_client.errors import InputError

NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MAX_LINES = 20


def delimiter_from(value: str, option: str = "--delimiter") -> str:
    """The character that an option means: one character, or the name of one. Raises InputError."""
    by_name = {name: delimiter for delimiter, name in NAMES.items()} | {"\\t": "\t", "pipe": "|", "space": " "}
    found = by_name.get(value.lower(), value)
    if len(found) != 1 or found in '"\r\n\0':
        raise InputError(f"{option} {value!r} is not one character; use , ; | or tab")
    return found


def name_of(delimiter: str) -> str:
    """What people call a delimiter."""
    return NAMES.get(delimiter, repr(delimiter))


def declared_delimiter(first_line: str) -> str | None:
    """What a first line such as `sep=;`, which Excel writes, says."""
    found = re.fullmatch(r'"?sep=(.)"?', first_line.strip("\r\n"))
    return found[1] if found else None


def splitting(line: str) -> list[str]:
    """The usual delimiters that split a line, those within quotes left out."""
    outside = re.sub(r'"(?:[^"]|"")*("|$)', "", line)  # a quoted name may go on in the next line
    return [delimiter for delimiter in NAMES if delimiter in outside]


def guess_delimiter(header: str, default: str, text_column: str | None, name: str, has_header: bool) -> str:
    """The one delimiter that splits the header; `default` if none does. Raises InputError if several do.

    `text_column` decides between several, if only one of them makes a cell of it; and a first line that names no
    columns may hold anything, so that `default` counts there.
    """
    found = splitting(header)
    if default == "\t" and "\t" in found:
        return "\t"  # nobody types a tab by chance
    if len(found) > 1 and not has_header and default in found:
        return default
    if len(found) > 1 and text_column is not None:
        fitting = [delimiter for delimiter in found if text_column in cells_of(header, delimiter)]
        found = fitting if len(fitting) == 1 else found
    if len(found) > 1:
        names = " and by ".join(name_of(delimiter) for delimiter in found)
        raise InputError(f"the first line of {name} can be split by {names}; say which with --delimiter")
    return found[0] if found else default


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of a simple line, for guesses only."""
    return [cell.strip().strip('"') for cell in line.strip("\r\n").split(delimiter)]


def looks_like_a_table(lines: list[str]) -> str | None:
    """The delimiter that splits each of several first lines into equally many cells, if there is one."""
    lines = [re.sub(r'"(?:[^"]|"")*"', "", line) for line in lines[:_MAX_LINES] if line.strip()]
    if len(lines) < 2:
        return None
    for delimiter in NAMES:
        counts = {line.count(delimiter) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return delimiter
    return None


def quotes_enclose(lines: list[str], delimiter: str, has_header: bool) -> bool:
    """Whether every cell of the header (or, without one, of all first lines) stands in quotes."""
    lines = [line.strip("\r\n") for line in lines[: 1 if has_header else _MAX_LINES] if line.strip()]
    cells = [cell for line in lines for cell in line.split(delimiter)]
    return bool(cells) and all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
