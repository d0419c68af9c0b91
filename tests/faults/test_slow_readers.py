"""Whoever does not read an answer loses it, and nobody else does."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from rehearsal.dev_server import Server
from tests.helpers import wait_until_idle
from tests.http2_client import connection

NUM_READERS = 3

BODY = json.dumps({"texts": ["𐍈" * 10_000] * 100, "max_length": 50, "batch_size": 1}, ensure_ascii=False).encode()
"""Its answer is more than the system's buffers on both sides hold: four bytes a character, soon tokenized."""


@pytest.mark.parametrize("path", ["/process-batch", "/process-batch-stream"])
def test_a_client_that_reads_a_byte_now_and_then(impatient: Server, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    address = urlsplit(impatient.url)
    process = psutil.Process(impatient.process.pid)
    before = process.num_fds()
    readers = []
    for _ in range(NUM_READERS):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(60)
        reader.connect((address.hostname, address.port))
        reader.sendall(head + BODY)
        readers.append(reader)
    ports = {reader.getsockname()[1] for reader in readers}
    with httpx.Client(base_url=impatient.url, timeout=60) as client:
        while {each.raddr.port for each in process.net_connections("tcp") if each.raddr} & ports:
            for reader in readers:
                reader.recv(1)
            assert client.post("/process-batch", json={"texts": ["fine"]}).status_code == 200
            time.sleep(0.2)
        stats = client.get("/batch-stats").json()
    assert stats["requests_in_flight"] == 0
    assert stats["queued_texts"] == 0
    assert process.num_fds() <= before + 1
    for reader in readers:
        reader.close()
    assert "Traceback" not in impatient.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/process-batch", "/process-batch-stream"])
def test_a_stream_of_http2_whose_window_stays_shut(impatient: Server, path: str) -> None:
    with connection(impatient, acknowledges=False) as client:
        stream = client.request("POST", path)
        frame = client.state.max_outbound_frame_size
        for start in range(0, len(BODY), frame):
            client.state.send_data(stream, BODY[start : start + frame])
        client.state.end_stream(stream)
        client.send()
        client.wait_until_reset(stream)
        # The connection is still good for other streams.
        other = client.request("GET", "/batch-stats")
        client.state.end_stream(other)
        client.send()
        assert client.status(other) == 200
        with httpx.Client(base_url=impatient.url, timeout=60) as others:
            wait_until_idle(others)
