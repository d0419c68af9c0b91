"""Other people's clients against the chute each is for, as their users would call it.

openai and LangChain are in `tests/embedding/test_embedder_chute.py`, Hugging Face's clients in Python and JavaScript in
`test_text_classification.py`. Clients that `make test` does not install are skipped, and say how to get them.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest

from batch_embedding.settings import MINILM_MODEL
from rehearsal.dev_server import ROOT, Server

TYPESCRIPT = Path(__file__).resolve().parent / "typescript_client"


def curl(*arguments: str) -> str:
    """What curl prints."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


def curl_json(url: str, body: dict[str, Any]) -> Any:
    """The answer to what people copy from a README: curl says that such a body is a form."""
    return json.loads(curl(url, "-d", json.dumps(body)))


def test_curl_and_the_classifier(server: Server) -> None:
    answer = curl_json(f"{server.url}/process-batch", {"texts": ["I love this!"]})
    assert answer["results"][0]["sentiment"] == "POSITIVE"
    head = curl("-D-", "-o/dev/null", f"{server.url}/process-batch-stream", "-d", '{"texts": ["I love this!"]}')
    assert "content-type: application/x-ndjson" in head
    assert curl("-I", f"{server.url}/health").startswith("HTTP/1.1 200")


def test_curl_and_the_embedder(embedder_server: Server) -> None:
    answer = curl_json(f"{embedder_server.url}/v1/embeddings", {"input": "I love this!"})
    assert len(answer["data"][0]["embedding"]) == 384


def test_curl_and_the_generator(generator_server: Server) -> None:
    answer = curl_json(f"{generator_server.url}/generate-batch", {"prompts": ["Hello"], "max_new_tokens": 2})
    assert len(answer["results"]) == 1


def test_openais_client_asks_the_generator_for_its_model(generator_server: Server) -> None:
    client = openai.OpenAI(base_url=f"{generator_server.url}/v1", api_key="any", max_retries=0)
    [card] = client.models.list().data
    assert card.id == "random/random-generator"
    assert client.models.retrieve(card.id) == client.models.retrieve("random-generator") == card


def test_litellm_and_the_embedder(embedder_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else it fetches a table of prices from a network.
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = pytest.importorskip("litellm", reason="needs LiteLLM: pip install litellm")
    base = {"api_base": f"{embedder_server.url}/v1", "api_key": "any"}
    for name in MINILM_MODEL, "all-MiniLM-L6-v2":
        answer = litellm.embedding(model=f"openai/{name}", input=["I love this!", "fine"], **base)
        assert [len(item["embedding"]) for item in answer.data] == [384, 384]
    with pytest.raises(litellm.BadRequestError, match=r"input\[0\] is blank"):
        litellm.embedding(model=f"openai/{MINILM_MODEL}", input=[" "], **base)


def generated(document: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that openapi-python-client makes of a document; gives a function that imports its modules."""
    command = shutil.which("openapi-python-client")
    if command is None:
        pytest.skip("needs openapi-python-client: pip install openapi-python-client")
    name = document.replace("-", "_") + "_made"
    making = [command, "generate", "--path", str(ROOT / "docs" / f"{document}.json"), "--meta", "none"]
    subprocess.run([*making, "--output-path", str(folder / name)], capture_output=True, timeout=120, check=True)
    monkeypatch.syspath_prepend(str(folder))
    return lambda module: importlib.import_module(f"{name}.{module}")


def test_a_generated_client_and_the_classifier(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generated("openapi", tmp_path, monkeypatch)
    client, models = made("client").Client(server.url), made("models")
    single = made("api.default.analyze_single").sync(client=client, body=models.SingleRequest("I love this!"))
    assert single.sentiment == "POSITIVE"
    body = models.BatchRequest(["I love this!", " "], on_invalid_text=models.BatchRequestOnInvalidTextType0.REPORT)
    first, second = made("api.default.process_batch").sync(client=client, body=body).results
    assert (first.sentiment, second.error.code) == ("POSITIVE", "blank_text")
    refusal = made("api.default.process_batch").sync(client=client, body=models.BatchRequest([]))
    assert refusal.detail[0].type_ == "too_short"
    assert made("api.default.get_batch_stats").sync(client=client).model == "bundled"


def test_a_generated_client_and_the_embedder(
    embedder_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generated("openapi-embedder", tmp_path, monkeypatch)
    client, models = made("client").Client(embedder_server.url), made("models")
    request = models.EmbeddingRequest("I love this!", dimensions=64)
    answer = made("api.default.create_embeddings").sync(client=client, body=request)
    assert len(answer.data[0].embedding) == 64
    assert made("api.default.list_models").sync(client=client).data[0].dimensions == [64, 128, 384]


def test_a_generated_client_and_the_generator(
    generator_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generated("openapi-generator", tmp_path, monkeypatch)
    client, models = made("client").Client(generator_server.url), made("models")
    request = models.GenerateRequest(["Hello"], max_new_tokens=2)
    answer = made("api.default.generate_batch").sync(client=client, body=request)
    assert answer.results[0].completion_tokens <= 2


@pytest.mark.slow
def test_typescript_with_types_of_the_documents(
    server: Server, embedder_server: Server, generator_server: Server, tmp_path: Path
) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    shutil.copytree(TYPESCRIPT, tmp_path, dirs_exist_ok=True)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, timeout=240).returncode != 0:
        pytest.skip("npm could not install openapi-typescript")
    for name in "openapi", "openapi-embedder", "openapi-generator":
        run(
            "npx",
            "openapi-typescript",
            "--default-non-nullable=false",
            str(ROOT / "docs" / f"{name}.json"),
            "-o",
            f"{name}.d.ts",
        )
    run("npx", "tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "ask.ts")
    printed = run("node", "ask.js", server.url, embedder_server.url, generator_server.url)
    assert json.loads(printed) == ["POSITIVE", 384, 1, "blank_text"]
