"""The parts of an `.xlsx` package besides its sheets: their names, shared strings, styles. Strict workbooks too."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from xml.etree.ElementTree import Element, fromstring, iterparse
from zipfile import ZipFile

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from batch_client.formats.cells import CellContext, TooLargeError, local_name, text_of

MAX_PART_BYTES = 256 * 2**20
"""Of what is held in memory. Excel itself allows far less."""


class Workbook:
    """What a package says about its sheets.

    Attributes:
        sheets: the part that holds each worksheet, by the sheet's name, in order; charts are none.
        charts: names of the sheets that hold no cells.

    Raises:
        KeyError, ValueError, SyntaxError, StopIteration: the package is damaged.
        TooLargeError: a part of it is beyond `MAX_PART_BYTES`.
    """

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        part = next(path for kind, path in self._relations("").values() if kind == "officeDocument")
        root = self._parsed(part)
        relations = self._relations(part)
        self.sheets: dict[str, str] = {}
        self.charts: list[str] = []
        for sheet in _descendants(root, "sheet"):
            key = next(value for name, value in sheet.items() if name.endswith("}id"))
            kind, path = relations[key]
            if kind == "worksheet":
                self.sheets[sheet.get("name", "")] = path
            else:
                self.charts.append(sheet.get("name", ""))
        parts = dict(relations.values())
        is_1904 = any(each.get("date1904") in ("1", "true") for each in _descendants(root, "workbookPr"))
        dates, durations = self._styles(parts.get("styles"))
        self.context = CellContext(
            self._strings(parts.get("sharedStrings")),
            dates,
            durations,
            CALENDAR_MAC_1904 if is_1904 else CALENDAR_WINDOWS_1900,
        )

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Kind and path of the parts that a part refers to, by their key there."""
        folder, name = posixpath.split(part)
        root = self._parsed(posixpath.join(folder, "_rels", f"{name}.rels"))
        return {
            each.get("Id", ""): (
                each.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/"),
            )
            for each in root
        }

    def _strings(self, part: str | None) -> list[str]:
        if part is None:
            return []
        self._check_size(part)
        strings = []
        with self._archive.open(part) as stream:
            for _, element in iterparse(stream):
                if local_name(element) == "si":
                    strings.append(text_of(element))
                    element.clear()
        return strings

    def _styles(self, part: str | None) -> tuple[frozenset[int], frozenset[int]]:
        """The styles that show a number as a date or a time, and those that show it as elapsed time."""
        if part is None:
            return frozenset(), frozenset()
        root = self._parsed(part)
        formats = dict(BUILTIN_FORMATS)
        formats |= {int(each.get("numFmtId", 0)): each.get("formatCode", "") for each in _descendants(root, "numFmt")}
        codes = [
            formats.get(int(style.get("numFmtId", 0)), "")
            for styles in _descendants(root, "cellXfs")
            for style in styles
        ]
        return (
            frozenset(number for number, code in enumerate(codes) if is_date_format(code)),
            frozenset(number for number, code in enumerate(codes) if is_timedelta_format(code)),
        )

    def _parsed(self, part: str) -> Element:
        self._check_size(part)
        return fromstring(self._archive.read(part))

    def _check_size(self, part: str) -> None:
        if self._archive.getinfo(part).file_size > MAX_PART_BYTES:
            raise TooLargeError(f"{part} in it is larger than {MAX_PART_BYTES // 2**20} MiB")


def _descendants(root: Element, name: str) -> Iterator[Element]:
    return (element for element in root.iter() if local_name(element) == name)
