"""In dev mode a chute answers as other HTTP servers do: HEAD, a stream's media type, CORS where it is set."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from batch_http.health import add_health
from rehearsal.dev_server import Server

PAGE = "http://localhost:3000"


@pytest.mark.parametrize("path", ["/health", "/batch-stats", "/openapi.json", "/"])
def test_head_is_get_without_the_content(client: httpx.Client, path: str) -> None:
    head = client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == client.get(path).headers["content-type"]


def test_head_of_what_has_no_get(client: httpx.Client) -> None:
    response = client.head("/process-batch")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert client.head("/nowhere").status_code == 404


def test_a_stream_says_that_it_is_json_lines(client: httpx.Client) -> None:
    good = client.post("/process-batch-stream", json={"texts": ["fine"]})
    assert good.headers.get_list("content-type") == ["application/x-ndjson"]
    bad = client.post("/process-batch-stream", json={"texts": []})
    assert bad.headers.get_list("content-type") == ["application/json"]


def test_no_page_of_another_origin_may_call_unless_it_is_named(client: httpx.Client) -> None:
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert client.options("/process-batch", headers=ask).status_code == 405
    assert "access-control-allow-origin" not in client.get("/batch-stats", headers=ask).headers


def test_the_pages_of_origins_that_are_named_may_call(embedder_server: Server) -> None:
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with httpx.Client(base_url=embedder_server.url) as client:
        before = client.options("/v1/embeddings", headers=ask)
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == PAGE
        assert before.headers["access-control-allow-headers"] == "content-type"
        answer = client.post("/v1/embeddings", json={"input": "a"}, headers={"Origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        other = client.post("/v1/embeddings", json={"input": "a"}, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_health_says_whether_requests_are_taken() -> None:
    app = FastAPI()
    add_health(app)
    client = TestClient(app)
    assert client.get("/health").status_code == 503
    for is_ready, status in ((True, 200), (False, 503)):
        app.engine = SimpleNamespace(is_ready=is_ready)  # type: ignore[attr-defined]
        assert client.get("/health").status_code == status
