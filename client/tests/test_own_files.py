"""Nothing finished is held back, and nothing of others is touched."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from batch_client.durable import write_atomically
from scoring import command, start, write_rows
from stand_in import Behaviour, Service, serving

Run = Callable[..., Result]
NUM_ROWS = 1000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.csv", NUM_ROWS)


class TestReports:
    def test_one_that_fails_does_not_hold_the_result_back(
        self, service: Service, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = source.parent / "reports"
        folder.mkdir()
        arguments = command(source, service[0], "--report", str(folder / "r.html"))

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("batch_client.report.page.write_atomically", fail)
        failed = run(*arguments)
        assert failed.exit_code == 1
        assert "the result is complete, but the report" in failed.stderr
        assert "No space left on device; the same command only writes the report" in failed.stderr
        assert len((source.parent / "o.csv").read_text().splitlines()) == NUM_ROWS + 1
        monkeypatch.undo()
        service[1].seen.clear()
        again = run(*arguments)
        assert again.exit_code == 0, again.stderr
        assert (folder / "r.html").exists()
        assert not service[1].seen
        assert not (source.parent / "o.csv.partial").exists()

    def test_a_result_that_was_deleted_meanwhile_is_written_again(
        self, service: Service, run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = command(source, service[0], "--report", str(source.parent / "r.html"))

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("batch_client.report.page.write_atomically", stop)
        assert run(*arguments).exit_code == 1
        monkeypatch.undo()
        (source.parent / "o.csv").unlink()
        assert run(*arguments).exit_code == 0
        assert len((source.parent / "o.csv").read_text().splitlines()) == NUM_ROWS + 1


class TestTheFolderOfARun:
    @pytest.mark.parametrize(
        "name", ["outcomes.jsonl", "journal.jsonl", "result", "input", "job.json", ".job.json.1.partial"]
    )
    @pytest.mark.parametrize("kind", ["symbolic", "hard"])
    def test_planted_links_are_not_followed(
        self, service: Service, run: Run, source: Path, name: str, kind: str
    ) -> None:
        victim = source.parent / "victim.txt"
        victim.write_text("precious\n")
        folder = source.parent / "o.csv.partial"
        folder.mkdir()
        (folder / "batch-client.lock").touch()
        if kind == "hard":
            os.link(victim, folder / name)
        else:
            (folder / name).symlink_to(victim)
        for further in ((), ("--start-over",)):
            result = run(*command(source, service[0], *further))
            assert result.exit_code == 1
            assert f"{name} is a link, which no run makes there; move" in result.stderr
        assert victim.read_text() == "precious\n"
        assert not service[1].requests

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("name", [".", "batch-client.lock"])
    def test_what_belongs_to_another_user_is_not_touched(
        self, service: Service, run: Run, source: Path, name: str
    ) -> None:
        folder = source.parent / "o.csv.partial"
        folder.mkdir()
        (folder / "batch-client.lock").touch()
        os.chown(folder / name, 12345, 12345)
        result = run(*command(source, service[0]))
        assert result.exit_code == 1
        assert "belongs to another user" in result.stderr
        assert [path.name for path in folder.iterdir()] == ["batch-client.lock"]

    def test_it_is_for_its_user_alone(self, service: Service, source: Path) -> None:
        folder = source.parent / "o.csv.partial"
        modes: list[int] = []
        service[1].behaviour.delay_s = 0.3
        process = start(command(source, service[0]))
        while process.poll() is None:
            if folder.exists():
                modes.append(folder.stat().st_mode & 0o777)
                break
            time.sleep(0.01)
        assert process.wait(60) == 0
        assert modes == [0o700]


def test_a_run_that_was_stopped_for_longer_than_its_patience_goes_on(source: Path) -> None:
    with serving(Behaviour(delay_s=0.5)) as (url, stand_in):
        arguments = command(source, url, "--patience", "3", "--timeout", "2", "--max-concurrency", "1")
        process = start(arguments, stderr=subprocess.PIPE)
        while not stand_in.requests["answered"]:
            time.sleep(0.01)
        # The request that is in flight fails, which the run learns when it goes on.
        stand_in.behaviour.next_faults = ["503"] * 3
        process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr


def test_a_file_that_is_in_the_way_of_a_partial_one_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".r.html.0.partial"
    own.write_text("precious")
    monkeypatch.setattr("batch_client.durable.secrets.token_hex", lambda _: "0")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "r.html", b"new")
    assert own.read_text() == "precious"
