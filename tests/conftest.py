"""What tests share: the bundled model in process, the real SDK server over HTTP, and the repository's texts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import hypothesis
import pytest

from batch_inference.engine import Engine
from batch_inference.settings import load_settings
from bench.processes import free_port
from bench.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, read_labelled, varied_texts

ROOT = Path(__file__).resolve().parent.parent

# No test asserts a time: one in a hundred examples may take long on a machine that others use.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@dataclass(frozen=True)
class Server:
    """A running service: its address, process and log."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running_server(
    log: Path,
    chute: str = "batch_processor:chute",
    code: Path = ROOT,
    output: int | None = None,
    **environment: str,
) -> Iterator[Server]:
    """Serve a chute of the folder `code` through the SDK's own command, in a process of its own; ours with the bundled
    model.

    It writes to the file `log`, or to the descriptor `output` if there is one.
    """
    port = free_port()
    chutes = str(Path(sys.executable).with_name("chutes"))
    command = [chutes, "run", chute, "--dev", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--logging-port", str(port + 1)]
    environment = {
        **os.environ,
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
        "BATCH_PROCESSOR_MODEL": "bundled",
        # Tests ask for the same texts again to see them computed again.
        "BATCH_PROCESSOR_ANSWER_CACHE_MIB": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    with log.open("wb") as file:
        stdout = file if output is None else output
        process = subprocess.Popen(command, cwd=code, env=environment, stdout=stdout, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", log)
            yield Server(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, f"the server ended:\n{log.read_text()[-3000:]}"
        try:
            httpx.get(f"{url}/batch-stats")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the server is not ready:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that only call it."""
    with running_server(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """Calls the server; every answer is held against `docs/openapi.json`."""
    with httpx.Client(base_url=server.url, timeout=60, event_hooks={"response": [_check_described]}) as client:
        yield client


def _check_described(response: httpx.Response) -> None:
    from tests.http.contract import check_answer

    # Reading a stream to its end here would hide when its lines come.
    if response.status_code != 200 or not response.request.url.path.endswith("-stream"):
        response.read()
        check_answer(response)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The bundled model, in process, on the CPU in float32; whatever it is asked, it computes."""
    engine = Engine.start(load_settings(model="bundled", device="cpu", precision="float32", answer_cache_mib=0))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tweets() -> list[str]:
    """2,000 different texts like tweets, always the same."""
    return varied_texts([labelled.text for labelled in read_labelled(OWN_SHORT_TEXTS)], 2000)


@pytest.fixture(scope="session")
def long_texts() -> list[str]:
    """30 texts of 308 to 1,442 tokens."""
    return [labelled.text for labelled in read_labelled(OWN_LONG_TEXTS)]
