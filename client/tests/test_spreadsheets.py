"""Workbooks as other programs write them: every row is read, every cell by its type, or the file is refused by name."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart
from openpyxl.worksheet.datavalidation import DataValidation
from typer.testing import Result

from stand_in import Service, prediction

Run = Callable[..., Result]
SHEET = "xl/worksheets/sheet1.xml"
HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>review</t></is></c></row>'
)
STRICT = {
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main": "http://purl.oclc.org/ooxml/spreadsheetml/main",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
        "http://purl.oclc.org/ooxml/officeDocument/relationships"
    ),
}


def workbook(*rows: list[Any]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def edited(content: bytes, edit: Callable[[str, str], str]) -> bytes:
    """The package with its parts changed: `edit` gets the name and the text of each part of XML."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(name, old.read(name).decode()))
    return changed.getvalue()


def sheet_of(rows: str, dimension: str = "A1:B1") -> bytes:
    """A workbook whose sheet is this XML."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    data = f"<sheetData>{HEADER}{rows}</sheetData>"
    sheet = f'<worksheet xmlns="{namespace}"><dimension ref="{dimension}"/>{data}</worksheet>'
    return edited(saved(workbook(["id"])), lambda name, text: sheet if name == SHEET else text)


def with_shared_string(text: str) -> bytes:
    """A workbook whose one text stands among the shared strings, where Excel puts them."""

    def refer(name: str, part: str) -> str:
        if name.endswith("workbook.xml.rels"):
            kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
            relation = f'<Relationship Id="rId99" Type="{kind}" Target="/xl/sharedStrings.xml"/></Relationships>'
            return part.replace("</Relationships>", relation)
        return part

    content = io.BytesIO(edited(sheet_of('<row r="2"><c r="B2" t="s"><v>0</v></c></row>'), refer))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst><si><t>{text}</t></si></sst>")
    return content.getvalue()


def cell(address: str, text: str) -> str:
    return f'<c r="{address}" t="inlineStr"><is><t>{text}</t></is></c>'


@pytest.fixture
def score(service: Service, run: Run, tmp_path: Path) -> Callable[..., Result]:
    """Score a workbook to o.csv, or to `out`."""

    def scored(content: bytes, *options: str, out: str = "o.csv", name: str = "in.xlsx") -> Result:
        (tmp_path / name).write_bytes(content)
        given = ("--text-column", "review", "--url", service[0], "--out", tmp_path / out)
        return run("score", tmp_path / name, *given, *options)

    return scored


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


Score = Callable[..., Result]


class TestWhatASheetSaysOfItself:
    @pytest.mark.parametrize("dimension", ["A1:B3", "A1", "A1:XFD1048576", "C7:D9"])
    def test_a_wrong_dimension_costs_no_row(self, score: Score, tmp_path: Path, dimension: str) -> None:
        rows = "".join(
            f'<row r="{n}"><c r="A{n}"><v>{n}</v></c>{cell(f"B{n}", f"text {n}")}</row>' for n in range(2, 7)
        )
        assert score(sheet_of(rows, dimension)).exit_code == 0
        assert [row["review"] for row in rows_of(tmp_path / "o.csv")] == [f"text {n}" for n in range(2, 7)]

    @pytest.mark.parametrize(
        "numbers",
        [(2, 3, 4), (4, 3, 2), (2, 2, 2), (9, 1, 500), (None, None, None)],
        ids=["in order", "backwards", "the same", "wild", "none"],
    )
    def test_a_wrong_row_number_costs_no_row(
        self, score: Score, tmp_path: Path, numbers: tuple[int | None, ...]
    ) -> None:
        rows = "".join(
            f"<row>{cell('', '1')}{cell('', f'text {at}')}</row>".replace(' r=""', "")
            if number is None
            else f'<row r="{number}">{cell(f"A{number}", "1")}{cell(f"B{number}", f"text {at}")}</row>'
            for at, number in enumerate(numbers)
        )
        assert score(sheet_of(rows)).exit_code == 0
        assert [row["review"] for row in rows_of(tmp_path / "o.csv")] == ["text 0", "text 1", "text 2"]

    @pytest.mark.parametrize(
        "cells", [cell("B2", "one") + cell("B2", "two"), cell("XFE2", "far"), cell("ZZZZZZZ2", "farther")]
    )
    def test_a_cell_that_cannot_be_where_it_says_is_refused(self, score: Score, cells: str, service: Service) -> None:
        result = score(sheet_of(f'<row r="2">{cells}</row>'))
        assert result.exit_code == 1
        assert "is a damaged spreadsheet: " in result.stderr
        assert not service[1].requests


class TestCells:
    """One test a type, each as the file holds it."""

    def test_formulas_without_a_stored_value_are_counted_and_said(self, score: Score, tmp_path: Path) -> None:
        content = saved(workbook(["id", "review", "full name"], [1, "good", '=A2&" Smith"'], [2, "bad", "=A3"]))
        result = score(content)
        assert result.exit_code == 0
        assert "2 formulas without a stored value left empty (open the file in Excel and save it" in result.stderr
        assert [row["full name"] for row in rows_of(tmp_path / "o.csv")] == ["", ""]
        assert "2 formulas" in score(content, "--dry-run", out="p.csv").stdout

    def test_a_text_that_is_a_formula_without_a_value_says_so(
        self, score: Score, service: Service, tmp_path: Path
    ) -> None:
        assert score(saved(workbook(["id", "review"], [1, "=A2"], [2, "good"]))).exit_code == 3
        assert "no stored value; open the file in Excel" in rows_of(tmp_path / "o.csv")[0]["error"]
        assert service[1].seen == {"good": 1}

    def test_a_formula_that_yields_no_text_is_blank_and_not_missing(self, score: Score, tmp_path: Path) -> None:
        content = sheet_of('<row r="2"><c r="B2" t="str"><f>""</f><v></v></c></row>')
        result = score(content)
        assert "stored value" not in result.stderr
        assert rows_of(tmp_path / "o.csv")[0]["error"] == "the text is blank"

    def test_an_error_is_kept_but_not_classified(self, score: Score, service: Service, tmp_path: Path) -> None:
        content = sheet_of(
            '<row r="2"><c r="A2" t="e"><v>#DIV/0!</v></c>' + cell("B2", "good") + "</row>"
            '<row r="3"><c r="B3" t="e"><f>NA()</f><v>#N/A</v></c></row>'
        )
        assert score(content).exit_code == 3
        rows = rows_of(tmp_path / "o.csv")
        assert [row["id"] for row in rows] == ["#DIV/0!", ""]
        assert rows[1]["error"] == "the cell holds the error #N/A"
        assert rows[1]["review"] == "#N/A"
        assert service[1].seen == {"good": 1}

    @pytest.mark.parametrize(
        ("escaped", "text"),
        [
            ("one_x000D_\ntwo", "one\r\ntwo"),
            ("tab_x0009_bed", "tab\tbed"),
            ("_x005F_x000D_", "_x000D_"),
            ("a_x00e9_", "aé"),
            ("_xD83D__xDE00_", "😀"),
            ("_x12_ snake_x_case", "_x12_ snake_x_case"),
        ],
    )
    @pytest.mark.parametrize("is_shared", [False, True])
    def test_escapes_are_undone(self, score: Score, tmp_path: Path, escaped: str, text: str, is_shared: bool) -> None:
        content = with_shared_string(escaped) if is_shared else sheet_of(f'<row r="2">{cell("B2", escaped)}</row>')
        assert score(content).exit_code == 0
        assert rows_of(tmp_path / "o.csv")[0]["review"] == text

    def test_runs_are_put_together_and_readings_left_out(self, score: Score, tmp_path: Path) -> None:
        text = "<r><t>very </t></r><r><rPr><b/></rPr><t>good</t></r><rPh sb='0' eb='1'><t>reading</t></rPh>"
        score(sheet_of(f'<row r="2"><c r="B2" t="inlineStr"><is>{text}</is></c></row>'))
        assert rows_of(tmp_path / "o.csv")[0]["review"] == "very good"

    @pytest.mark.parametrize(
        ("value", "number_format", "kept"),
        [
            (12345678901, None, 12345678901),
            (0.5, None, 0.5),
            (True, None, True),
            (datetime(2024, 1, 5, 9, 30), None, "2024-01-05T09:30:00"),
            (date(2024, 1, 5), None, "2024-01-05T00:00:00"),
            (time(9, 30), None, "09:30:00"),
            (timedelta(hours=30), None, "PT108000S"),
            (timedelta(seconds=1.5), None, "PT1.5S"),
            (1.5, "[h]:mm:ss", "PT129600S"),
            (1e9, "yyyy-mm-dd", 1e9),
            (5, '0 "days"', 5),
        ],
    )
    def test_values_keep_what_they_say(
        self, score: Score, tmp_path: Path, value: object, number_format: str | None, kept: object
    ) -> None:
        book = workbook(["review", "x"], ["good", value])
        if number_format:
            book.active["B2"].number_format = number_format
        assert score(saved(book), out="o.jsonl").exit_code == 0
        assert json.loads((tmp_path / "o.jsonl").read_text())["x"] == kept

    def test_days_are_counted_from_the_workbooks_own_first_day(self, score: Score, tmp_path: Path) -> None:
        book = workbook(["review", "x"], ["good", datetime(2024, 1, 5)])
        content = edited(
            saved(book),
            lambda name, text: (
                text.replace("<workbookPr ", '<workbookPr date1904="1" ') if "workbook.xml" in name else text
            ),
        )
        score(content)
        assert rows_of(tmp_path / "o.csv")[0]["x"] == "2028-01-06T00:00:00"

    def test_a_day_that_excel_made_of_a_text_is_not_classified(
        self, score: Score, service: Service, tmp_path: Path
    ) -> None:
        assert score(saved(workbook(["review", True], [datetime(2024, 10, 10), 1], ["good", 2]))).exit_code == 3
        rows = rows_of(tmp_path / "o.csv")
        assert rows[0]["error"] == "the cell holds a date, a time or a duration, not a text"
        assert rows[0]["review"] == "2024-10-10T00:00:00"
        assert rows[1]["true"] == "2"
        assert service[1].seen == {"good": 1}

    @pytest.mark.parametrize("index", ["-1", "1", "x"])
    def test_a_shared_string_that_is_not_there_is_refused(self, score: Score, index: str) -> None:
        content = edited(with_shared_string("good"), lambda _, text: text.replace("<v>0</v>", f"<v>{index}</v>"))
        assert "is a damaged spreadsheet" in score(content).stderr

    def test_a_cell_of_a_type_that_is_not_known_is_refused(self, score: Score) -> None:
        assert "unknown type 'q'" in score(sheet_of('<row r="2"><c r="B2" t="q"><v>1</v></c></row>')).stderr


class TestWorkbooks:
    def test_a_strict_workbook_is_read(self, score: Score, tmp_path: Path) -> None:
        def strict(_: str, text: str) -> str:
            for ordinary, other in STRICT.items():
                text = text.replace(ordinary, other)
            return text

        content = edited(saved(workbook(["review", "when"], ["good", datetime(2024, 1, 5)])), strict)
        iso = edited(content, lambda _, text: text.replace('t="n"><v>45296<', 't="d"><v>2024-01-05T00:00:00<'))
        for each in (content, iso):
            assert score(each, "--overwrite").exit_code == 0
            row = rows_of(tmp_path / "o.csv")[0]
            assert (row["review"], row["sentiment"]) == ("good", prediction("good")["sentiment"])
            assert row["when"] == "2024-01-05T00:00:00"

    def test_a_chart_is_no_sheet_to_choose(self, score: Score, tmp_path: Path) -> None:
        book = workbook(["review"], ["good"])
        book.create_chartsheet("Chart").add_chart(BarChart())
        assert score(saved(book)).exit_code == 0
        assert len(rows_of(tmp_path / "o.csv")) == 1
        refused = score(saved(book), "--sheet", "Chart", out="p.csv")
        assert "sheet 'Chart' holds no cells" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1

    def test_nothing_is_said_about_what_does_not_concern_the_cells(self, service: Service, tmp_path: Path) -> None:
        book = workbook(["review"], ["good"])
        book.active.add_data_validation(DataValidation(type="list", formula1='"good,bad"', allow_blank=True))
        extension = '<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst></worksheet>'
        content = edited(saved(book), lambda _, text: text.replace("</worksheet>", extension))
        (tmp_path / "in.xlsx").write_bytes(content)
        command = [sys.executable, "-m", "batch_client.cli", "score", "in.xlsx", "--out", "o.csv", "--url", service[0]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert "Warning" not in done.stderr
        assert "openpyxl" not in done.stderr

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            (
                "in.xlsx",
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1500) + "EncryptedPackage".encode("utf-16-le") + bytes(9),
                "protected by a password",
            ),
            ("in.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1500), "an old Office file"),
        ],
    )
    def test_files_that_are_no_package_are_refused_by_what_they_are(
        self, score: Score, name: str, content: bytes, words: str
    ) -> None:
        result = score(content, name=name)
        assert result.exit_code == 1
        assert words in result.stderr

    @pytest.mark.parametrize(
        ("member", "words"),
        [
            ("xl/workbook.bin", "a binary workbook (.xlsb)"),
            ("word/document.xml", "a Word document"),
            ("ppt/presentation.xml", "a presentation"),
            ("META-INF/manifest.xml", "an OpenDocument file"),
            ("Index/Document.iwa", "(such as .numbers)"),
        ],
    )
    def test_packages_of_other_kinds_are_refused_by_what_they_are(self, score: Score, member: str, words: str) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(member, b"...")
        result = score(content.getvalue())
        assert result.exit_code == 1
        assert words in result.stderr

    def test_a_row_without_end_is_a_sentence(self, score: Score) -> None:
        content = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(sheet_of("!"))) as old,
            zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b"!", cell("A2", "x" * (80 * 2**20)).encode()))
        result = score(content.getvalue())
        assert result.exit_code == 1
        assert "is too large to be read: a row of its sheet is larger than 64 MiB" in result.stderr

    def test_texts_that_would_take_all_memory_are_a_sentence(
        self, score: Score, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("batch_client.formats.workbook.MAX_PART_BYTES", 2**20)
        result = score(with_shared_string("x" * 2**20))
        assert result.exit_code == 1
        assert "is too large to be read: xl/sharedStrings.xml in it is larger than 1 MiB" in result.stderr
