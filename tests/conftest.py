"""What tests share: the bundled model in process, the real SDK server over HTTP, and the repository's texts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import hypothesis
import pytest

from batch_classification.in_process import start_engine
from batch_embedding.settings import MINILM_MODEL
from batch_inference.engine import Engine
from rehearsal.chutes import CHUTES
from rehearsal.dev_server import Server, running_server
from rehearsal.random_checkpoints import save_random_generator
from rehearsal.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, read_labelled, varied_texts

# No test asserts a time: one in a hundred examples may take long on a machine that others use.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that only call it."""
    with running_server(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def embedder_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedder with the real weights of its default model, from a package."""
    environment = {
        "BATCH_EMBEDDER_MODEL": CHUTES["batch_embedder"].bundled_model(),
        "BATCH_EMBEDDER_SERVED_AS": MINILM_MODEL,
        "BATCH_EMBEDDER_DEVICE": "cpu",
        "BATCH_EMBEDDER_DIMENSIONS": "64,128",
        "BATCH_EMBEDDER_CORS_ORIGINS": "http://localhost:3000",
    }
    with running_server(tmp_path_factory.mktemp("embedder") / "log", "batch_embedder:chute", **environment) as running:
        yield running


@pytest.fixture(scope="session")
def generator_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The generator with two random layers that soon stop, and room for the longest prompt and answer."""
    folder = tmp_path_factory.mktemp("generator")
    checkpoint = save_random_generator(folder / "checkpoint", max_positions=2**14)
    environment = {
        "BATCH_GENERATOR_MODEL": str(checkpoint),
        "BATCH_GENERATOR_SERVED_AS": "random/random-generator",
        "BATCH_GENERATOR_DEVICE": "cpu",
    }
    with running_server(folder / "log", "batch_generator:chute", **environment) as running:
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
    engine = start_engine(model="bundled", device="cpu", precision="float32", answer_cache_mib=0)
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
