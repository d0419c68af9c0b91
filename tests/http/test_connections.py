"""Connections hold nothing longer than they must, and a lack of descriptors passes."""

from __future__ import annotations

import socket
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from rehearsal.dev_server import running_server

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
        while "Connections cannot be accepted" not in server.log.read_text(encoding="utf-8"):
            time.sleep(0.05)
        for connection in idle:
            connection.close()
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/process-batch", json={"texts": ["fine"]}).status_code == 200
        log = server.log.read_text(encoding="utf-8")
        assert log.count("Connections cannot be accepted") == 1
        assert "Traceback" not in log
