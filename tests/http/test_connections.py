"""Connections hold nothing longer than they must, a lack of descriptors passes, and an answer is written at once."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from rehearsal.dev_server import Server, running_server
from tests.helpers import raw_connection

MAX_DESCRIPTORS = 128


def test_few_descriptors(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server:
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))

        # A polite client, with a connection a request.
        for _ in range(MAX_DESCRIPTORS + 50):
            with urllib.request.urlopen(f"{server.url}/batch-stats", timeout=60) as answer:
                assert answer.status == 200
        assert process.num_fds() < 50

        address = urlsplit(server.url)
        where = (address.hostname, address.port)
        idle = [socket.create_connection(where, timeout=60) for _ in range(MAX_DESCRIPTORS + 20)]
        # The server accepts as many as it can, at once, and is then refused the next.
        while process.num_fds() < MAX_DESCRIPTORS:
            time.sleep(0.05)
        for connection in idle:
            connection.close()
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/process-batch", json={"texts": ["fine"]}).status_code == 200
        log = server.log.read_text(encoding="utf-8")
        assert log.count(os.strerror(errno.EMFILE)) == 1
        assert "Traceback" not in log


def test_head_and_content_of_an_answer_are_written_together(server: Server) -> None:
    body = b'{"texts": ["fine"]}'
    request = f"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with raw_connection(server.url) as connection:
        for _ in range(20):
            connection.sendall(request)
            head, _, content = connection.recv(2**16).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            assert len(content) == int(length[1])
