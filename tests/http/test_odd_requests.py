"""Requests that are legal and rare, or nearly legal: each gets one answer that fits, and none harms the next."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from rehearsal.dev_server import Server
from tests.helpers import problems_of, raw_connection

BODY = json.dumps({"texts": ["I love this!"]}).encode()
PIECES = 5_000


def answer_to(server: Server, sent: bytes) -> tuple[int, bytes]:
    """Status and content of the first answer on a connection of its own, which the server closes."""
    with raw_connection(server.url) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(2**16):
            received += piece
    head, _, content = received.partition(b"\r\n\r\n")
    assert b"HTTP/1.1 " not in content, "two answers to one request"
    return int(head.split()[1]), content


def post(target: str, *headers: str, body: bytes = BODY) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


LENGTH = f"Content-Length: {len(BODY)}"


def test_a_whole_url_as_target(server: Server) -> None:
    status, content = answer_to(server, post(f"{server.url}/process-batch", LENGTH))
    assert status == 200
    assert json.loads(content)["results"][0]["sentiment"] == "POSITIVE"


def test_requests_in_one_go_are_answered_one_after_the_other(server: Server) -> None:
    bodies = [json.dumps({"text": f"in one go {number}"}).encode() for number in range(8)]
    heads = [f"POST /analyze-single HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n" for body in bodies]
    heads[-1] += "Connection: close\r\n"
    with raw_connection(server.url) as connection:
        connection.sendall(b"".join(head.encode() + b"\r\n" + body for head, body in zip(heads, bodies, strict=True)))
        received = b""
        while piece := connection.recv(2**16):
            received += piece
    answers = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in received.split(b"HTTP/1.1 200")[1:]]
    assert [answer["text"] for answer in answers] == [json.loads(body)["text"] for body in bodies]


def test_two_lengths_for_one_body(server: Server) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    status, _ = answer_to(server, post("/process-batch", LENGTH, "Transfer-Encoding: chunked", body=chunked))
    assert status == 400


def test_a_body_in_pieces_of_a_byte(server: Server, client: httpx.Client) -> None:
    pieces = b"1\r\n \r\n" * PIECES + b"0\r\n\r\n"
    status, content = answer_to(server, post("/process-batch", "Transfer-Encoding: chunked", body=pieces))
    assert status == 400
    assert b"too many pieces" in content
    assert client.post("/process-batch", content=BODY).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"texts": ["I love this!"], "texts": ["I hate this!"]}', "texts"),
        (b'{"texts": ["I love this!"], "te\\u0078ts": ["I hate this!"]}', "texts"),
        (b'{"texts": ["fine"], "max_length": 64, "batch_size": 2, "max_length": 128}', "max_length"),
    ],
)
def test_a_field_that_is_given_twice(client: httpx.Client, body: bytes, field: str) -> None:
    response = client.post("/process-batch", content=body)
    assert response.status_code == 400
    [problem] = problems_of(response)
    assert f"{field} is given twice" in problem["msg"]


@pytest.mark.parametrize("form", [{"data": {"texts": "fine"}}, {"files": {"texts": b"fine"}}])
def test_a_form_is_called_one(client: httpx.Client, form: dict[str, Any]) -> None:
    response = client.post("/process-batch", **form)
    assert response.status_code == 400
    [problem] = response.json()["detail"]
    assert (problem["type"], problem["msg"].partition(";")[0]) == ("form_body", "the body is a form")


def test_what_looks_like_a_field_given_twice(client: httpx.Client) -> None:
    texts = ['{"a": 1, "a": 2}', '"texts": "texts":']
    response = client.post("/process-batch", json={"texts": texts})
    assert [result["text"] for result in response.json()["results"]] == texts


@pytest.mark.parametrize("path", ["/_procs", "/_slurp", "/_connectivity", "/_env_sig", "/_nothing"])
def test_what_the_sdk_has_for_the_platform_is_not_to_be_had_in_dev_mode(client: httpx.Client, path: str) -> None:
    for response in (client.get(path), client.post(path, json={"path": "/etc/passwd", "url": "http://127.0.0.1"})):
        assert response.status_code == 404


def test_a_web_socket(server: Server, client: httpx.Client) -> None:
    headers = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines = ["GET /process-batch HTTP/1.1", "Host: x", "Connection: Upgrade", *headers, "", ""]
    with raw_connection(server.url) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(2**16).startswith(b"HTTP/1.1 404")
    assert client.get("/batch-stats").status_code == 200
