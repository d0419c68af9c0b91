"""SIGTERM under load: what was admitted is answered, the rest is told to go elsewhere, and the exit code is 0."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx

from rehearsal.dev_server import running_server
from tests.helpers import raw_connection


def test_sigterm_under_load(tmp_path: Path, tweets: list[str]) -> None:
    with running_server(tmp_path / "log") as server:

        async def load() -> list[int]:
            limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
            async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
                calls = [
                    asyncio.create_task(client.post("/process-batch", json={"texts": tweets[start : start + 50]}))
                    for start in range(0, 600, 50)
                ]
                while (await client.get("/batch-stats")).json()["requests_in_flight"] < len(calls):
                    await asyncio.sleep(0.01)
                server.process.send_signal(signal.SIGTERM)
                late = None
                while late is None or late.status_code == 200:
                    late = await client.post("/analyze-single", json={"text": "too late"})
                assert "shutting down" in late.json()["detail"]
                assert late.headers["retry-after"] == "1"
                responses = await asyncio.gather(*calls)
                assert all(len(response.json()["results"]) == 50 for response in responses)
                return [late.status_code, *(response.status_code for response in responses)]

        assert asyncio.run(load()) == [429] + [200] * 12
        assert server.process.wait(timeout=60) == 0


def test_a_body_that_is_still_coming_gets_an_answer(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server:
        with raw_connection(server.url) as connection:
            body = b'{"texts": ["late"]}'
            head = f"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body[:5])
            # Answered, so that the half of a request before it has arrived too.
            assert httpx.get(f"{server.url}/batch-stats").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            while httpx.post(f"{server.url}/analyze-single", json={"text": "too late"}, timeout=60).status_code == 200:
                pass
            connection.sendall(body[5:])
            answer = connection.recv(2**16)
        assert answer.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in answer
        assert server.process.wait(timeout=60) == 0


def test_an_idle_service_exits_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
