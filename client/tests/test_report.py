import csv
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from batch_client.journal import Checkpoint
from batch_client.outcomes import Failure, Prediction
from batch_client.report import charts
from batch_client.report.groups import Groups
from batch_client.report.page import render
from batch_client.report.tally import Tally
from batch_client.report.throughput import measure_throughput
from stand_in import Service

ARTEFACTS = Path(__file__).resolve().parents[2] / "build" / "report"


def test_examples_are_the_extremes() -> None:
    tally = Tally()
    for number in range(1000):
        tally.add(f"text {number}", Prediction("POSITIVE", 0.4 + number * 0.0005, 5, False))
    sentiment = tally.analyses["sentiment"]
    assert [example.row for example in sentiment.confident["POSITIVE"]] == [1000, 999, 998, 997, 996]
    assert [example.row for example in sentiment.doubtful] == [1, 2, 3, 4, 5]
    assert sum(sentiment.confidences["POSITIVE"]) == 1000


def test_failed_and_truncated_rows_are_counted() -> None:
    tally = Tally()
    tally.add(None, Failure("blank", "the text is blank"))
    tally.add("long", Prediction("NEUTRAL", 1.0, 512, True))
    assert (tally.num_rows, tally.failures["blank"], tally.num_truncated) == (2, 1, 1)


def test_days_become_months_where_they_are_many() -> None:
    groups = Groups("day")
    for month in range(1, 13):
        for day in range(1, 29):
            groups.add(f"2026-{month:02}-{day:02}T08:00:00", "POSITIVE")
    groups.add("unknown", "NEGATIVE")
    assert [label for label, _ in groups.bars()] == [*(f"2026-{month:02}" for month in range(1, 13)), "(no date)"]
    assert groups.notes() == ["1 rows have no date in this column."]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["20240105T091500", "20240105T101500", "20240106T000000"], ["2024-01-05", "2024-01-06"]),
        (["2024-01-05T09:15:00Z", "2024-01-05 23:15:00.123456789"], ["2024-01-05"]),
        (["05.01.2024", "04.01.2024"], ["2024-01-04", "2024-01-05"]),
        (["20240105", "20240104"], ["2024-01-04", "2024-01-05"]),
        (["10", "9", "2.5", "", "9"], ["2.5", "9", "10", "(empty)"]),
        (["12345678", "99999999"], ["12345678", "99999999"]),
        ([str(number / 2) for number in range(200)], [f"{low} to {low + 5}" for low in range(0, 100, 5)]),
    ],
)
def test_dates_go_by_time_and_numbers_by_size(values: list[str], labels: list[str]) -> None:
    groups = Groups("column")
    for value in values:
        groups.add(value, "POSITIVE")
    assert [label for label, _ in groups.bars()] == labels
    assert sum(counts.total() for _, counts in groups.bars()) == len(values)


def test_more_numbers_than_can_be_kept_are_rounded_and_none_is_lost() -> None:
    groups = Groups("column")
    for number in range(30_000):
        groups.add(number + 0.5, "POSITIVE")
    bars = groups.bars()
    assert len(bars) <= 40
    assert sum(counts.total() for _, counts in bars) == 30_000
    assert "rounded" in groups.notes()[0]


def test_categories_beyond_forty_are_put_together() -> None:
    groups = Groups("shop")
    for number in range(100):
        groups.add(f"shop {number}", "POSITIVE")
    bars = groups.bars()
    assert len(bars) == 40
    assert bars[-1] == ("(other)", {"POSITIVE": 61})
    assert "61 further values with 61 rows, such as shop" in groups.notes()[0]


def test_throughput_leaves_pauses_out() -> None:
    points = [
        Checkpoint(0, 0, 0, 100.0, is_start=True),
        Checkpoint(50, 0, 0, 101.0),
        Checkpoint(50, 0, 0, 9000.0, is_start=True),
        Checkpoint(180, 0, 0, 9001.9),
        Checkpoint(200, 0, 0, 9002.0),
        Checkpoint(200, 0, 0, 9010.0, is_finished=True),
    ]
    throughput = measure_throughput(points)
    assert list(throughput.points) == [(1.0, 50.0), (3.0, 75.0)]
    assert [tick.label for tick in charts.line([(3.32, 5.0)]).across] == ["0 s", "1 s", "2 s", "3 s"]
    assert throughput.mean == pytest.approx(200 / 3)


def test_texts_cannot_break_the_page() -> None:
    tally = Tally("<b>")
    tally.add("<script>alert(1)</script>\ud800", Prediction('A"><i>', 0.9, 5, False), '"><script>')
    page = render(tally, measure_throughput([]), "<in>.csv")
    assert "<script>" not in page
    page.encode()


