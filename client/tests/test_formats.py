"""Files as they are found in the wild: the right result or a clear message, never a shifted row."""

import csv
import gzip
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import Result

from stand_in import Service, prediction

Run = Callable[..., Result]


def score(run: Run, url: str, source: Path, out: Path, *further: object) -> Result:
    return run("score", source, "--url", url, "--out", out, *further)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"\xef\xbb\xbfreview,id\ngood,1\n", ["good"]),
        ("review,id\nschön,1\n".encode("utf-16"), ["schön"]),
        (b'review,id\r\n"a, ""b""\r\nc",1\r\nd,2\r\n', ['a, "b"\r\nc', "d"]),
        (b'review,id\n"lone\rreturn",1\n', ["lone\rreturn"]),
        (b"review,id\n\ngood,1\n\n\nbad,2", ["good", "bad"]),
        (b"review\n\ngood\n", ["", "good"]),
        (b"review,id\na\0b,1\ngood,2\n", ["a\0b", "good"]),
        (b"review,id\n" + b"x" * 10_000_000 + b",1\ngood,2\n", ["x" * 10_000_000, "good"]),
        (b"review,id\n", []),
    ],
    ids=["bom", "utf-16", "quotes", "return", "empty lines", "empty cell", "nul", "10 MB cell", "no rows"],
)
def test_odd_csv_is_read_as_it_is(service: Service, run: Run, tmp_path: Path, content: bytes, texts: list[str]) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    result = score(run, service[0], tmp_path / "in.csv", tmp_path / "out.csv", "--text-column", "review")
    csv.field_size_limit(2**30)
    rows = read_csv(tmp_path / "out.csv")
    assert [row["review"] for row in rows] == texts
    for row in rows:
        has_answer = row["sentiment"] == prediction(row["review"].strip())["sentiment"]
        assert has_answer != bool(row["error"])
    assert result.exit_code == (3 if any(row["error"] for row in rows) else 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"review,id\ngood,1\ncaf\xe9,2\n", "line 3: byte 0xe9 is not valid UTF-8; say which encoding"),
        (b"review\ncaf\xc3\xa9\ncaf\xe9\n", "line 3: byte 0xe9 is not valid UTF-8, but line 2 is: the file mixes"),
        (b"review,id\ngood,1\nbad,2,3\n", "line 3: the row has 3 cells, but there are 2 columns"),
        (b"review,id\ngood\n", "line 2: the row has 1 cells"),
        (b'review,id\ngood,1\n"bad,2\nc,3\n', "row that begins in line 3: unexpected end of data"),
        (b"text,id\ngood,1\n", "has no column 'review'; it has 'text', 'id'"),
        (b"review,review\ngood,1\n", "two columns named 'review'"),
        (b"review,error\ngood,1\n", "a column 'error' already; choose other names with --prefix"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08broken", "damaged or was cut short"),
    ],
)
def test_csv_that_cannot_be_right_is_refused_before_a_request(
    service: Service, run: Run, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    result = score(run, service[0], tmp_path / "in.csv", tmp_path / "out.csv", "--text-column", "review")
    assert message in refused(result)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert not service[1].requests


def test_latin_1_is_read_when_named(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"review\ncaf\xe9\n")
    score(run, service[0], tmp_path / "in.csv", tmp_path / "out.csv", "--encoding", "latin-1")
    assert read_csv(tmp_path / "out.csv")[0]["review"] == "café"


CELLS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_any_cells_survive_csv(service: Service, run: Run, tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("review", "other"), *rows])
    out = tmp_path / "out.csv"
    score(run, service[0], tmp_path / "in.csv", out, "--text-column", "review", "--overwrite", "--start-over")
    assert [(row["review"], row["other"]) for row in read_csv(out)] == rows


