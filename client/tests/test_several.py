"""Folders and several files as one input: a result for each, resumed as one, by one service."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from batch_client.inputs import result_name
from scoring import command, start, write_rows
from stand_in import Behaviour, Service, serving

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of reviews in a folder, one of them below it, and others that are none."""
    made = tmp_path / "in"
    (made / "2024" / ".hidden").mkdir(parents=True)
    (made / "old.csv.partial").mkdir()
    write_rows(made / "a.csv", 3)
    (made / "2024" / "b.jsonl").write_text('{"review": "good"}\n{"review": " "}\n')
    (made / "c.json").write_text('[{"review": "fine"}]')
    for name in ("notes.md", ".a.csv.batch-client.json", "2024/.hidden/x.csv", "old.csv.partial/y.csv"):
        (made / name).write_text("review\nnot to be sent\n")
    return made


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


@pytest.mark.parametrize(
    ("name", "out_format", "result"),
    [
        ("a.csv", None, "a.csv"),
        ("a.CSV.gz", None, "a.CSV.gz"),
        ("a.b.tab", None, "a.b.tab"),
        ("a.json", None, "a.jsonl"),
        ("a.json.zst", None, "a.jsonl.zst"),
        ("a.txt", None, "a.csv"),
        ("a.xlsx", None, "a.xlsx"),
        ("a.xlsm", None, "a.xlsx"),
        ("a.log", None, "a.log.csv"),
        ("a", None, "a.csv"),
        ("a.csv.gz", "parquet", "a.parquet"),
        ("a.csv.gz", "jsonl", "a.jsonl.gz"),
        ("a.csv", "csv", "a.csv"),
    ],
)
def test_a_results_name_follows_from_its_inputs(name: str, out_format: str | None, result: str) -> None:
    assert result_name(name, out_format) == result


def test_a_folder_is_scored_file_by_file(service: Service, run: Run, folder: Path) -> None:
    out = folder.with_name("out")
    result = run(*command(folder, service[0], out=out))
    assert result.exit_code == 3, result.stderr
    assert files_in(out) == ["2024/b.jsonl", "a.csv", "c.jsonl"]
    assert len((out / "a.csv").read_text().splitlines()) == 4
    assert f"{out / 'a.csv'}: 3 rows, 0 with an error" in result.stderr
    assert "In all: 3 files, 6 rows, 1 with an error." in result.stderr
    assert "Without an answer: 1 blank." in result.stderr
    assert f"Left out: 1 file without a known ending: '{folder / 'notes.md'}'; --format takes them." in result.stderr
    assert service[1].seen.keys() == {"text number 0", "text number 1", "text number 2", "good", "fine"}
    assert not folder.with_name("out.partial").exists()
    assert "exists; pass --overwrite" in run(*command(folder, service[0], out=out)).stderr


def test_a_dry_run_names_every_file_and_writes_nothing(service: Service, run: Run, folder: Path) -> None:
    out = folder.with_name("out")
    result = run(*command(folder, service[0], "--dry-run", out=out))
    assert result.exit_code == 0, result.stderr
    assert f"column 'review', 2 rows, 1 to be sent. Result: {out / '2024' / 'b.jsonl'}" in result.stdout
    assert "In all: 6 rows, 5 to be sent." in result.stdout
    assert not out.exists()
    assert not service[1].seen


def test_several_files_go_to_a_folder_in_one_format(service: Service, run: Run, tmp_path: Path) -> None:
    sources = [write_rows(tmp_path / name, 2) for name in ("a.csv", "b.csv")]
    given = command(sources[0], service[0], "--out-format", "parquet", out=tmp_path / "out")
    assert run(*given, sources[1]).exit_code == 0
    assert files_in(tmp_path / "out") == ["a.parquet", "b.parquet"]


