"""Results as spreadsheets: cells of the right type, read by openpyxl and read back by the client itself."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from stand_in import Service, prediction

Score = Callable[..., Result]
GOOD = prediction("good")


@pytest.fixture
def score(service: Service, run: Callable[..., Result], tmp_path: Path) -> Score:
    """Score a file of `tmp_path` there, by default to o.xlsx."""

    def scored(name: str, *options: str, out: str = "o.xlsx") -> Result:
        given = ("--text-column", "review", "--url", service[0], "--out", tmp_path / out)
        return run("score", tmp_path / name, *given, *options)

    return scored


def cells_of(path: Path) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in openpyxl.load_workbook(path).active.iter_rows()]


def json_lines(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_cells_have_types(score: Score, tmp_path: Path) -> None:
    json_lines(
        tmp_path / "in.jsonl",
        {
            "review": "good",
            "n": 7,
            "x": 0.1 + 0.2,
            "yes": True,
            "id": 12345678901234567890,
            "tags": ["a"],
            "none": None,
        },
        {"review": " ", "n": -1, "x": 1e300, "yes": False, "id": 5, "tags": {}, "none": ""},
    )
    assert score("in.jsonl").exit_code == 3
    names, first, second = cells_of(tmp_path / "o.xlsx")
    assert names[:7] == ["review", "n", "x", "yes", "id", "tags", "none"]
    assert first[:7] == ["good", 7, 0.1 + 0.2, True, "12345678901234567890", '["a"]', None]
    assert second[1:7] == [-1, 1e300, False, 5, "{}", None]
    assert first[7:] == [GOOD["sentiment"], round(GOOD["confidence"], 4), GOOD["token_count"], False, None]
    assert second[7:] == [None, None, None, None, "the text is blank"]


@pytest.mark.parametrize(
    "text", ["=1+1", '=HYPERLINK("http://example.com")', "+1", "-5", "@SUM(A1)", "=", "\t=1", "007"]
)
def test_a_text_is_no_formula_and_no_number(score: Score, tmp_path: Path, text: str) -> None:
    json_lines(tmp_path / "in.jsonl", {"review": text})
    assert score("in.jsonl").exit_code == 0
    cell = openpyxl.load_workbook(tmp_path / "o.xlsx").active["A2"]
    assert (cell.value, cell.data_type) == (text, "s")
    with zipfile.ZipFile(tmp_path / "o.xlsx") as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize(
    "text",
    [
        " a  b ",
        "one\r\ntwo\nthree",
        "<b>&amp;\"'",
        "_x000D_",
        "_x0041_x0042_",
        "\x01\x1f\ufffe\uffff",
        "😀 é",
        "\ud800!",
    ],
)
def test_what_is_written_is_read_back_as_it_was(score: Score, tmp_path: Path, text: str) -> None:
    json_lines(tmp_path / "in.jsonl", {"review": "good", "note": text})
    assert score("in.jsonl").exit_code == 0
    assert score("o.xlsx", "--prefix", "again_", out="back.jsonl").exit_code == 0
    assert json.loads((tmp_path / "back.jsonl").read_text())["note"] == text


def test_times_of_a_workbook_stay_what_they_are(score: Score, tmp_path: Path) -> None:
    times = [datetime(2024, 1, 5), datetime(2024, 1, 5, 9, 30), time(9, 30), timedelta(hours=30)]
    book = openpyxl.Workbook()
    book.active.append(["review", "day", "moment", "time", "duration", "error"])
    book.active.append(["good", *times, "#N/A"])
    book.active["F2"].data_type = "e"
    book.save(tmp_path / "in.xlsx")
    assert score("in.xlsx", "--prefix", "new_").exit_code == 0
    assert cells_of(tmp_path / "o.xlsx")[1][1:5] == times
    assert openpyxl.load_workbook(tmp_path / "o.xlsx").active["F2"].data_type == "e"


def test_times_of_parquet_are_times_where_a_workbook_can_hold_them(score: Score, tmp_path: Path) -> None:
    moments = [datetime(2024, 1, 5, 9, 30, 0, 250_000), datetime(2024, 1, 5, 9, 30, 0, 1), datetime(1815, 12, 10), None]
    table = pa.table(
        {
            "review": ["good"] * 4,
            "moment": pa.array(moments, pa.timestamp("us")),
            "zoned": pa.array(moments, pa.timestamp("us", "UTC")),
            "day": pa.array([datetime(2024, 1, 5)] * 4, pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    assert score("in.parquet").exit_code == 0
    rows = cells_of(tmp_path / "o.xlsx")[1:]
    assert [row[1] for row in rows] == [moments[0], "2024-01-05 09:30:00.000001", "1815-12-10 00:00:00.000000", None]
    assert rows[0][2:4] == ["2024-01-05 09:30:00.250000Z", datetime(2024, 1, 5)]


class TestWhatASheetCannotHold:
    """Said before the first request."""

    @pytest.fixture(autouse=True)
    def nothing_is_sent(self, service: Service) -> Any:
        yield
        assert not service[1].requests

    def test_too_many_rows(self, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("batch_client.formats.sheet_writer.MAX_ROWS", 3)
        json_lines(tmp_path / "in.jsonl", *[{"review": "good"}] * 3)
        refused = score("in.jsonl")
        assert refused.exit_code == 1
        assert "the result has 3 rows and a header, a sheet holds 3; write CSV, JSON lines or Parquet" in refused.stderr
        assert score("in.jsonl", "--dry-run").exit_code == 1

    def test_a_cell_that_is_too_long(self, score: Score, tmp_path: Path) -> None:
        json_lines(tmp_path / "in.jsonl", {"review": "good"}, {"review": "good", "body": "😀" * 16_384})
        refused = score("in.jsonl")
        assert refused.exit_code == 1
        assert "row 2: column 'body' has 32,768 characters, a cell of a spreadsheet holds 32,767" in refused.stderr

    @pytest.mark.parametrize(("out", "words"), [("o.xlsm", "call it .xlsx"), ("o.xlsx.gz", "is packed already")])
    def test_names_that_promise_something_else(self, score: Score, tmp_path: Path, out: str, words: str) -> None:
        json_lines(tmp_path / "in.jsonl", {"review": "good"})
        assert words in score("in.jsonl", out=out).stderr


def test_failed_rows_of_a_spreadsheet_are_asked_for_again(score: Score, service: Service, tmp_path: Path) -> None:
    service[1].behaviour.poisonous_texts = frozenset({"bad"})
    json_lines(tmp_path / "in.jsonl", {"review": "good", "n": 1}, {"review": "bad", "n": 2})
    assert score("in.jsonl").exit_code == 3
    service[1].behaviour.poisonous_texts = frozenset()
    service[1].seen.clear()
    assert score("o.xlsx", "--retry-errors", out="p.xlsx").exit_code == 0
    assert service[1].seen == {"bad": 1}
    assert [row[:3] for row in cells_of(tmp_path / "p.xlsx")[1:]] == [
        ["good", 1, GOOD["sentiment"]],
        ["bad", 2, prediction("bad")["sentiment"]],
    ]