def test_quotes_are_ordinary_in_tsv(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text('1\t"unclosed\n2\tsaid "so" loudly\n')
    result = score(run, service[0], tmp_path / "in.tsv", tmp_path / "out.tsv", "--no-header", "--text-column", "2")
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert [row[:3] for row in rows] == [
        ["1", '"unclosed', prediction('"unclosed')["sentiment"]],
        ["2", 'said "so" loudly', prediction('said "so" loudly')["sentiment"]],
    ]


def test_plain_text_lines_up_even_where_blank(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("good\n\n bad\u2028still the same line \nlast")
    result = score(run, service[0], tmp_path / "in.txt", tmp_path / "out.csv")
    assert result.exit_code == 3
    rows = read_csv(tmp_path / "out.csv")
    assert [row["text"] for row in rows] == ["good", "", " bad\u2028still the same line ", "last"]
    assert [row["error"] for row in rows] == ["", "the text is blank", "", ""]


def test_json_lines_keep_their_fields(service: Service, run: Run, tmp_path: Path) -> None:
    rows = [
        {"review": "good", "n": 12345678901234567890},
        {"review": "x\ud800"},
        {"n": [1, {"a": None}]},
        {"review": 5},
    ]
    (tmp_path / "in.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows))
    result = score(run, service[0], tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--text-column", "review")
    assert result.exit_code == 3
    scored = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{name: new[name] for name in old} for old, new in zip(rows, scored, strict=True)] == rows
    assert [bool(row["error"]) for row in scored] == [False, True, True, True]


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 2 is not JSON"), ("[1]", "line 2 is not an object"), ("1" * 5000, "line 2 cannot be read")],
)
def test_lines_that_are_not_objects_are_named(
    service: Service, run: Run, tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"review": "good"}\n' + line + "\n")
    assert message in refused(score(run, service[0], tmp_path / "in.jsonl", tmp_path / "out.jsonl"))


def test_parquet_keeps_its_types(service: Service, run: Run, tmp_path: Path) -> None:
    table = pa.table(
        {
            "review": pa.array(["good", None, "bad"]),
            "when": pa.array([1, 2, 3], pa.timestamp("ns")),
            "price": pa.array([Decimal("1.10"), None, Decimal("2.00")]),
            "tags": pa.array([["a"], [], None]),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    result = score(run, service[0], tmp_path / "in.parquet", tmp_path / "out.parquet", "--text-column", "review")
    assert result.exit_code == 3, result.stderr
    scored = pq.read_table(tmp_path / "out.parquet")
    assert scored.select(table.column_names).equals(table)
    assert scored.column("token_count").to_pylist() == [3, None, 3]
    assert scored.column("error").to_pylist() == [None, "the text is missing", None]
    score(run, service[0], tmp_path / "in.parquet", tmp_path / "out.csv", "--text-column", "review")
    assert read_csv(tmp_path / "out.csv")[0]["when"].startswith(str(datetime(1970, 1, 1)))
    assert read_csv(tmp_path / "out.csv")[0]["price"] == "1.10"


def test_damaged_parquet_is_refused(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(b"PAR1 and then nothing")
    assert "is not sound Parquet" in refused(score(run, service[0], tmp_path / "in.parquet", tmp_path / "out.csv"))


@pytest.mark.parametrize("out", ["out.csv", "out.csv.gz", "out.tsv", "out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_output_format_holds_the_same(service: Service, run: Run, tmp_path: Path, out: str) -> None:
    with gzip.open(tmp_path / "in", "wt") as file:  # no telling name: the content says gzip and CSV
        file.write('id,review\n1,"two\nlines\tand a tab"\n2,good\n')
    path = tmp_path / out
    result = score(run, service[0], tmp_path / "in", path, "--text-column", "review", "--all-scores")
    assert result.exit_code == 0, result.stderr
    if "parquet" in out:
        rows = pq.read_table(path).to_pylist()
    else:
        content = gzip.decompress(path.read_bytes()) if out.endswith(".gz") else path.read_bytes()
        if "jsonl" in out:
            rows = [json.loads(line) for line in content.splitlines()]
        else:
            rows = list(csv.DictReader(content.decode().splitlines(True), delimiter="\t" if "tsv" in out else ","))
    assert [row["review"] for row in rows] == ["two\nlines\tand a tab", "good"]
    assert float(rows[1]["score_positive"]) == round(prediction("good")["scores"]["POSITIVE"], 4)


def test_several_columns_need_a_choice(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    message = refused(score(run, service[0], tmp_path / "in.csv", tmp_path / "out.csv"))
    assert "--text-column" in message
    assert "'a', 'b'" in message
