"""`make run` says in one sentence that a port is taken, and calls itself ready only if its own process answers."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

import schemas
from batch_embedding.settings import MINILM_MODEL, EmbedderSettings
from batch_inference.settings import load_settings
from rehearsal.dev_server import ROOT
from rehearsal.ports import free_port
from rehearsal.small_classifiers import save_checkpoint
from tests.inference.checkpoints import save_empty, save_masked_language_model, save_without_tokenizer
from tools.run_locally import BUNDLED, Service, main


@contextmanager
def somebody_else(port: int) -> Iterator[int]:
    """Another HTTP server, which answers everything with a 200."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def start(port: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tools.run_locally", "--port", str(port), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if line.startswith("Ready"))


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `make run` says when it refuses what it is given, before anything is started: one line."""

    def run(*arguments: str) -> str:
        # What it sets is taken back after the test.
        monkeypatch.setenv("BATCH_PROCESSOR_MODEL", BUNDLED)
        monkeypatch.setitem(sys.modules, "schemas", schemas)
        monkeypatch.setattr(Service, "start", None)
        monkeypatch.setattr(sys, "argv", ["run_locally", "--port", str(free_port()), *arguments])
        # Making a checkpoint prints, too.
        capsys.readouterr()
        assert main() == 1
        output, errors = capsys.readouterr()
        assert (output, errors.count("\n")) == ("", 1)
        return errors

    return run


@pytest.mark.parametrize(("offset", "purpose"), [(0, "the service"), (1, "the SDK's log server")])
def test_a_taken_port_is_told_in_one_sentence_before_anything_loads(offset: int, purpose: str) -> None:
    port = free_port()
    with somebody_else(port + offset):
        process = start(port)
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith(f"Port {port + offset} is not free for {purpose}")
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_chute_of_any_file_has_statistics_a_document_and_a_page_and_ctrl_c_ends_it() -> None:
    """Those of the repository: tests/docs/test_readme.py."""
    port = free_port()
    process = start(port, "--chute", "examples/toxicity.py", "--model", "models/tiny-sentiment")
    try:
        assert _until_ready(process) == (
            f"Ready at http://127.0.0.1:{port} with the model '{ROOT / 'models' / 'tiny-sentiment'}'. "
            "Stop with Ctrl-C. Open it in a browser.\n"
        )
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            [scores] = client.post("/toxicity", json={"texts": ["Have a nice day."]}).json()["results"]
            assert scores.keys() == {"NEGATIVE", "NEUTRAL", "POSITIVE"}
            assert client.get("/batch-stats").json()["total_texts_processed"] == 1
            assert client.get("/openapi.json").json()["paths"].keys() == {"/toxicity", "/batch-stats"}
            assert "Try it" in client.get("/").text
            assert client.get("/docs").status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_embedder_has_the_hubs_name_and_not_a_path_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in ("model", "served_as"):
        # What it sets is taken back after the test.
        monkeypatch.setenv(EmbedderSettings.variable(field), "x")
        monkeypatch.delenv(EmbedderSettings.variable(field))
    service = Service.of("batch_embedder", BUNDLED, "http://127.0.0.1:8000")
    assert Path(service.model).is_dir()
    assert load_settings(EmbedderSettings).served_names == [MINILM_MODEL, "all-MiniLM-L6-v2"]


@pytest.mark.parametrize(
    ("chute", "sentence"),
    [
        ("nowhere.py", "is no file. Use one of batch_processor, batch_embedder, batch_generator, or the path of"),
        ("schemas.py", "has no `chute` with `settings`. Write it as examples/toxicity.py is"),
        ("README.md", "is no Python module. Use the path of a file such as my_chute.py."),
    ],
)
def test_a_file_that_is_no_chute_is_refused_in_a_sentence(
    chute: str, sentence: str, refused: Callable[..., str]
) -> None:
    assert sentence in refused("--chute", str(ROOT / chute))


@pytest.fixture
def _own_handler_of_sigterm() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("_own_handler_of_sigterm")
def test_another_process_that_takes_the_port_meanwhile_is_not_called_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    # What it sets is taken back after the test.
    monkeypatch.setenv("BATCH_PROCESSOR_MODEL", BUNDLED)
    with ExitStack() as held:
        # The port is looked at before the service is started, which takes seconds: this one loads without end.
        loading = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        held.callback(loading.kill)

        def start_late(_: Service, port: int) -> subprocess.Popen[bytes]:
            held.enter_context(somebody_else(port))
            return loading

        monkeypatch.setattr(Service, "start", start_late)
        model = str(ROOT / "models" / "tiny-sentiment")
        monkeypatch.setattr(sys, "argv", ["run_locally", "--port", str(port), "--model", model])
        assert main() == 1
        assert loading.returncode == -signal.SIGKILL
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == f"Port {port} was taken by another process meanwhile; stop it and try again.\n"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (save_empty, "is empty. Put the checkpoint there:"),
        (save_without_tokenizer, "has no vocabulary: there are no files of a tokenizer"),
        (save_masked_language_model, "is a RobertaForMaskedLM, and lacks the weights of a classifier"),
    ],
)
def test_what_files_say_against_a_model_is_said_before_anything_loads(
    tmp_path: Path, make: Callable[[Path], Path], sentence: str, refused: Callable[..., str]
) -> None:
    folder = make(tmp_path / "model")
    assert refused("--model", str(folder)).startswith(f"BATCH_PROCESSOR_MODEL='{folder}' {sentence}")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({0: "a", 1: "b", 2: "a"}, "id2label in the model's config.json calls several outputs 'a'"),
        ({0: "a"}, "the model computes numbers and no labels"),
    ],
)
def test_labels_that_cannot_be_served_are_refused_before_anything_loads(
    tmp_path: Path, names: dict[int, str], sentence: str, refused: Callable[..., str]
) -> None:
    folder = save_checkpoint(tmp_path / "model", id2label=names)
    assert refused("--model", str(folder)).startswith(sentence)


def test_a_model_that_is_refused_ends_it_with_a_sentence(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "model", "fnet")
    process = start(free_port(), "--model", str(folder))
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "Ready" not in output
    lines = errors.splitlines()
    assert "the model lets padding change its answers. Use another checkpoint" in lines[-1]
    assert len(lines) + len(output.splitlines()) <= 11
