"""The log: never in the way, never with what callers send."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from batch_http.server.log import MAX_WAITING_CHARACTERS, NonBlockingStream
from rehearsal.dev_server import ROOT, Server, running_server

SECRET = "xyzzy-plugh"


def test_mistakes_of_callers_are_counted_and_not_logged(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        counted = client.get("/batch-stats").json()["errors"].get("invalid_request", 0)
        before = server.log.stat().st_size
        for number in range(20):
            for body in (SECRET, f'{{"texts": ["{SECRET}"', f'{{"{SECRET}": 1}}', f'{{"texts": ["{SECRET}", ""]}}'):
                assert client.post("/process-batch", content=body).status_code == 400
            assert client.post(f"/{SECRET}", json={}).status_code == 404
            assert client.post("/process-batch", json={"texts": [f"{SECRET} {number}"]}).status_code == 200
        assert client.get("/batch-stats").json()["errors"]["invalid_request"] == counted + 80
        log = server.log.read_bytes()[before:].decode()
        assert SECRET not in log
        assert "Traceback" not in log
        assert len(log) < 1000


class FullPipe(io.StringIO):
    """A pipe that nobody reads from until the test does."""

    name = "pipe"

    def __init__(self) -> None:
        super().__init__()
        self.read_from = threading.Event()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.read_from.wait(30)
        self.written.append(text)
        return len(text)


def test_a_line_that_nobody_takes_holds_nobody_up() -> None:
    pipe = FullPipe()
    stream = NonBlockingStream(pipe)
    lines = [f"{number}\n" for number in range(MAX_WAITING_CHARACTERS // 4)]
    for line in lines:
        stream.write(line)
        stream.flush()
    pipe.read_from.set()
    stream.write("last\n")
    while not pipe.written or "dropped" not in pipe.written[-1]:
        stream.drain()
        stream.write("more\n")
    text = "".join(pipe.written)
    assert text.startswith("0\n1\n2\n")
    assert len(text) < 2 * MAX_WAITING_CHARACTERS


@pytest.mark.parametrize("error", [OSError("no space left on device"), ValueError("closed file")])
def test_a_line_that_cannot_be_written_is_dropped(error: Exception) -> None:
    class Broken(FullPipe):
        def write(self, text: str) -> int:
            self.written.append(text)
            if len(self.written) == 1:
                raise error
            return len(text)

    broken = Broken()
    stream = NonBlockingStream(broken)
    stream.write("lost\n")
    stream.drain()
    stream.write("written\n")
    stream.drain()
    assert broken.written == ["lost\n", "written\n"]


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    code = "from batch_http.server.log import keep_log_from_blocking as k; k(); print('last words')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "last words\n")


def test_the_service_answers_with_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    # The SDK's own lines, some for each request: by itself the service writes hardly any.
    with running_server(tmp_path / "log", output=pipe, LOGURU_LEVEL="INFO") as server:
        # Its start-up lines are in the pipe, and what else fits: nobody reads them.
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 1024)
        except BlockingIOError:
            os.set_blocking(writing, True)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(200):
                assert client.post("/process-batch", content=b"{").status_code == 400
            assert client.post("/process-batch", json={"texts": ["fine"]}).status_code == 200
        os.close(reading)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/process-batch", json={"texts": ["fine"]}).status_code == 200
    os.close(writing)