@pytest.mark.parametrize(
    ("further", "words"),
    [
        (["{}/twin/a.csv"], "would both be"),
        (["{}/a.csv"], "a.csv is given twice; leave it out once"),
        (["-"], "several inputs are files and folders of this machine, and so is --out; not -"),
        (["{}/b.csv", "--report", "r.html"], "--report is for one input"),
        (["{}/bad.csv"], "bad.csv has no column 'review'"),
        (["{}/bad.csv", "{}/broken.csv"], "Nor can these be scored: "),
        (["{}/b.csv", "--out", "{}/a.csv"], "is a file; the results of several inputs go to a folder"),
        (["{}/b.csv", "--out", "{}"], "is the input; choose another --out"),
        (["{}/b.csv", "--out-format", "pdf"], "--out-format pdf is not known"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_request(
    service: Service, run: Run, tmp_path: Path, further: list[str], words: str
) -> None:
    (tmp_path / "twin").mkdir()
    for name in ("a.csv", "b.csv", "twin/a.csv"):
        write_rows(tmp_path / name, 2)
    (tmp_path / "bad.csv").write_text("id,text\n1,x\n")
    (tmp_path / "broken.csv").write_text('id,review\n1,"x\n')
    given = command(tmp_path / "a.csv", service[0], out=tmp_path / "out")
    result = run(*given, *(each.format(tmp_path) for each in further))
    assert result.exit_code == 1
    assert words in result.stderr
    assert not service[1].requests
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_planted_link_is_not_followed(service: Service, run: Run, folder: Path) -> None:
    victim, working = folder.with_name("victim"), folder.with_name("out.partial")
    victim.write_text("precious")
    working.mkdir()
    (working / "batch-client.lock").touch()
    (working / "finished.jsonl").symlink_to(victim)
    result = run(*command(folder, service[0], out=folder.with_name("out")))
    assert "finished.jsonl is a link, which no run makes there" in result.stderr
    assert victim.read_text() == "precious"


def test_an_empty_folder_is_a_sentence(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.md").touch()
    result = run(*command(tmp_path / "in", service[0], out=tmp_path / "out"))
    assert "there is no file to score in " in result.stderr
    assert "notes.md'" in result.stderr


def kill_in_the_second_file(arguments: list[str], out: Path) -> None:
    process = start(arguments, stderr=subprocess.PIPE)
    journal = out / "b.csv.partial" / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv", "c.csv"):
        write_rows(tmp_path / "in" / name, 1000)
    return tmp_path / "in"


def test_a_killed_run_resumes_where_it_was(run: Run, many: Path, tmp_path: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        arguments = command(many, url, "--max-concurrency", "1", out=tmp_path / "out")
        kill_in_the_second_file(arguments, tmp_path / "out")
        assert files_in(tmp_path / "out.partial") == ["batch-client.lock", "finished.jsonl"]
        stand_in.behaviour.delay_s = 0.0
        stand_in.seen.clear()
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        assert f"{tmp_path / 'out' / 'a.csv'}: 1,000 rows, 0 with an error, by an earlier run." in result.stderr
        assert "In all: 3 files (1 of them by an earlier run), 3,000 rows, 0 with an error." in result.stderr
        assert stand_in.seen.total() < 2000
        assert not (tmp_path / "out.partial").exists()
        run(*command(many, url, out=tmp_path / "whole"))
        for name in files_in(tmp_path / "whole"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_neither_another_model_nor_other_options_go_on_with_it(run: Run, many: Path, tmp_path: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        arguments = command(many, url, "--max-concurrency", "1", out=tmp_path / "out")
        kill_in_the_second_file(arguments, tmp_path / "out")
        stand_in.behaviour.delay_s = 0.0
        stand_in.behaviour.model = "another"
        assert "is another service now (model another" in run(*arguments).stderr
        assert "another --max-length" in run(*arguments, "--max-length", "128").stderr
        write_rows(many / "a.csv", 999)
        assert "another input" in run(*arguments).stderr
        result = run(*arguments, "--start-over")
        assert result.exit_code == 0, result.stderr
        assert "In all: 3 files, 2,999 rows" in result.stderr
        assert "Answered by model another, precision float32." in result.stderr
