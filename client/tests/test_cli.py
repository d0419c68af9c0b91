import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from stand_in import Behaviour, Service, serving

Run = Callable[..., Result]


def test_exit_codes_and_where_things_are_said(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("good\nbad\n")
    fine = run("score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / "fine.csv")
    assert (fine.exit_code, fine.stdout) == (0, "")
    assert "2 rows, 0 with an error" in fine.stderr
    (tmp_path / "in.txt").write_text("good\n\n")
    some = run("score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / "some.csv")
    assert some.exit_code == 3
    missing = run("score", tmp_path / "no.txt", "--url", service[0], "--out", tmp_path / "no.csv")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == f"Error: {tmp_path / 'no.txt'} does not exist\n"


def test_a_dry_run_asks_and_writes_nothing(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("good\n\n" + "x" * 10_001 + "\n")
    dry = run("score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / "out.csv", "--dry-run")
    assert dry.exit_code == 0
    assert "Rows: 3; to be sent: 1; requests: 1 " in dry.stdout
    assert "(blank): 1" in dry.stdout
    assert "(too_long): 1" in dry.stdout
    assert not service[1].requests
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_the_key_is_never_shown(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.txt").write_text("good\n")
    with serving(Behaviour(api_key="the-right-key")) as (url, _):
        monkeypatch.setenv("CHUTES_API_KEY", "the-wrong-key")
        wrong = run("score", tmp_path / "in.txt", "--url", url, "--out", tmp_path / "out.csv")
        assert wrong.exit_code == 1
        assert "check the API key" in wrong.stderr
        assert "the-wrong-key" not in wrong.output + run("score", "--help").output
        monkeypatch.setenv("CHUTES_API_KEY", "the-right-key")
        assert run("score", tmp_path / "in.txt", "--url", url, "--out", tmp_path / "out.csv").exit_code == 0


@pytest.mark.parametrize("out", ["out", "out.xlsx", "out.txt", "out.parquet.gz", "nowhere/out.csv"])
def test_a_result_that_cannot_be_written_is_refused_first(service: Service, run: Run, tmp_path: Path, out: str) -> None:
    (tmp_path / "in.txt").write_text("good\n")
    result = run("score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / out)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_compare_prints_the_examples_three_lines(service: Service, run: Run) -> None:
    service[1].behaviour.delay_s = 1.0
    result = run("compare", "--url", service[0], "--rounds", "1")
    assert result.exit_code == 0, result.stderr
    pattern = r"Individual requests: \d+\.\d{3}s\nBatch processing: \d+\.\d{3}s\nSpeedup: \d+\.\dx\n"
    assert re.fullmatch(pattern, result.stdout)
    assert service[1].most_in_flight == 20
