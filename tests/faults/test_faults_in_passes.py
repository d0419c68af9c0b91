"""A fault in the middle of the service: the request at fault gets an error that says nothing of the inside, no other
request notices, and the fault is logged and counted. docs/reliability.md has a row for each."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from rehearsal.dev_server import ROOT, Server, running_server

FOLDER = Path(__file__).resolve().parent
FAILED_IN_MODEL = {"detail": "the model failed on this request; the log says why"}
UNEXPECTED = {"detail": "an unexpected error occurred; the log says what"}
FRAME = '  File "'
"""Begins a line of a traceback."""


def errors(client: httpx.Client) -> dict[str, int]:
    counted: dict[str, int] = client.get("/batch-stats").json()["errors"]
    return counted


def beside_others(client: httpx.Client, texts: list[str], expected: list[str]) -> httpx.Response:
    """Send texts among requests of others at the same time, who must all get the sentiments they would get alone."""
    good = ["I love this!", "What a waste of money."]
    with ThreadPoolExecutor(9) as pool:
        at_fault = pool.submit(client.post, "/process-batch", json={"texts": texts})
        others = [pool.submit(client.post, "/process-batch", json={"texts": good}) for _ in range(8)]
        for other in others:
            assert [result["sentiment"] for result in other.result().json()["results"]] == expected
        return at_fault.result()


@pytest.mark.parametrize(
    ("word", "answer", "kind", "has_traceback"),
    [
        ("zebra", FAILED_IN_MODEL, "inference_failed", True),
        ("walrus", FAILED_IN_MODEL, "inference_failed", False),
        ("gnu", UNEXPECTED, "internal_error", True),
        ("heron", UNEXPECTED, "internal_error", True),
    ],
)
def test_only_the_request_at_fault_fails(
    faulty: Server, word: str, answer: dict[str, str], kind: str, has_traceback: bool
) -> None:
    num_logged = faulty.log.stat().st_size
    with httpx.Client(base_url=faulty.url, timeout=60) as client:
        before = errors(client).get(kind, 0)
        response = beside_others(client, ["fine", word, "also fine"], ["POSITIVE", "NEGATIVE"])
        assert (response.status_code, response.json()) == (500, answer)
        assert errors(client)[kind] == before + 1
    logged = faulty.log.read_bytes()[num_logged:].decode()
    assert logged
    assert (FRAME in logged) == has_traceback
    assert word not in logged


def test_what_fits_alone_is_answered_though_it_does_not_fit_with_others(faulty: Server) -> None:
    with httpx.Client(base_url=faulty.url, timeout=60) as client:
        before = errors(client)
        response = beside_others(client, ["otter", "I love this!"], ["POSITIVE", "NEGATIVE"])
        assert response.status_code == 200
        assert response.json()["results"][1]["sentiment"] == "POSITIVE"
        assert errors(client) == before


def test_a_fault_in_a_stream_is_its_last_line(faulty: Server) -> None:
    with httpx.Client(base_url=faulty.url, timeout=60) as client:
        texts = ["fine", "fine", "zebra", "fine"]
        response = client.post("/process-batch-stream", json={"texts": texts, "batch_size": 2})
        events = [json.loads(line) for line in response.content.splitlines()]
        assert [event["status"] for event in events] == [
            "started", "processing_batch", "batch_complete", "processing_batch", "error",
        ]  # fmt: skip
        assert events[-1]["completed_texts"] == 2
        assert events[-1]["error"] == {"code": "inference_failed", "message": FAILED_IN_MODEL["detail"]}


def test_when_the_worker_dies_every_waiter_hears_of_it_and_the_process_ends(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "log", "faulty_processor:chute", FOLDER) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        response = client.post("/process-batch", json={"texts": [" ".join(["moth"] * 100)]})
        assert response.status_code == 500
        assert "send the request again" in response.json()["detail"]
        assert server.process.wait(timeout=60) == 70
        assert FRAME in server.log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(scope="module")
def checkpoint_with_a_hole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model, with no numbers where the word "zebra" is embedded: its logits are NaN, and no other's."""
    folder = tmp_path_factory.mktemp("hole") / "model"
    shutil.copytree(ROOT / "models" / "tiny-sentiment", folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    poison = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("zebra", add_special_tokens=False).ids[0]
    weights[name][poison] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_nan_in_the_logits_of_one_row_fails_its_request_only(tmp_path: Path, checkpoint_with_a_hole: Path) -> None:
    environment: dict[str, Any] = {"BATCH_PROCESSOR_MODEL": str(checkpoint_with_a_hole)}
    with (
        running_server(tmp_path / "log", **environment) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        response = beside_others(client, ["fine", "zebra"], ["POSITIVE", "NEGATIVE"])
        assert (response.status_code, response.json()) == (500, FAILED_IN_MODEL)
        assert errors(client) == {"inference_failed": 1}
        # As docs/reliability.md quotes it.
        assert "numbers that are not finite" in server.log.read_text(encoding="utf-8", errors="replace")
