"""schemathesis, a test tool of other people's, holds each chute against the OpenAPI document that it serves."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.dev_server import Server

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis: pip install schemathesis"
)

QUICK = ["--max-examples", "3", "--phases", "examples,fuzzing"]
AT_LENGTH = ["--max-examples", "50", "--phases", "examples,coverage,fuzzing"]
GENERATED_AT_LENGTH = ["--max-examples", "10", "--phases", "examples,coverage,fuzzing"]
"""A generated answer takes a hundred passes."""


def check(server: Server, folder: Path, num_operations: int, options: list[str]) -> None:
    """Run it, the same requests every time; its report is shown if it finds anything."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json", "--no-color"]
    # A hundred prompts may take longer than its ten seconds on two busy cores.
    command += ["--request-timeout", "200"]
    done = subprocess.run(
        [*command, "--generation-deterministic", *options], cwd=folder, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(rf"Tested: {num_operations}\n", done.stdout), done.stdout
    print(done.stdout[-400:])


def test_the_classifier(server: Server, tmp_path: Path) -> None:
    check(server, tmp_path, 6, QUICK)


def test_the_embedder(embedder_server: Server, tmp_path: Path) -> None:
    check(embedder_server, tmp_path, 3, QUICK)


def test_the_generator(generator_server: Server, tmp_path: Path) -> None:
    check(generator_server, tmp_path, 4, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_classifier_at_length(server: Server, tmp_path: Path) -> None:
    check(server, tmp_path, 6, AT_LENGTH)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_embedder_at_length(embedder_server: Server, tmp_path: Path) -> None:
    check(embedder_server, tmp_path, 3, AT_LENGTH)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_generator_at_length(generator_server: Server, tmp_path: Path) -> None:
    check(generator_server, tmp_path, 4, GENERATED_AT_LENGTH)
