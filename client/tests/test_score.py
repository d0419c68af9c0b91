"""Nothing lost, nothing twice: runs that are killed, refused, repeated."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from scoring import NUM_ROWS, SCORE, command, kill_midway, start
from stand_in import Behaviour, Service, serving

Run = Callable[..., Result]


@pytest.mark.parametrize("name", ["out.csv.gz", "out.parquet", "out.xlsx"])
def test_a_killed_run_resumes_to_the_same_bytes(run: Run, tmp_path: Path, source: Path, name: str) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        killed = tmp_path / name
        arguments = command(source, url, "--max-concurrency", "1", out=killed)
        for num_checkpoints in (2, 4):
            kill_midway(arguments, killed, num_checkpoints)
        assert not killed.exists()
        stand_in.behaviour.delay_s = 0.0
        resumed = run(*arguments)
        assert resumed.exit_code == 0, resumed.stderr
        assert "by an earlier run" in resumed.stderr
        assert stand_in.seen.total() < 2 * NUM_ROWS
        whole = tmp_path / f"whole-{name}"
        run(*command(source, url, out=whole))
        assert killed.read_bytes() == whole.read_bytes()
        assert not (tmp_path / f"{name}.partial").exists()


def test_what_lies_beyond_the_last_checkpoint_is_cut_off(run: Run, tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        out = tmp_path / "out.csv"
        arguments = command(source, url, "--max-concurrency", "1", out=out)
        kill_midway(arguments, out)
        for name in ("outcomes.jsonl", "journal.jsonl"):
            with (tmp_path / "out.csv.partial" / name).open("ab") as file:
                file.write(random.Random(3).randbytes(100).replace(b"\n", b" "))
        stand_in.behaviour.delay_s = 0.0
        assert run(*arguments).exit_code == 0
        assert len(out.read_text().splitlines()) == NUM_ROWS + 1


def test_an_unfinished_run_is_not_resumed_with_other_options(run: Run, tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        out = tmp_path / "out.csv"
        kill_midway(command(source, url, "--max-concurrency", "1", out=out), out)
        stand_in.behaviour.delay_s = 0.0
        changed = run(*command(source, url, "--max-length", "128", out=out))
        assert changed.exit_code == 1
        assert "another --max-length" in changed.stderr
        source.write_text(source.read_text() + "3000,one more\n")
        assert "another input" in run(*command(source, url, out=out)).stderr
        assert run(*command(source, url, "--start-over", out=out)).exit_code == 0
        assert len(out.read_text().splitlines()) == NUM_ROWS + 2


def test_two_runs_do_not_write_the_same_result(run: Run, tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, _):
        arguments = command(source, url, out=tmp_path / "out.csv")
        process = start(arguments)
        try:
            while not (tmp_path / "out.csv.partial" / "journal.jsonl").exists():
                time.sleep(0.01)
            assert "another run is working" in run(*arguments).stderr
        finally:
            process.kill()
            process.wait()


def test_a_service_that_restarts_loses_no_row(tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.05)) as (url, _):
        process = start(command(source, url, out=tmp_path / "out.csv"))
        while not (tmp_path / "out.csv.partial" / "journal.jsonl").exists():
            time.sleep(0.01)
    time.sleep(0.5)  # down for a while
    port = int(url.rpartition(":")[2])
    with serving(port=port):
        assert process.wait(30) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == NUM_ROWS + 1


def test_an_input_that_changes_meanwhile_is_reported(tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.1)) as (url, _):
        process = start(command(source, url, out=tmp_path / "out.csv"))
        while not (tmp_path / "out.csv.partial" / "journal.jsonl").exists():
            time.sleep(0.01)
        with source.open("a") as file:
            file.write("3000,one more\n")
        assert process.wait(30) == 1
    assert not (tmp_path / "out.csv").exists()


def test_an_existing_result_is_kept_unless_asked(service: Service, run: Run, tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    refused = run(*command(source, service[0], out=out))
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    assert out.read_text() == "precious"
    assert run(*command(source, service[0], "--overwrite", out=out)).exit_code == 0
    assert out.read_text().startswith("id,review,sentiment,confidence,token_count,truncated,error\n")


def test_standard_input_is_read(service: Service, tmp_path: Path, source: Path) -> None:
    arguments = ["score", "-", "--text-column", "review", "--url", service[0], "--out", str(tmp_path / "out.csv")]
    with source.open("rb") as stdin:
        assert start(arguments, stdin=stdin).wait(60) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == NUM_ROWS + 1


def test_a_full_disk_is_reported_and_the_run_resumes(run: Run, tmp_path: Path, source: Path) -> None:
    with serving(Behaviour(delay_s=0.0)) as (url, _):
        arguments = command(source, url, out=tmp_path / "out.csv")
        limited = ["bash", "-c", 'ulimit -f 60; trap "" XFSZ; exec "$@"', "-", *SCORE]
        full = subprocess.run([*limited, *arguments], capture_output=True, text=True, timeout=60)
        assert full.returncode == 1
        assert "run the same command again to resume" in full.stderr
        assert "Traceback" not in full.stderr
        assert run(*arguments).exit_code == 0
        assert len((tmp_path / "out.csv").read_text().splitlines()) == NUM_ROWS + 1
