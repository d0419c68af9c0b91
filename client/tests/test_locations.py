"""Addresses, standard input and output: `score` on them, and `classify`."""

import csv
import functools
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import Result

from stand_in import Service, prediction

Run = Callable[..., Result]
COMMAND = [sys.executable, "-m", "batch_client.cli"]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, empty."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def test_a_file_at_an_address_is_scored_to_an_address(
    service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: fsspec.AbstractFileSystem
) -> None:
    monkeypatch.chdir(tmp_path)
    memory.pipe("/data/reviews.csv", b"id;review\n1;good\n2;bad\n")
    options = ("--text-column", "review", "--url", service[0])
    result = run("score", "memory://data/reviews.csv", *options, "--out", "memory://data/scored.jsonl")
    assert result.exit_code == 0, result.stderr
    assert "memory://data/reviews.csv, read as CSV, UTF-8, cells parted by semicolon (guessed)" in result.stderr
    rows = [json.loads(line) for line in memory.cat("/data/scored.jsonl").splitlines()]
    assert [row["sentiment"] for row in rows] == [prediction(text)["sentiment"] for text in ("good", "bad")]
    again = run("score", "memory://data/reviews.csv", *options, "--out", "memory://data/scored.jsonl")
    assert "exists; pass --overwrite" in again.stderr
    same = run("score", "memory://data/reviews.csv", *options, "--out", "memory://data/reviews.csv", "--overwrite")
    assert "is the input" in same.stderr
    assert not list(tmp_path.iterdir())


class Buckets(MemoryFileSystem):
    """Stands for an object store: /ours is a bucket, /hidden one that may be written to but not looked into.

    What s3fs, gcsfs and huggingface_hub answer was taken from runs of them: False of what is hidden as of what is
    not there, an error of the listing that tells the two apart, and ValueError of half a repository's name.
    """

    protocol = "buckets"
    store: dict[str, bytes] = {}  # noqa: RUF012
    is_full = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("buckets://").lstrip("/")

    def exists(self, path: str, **_: object) -> bool:
        if path == "/half":
            raise ValueError("a repository's name has two parts")
        return path == "/ours" or super().exists(path)

    def ls(self, path: str, detail: bool = True, **_: object) -> list[str]:
        if path.startswith("/hidden"):
            raise PermissionError("403")
        raise FileNotFoundError(path)

    def put_file(self, lpath: str, rpath: str, *_: object, **__: object) -> None:
        if type(self).is_full:
            raise PermissionError("403, the bucket takes no more")
        self.pipe_file(rpath, Path(lpath).read_bytes())


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> type[Buckets]:
    fsspec.register_implementation("buckets", Buckets, clobber=True)
    monkeypatch.setattr(Buckets, "store", {})
    return Buckets


@pytest.mark.parametrize("place", ["buckets://none/scored.csv", "buckets://half/name/scored.csv"])
def test_a_bucket_that_is_not_there_is_reported_before_anything_is_asked(
    service: Service, run: Run, tmp_path: Path, buckets: type[Buckets], place: str
) -> None:
    (tmp_path / "in.csv").write_text("review\ngood\n")
    result = run("score", tmp_path / "in.csv", "--url", service[0], "--out", place)
    assert result.exit_code == 1
    assert f"nothing can be put to {place}: there is no bucket" in result.stderr
    assert not service[1].seen


