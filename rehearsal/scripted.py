"""An instance in this process that does what a script says: for what depends on the server's side alone."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from rehearsal.session import Session

CORDS = [
    {
        "path": f"/{path.replace('-', '_')}",
        "public_api_path": f"/{path}",
        "public_api_method": "POST",
        "stream": streams,
    }
    for path, streams in [("process-batch", False), ("process-batch-stream", True)]
]


@dataclass(frozen=True)
class Reply:
    """What a script answers.

    Attributes:
        document: the answer of a cord that does not stream.
        chunks: those of one that does.
        breaks: the connection is lost after the last chunk.
    """

    status: int = 200
    document: Any = None
    chunks: tuple[str, ...] = ()
    breaks: bool = False


Script = Callable[[str, Any], Awaitable[Reply]]


@dataclass
class ScriptedInstance:
    """Speaks the encrypted protocol of an instance. `script` gets a cord's path and the body's object.

    Attributes:
        num_asked: requests that have reached it.
    """

    script: Script
    concurrency: int = 64
    url: str = "http://instance"
    session: Session = field(default_factory=Session.create)
    cords: list[dict[str, Any]] = field(default_factory=lambda: list(CORDS))
    num_asked: int = 0
    num_in_flight: int = 0

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.num_asked += 1
        if self.num_in_flight >= self.concurrency:
            return httpx.Response(429, json={"error": "RateLimitExceeded"})
        cipher = self.session.transport
        path = cipher.decrypt(bytes.fromhex(request.url.path[1:]))
        body = cipher.decrypt(base64.b64decode(request.content))
        assert path is not None
        assert body is not None
        self.num_in_flight += 1
        try:
            reply = await self.script(path.decode().rstrip("?"), json.loads(gzip.decompress(body)))
            used = {"X-Chutes-Conn-Used": str(self.num_in_flight)}
        finally:
            self.num_in_flight -= 1
        if reply.status != 200:
            return httpx.Response(reply.status, json=reply.document)
        if reply.chunks or reply.breaks:
            return httpx.Response(200, headers=used, stream=_Stream(self._lines(reply)))
        envelope = {"json": self._encrypted(json.dumps(reply.document).encode())}
        return httpx.Response(200, headers=used, json=envelope)

    def _encrypted(self, plaintext: bytes) -> str:
        return base64.b64encode(self.session.transport.encrypt(gzip.compress(plaintext))).decode()

    async def _lines(self, reply: Reply) -> AsyncIterator[bytes]:
        for chunk in reply.chunks:
            yield self._encrypted(chunk.encode()).encode() + b"\n"
        if reply.breaks:
            raise httpx.ReadError("the instance is gone")


class _Stream(httpx.AsyncByteStream):
    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for line in self._lines:
            yield line