def test_equal_texts_are_named_once_with_their_number() -> None:
    tally = Tally()
    for number in range(300):
        tally.add(f"text {number % 7}", Prediction("POSITIVE", 0.9 - (number % 7) / 100, 5, True))
        tally.add(" ", Failure("blank", "the text is blank"))
    expected = [(f"text {index}", 43 if index < 6 else 42) for index in range(5)]
    assert [
        (example.text, example.num_rows) for example in tally.analyses["sentiment"].confident["POSITIVE"]
    ] == expected
    assert [example.text for example in tally.analyses["sentiment"].doubtful] == [
        f"text {index}" for index in (6, 5, 4, 3, 2)
    ]
    assert [(example.text, example.num_rows) for example in tally.failed] == [(" ", 300)]
    assert [example.num_rows for example in tally.truncated] == [43] * 5


def test_other_labels_have_colours_of_their_own() -> None:
    found = charts.colours([f"{number} STARS" for number in range(1, 6)] + ["POSITIVE"])
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(("highest", "labels"), [
    (0, ["0", "1"]), (3, ["0", "1", "2", "3"]), (97, ["0", "20", "40", "60", "80", "100"]),
    (1000, ["0", "200", "400", "600", "800", "1,000"]), (12_345, ["0", "5,000", "10,000", "15,000"]),
])  # fmt: skip
def test_axes_have_round_numbers_up_to_the_highest_column(highest: int, labels: list[str]) -> None:
    found = charts.stacked_columns(["a"], [{"POSITIVE": highest}])
    assert [tick.label for tick in found.up] == labels
    assert found.up[0].position == charts.HEIGHT
    assert all(0 <= box.y <= charts.HEIGHT for box in found.boxes)


def test_groups_say_their_share_and_how_many_rows_they_are() -> None:
    bar = charts.share_bars([("Oslo", {"POSITIVE": 3, "NEGATIVE": 1})])[0]
    assert (bar.label, bar.value) == ("Oslo", "n = 4")
    assert [box.share for box in bar.boxes] == ["25%", "75%"]
    assert "75.0% of 4, 3" in bar.boxes[1].title


def test_a_report_after_the_fact_counts_what_the_run_counted(
    service: Service, run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("shop,review\nOslo,good\nRome,bad\nRome,\n")
    out, page = tmp_path / "o.csv", tmp_path / "r.html"
    column = ["--text-column", "review"]
    assert run("score", tmp_path / "in.csv", *column, "--url", service[0], "--out", out).exit_code == 3
    arguments = ["report", out, *column, "--out", page, "--by"]
    result = run(*arguments, "shop")
    assert (result.exit_code, result.stderr) == (0, f"{page}: 3 rows of {out}.\n")
    html = page.read_text()
    for words in ("By shop", "the text is blank", "<dt>With an error</dt><dd>1</dd>", "stand-in", "<dd>review</dd>"):
        assert words in html
    assert "pass --overwrite" in run(*arguments, "shop").stderr
    assert "has no column 'town'" in run(*arguments, "town", "--overwrite").stderr
    assert "which scored files have" in run("report", tmp_path / "in.csv", "--out", tmp_path / "s.html").stderr


def test_a_page_without_rows_is_a_page() -> None:
    assert "<h1>" in render(Tally(), measure_throughput([]), "empty.csv")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize(("by", "window"), [("day", "1200,1600"), ("shop", "390,1600")])
def test_the_page_in_a_browser(
    service: Service, run: Callable[..., Result], tmp_path: Path, by: str, window: str
) -> None:
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["day", "shop", "review"])
        for number in range(2000):
            text = " " if number % 500 == 0 else "word " * 600 if number == 7 else f"review number {number}"
            writer.writerow([f"2026-{number % 12 + 1:02}-01", ["Oslo", "Rome & Milan"][number % 2], text])
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page = ARTEFACTS / f"by-{by}.html"
    result = run(
        "score", tmp_path / "in.csv", "--text-column", "review", "--url", service[0], "--out", tmp_path / "out.csv",
        "--report", page, "--report-by", by, "--overwrite",
    )  # fmt: skip
    assert result.exit_code == 3, result.stderr
    screenshot = page.with_suffix(".png")
    screenshot.unlink(missing_ok=True)
    browse = ["chromium", "--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}"]
    if os.geteuid() == 0:
        browse.append("--no-sandbox")
    logged = [*browse, "--enable-logging=stderr", f"--window-size={window}"]
    shot = subprocess.run(
        [*logged, f"--screenshot={screenshot}", page.as_uri()], capture_output=True, text=True, timeout=90
    )
    assert "CONSOLE" not in shot.stderr
    assert screenshot.stat().st_size > 10_000
    dom = subprocess.run([*browse, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=90).stdout
    for chart in ("sentiments", "confidences", "groups"):
        assert "<rect" in dom.split(f'<section id="{chart}"')[1].split("</section>")[0]
    assert '<section id="failed"' in dom
    assert '<section id="truncated"' in dom
