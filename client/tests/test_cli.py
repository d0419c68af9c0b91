import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

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


@pytest.mark.parametrize("out", ["out", "out.xlsm", "out.txt", "out.parquet.gz", "nowhere/out.csv"])
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
    work = "In 1 round: 20 passes and 0 cache hits individually, 1 passes and 0 cache hits in batches\n"
    assert re.fullmatch(pattern + work, result.stdout)
    assert len(service[1].seen) == service[1].seen.total() == 4 * 20, "each text once: no cache can answer"
    assert service[1].most_in_flight == 20


Score = Callable[..., Result]


@pytest.fixture
def score_in(service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Score in.csv of ten rows in the current folder, with further options."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("id,review\n" + "".join(f"{number},text {number}\n" for number in range(10)))
    return lambda *further, out="o.csv": run(
        "score", "in.csv", "--text-column", "review", "--url", service[0], "--out", out, *further
    )


def ids(path: str) -> list[int]:
    return [int(line.partition(",")[0]) for line in Path(path).read_text().splitlines()[1:]]


def test_a_limit_takes_the_first_rows_and_says_so(score_in: Score) -> None:
    result = score_in("--limit", "3")
    assert "quotes enclose cells, only its first 3 rows." in result.stderr
    assert ids("o.csv") == [0, 1, 2]
    assert "10 rows, 0" in score_in("--limit", "50", out="p.csv").stderr
    assert "must be 1 or more" in score_in("--limit", "0", out="q.csv").stderr
    assert "leave one out" in score_in("--limit", "1", "--sample", "1", out="q.csv").stderr


def test_a_sample_is_of_all_rows_and_the_same_each_time(score_in: Score) -> None:
    assert "only 4 of its rows, drawn at random" in score_in("--sample", "4").stderr
    score_in("--sample", "4", out="p.csv")
    assert len(set(ids("o.csv"))) == 4
    assert ids("o.csv") == ids("p.csv") == sorted(ids("o.csv"))
    assert ids("o.csv") != [0, 1, 2, 3]
    score_in("--sample", "50", out="q.csv")
    assert ids("q.csv") == list(range(10))


def test_a_part_of_a_parquet_file_keeps_its_types(service: Service, run: Run, tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(range(5000), pa.int16()), "review": [f"text {n}" for n in range(5000)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=700)
    arguments = ["score", tmp_path / "in.parquet", "--text-column", "review", "--url", service[0]]
    for option in ("--limit", "--sample"):
        out = tmp_path / f"{option}.parquet"
        result = run(*arguments, "--out", out, option, 900)
        assert result.exit_code == 0, result.stderr
        found = pq.read_table(out)
        assert (found.num_rows, found.schema.field("id").type) == (900, pa.int16())
        assert found["review"].to_pylist() == [f"text {n}" for n in found["id"].to_pylist()]


def test_errors_are_tolerated_if_asked_and_their_reasons_said(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("good\n\n\nrefused\n")
    service[1].behaviour.refused_texts = frozenset({"refused"})
    result = run("score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / "o.csv", "--tolerate-errors")
    assert result.exit_code == 0
    words = "Without an answer: 2 blank (row 2: the text is blank); 1 refused (row 4: the text is refused)."
    assert words in result.stderr


def test_results_for_excel_in_europe(score_in: Score) -> None:
    assert score_in("--out-delimiter", ";", "--out-bom", "--limit", "1").exit_code == 0
    assert Path("o.csv").read_bytes().startswith(b"\xef\xbb\xbfid;review;sentiment;")
    assert "--out-delimiter 'ab' is not one character" in score_in("--out-delimiter", "ab", out="q.csv").stderr


def test_a_log_gets_a_line_now_and_then(score_in: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "in flight" not in score_in().stderr
    monkeypatch.setattr("batch_client.progress._SECONDS_BETWEEN_LINES", 0.0)
    line = r"^10 of 10 rows, [\d,]+ rows/s, 0 errors, 8 in flight, 0:00 left$"
    assert re.search(line, score_in(out="p.csv").stderr, re.MULTILINE)


def test_the_address_may_come_from_the_environment_or_a_file(
    score_in: Score, service: Service, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_CLIENT_URL", service[0])
    assert run("score", "in.csv", "--text-column", "review", "--out", "o.csv").exit_code == 0
    monkeypatch.delenv("BATCH_CLIENT_URL")
    Path("batch-client.toml").write_text(f'url = "{service[0]}"\ntext-column = "review"\nall_scores = true\n')
    assert run("score", "in.csv", "--out", "p.csv").exit_code == 0
    assert "score_positive" in Path("p.csv").read_text()
    assert run("score", "in.csv", "--out", "q.csv", "--text-column", "nosuch").exit_code == 1, "the command line counts"
    for content, words in (('urll = "x"', "'urll' is no option"), ("url =", "is not TOML")):
        Path("batch-client.toml").write_text(content)
        assert words in run("score", "in.csv", "--out", "q.csv").stderr
    monkeypatch.setenv("BATCH_CLIENT_CONFIG", "nowhere.toml")
    assert "BATCH_CLIENT_CONFIG names nowhere.toml" in run("score", "in.csv", "--out", "q.csv").stderr


def test_the_version(run: Run) -> None:
    assert re.fullmatch(r"batch-client \d+\.\d+\.\d+\n", run("--version").stdout)
