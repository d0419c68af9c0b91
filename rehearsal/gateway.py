"""What the platform's API server does between a user and an instance, for tests.

Follows the server's `_invoke`, `invoke` and `_invoke_one` for a chute without a standard template and an SDK of 0.5.5
or later. Each part names what it mirrors. What the server does besides (accounts, billing, choosing an instance and
trying up to two others) is left out: here is one instance, and whatever makes the server try another one is a fault.
Of what a user sends, only method, path, `stream` of the query and the body's object count; of what the instance
answers, its headers do not. `rehearsal/front.py` serves a gateway over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import orjson

from rehearsal.health import InstanceHealth
from rehearsal.running import Instance

T = TypeVar("T")

CLIENT_ADDRESS = "127.0.0.2"
"""The SDK takes 127.0.0.1 for a health check and lets it pass unencrypted."""

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line of a stream that the server reads."""

INSTANCE_TIMEOUT_S = 1800.0

MAX_BODY_BYTES = 128 * 1024 * 1024

MAX_EQUAL_BODIES = 5_000
"""Of one user within three hours."""

Query = dict[str, str]


@dataclass(frozen=True)
class UserAnswer:
    """What a user gets."""

    status: int
    media_type: str
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class UserStream:
    """What a user gets of a stream: chunks, one per yield of the cord, as they come."""

    status: int
    media_type: str
    chunks: AsyncIterator[str]


