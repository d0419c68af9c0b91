"""What people read: as it is, whatever it quotes; without secrets; with the cause named."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from answering import answering
from batch_client import Client, InputError
from batch_client.errors import BatchClientError
from batch_client.formats.source import ReadOptions
from batch_client.job import Job
from batch_client.options import Options
from batch_client.screen import console_on
from batch_client.service_stats import ServiceStats
from batch_client.survey import Survey
from batch_client.text_path import TextPath
from batch_client.watch import table_of
from stand_in import FAST, Service, prediction

Run = Callable[..., Result]
COMMAND = [sys.executable, "-m", "batch_client.cli"]


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `batch-client`, written as CLIENT, in bash."""
    script = command.replace("CLIENT", " ".join(COMMAND))
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


def assert_one_sentence(stderr: str, *words: str) -> None:
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert stderr.startswith("Error: ")
    for word in words:
        assert word in stderr


class TestDataIsNotMarkup:
    @pytest.mark.parametrize("name", [":warning:", "[bold]x[/bold]", "[/x]", "run:100:"])
    def test_in_names_of_columns_and_files(self, run: Run, tmp_path: Path, name: str) -> None:
        path = tmp_path / f"{name.replace('/', '')}.csv"
        path.write_text(f"id,{name}\n1,good\n")
        result = run("score", path, "--text-column", "nosuch", "--url", "http://127.0.0.1:9", "--out", "o.csv")
        assert_one_sentence(result.stderr, f"{path} has no column 'nosuch'; it has 'id', {name!r}")

    def test_nor_control_codes(self, service: Service, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "a\x1b[2Jb\r\u202ec.csv"
        path.write_text("review\ngood\n")
        result = run("score", path, "--url", service[0], "--out", tmp_path / "o.csv")
        assert "a\\x1b[2Jb\\r\\u202ec.csv, read as" in result.stderr
        dry = run("score", path, "--url", service[0], "--out", tmp_path / "p.csv", "--dry-run")
        assert "a\\x1b[2Jb\\r\\u202ec.csv through" in dry.stdout

    def test_nor_what_a_server_says(self, run: Run) -> None:
        with answering((404, "application/json", '{"detail": "[/x] \\u001b[31m :boom:"}')) as url:
            result = run("classify", "good", "--url", url)
        assert_one_sentence(result.stderr, "[/x] \\x1b[31m :boom:")

    def test_nor_in_the_figures_of_watch(self) -> None:
        stats = ServiceStats(
            total_requests=1, total_texts_processed=1, average_batch_time=0.1, peak_batch_size=1, device="[/x]\x1b[31m",
            model_loaded=True, current_gpu_memory=None, max_gpu_memory=None, model="[/x]:boom:",
        )  # fmt: skip
        console = Console(file=io.StringIO(), width=100)
        console.print(table_of(stats, "12:00:00"))
        assert isinstance(console.file, io.StringIO)
        shown = console.file.getvalue()
        assert "[/x]:boom:, 12:00:00" in shown
        assert "[/x]\\x1b[31m" in shown


class TestALogIsNoTerminal:
    def test_whatever_the_environment_says(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("good\nbad\n")
        done = shell(
            f"cd '{tmp_path}'; CLIENT score in.txt --url {service[0]} --out o.csv",
            FORCE_COLOR="1", TTY_COMPATIBLE="1", TTY_INTERACTIVE="1",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stderr

    def test_a_stream_that_is_none_has_a_console_too(self) -> None:
        console_on(None, is_stderr=True).print("into nothing")


class TestSecrets:
    URL = "http://me:s3cr3t@127.0.0.1:9"

    def test_are_in_no_message_and_no_repr(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("good\n")
        for further in ([], ["--dry-run"]):
            result = run("score", tmp_path / "in.txt", "--url", self.URL, "--out", tmp_path / "o.csv", *further)
            assert "127.0.0.1:9" in result.output
            assert "s3cr3t" not in result.output
        assert "s3cr3t" not in repr(Options(self.URL))
        assert Options(self.URL).address == "http://127.0.0.1:9"

    def test_are_in_no_file(self, service: Service, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("good\n")
        secret = service[0].replace("http://", "http://me:s3cr3t@")
        report = ["--report", tmp_path / "r.html"]
        result = run("score", tmp_path / "in.txt", "--url", secret, "--out", tmp_path / "o.csv", *report)
        assert result.exit_code == 0, result.stderr
        job = Job("in.txt", "o.csv", Options(secret), ReadOptions())
        assert "s3cr3t" not in str(job.identity(Survey(1, {}, TextPath("text"), "")))
        assert not [path for path in tmp_path.iterdir() if b"s3cr3t" in path.read_bytes()]

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("https://u:p%40w@host/in.csv is gone", "https://host/in.csv is gone"),
            ("s3://key:secret@bucket/in.csv: no", "s3://bucket/in.csv: no"),
            ("'https://host/in.csv?X-Amz-Signature=abc' is gone", "'https://host/in.csv' is gone"),
            ("does its address begin with http://?", "does its address begin with http://?"),
            ("write to me@example.org about http://host/path", "write to me@example.org about http://host/path"),
        ],
    )
    def test_of_every_address_are_left_out(self, text: str, shown: str) -> None:
        assert str(BatchClientError(text)) == shown

    @pytest.mark.parametrize("password", ["s3/cr3t", "1/s3cr3t", "s@3/cr3t"])
    def test_a_password_that_an_address_cannot_hold_is_not_shown(self, password: str) -> None:
        with pytest.raises(InputError, match="write / as %2F") as caught:
            Client(f"http://me:{password}@127.0.0.1:8000")
        assert "cr3t" not in str(caught.value)

    def test_an_address_with_a_query_is_refused(self) -> None:
        with pytest.raises(InputError, match="a query") as caught:
            Client("http://127.0.0.1:8000?token=s3cr3t")
        assert "s3cr3t" not in str(caught.value)


class TestCauses:
    @pytest.mark.parametrize(
        ("key", "words"), [("abc ", "space"), ("Bearer abc", "word Bearer"), ("a\nb", "line break"), (" ", "is blank")]
    )
    def test_a_key_that_cannot_be_one(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, words: str
    ) -> None:
        monkeypatch.setenv("CHUTES_API_KEY", key)
        result = run("classify", "good", "--url", "http://127.0.0.1:9")
        assert_one_sentence(result.stderr, "CHUTES_API_KEY", words)
        assert "abc" not in result.stderr
        with pytest.raises(InputError, match="the API key"):
            Client("http://127.0.0.1:9", api_key="abc\t")

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("CLIENT score - --url http://127.0.0.1:9 --out o.csv <&-", "standard input is closed"),
            ("CLIENT classify --url URL <&-", "standard input is closed"),
            ("CLIENT score in.txt --url http://127.0.0.1:9 --out - >&-", "standard output is closed"),
            ("CLIENT classify good --url http://127.0.0.1:9 >&-", "standard output is closed"),
        ],
    )
    def test_a_stream_that_is_closed(self, service: Service, tmp_path: Path, command: str, words: str) -> None:
        (tmp_path / "in.txt").write_text("good\n")
        done = shell(f"cd '{tmp_path}'; {command.replace('URL', service[0])}")
        assert done.returncode == 1
        assert_one_sentence(done.stderr, words)

    @pytest.mark.parametrize(
        ("location", "words"),
        [
            ("https://new.example/api/batch-stats", "it is at https://new.example/api now; give that address"),
            ("/api/batch-stats", "/api now; give that address"),
            ("https://login.example/?next=x", "which leads to https://login.example/; is http://127.0.0.1"),
        ],
    )
    def test_a_redirect_names_an_address_that_works(self, run: Run, location: str, words: str) -> None:
        with answering((307, "text/plain", ""), headers={"Location": location}) as url:
            assert_one_sentence(run("classify", "good", "--url", url).stderr, words)

    def test_a_refused_connection_is_reported_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("batch_client.delivery._PATIENCE_IF_REFUSED_S", 0.1)
        with Client("http://127.0.0.1:9", **FAST) as client, pytest.raises(BatchClientError) as caught:
            client.check(patience_s=3600.0)
        assert "cannot connect to http://127.0.0.1:9: the connection was refused; is the service" in str(caught.value)


class TestFiles:
    """Of other programs: read, or refused with what to do."""

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ('{"id": {"0": 1, "1": 2}, "text": {"0": "I love it", "1": "Terrible"}}', "orient='records', lines=True"),
            ('{"id": [1, 2], "text": ["I love it", "Terrible"]}', "orient='records', lines=True"),
            ('{"columns": ["text"], "index": [0], "data": [["I love it"]]}', "orient='records', lines=True"),
            ('{"schema": {}, "data": [{"text": "a"}, {"text": "b"}]}', "jq -c '.data[]'"),
            ('{\n "id": {"0": 1, "1": 2},\n "text": {"0": "I love it", "1": "Terrible"}\n}\n', "orient='records'"),
        ],
    )
    def test_a_table_in_one_object_is_no_row(self, run: Run, tmp_path: Path, content: str, words: str) -> None:
        (tmp_path / "in.json").write_text(content)
        result = run(
            "score", tmp_path / "in.json", "--text-column", "text", "--url", "http://127.0.0.1:9", "--out", "o.csv"
        )
        assert_one_sentence(result.stderr, words)

    @pytest.mark.parametrize("name", ["in.json", "in.jsonl", "in"])
    def test_objects_over_several_lines_are_rows(self, service: Service, run: Run, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text('{\n  "text": "good"\n}\n{\n  "text": "bad"\n}\n')
        out = tmp_path / "o.jsonl"
        assert run("score", tmp_path / name, "--text-column", "text", "--url", service[0], "--out", out).exit_code == 0
        assert [f'"sentiment": "{prediction(text)["sentiment"]}"' in line for text, line in
                zip(("good", "bad"), out.read_text().splitlines(), strict=True)] == [True, True]  # fmt: skip

    def test_one_object_with_a_text_is_a_row(self, service: Service, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text('{"text": "good", "tags": [{"a": 1}, {"a": 2}]}\n')
        result = run(
            "score", tmp_path / "in.jsonl", "--text-column", "text", "--url", service[0], "--out", tmp_path / "o.csv"
        )
        assert result.exit_code == 0, result.stderr

    def test_quotes_of_excels_text_are_pointed_out(self, service: Service, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in.tsv").write_text(
            'id\treview\n1\t"I love it, said ""Bob"""\n2\tTerrible\n3\t"two\nlines"\n', newline=""
        )
        arguments = ["score", tmp_path / "in.tsv", "--text-column", "review", "--url", service[0]]
        result = run(*arguments, "--out", tmp_path / "o.csv")
        assert_one_sentence(result.stderr, "quotes are taken as ordinary characters", "pass --quotes")
        assert run(*arguments, "--out", tmp_path / "o.csv", "--quotes").exit_code == 0
        assert service[1].seen.keys() == {'I love it, said "Bob"', "Terrible", "two\nlines"}

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("in.txt", b"good\r\nbad\r\n\x1a"),
            ("in.txt", b"good\r\nbad\x1a\x1a\x1a"),
            ("in.csv", b"review\r\ngood\r\nbad\r\n\x1a"),
            ("in.jsonl", b'{"review": "good"}\n{"review": "bad"}\n\x1a'),
            ("in.json", b'[{"review": "good"}, {"review": "bad"}]\x1a'),
        ],
    )
    def test_the_end_of_a_dos_file_is_no_row(
        self, service: Service, run: Run, tmp_path: Path, name: str, content: bytes
    ) -> None:
        (tmp_path / name).write_bytes(content)
        result = run("score", tmp_path / name, "--url", service[0], "--out", tmp_path / "o.csv")
        assert "2 rows, 0 with an error" in result.stderr, result.stderr
        assert service[1].seen.keys() == {"good", "bad"}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"caf\xe9\n", "byte 0xe9 is not valid UTF-8; say which encoding the file has with --encoding, for example "
             "--encoding cp1252"),
            (b"it\x92s\n", "--encoding cp1252"),
            (b"good\ncaf\xc3", "ends within a character; it was cut short"),
        ],
    )  # fmt: skip
    def test_advice_on_encodings_fits_the_bytes(self, run: Run, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "in.txt").write_bytes(content)
        result = run("score", tmp_path / "in.txt", "--url", "http://127.0.0.1:9", "--out", tmp_path / "o.csv")
        assert_one_sentence(result.stderr, words)
        assert "latin-1" not in result.stderr

    def test_a_message_names_the_package_that_is_missing(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("pyarrow.parquet", "fsspec", "openpyxl"):
            monkeypatch.setitem(sys.modules, module, None)
        (tmp_path / "in.csv").write_text("review\ngood\n")
        said = [
            run("score", source, "--url", "http://127.0.0.1:9", "--out", out).stderr
            for source, out in ((tmp_path / "in.csv", tmp_path / "o.parquet"), ("memory://in.csv", tmp_path / "o.csv"))
        ]
        assert "pip install pyarrow" in said[0]
        assert "pip install 'fsspec[http]'" in said[1]
        assert not any("batch-client[" in line for line in said)