@pytest.mark.parametrize("place", ["buckets://ours/new/scored.csv", "buckets://hidden/scored.csv"])
def test_a_bucket_that_may_be_there_is_tried(
    service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buckets: type[Buckets], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("review\ngood\n")
    result = run("score", tmp_path / "in.csv", "--url", service[0], "--out", place)
    assert result.exit_code == 0, result.stderr
    assert list(buckets.store) == [place.removeprefix("buckets:/")]


def test_a_result_that_cannot_be_put_there_is_kept_for_the_next_run(
    service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buckets: type[Buckets]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("review\ngood\n")
    command = ("score", tmp_path / "in.csv", "--url", service[0], "--out", "buckets://ours/scored.csv")
    monkeypatch.setattr(buckets, "is_full", True)
    failed = run(*command)
    assert failed.exit_code == 1
    assert "403, the bucket takes no more. All rows are kept: the same command" in failed.stderr
    monkeypatch.setattr(buckets, "is_full", False)
    service[1].seen.clear()
    assert run(*command).exit_code == 0
    assert not service[1].seen["good"]
    assert buckets.store


def test_a_file_on_the_web_is_scored(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "reviews.csv").write_text("id,review\n1,good\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/reviews.csv"
    options = ("--text-column", "review", "--url", service[0])
    try:
        assert run("score", address, *options, "--out", tmp_path / "o.csv").exit_code == 0
        missing = run("score", address + ".not", *options, "--out", tmp_path / "p.csv")
        assert missing.exit_code == 1
        assert "does not exist" in missing.stderr
        assert "web pages are only read" in run("score", address, *options, "--out", address + ".csv").stderr
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "o.csv").read_text().splitlines()[1].startswith("1,good,")


@pytest.mark.parametrize("place", ["s4://bucket/in.csv", "s3://bucket/in.csv"])
def test_an_address_of_a_kind_that_is_not_installed_is_reported(
    service: Service, run: Run, tmp_path: Path, place: str
) -> None:
    result = run("score", place, "--url", service[0], "--out", tmp_path / "o.csv")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {place}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "options", "first"),
    [
        (b"id,review\n1,good\n", [], b"id,review,sentiment,"),
        (b"id\treview\n1\tgood\n", [], b"id\treview\tsentiment\t"),
        (b'{"review": "good"}\n', [], b'{"review": "good", "sentiment": '),
        (b'{"review": "good"}\n', ["--out-format", "csv"], b"review,sentiment,"),
        (b"id,review\n1,good\n", ["--out-format", "parquet"], b"PAR1"),
    ],
)
def test_standard_output_has_the_inputs_format_or_the_one_asked_for(
    service: Service, tmp_path: Path, content: bytes, options: list[str], first: bytes
) -> None:
    command = [*COMMAND, "score", "-", "--text-column", "review", "--url", service[0], "--out", "-", *options]
    done = subprocess.run(command, input=content, capture_output=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(first)
    assert not list(tmp_path.iterdir())


def test_texts_are_classified_from_the_command_line(service: Service) -> None:
    command = [*COMMAND, "classify", "I love this!", " ", "--url", service[0], "--all-scores"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0]["text"] == "I love this!"
    assert rows[0]["sentiment"] == prediction("I love this!")["sentiment"]
    assert set(rows[0]) > {"score_negative", "score_neutral", "score_positive"}
    assert rows[1]["error"] == "the text is blank"


def test_lines_are_answered_as_they_come_and_all_in_order(service: Service) -> None:
    process = subprocess.Popen(
        [*COMMAND, "classify", "--url", service[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("schön\r\n".encode())
    process.stdin.flush()
    # The answer is there while the input is still open.
    assert json.loads(process.stdout.readline())["text"] == "schön"
    texts = [f"text {number}" for number in range(5000)]
    threading.Thread(
        target=lambda: (process.stdin.write("\n".join(texts).encode()), process.stdin.close()),  # type: ignore[union-attr]
        daemon=True,
    ).start()
    rows = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == 0
    assert [row["text"] for row in rows] == texts
    assert all(row["sentiment"] == prediction(row["text"])["sentiment"] for row in rows)


def test_a_reader_that_has_seen_enough_is_no_traceback(service: Service) -> None:
    command = f"seq 1 20000 | {' '.join(COMMAND)} classify --url {service[0]} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["text"] == "1"
    assert "Traceback" not in done.stderr


def test_lines_that_are_not_utf_8_are_named(service: Service) -> None:
    command = [*COMMAND, "classify", "--url", service[0]]
    done = subprocess.run(command, input=b"caf\xe9\n", capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard input, line 1 is not UTF-8; convert it with iconv first\n"


@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet", "scored.jsonl", "scored.tsv"])
def test_only_failed_rows_are_asked_for_again(service: Service, run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_text("id,review\n" + "".join(f"{number},text {number}\n" for number in range(300)))
    service[1].behaviour.refused_texts = frozenset({"text 7", "text 250"})
    options = ("--text-column", "review", "--url", service[0], "--all-scores")
    assert run("score", tmp_path / "in.csv", *options, "--out", tmp_path / name).exit_code == 3
    service[1].behaviour.refused_texts = frozenset()
    service[1].seen.clear()
    dry = run("score", tmp_path / name, *options, "--retry-errors", "--out", tmp_path / f"again-{name}", "--dry-run")
    assert "Rows: 300; to be sent: 2; requests: 1 " in dry.stdout
    again = run("score", tmp_path / name, *options, "--retry-errors", "--out", tmp_path / f"again-{name}")
    assert again.exit_code == 0, again.stderr
    assert service[1].seen == {"text 7": 1, "text 250": 1}
    run("score", tmp_path / "in.csv", *options, "--out", tmp_path / f"whole-{name}")
    if not name.endswith("parquet"):
        assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(tmp_path / f"again-{name}").equals(pq.read_table(tmp_path / f"whole-{name}"))


def test_a_file_that_was_not_scored_has_no_errors_to_retry(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,review\n1,good\n")
    options = ("--text-column", "review", "--url", service[0], "--retry-errors")
    result = run("score", tmp_path / "in.csv", *options, "--out", tmp_path / "o.csv")
    assert result.exit_code == 1
    assert "no column 'sentiment', which scored files have" in result.stderr


def test_watching_shows_the_services_figures(service: Service, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    once = run("watch", "--url", service[0], "--once")
    assert once.exit_code == 0, once.stderr
    assert json.loads(once.stdout)["model"] == "stand-in"

    def leave(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("batch_client.watch.time.sleep", leave)
    live = run("watch", "--url", service[0])
    assert live.exit_code == 1
    assert "stand-in, " in live.stdout
    assert live.stderr == "Stopped.\n"


def test_the_figures_are_laid_out_for_people() -> None:
    from rich.console import Console

    from batch_client.service_stats import ServiceStats
    from batch_client.watch import table_of

    figures = {
        "total_requests": 1234, "total_texts_processed": 99, "average_batch_time": 0.01, "peak_batch_size": 1,
        "device": "cpu", "model_loaded": True, "current_gpu_memory": None, "max_gpu_memory": None, "model": "m",
        "latency": {"p50": 0.25},
    }  # fmt: skip
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(table_of(ServiceStats.model_validate(figures), "12:00:00"))
    text = console.export_text()
    for words in ("m, 12:00:00", "1,234", "latency, p50", "0.250", "yes"):
        assert words in text


def test_long_texts_are_asked_about_as_told(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("review\ngood\n")
    options = ("--url", service[0], "--on-long-text", "window", "--out", tmp_path / "o.csv")
    assert run("score", tmp_path / "in.csv", *options).exit_code == 0
    assert service[1].last_body["on_long_text"] == "window"
    rows = list(csv.DictReader((tmp_path / "o.csv").open()))
    assert [row["sentiment"] for row in rows] == [prediction("good")["sentiment"]]