class Refused(Exception):
    """The user gets an error: `{"detail": ...}` with this status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer = UserAnswer(status, "application/json", orjson.dumps({"detail": detail}))


class InstanceFault(Exception):
    """The instance did something that counts against it: see `InstanceHealth`."""

    def __init__(self, what: str, status: int | None = None) -> None:
        super().__init__(what)
        self.status = status


@dataclass
class Gateway:
    """An API server with one instance. Use as an async context manager, on one event loop.

    Attributes:
        http2: send all requests over one HTTP/2 connection, as the server does with an instance that has certificates.
            Its HTTP client never resets a stream: the instance is not told of users who leave. Otherwise each request
            has a connection of its own, closed when its user leaves, as with an instance without certificates.
        timeout_s: how long an instance may take to send anything.
        cold_for_s: how long the chute takes to start. The first call starts it, and none is served until then.
        faults: everything that counted against the instance so far.
        health: what the server makes of that.
    """

    instance: Instance
    http2: bool = True
    timeout_s: float = INSTANCE_TIMEOUT_S
    cold_for_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    health: InstanceHealth = field(default_factory=InstanceHealth)
    _starts_at: float | None = None
    _bodies: Counter[bytes] = field(default_factory=Counter)

    async def __aenter__(self) -> Gateway:
        no_reuse = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.AsyncHTTPTransport(
            http1=not self.http2,
            http2=self.http2,
            limits=httpx.Limits() if self.http2 else no_reuse,
            local_address=CLIENT_ADDRESS,
        )
        timeout = httpx.Timeout(self.timeout_s, connect=10.0)
        self._client = httpx.AsyncClient(base_url=self.instance.url, transport=transport, timeout=timeout)
        prometheus = httpx.AsyncHTTPTransport(local_address=CLIENT_ADDRESS)
        self._monitor = httpx.AsyncClient(base_url=self.instance.url, transport=prometheus, timeout=timeout)
        self._cipher = self.instance.session.transport
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._monitor.aclose()

    async def call(self, method: str, path: str, body: bytes = b"", query: Query | None = None) -> UserAnswer:
        """A user's request, answered when the instance is done. `body` is JSON text, as the user sent it."""
        try:
            async with self.opened(method, path, body, query) as answer:
                if isinstance(answer, UserStream):
                    chunks = [chunk async for chunk in answer.chunks]
                    return UserAnswer(answer.status, answer.media_type, "".join(chunks).encode())
                return answer
        except Refused as refusal:
            return refusal.answer

    async def post(self, path: str, request: object) -> UserAnswer:
        """`call` for a request that is JSON."""
        return await self.call("POST", path, json.dumps(request).encode())

    @asynccontextmanager
    async def stream(self, path: str, request: object) -> AsyncIterator[UserStream]:
        """A user's request to a streaming cord. Leaving the block early is the user leaving.

        The server looks at every fifth chunk whether its user is still there; here it knows at once.

        Raises:
            Refused: the user gets an error instead of a stream.
        """
        async with self.opened("POST", path, json.dumps(request).encode()) as answer:
            assert isinstance(answer, UserStream)
            yield answer

    @asynccontextmanager
    async def opened(
        self, method: str, path: str, body: bytes, query: Query | None = None
    ) -> AsyncIterator[UserAnswer | UserStream]:
        """A user's request; what is answered as a stream comes as one.

        Raises:
            Refused: the user gets an error instead. Once a stream has begun, its user sees it end early.
        """
        self._admit(method, body)
        document = _parsed_body(method, body)
        cord = self._select_cord(method, path)
        # From the body, else from the query, where any text counts as true: the cord's own word comes last.
        streams = bool(document.get("stream", (query or {}).get("stream", False)) or cord["stream"])
        self._require_instance()
        async with self._invoke(cord["path"], _forwarded_body(document)) as response:
            if streams:
                yield UserStream(200, "text/event-stream", self._chunks(response))
            else:
                yield self._decoded(await response.aread())

    async def deliver(self, path: str, body: bytes) -> int:
        """Send JSON text to the cord as it is, unseen by the server; answers with the instance's status.

        Such bodies reach an instance from end-to-end-encrypted users, or would from a server that looks less closely.
        """
        try:
            async with self._invoke(self._select_cord("POST", path)["path"], gzip.compress(body)):
                return 200
        except Refused as refusal:
            return refusal.answer.status

    def relay(self, path: str, payload: bytes, headers: dict[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """Pass on what a user has encrypted for the instance. The path is the public one: the instance maps it."""
        return self._invoke(path, payload, headers)

    def decrypted_relay(self, content: bytes) -> bytes:
        """Take the transport's encryption off an answer in one piece; what the user is to decrypt is in it."""
        plaintext = self._cipher.decrypt(base64.b64decode(content))
        if plaintext is None:
            raise InstanceFault("an answer that cannot be decrypted")
        return plaintext

    async def connection_stats(self) -> dict[str, Any]:
        """What the SDK counts in the instance. As Prometheus does, from a private address and so without encryption."""
        stats: dict[str, Any] = (await self._monitor.get("/_conn_stats")).json()
        return stats

    async def gauge(self, name: str) -> float:
        """One of the service's own figures, as Prometheus reads them: an invocation would take a place among users."""
        lines = (await self._monitor.get("/_metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def _select_cord(self, method: str, path: str) -> dict[str, Any]:
        """By public path and method, as `_invoke` does."""
        for cord in self.instance.cords:
            if (cord["public_api_path"], cord["public_api_method"]) == (path, method):
                return cord
        raise Refused(404, "No matching cord found!")

    def _admit(self, method: str, body: bytes) -> None:
        """The middleware before `_invoke`: what no instance ever gets to see."""
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, f"Request body too large: {len(body)} bytes, {MAX_BODY_BYTES} are allowed")
        if method == "POST":
            digest = hashlib.sha256(body).digest()
            self._bodies[digest] += 1
            if self._bodies[digest] > MAX_EQUAL_BODIES:
                raise Refused(429, "Too many identical requests, try again later")

    def _require_instance(self) -> None:
        if self._starts_at is None:
            self._starts_at = time.monotonic() + self.cold_for_s
        if time.monotonic() < self._starts_at or not self.health.is_available:
            raise Refused(503, "No instances available (yet) for chute_id='9e5cc83f-0c3c-5a0e-8b60-7d8f6e3d5ea9'")

    @asynccontextmanager
    async def _invoke(
        self, path: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send an encrypted request; yields the response if the status is 200. Mirrors `_invoke_one`.

        400 is told to the user with the instance's words, 429 as overload of the platform. Any other status, a broken
        connection and an answer that cannot be read count against the instance.
        """
        body = base64.b64encode(self._cipher.encrypt(payload))
        encrypted_path = self._cipher.encrypt(path.ljust(24, "?").encode()).hex()
        headers = self.instance.session.signed_headers(body) | (headers or {})
        request = self._client.build_request("POST", f"/{encrypted_path}", content=body, headers=headers)
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code == 429:
                    raise Refused(429, "Infrastructure is at maximum capacity, try again later")
                if response.status_code == 400:
                    await response.aread()
                    # Twice: once where the instance is called, once where its error is told to the user.
                    raise Refused(400, f"Invalid request: Invalid request: {response.text}")
                if response.status_code != 200:
                    await response.aread()
                    raise InstanceFault(f"HTTP_{response.status_code}: {response.text[:500]}", response.status_code)
                yield response
                self.health.succeeded()
            finally:
                await response.aclose()
        except (httpx.HTTPError, InstanceFault) as error:
            self.faults.append(f"{path}: {type(error).__name__}: {error}")
            self.health.failed(getattr(error, "status", None))
            raise Refused(500, "exhausted all available targets to no avail") from error

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[str]:
        """A stream's chunks: each line is one, base64 of the ciphertext of gzip of UTF-8."""
        async for line in response.aiter_lines():
            if len(line) > MAX_LINE_BYTES:
                raise InstanceFault(f"a line of {len(line)} bytes")
            if line:
                try:
                    yield self._decrypted(line).decode()
                except (ValueError, OSError) as error:
                    raise InstanceFault(f"a line that is no chunk: {error}") from error

    def _decoded(self, content: bytes) -> UserAnswer:
        """An answer in one piece: `{"json": ...}`, or a Response as its parts. Its own status code is not looked at."""
        try:
            envelope = json.loads(content)
            if "json" in envelope:
                document = json.loads(self._decrypted(envelope["json"]))
                return UserAnswer(200, "application/json", orjson.dumps(document))
            media_type = envelope.get("media_type", envelope["headers"].get("Content-Type", "text/plain"))
            return UserAnswer(200, media_type, self._decrypted(envelope["body"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InstanceFault(f"an answer that cannot be read: {error}") from error

    def _decrypted(self, text: str) -> bytes:
        return gzip.decompress(self.decrypted_relay(text.encode()))


def _parsed_body(method: str, body: bytes) -> dict[str, Any]:
    """What the server makes of a user's body: not JSON is a 400, not an object makes the server fail."""
    try:
        document = json.loads(body) if method == "POST" else {}
    except ValueError as error:
        raise Refused(400, f"invalid request JSON payload: {error}") from None
    except RecursionError:
        raise Refused(500, "Internal Server Error") from None
    if not isinstance(document, dict):
        raise Refused(500, "Internal Server Error")
    return document


def _forwarded_body(document: dict[str, Any]) -> bytes:
    """What an instance gets: what `orjson` writes, compressed. Half a surrogate pair, or a number beyond 64 bits, makes
    the server itself fail."""
    try:
        return gzip.compress(orjson.dumps(document))
    except TypeError:
        raise Refused(500, "Internal Server Error") from None


def through_gateway(instance: Instance, scenario: Callable[[Gateway], Awaitable[T]], http2: bool = True) -> T:
    """Run a scenario; nothing in it may count against the instance."""

    async def run() -> T:
        async with Gateway(instance, http2) as gateway:
            result = await scenario(gateway)
            assert gateway.faults == []
            return result

    return asyncio.run(run())
