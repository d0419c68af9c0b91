"""Inputs that once came out wrong, each for a kind: found through public bug reports of people who do the same job."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from stand_in import Service, prediction

Run = Callable[..., Result]
COMMAND = [sys.executable, "-m", "batch_client.cli"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scored(run: Run, url: str, folder: Path, name: str, content: bytes, *options: str, out: str = "o.csv") -> Result:
    (folder / name).write_bytes(content)
    return run("score", folder / name, "--out", folder / out, "--url", url, *options)


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def spreadsheet(rows: list[list[object]], *further_sheets: str) -> bytes:
    import openpyxl

    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    for name in further_sheets:
        workbook.create_sheet(name).append(["review"])
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr(name, content)
    return saved.getvalue()


def parquet(**columns: pa.Array) -> bytes:
    saved = io.BytesIO()
    pq.write_table(pa.table({"review": ["I love it"] * len(next(iter(columns.values()))), **columns}), saved)
    return saved.getvalue()


class TestWhatIsNotRecognised:
    """It is read or refused by its name; it never falls through to plain text."""

    @pytest.mark.parametrize("name", ["in.json", "in", "in.txt", "in.jsonl"])
    @pytest.mark.parametrize(
        "content",
        [
            b'[\n {"text": "I love it"},\n {"text": "I hate it"}\n]\n',
            b'[{"text": "I love it"}, {"text": "I hate it"}]',
            b'{"text": "I love it"}\n{"text": "I hate it"}\n',
            b'\n\n{"text":"I love it"}\r\n{"text":"I hate it"}',
            b'{"text":"I love it"}\r{"text":"I hate it"}\r',
            '[{"text":"I love it"},{"text":"I hate it"}]'.encode("utf-16"),
            '{"text":"I love it"}\n{"text":"I hate it"}\n'.encode("utf-16-le"),
        ],
        ids=["array in lines", "array", "lines", "behind blank lines", "returns", "utf-16", "utf-16 unmarked"],
    )
    def test_json_is_read(self, service: Service, run: Run, tmp_path: Path, name: str, content: bytes) -> None:
        result = scored(run, service[0], tmp_path, name, content, "--text-column", "text")
        assert result.exit_code == 0, result.stderr
        assert [row["text"] for row in rows_of(tmp_path / "o.csv")] == ["I love it", "I hate it"]

    @pytest.mark.parametrize(
        ("name", "content", "word"),
        [
            ("in.json", b'{"data": [{"text": "good"}]}', "not rows"),
            ("in.json", b'{\n "data": [\n {"text": "good"}]\n}', "not rows"),
            ("in.json", b'["good", "bad"]', "element 1 is not an object"),
            ("in.csv", b'[{"text": "good"}]', "holds JSON"),
            ("in.csv", b'{"text": "good"}\n{"text": "bad"}\n', "holds JSON"),
            ("in.csv", zipped("in.csv", b"text\ngood\n"), "ZIP archive"),
            ("in", b"7z\xbc\xaf\x27\x1c....", "7z"),
            ("in.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", ".xls"),
            ("in", b"SQLite format 3\0....", "SQLite"),
            ("in.txt", b"%PDF-1.7 ...", "PDF"),
            ("in", b"<!DOCTYPE html><html>", "HTML"),
            ("in.csv", b"ARROW1\0\0....", "Arrow"),
            ("in", b"id;review\n1;good\n2;bad\n", "looks like a table"),
            ("in.csv.gz", bz2.compress(bz2.compress(b"text\ngood\n")), "packed twice"),
            ("in.xlsx", b"PK\x03\x04 and nothing", "damaged"),
            ("in.xlsx", zipped("xl/worksheets/sheet1.xml", b"<worksheet/>"), "damaged spreadsheet"),
            ("in.parquet", b"text\ngood\n", "is not Parquet"),
            ("in.csv.zst", b"\x28\xb5\x2f\xfd\x04\x58damaged", "damaged"),
        ],
    )
    def test_other_things_are_refused_by_their_name(
        self, service: Service, run: Run, tmp_path: Path, name: str, content: bytes, word: str
    ) -> None:
        assert_refused(scored(run, service[0], tmp_path, name, content, "--text-column", "text"), word)
        assert not service[1].requests

    def test_a_table_without_a_telling_name_is_not_taken_for_text(
        self, service: Service, run: Run, tmp_path: Path
    ) -> None:
        content = b"id;review\n1;bad product\n2;good product\n"
        assert_refused(scored(run, service[0], tmp_path, "in", content), "looks like a table", "--format text")
        assert scored(run, service[0], tmp_path, "in", content, "--format", "text").exit_code == 0

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("in.csv.zst", b"\x28\xb5\x2f\xfd\x04\x58\x89\x00\x00id,review\n1,good\n\x9f\xa0\x7e\xa2"),
            ("in.csv.bz2", bz2.compress(b"id,review\n1,good\n")),
            ("in.csv.xz", lzma.compress(b"id,review\n1,good\n")),
            ("in.csv", bz2.compress(b"id,review\n1,good\n")),
            ("in.xlsx", spreadsheet([["id", "review"], [1, "good"]])),
            ("in", spreadsheet([["id", "review"], [1, "good"]])),
        ],
        ids=["zst", "bz2", "xz", "bz2 unnamed", "xlsx", "xlsx unnamed"],
    )
    def test_packed_files_and_spreadsheets_are_read(
        self, service: Service, run: Run, tmp_path: Path, name: str, content: bytes
    ) -> None:
        result = scored(run, service[0], tmp_path, name, content, "--text-column", "review")
        assert result.exit_code == 0, result.stderr
        assert [(row["id"], row["review"]) for row in rows_of(tmp_path / "o.csv")] == [("1", "good")]

    @pytest.mark.parametrize("suffix", ["bz2", "xz", "zst", "gz"])
    @pytest.mark.parametrize("tail", ["second", "padded", "damaged", "cut"])
    def test_what_follows_a_packed_stream_is_read_or_the_file_refused(
        self, service: Service, run: Run, tmp_path: Path, suffix: str, tail: str
    ) -> None:
        zstd = pytest.importorskip("backports.zstd")
        pack = {"bz2": bz2.compress, "xz": lzma.compress, "zst": zstd.compress, "gz": gzip.compress}[suffix]
        second = pack(b"bad\nfine\n")
        follows = {
            "second": second,
            "padded": bytes(64) + second if suffix != "gz" else second + bytes(64),
            "damaged": bytes([second[0] ^ 255]) + second[1:],
            "cut": second[:-6],
        }
        content = pack(b"review\ngood\n") + follows[tail]
        result = scored(run, service[0], tmp_path, f"in.csv.{suffix}", content)
        if tail in ("damaged", "cut"):
            assert_refused(result, "is damaged or was cut short")
        else:
            assert [row["review"] for row in rows_of(tmp_path / "o.csv")] == ["good", "bad", "fine"]

    def test_a_packed_bomb_is_a_sentence(
        self, service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("batch_client.formats.streams.HARMLESS_BYTES", 2**20)  # a GiB would take its time
        content = bz2.compress(b"review\n" + b"good\n" * 2**20)
        assert_refused(scored(run, service[0], tmp_path, "in.csv.bz2", content), "1000 times its size")

    def test_a_spreadsheet_keeps_its_values_and_asks_which_sheet(
        self, service: Service, run: Run, tmp_path: Path
    ) -> None:
        content = spreadsheet([["review", "n", "when"], ["good", 12345678901, datetime(2024, 1, 5)], [None, 0.5]], "b")
        assert_refused(scored(run, service[0], tmp_path, "in.xlsx", content), "'Sheet', 'b'", "--sheet")
        scored(run, service[0], tmp_path, "in.xlsx", content, "--sheet", "Sheet", "--text-column", "review")
        assert [(row["n"], row["when"]) for row in rows_of(tmp_path / "o.csv")] == [
            ("12345678901", "2024-01-05T00:00:00"),
            ("0.5", ""),
        ]

    def test_lines_may_end_in_carriage_returns(self, service: Service, run: Run, tmp_path: Path) -> None:
        scored(run, service[0], tmp_path, "in.txt", b"good\rbad\rugly\r")
        assert [row["text"] for row in rows_of(tmp_path / "o.csv")] == ["good", "bad", "ugly"]


class TestGuesses:
    """A guess is made only where there is one answer, and it is always said."""

    @pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
    def test_the_delimiter_that_splits_the_header_is_taken_and_said(
        self, service: Service, run: Run, tmp_path: Path, sign: str
    ) -> None:
        content = f"id{sign}review\n1{sign}bad product\n".encode()
        assert_refused(scored(run, service[0], tmp_path, "in.csv", content), "'id', 'review'")
        result = scored(run, service[0], tmp_path, "in.csv", content, "--text-column", "review")
        assert rows_of(tmp_path / "o.csv")[0]["review"] == "bad product"
        name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[sign]
        assert f"parted by {name} (guessed)" in result.stderr
        assert "column 'review'" in result.stderr
        dry = scored(run, service[0], tmp_path, "in.csv", content, "--text-column", "review", "--dry-run", out="p.csv")
        assert f"UTF-8, cells parted by {name} (guessed)" in dry.stdout

    def test_two_that_split_it_are_asked_about(self, service: Service, run: Run, tmp_path: Path) -> None:
        content = b"a,b;c\n1,2;3\n"
        assert_refused(scored(run, service[0], tmp_path, "in.csv", content), "comma and by semicolon", "--delimiter")
        result = scored(run, service[0], tmp_path, "in.csv", content, "--delimiter", ";", "--text-column", "c")
        assert result.exit_code == 0, result.stderr
        assert rows_of(tmp_path / "o.csv")[0]["a,b"] == "1,2"

    def test_signs_within_quotes_and_excels_own_line_are_understood(
        self, service: Service, run: Run, tmp_path: Path
    ) -> None:
        quoted = b'id,"review; text"\n1,good\n'
        assert scored(run, service[0], tmp_path, "a.csv", quoted, "--text-column", "review; text").exit_code == 0
        broken = b'"a;b\nc",review\n1,good\n'
        result = scored(run, service[0], tmp_path, "c.csv", broken, "--text-column", "review", out="c.out.csv")
        assert result.exit_code == 0, result.stderr
        declared = b"sep=;\nid;review,x\n1;good\n"
        result = scored(run, service[0], tmp_path, "b.csv", declared, "--text-column", "review,x", out="b.out.csv")
        assert result.exit_code == 0, result.stderr
        assert rows_of(tmp_path / "b.out.csv")[0]["review,x"] == "good"

    def test_a_line_of_excels_that_is_not_so_is_not_believed(self, service: Service, run: Run, tmp_path: Path) -> None:
        result = scored(run, service[0], tmp_path, "in.csv", b"sep=;\nid,review\n1,good\n", "--text-column", "review")
        assert result.exit_code == 0, result.stderr
        assert "comma (guessed)" in result.stderr
        assert service[1].seen == {"good": 1}

    def test_a_second_byte_order_mark_is_no_part_of_a_name_either(
        self, service: Service, run: Run, tmp_path: Path
    ) -> None:
        content = b"\xef\xbb\xbf\xef\xbb\xbfreview\ngood\n"
        assert scored(run, service[0], tmp_path, "in.csv", content, "--text-column", "review").exit_code == 0

    @pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf-8-sig"])
    def test_a_byte_order_mark_is_never_part_of_a_name(
        self, service: Service, run: Run, tmp_path: Path, encoding: str
    ) -> None:
        content = b"\xef\xbb\xbfreview\ngood\n"
        result = scored(run, service[0], tmp_path, "in.csv", content, "--encoding", encoding)
        assert result.exit_code == 0, result.stderr
        assert "review" in rows_of(tmp_path / "o.csv")[0]
        assert_refused(
            scored(run, service[0], tmp_path, "in.csv", content, "--encoding", "latin-1", out="p.csv"), "mark of UTF-8"
        )


class TestValues:
    """No value is changed on its way, and nothing is written that its format does not allow."""

    def test_old_timestamps_keep_their_century(self, service: Service, run: Run, tmp_path: Path) -> None:
        table = pa.table({"review": ["I love it"], "until": pa.array([datetime(9999, 12, 31)], pa.timestamp("us"))})
        pq.write_table(table, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
        assert pq.ParquetFile(tmp_path / "in.parquet").schema.column(1).physical_type == "INT96"
        for out in ("o.csv", "o.parquet", "o.jsonl"):
            options = ("--text-column", "review", "--url", service[0], "--out", tmp_path / out)
            assert run("score", tmp_path / "in.parquet", *options).exit_code == 0
        assert rows_of(tmp_path / "o.csv")[0]["until"].startswith("9999-12-31")
        assert pq.read_table(tmp_path / "o.parquet").column("until")[0].as_py() == datetime(9999, 12, 31)
        assert json.loads((tmp_path / "o.jsonl").read_text())["until"].startswith("9999-12-31")

    @pytest.mark.parametrize(
        ("array", "value"),
        [
            (pa.array([b"ab\xff"]), "YWL/"),
            (pa.array([b"caf\xc3\xa9"]), "café"),
            (pa.array([[b"ab\xff", b"ab"]]), ["YWL/", "ab"]),
            (pa.array([float("nan")]), None),
            (pa.array([float("inf")]), None),
            (pa.array([[1.5, float("-inf")]]), [1.5, None]),
            (pa.array([0.1], pa.float32()), 0.1),
            (pa.array([2**63 - 1]), 2**63 - 1),
            (pa.array([Decimal("12345678901234567890.12")]), "12345678901234567890.12"),
            (pa.array([1], pa.duration("ns")), "PT0.000000001S"),
            (pa.array([timedelta(seconds=-90)]), "-PT90S"),
            (pa.array([[1]], pa.list_(pa.timestamp("ns"))), ["1970-01-01 00:00:00.000000001"]),
            (pa.array([{"t": 1}], pa.struct([("t", pa.time64("ns"))])), {"t": "00:00:00.000000001"}),
            (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.duration("s"))), [["k", "PT1S"]]),
            (pa.array(["a"]).dictionary_encode(), "a"),
            (pa.array([0], pa.timestamp("s", "Nowhere/Else")), "1970-01-01 00:00:00.000Z"),
            (pa.array([None], pa.struct([("t", pa.int8())])), None),
        ],
        ids=str,
    )
    def test_arrows_types_become_json(
        self, service: Service, run: Run, tmp_path: Path, array: pa.Array, value: object
    ) -> None:
        result = scored(
            run, service[0], tmp_path, "in.parquet", parquet(x=array), "--text-column", "review", out="o.jsonl"
        )
        assert result.exit_code == 0, result.stderr

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        assert json.loads((tmp_path / "o.jsonl").read_text(), parse_constant=refuse)["x"] == value
        for out in ("o.csv", "o.parquet"):
            again = run(
                "score",
                tmp_path / "in.parquet",
                "--text-column",
                "review",
                "--url",
                service[0],
                "--out",
                tmp_path / out,
            )
            assert again.exit_code == 0, again.stderr

    def test_texts_that_are_bytes_are_scored_as_the_texts_they_are(
        self, service: Service, run: Run, tmp_path: Path
    ) -> None:
        content = parquet(body=pa.array([b"caf\xc3\xa9", b"\xff"]))
        result = scored(run, service[0], tmp_path, "in.parquet", content, "--text-column", "body")
        assert result.exit_code == 3
        rows = rows_of(tmp_path / "o.csv")
        assert rows[0]["sentiment"] == prediction("café")["sentiment"]
        assert "not a text" in rows[1]["error"]
        assert "base64" in result.stderr

    @pytest.mark.parametrize(
        "digits", ["0.1234567890123456789012", "1e400", "1E5", "-0.0", "12345678901234567890123", "1.10"]
    )
    def test_numbers_keep_their_digits(self, service: Service, run: Run, tmp_path: Path, digits: str) -> None:
        content = f'{{"text": "good", "n": {digits}, "deep": [{{"n": {digits}}}]}}\n'.encode()
        scored(run, service[0], tmp_path, "in.jsonl", content, "--text-column", "text", out="o.jsonl")
        kept = json.loads((tmp_path / "o.jsonl").read_text(), parse_float=Decimal)
        assert kept["n"] == kept["deep"][0]["n"] == json.loads(digits, parse_float=Decimal)

    def test_a_field_that_is_there_twice_is_refused(self, service: Service, run: Run, tmp_path: Path) -> None:
        assert_refused(scored(run, service[0], tmp_path, "in.jsonl", b'{"text": "a", "text": "b"}\n'), "'text' twice")

    @pytest.mark.parametrize(
        "cells",
        [
            ["1", 'say "hi" now'],
            ["1", "tab\tand\nline"],
            ["", '"'],
            ['"1"', '"2"'],
            ["a;b", "c|d"],
            [" ", "\r"],
        ],
    )
    @pytest.mark.parametrize("names", [["id", "review"], ["a;b", "review|"], ['"id"', '"review"']])
    @pytest.mark.parametrize("out", ["m.tsv", "m.csv", "m.tsv.gz"])
    def test_what_is_written_is_read_back_as_it_was(
        self, service: Service, run: Run, tmp_path: Path, cells: list[str], names: list[str], out: str
    ) -> None:
        with (tmp_path / "in.csv").open("w", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([names, cells])
        options = ("--text-column", names[1], "--url", service[0])
        run("score", tmp_path / "in.csv", *options, "--out", tmp_path / out)
        again = run("score", tmp_path / out, *options, "--prefix", "again_", "--out", tmp_path / "o.jsonl")
        assert again.exit_code in (0, 3), again.stderr
        row = json.loads((tmp_path / "o.jsonl").read_text())
        assert [row[name] for name in names] == cells
        assert (row["sentiment"] or None) == row["again_sentiment"]

    def test_every_part_of_a_data_set_has_the_same_columns(self, service: Service, run: Run, tmp_path: Path) -> None:
        for name, content in (("blank", b"review,id\n ,1\n"), ("text", b"review,id\ngood,1\n")):
            options = ("--text-column", "review", "--all-scores")
            scored(run, service[0], tmp_path, f"{name}.csv", content, *options, out=f"{name}.out.csv")
        blank, text = ((tmp_path / f"{name}.out.csv").read_text().splitlines()[0] for name in ("blank", "text"))
        assert blank == text
        assert "score_negative" in blank


class TestInputsThatCanBeReadOnce:
    def test_a_process_substitution_and_a_fifo_are_read_whole(self, service: Service, tmp_path: Path) -> None:
        lines = "".join(f"row number {number} is fine\n" for number in range(1, 1001))
        (tmp_path / "in.txt").write_text(lines)
        command = f'{sys.executable} -m batch_client.cli score <(cat in.txt) --format text --out o.csv --url "$0"'
        subprocess.run(["bash", "-c", command, service[0]], cwd=tmp_path, check=True, timeout=60)
        assert len(rows_of(tmp_path / "o.csv")) == 1000
        os.mkfifo(tmp_path / "fifo")
        threading.Thread(target=lambda: (tmp_path / "fifo").write_text(lines), daemon=True).start()
        options = ["--url", service[0], "--out", str(tmp_path / "p.csv")]
        subprocess.run([*COMMAND, "score", str(tmp_path / "fifo"), *options], check=True, timeout=60)
        assert len(rows_of(tmp_path / "p.csv")) == 1000

    @pytest.mark.parametrize("place", ["-", "/dev/stdin"])
    def test_json_behind_an_empty_line_on_standard_input(self, service: Service, tmp_path: Path, place: str) -> None:
        command = [*COMMAND, "score", place, "--text-column", "text", "--url", service[0], "--out", "o.csv"]
        subprocess.run(command, input=b'\n{"text":"I love it"}\n', cwd=tmp_path, check=True, timeout=60)
        assert [row["text"] for row in rows_of(tmp_path / "o.csv")] == ["I love it"]

    def test_a_result_goes_to_standard_output(self, service: Service, tmp_path: Path) -> None:
        command = [*COMMAND, "score", "-", "--text-column", "review", "--url", service[0], "--out", "-"]
        done = subprocess.run(command, input=b"id,review\n1,good\n", capture_output=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"id,review,sentiment,confidence,token_count,truncated,error\n1,good,")
        assert not list(tmp_path.iterdir())


class TestTheUsersOwnFiles:
    def test_a_folder_of_the_users_is_not_touched(self, service: Service, run: Run, tmp_path: Path) -> None:
        own = tmp_path / "o.csv.partial"
        own.mkdir()
        (own / "thesis.txt").write_text("precious")
        content = b"review\ngood\n"
        assert_refused(scored(run, service[0], tmp_path, "in.csv", content), "o.csv.partial", "not of a run")
        assert_refused(scored(run, service[0], tmp_path, "in.csv", content, "--start-over"), "not of a run")
        assert (own / "thesis.txt").read_text() == "precious"

    def test_no_option_replaces_the_input(self, service: Service, run: Run, tmp_path: Path) -> None:
        source = tmp_path / "in.csv"
        source.write_text("review\ngood\n")
        (tmp_path / "link.csv").symlink_to(source)
        os.link(source, tmp_path / "hard.csv")
        for name in ("in.csv", "link.csv", "hard.csv"):
            for option in ("--out", "--report"):
                places = {"--out": tmp_path / "o.csv", option: tmp_path / name}
                arguments = [part for pair in places.items() for part in pair]
                result = run("score", source, "--url", service[0], "--overwrite", *arguments)
                assert_refused(result, "is the input")
        assert source.read_text() == "review\ngood\n"
        assert not service[1].requests

    def test_a_report_that_exists_is_kept_unless_asked(self, service: Service, run: Run, tmp_path: Path) -> None:
        (tmp_path / "notes.html").write_text("precious")
        options = ("--report", str(tmp_path / "notes.html"))
        assert_refused(scored(run, service[0], tmp_path, "in.csv", b"review\ngood\n", *options), "notes.html exists")
        assert (tmp_path / "notes.html").read_text() == "precious"
        assert scored(run, service[0], tmp_path, "in.csv", b"review\ngood\n", *options, "--overwrite").exit_code == 0
        assert "<h1>" in (tmp_path / "notes.html").read_text()

    def test_a_link_stays_a_link(self, service: Service, run: Run, tmp_path: Path) -> None:
        (tmp_path / "there.csv").write_text("old")
        (tmp_path / "o.csv").symlink_to("there.csv")
        assert scored(run, service[0], tmp_path, "in.csv", b"review\ngood\n", "--overwrite").exit_code == 0
        assert (tmp_path / "o.csv").is_symlink()
        assert "good" in (tmp_path / "there.csv").read_text()


class TestWhatIsReportedBeforeTheFirstRequest:
    @pytest.mark.parametrize(
        ("name", "content", "options", "word"),
        [
            ("in.jsonl", b'{"review": "a", "x\\ud800": 1}\n', ["--out", "o.parquet"], "surrogate"),
            ("in.csv", b"review,score_negative\na,1\n", ["--all-scores"], "'score_negative' already"),
            ("in.csv", b"review\na\n", ["--report", "."], "is a folder"),
            ("in.csv", b"review\na\n", ["--report", "nowhere/r.html"], "nowhere is not a folder"),
            ("in.csv", b"review\na\n", ["--report", "o.csv"], "is the result"),
            ("in.csv", b"review\na\n", ["--encoding", "klingon"], "not a known encoding"),
            ("in.csv", b"review\na\n", ["--delimiter", "ab"], "not one character"),
            ("in.csv", b"review\na\n", ["--report-by", "review"], "needs --report"),
            ("in.csv", b"review\na\n", ["--on-long-text", "cut"], "on_long_text 'cut' is not known"),
            ("in.csv", b"review\na\n", ["--protocol", "soap"], "'soap' is not known"),
            ("in.csv", b"review\na\n", ["--url", "http://[::1"], "is not a service's address"),
            ("in.csv", b"review\na\n", ["--out", "x.json"], "call it .jsonl"),
        ],
    )
    def test_faults_cost_no_request(
        self, service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        name: str, content: bytes, options: list[str], word: str,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        Path(name).write_bytes(content)
        given = {"--out": "o.csv", "--url": service[0], "--text-column": "review"}
        arguments = [part for pair in given.items() if pair[0] not in options for part in pair]
        assert_refused(run("score", name, *arguments, *options), word)
        assert not service[1].requests
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_a_name_that_is_not_utf_8_has_a_report(self, service: Service, run: Run, tmp_path: Path) -> None:
        source = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
        Path(source).write_text("review\ngood\n")
        options = ("--url", service[0], "--out", tmp_path / "o.csv", "--report", tmp_path / "r.html")
        assert run("score", source, *options).exit_code == 0
        assert "caf" in (tmp_path / "r.html").read_text()

    def test_a_terminal_without_the_letters_still_shows_the_plan(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "in.csv").write_text("café,id\ngood,1\n", encoding="utf-8")
        command = [
            *COMMAND,
            "score",
            "in.csv",
            "--text-column",
            "café",
            "--url",
            service[0],
            "--out",
            "o.csv",
            "--dry-run",
        ]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(
            [*command, "--dry-run"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "caf\\xe9" in done.stdout
