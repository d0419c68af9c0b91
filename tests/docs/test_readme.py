"""What README and the pages for callers show is what happens: their commands are run, and the output is compared.

Run are those that need no account, no minutes and no data of their own. Of the rest it is checked that what they name
exists.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from rehearsal.dev_server import ROOT
from rehearsal.ports import free_port
from tests.docs.blocks import Block, Command, blocks_of, commands_of, difference


def _id(page: str, block: Block) -> str:
    return f"{page}, line {block.line_number}"


PAGES = ("README.md", "docs/calling.md", "docs/settings.md")
BLOCKS = [(page, block) for page in PAGES for block in blocks_of(ROOT / page)]
CONSOLE = [pytest.param(page, block, id=_id(page, block)) for page, block in BLOCKS if block.language == "console"]
PYTHON = [
    pytest.param(page, block, BLOCKS[index + 1][1], id=_id(page, block))
    for index, (page, block) in enumerate(BLOCKS)
    if block.language == "python"
]

SERVED_AT = "http://127.0.0.1:8000"
RUN_HERE = re.compile(
    r"curl .*127\.0\.0\.1:8000|curl -N .*127\.0\.0\.1:8000|\.venv/bin/batch-client |BATCH_PROCESSOR_\w+=\S+ make run"
)
REVIEWS = "review\nI love this!\nWhat a waste of money.\n"
START_TIMEOUT_S = 240


@dataclass(frozen=True)
class Running:
    """`make run` at work: where it serves, its process, and what it has printed."""

    url: str
    process: subprocess.Popen[str]
    output: list[str]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands find the repository's files, and leave theirs."""
    folder = tmp_path_factory.mktemp("clone")
    for entry in ROOT.iterdir():
        if entry.name != ".git":
            (folder / entry.name).symlink_to(entry)
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / "reviews.csv").write_text(REVIEWS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def running(workspace: Path) -> Iterator[Running]:
    """The command that `make run` runs, once it says that it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "tools.run_locally", "--port", str(port), "--model", "bundled"]
    process = subprocess.Popen(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    output: list[str] = []
    is_ready = threading.Event()

    def read() -> None:
        for line in process.stdout or []:
            output.append(line.rstrip("\n"))
            if line.strip().startswith("-d '"):
                is_ready.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert is_ready.wait(START_TIMEOUT_S), "\n".join(output[-40:])
        yield Running(f"http://127.0.0.1:{port}", process, output)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def run(command: str, running: Running, workspace: Path) -> tuple[list[str], int]:
    """What a command prints, and its status. `make run` goes without its check that all is installed: it is."""
    command = command.replace(SERVED_AT, running.url)
    command = command.replace("make run", f"{sys.executable} -m tools.run_locally --port {free_port()}")
    # Progress of curl is for people at a terminal.
    command = command.replace("curl ", "curl -s ")
    finished = subprocess.run(
        ["bash", "-c", command],
        cwd=workspace,
        env=os.environ | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    return finished.stdout.replace(running.url, SERVED_AT).split("\n"), finished.returncode


@pytest.mark.parametrize(("page", "block"), CONSOLE)
def test_a_console_block(page: str, block: Block, running: Running, workspace: Path) -> None:
    for shown in commands_of(block):
        if shown.command.strip() == "make run":
            printed = [line.replace(running.url, SERVED_AT) for line in running.output]
            first = next(number for number, line in enumerate(printed) if line.startswith("Ready at"))
            _compare(page, shown, printed[first:])
        elif RUN_HERE.match(shown.command):
            output, status = run(shown.command, running, workspace)
            if shown.output:
                _compare(page, shown, output)
            else:
                assert status == 0, f"{page}, line {shown.line_number}: $ {shown.command}\n" + "\n".join(output)
        else:
            _check_names(shown.command)


@pytest.mark.parametrize(("page", "block", "output"), PYTHON)
def test_a_python_block(page: str, block: Block, output: Block, running: Running, workspace: Path) -> None:
    code = "\n".join(block.lines).replace(SERVED_AT, running.url)
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, timeout=240, check=False
    )
    assert finished.returncode == 0, f"{page}, line {block.line_number}: {finished.stderr[-2000:]}"
    if output.language == "text":
        found = difference(output.lines, finished.stdout.split("\n"))
        assert found is None, f"{page}, line {output.line_number}: {found}"


def test_make_run_listens_on_the_loopback_interface_only(running: Running) -> None:
    processes = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
    listening = [
        connection.laddr
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    ]
    assert listening
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}, listening


def _compare(page: str, shown: Command, output: list[str]) -> None:
    found = difference(shown.output, output)
    assert found is None, f"{page}, line {shown.line_number}: $ {shown.command}\n{found}"


def _check_names(command: str) -> None:
    """Of a command that is not run: the make targets and the files of the repository that it names exist."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", command):
        assert target in targets, f"{command}: there is no `make {target}`"
    for file in re.findall(r"(?<![\w/.])((?:tools|tests|bench|docs|models|texts)/[\w./-]+)", command):
        assert (ROOT / file).exists(), f"{command}: {file} does not exist"
