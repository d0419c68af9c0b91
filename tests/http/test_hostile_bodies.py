"""Bodies that are too large, too many-valued, too slow or never whole: refused in bounds of memory and time."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import httpx
import psutil
import pytest

from rehearsal.dev_server import Server
from tests.helpers import problems_of, raw_connection

MIB = 2**20
GOOD = {"texts": ["fine"]}


def errors_of(client: httpx.Client) -> dict[str, int]:
    errors: dict[str, int] = client.get("/batch-stats").json()["errors"]
    return errors


def until_counted(client: httpx.Client, kind: str, number: int) -> None:
    """Wait for something that the service does by itself. The test's own time limit ends a wait in vain."""
    while errors_of(client).get(kind, 0) < number:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"texts": [' + b"[]," * 5_000_000 + b"[]]}", "too_many_values"),
        (b"[" + b"1," * 8_000_000 + b"1]", "too_many_values"),
        (b"{" + b",".join(b'"field%d":1' % number for number in range(200_000)) + b"}", "too_many_values"),
        (b'{"a":"' + b'","b":"' * 1_000_000 + b'"}', "too_many_values"),
        (b'{"texts": ["' + b"x" * (16 * MIB) + b'"]}', "body_too_large"),
        (b'{"texts": [' + b"[]," * 26_000_000 + b"[]]}", "body_too_large"),
        (gzip.compress(json.dumps(GOOD).encode()), "compressed_body"),
        (json.dumps(GOOD).encode("utf-16"), "json_invalid"),
    ],
    ids=["lists", "numbers", "fields", "strings", "large", "78 MB of lists", "gzip", "UTF-16"],
)
def test_what_is_not_parsed(server: Server, client: httpx.Client, body: bytes, kind: str) -> None:
    # As much of all three once before, so that what the first large body brings along is there.
    client.post("/process-batch", content=b"x" * 16 * MIB)
    memory = psutil.Process(server.process.pid).memory_info().rss
    for _ in range(3):
        [problem] = problems_of(client.post("/process-batch", content=body))
        assert problem["type"] == kind
    # Parsed, the first of them would take 400 MiB.
    assert psutil.Process(server.process.pid).memory_info().rss < memory + 128 * MIB
    assert client.post("/process-batch", json=GOOD).status_code == 200


@pytest.mark.parametrize("text", ["[,]{:" * 2000, '\\"[,' * 2000, "\\" * 9999, '"' * 10_000])
def test_marks_within_texts_are_no_values(client: httpx.Client, text: str) -> None:
    body = client.post("/process-batch", json={"texts": [text] * 100, "max_length": 50}).json()
    assert [result["text"] for result in body["results"]] == [text] * 100


def test_a_content_encoding_is_named(client: httpx.Client) -> None:
    response = client.post("/process-batch", content=b"\x1b\x03", headers={"Content-Encoding": "br"})
    assert problems_of(response)[0]["msg"] == "the body is compressed (br); send it as it is, without Content-Encoding"


def test_an_endless_body_is_cut_off(server: Server) -> None:
    with raw_connection(server.url) as connection:
        connection.sendall(b"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        answer = b""
        while chunk := connection.recv(2**16):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer
    assert b"body_too_large" in answer


def test_a_hang_up_in_mid_body_is_a_client_that_has_gone(server: Server, client: httpx.Client) -> None:
    before = errors_of(client)
    for _ in range(5):
        with raw_connection(server.url) as connection:
            connection.sendall(b"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    until_counted(client, "client_gone", before.get("client_gone", 0) + 5)
    assert errors_of(client).get("invalid_request") == before.get("invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("FOO", "/process-batch", 405), ("PUT", "/batch-stats", 405), ("POST", "/nowhere", 404)],
)
def test_a_connection_is_good_for_the_next_request(
    client: httpx.Client, server: Server, method: str, path: str, status: int
) -> None:
    """Whether the refused one's body was read or not: the two come in one go."""
    body = b"x" * 3_000_000
    good = json.dumps(GOOD).encode()
    with raw_connection(server.url) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        next_head = f"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: {len(good)}\r\n\r\n".encode()
        connection.sendall(head + body + next_head + good)
        answers = b""
        while b"batch_info" not in answers:
            chunk = connection.recv(2**16)
            assert chunk, answers
            answers += chunk
    assert answers.startswith(f"HTTP/1.1 {status}".encode())
    assert b"HTTP/1.1 200" in answers


def test_a_slash_too_many_is_a_404(client: httpx.Client) -> None:
    response = client.post("/process-batch/", json=GOOD)
    assert response.status_code == 404
    assert response.json()["detail"].startswith("there is no such path; there are /, /analyze-single, /batch-stats,")


def test_bodies_are_let_go_of(server: Server, client: httpx.Client) -> None:
    """A connection that stays open keeps nothing of its last request."""
    text = "x" * 9_000
    body = json.dumps({"texts": [text] * 100, "no such field": [[number] for number in range(90_000)]}).encode()
    clients = [httpx.Client(base_url=server.url, timeout=60) for _ in range(20)]

    def use_all() -> Any:
        for each in clients:
            assert each.post("/process-batch", content=body).status_code == 400
        return psutil.Process(server.process.pid).memory_info().rss

    first = use_all()
    assert use_all() < first + 64 * MIB
    # Each body, parsed, is 10 MB.
    use_all()
    assert psutil.Process(server.process.pid).memory_info().rss < first + 64 * MIB
    for each in clients:
        each.close()
