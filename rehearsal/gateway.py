"""What the platform's API server does between a user and a chute's instances, for tests.

Follows the server's `_invoke`, `invoke` and `_invoke_one` in its newest public state, of August 2026, for a private
chute without a standard template and an SDK of 0.5.5 or later. Of what a user sends, only method, path, `stream` of the
query and the body's object count; of what an instance answers, its headers do not. `rehearsal/targets.py` chooses among
instances, `rehearsal/demand.py` has them start and end, and `rehearsal/front.py` serves a gateway over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from rehearsal.answers import InstanceBusy, InstanceFault, Refused, UserAnswer, UserStream
from rehearsal.demand import Demand
from rehearsal.health import InstanceHealth
from rehearsal.targets import CLIENT_ADDRESS, OVERLOAD, WRITE_TIMEOUT_S, ServedInstance, Target, Targets, client_of
from rehearsal.wire import as_it_is, chunks_of, decrypted, event, forwarded_body, parsed_body, whole_answer

T = TypeVar("T")

INSTANCE_TIMEOUT_S = 1800.0
MAX_BODY_BYTES = 128 * 1024 * 1024
MAX_ATTEMPTS = 3

CHUTE_ID = "9e5cc83f-0c3c-5a0e-8b60-7d8f6e3d5ea9"

Query = dict[str, str]
Read = Callable[[Target, httpx.Response], AsyncIterator[T]]


@dataclass
class Gateway:
    """An API server with one chute. Use as an async context manager, on one event loop.

    Attributes:
        others: further instances of the chute.
        http2: send all requests over one HTTP/2 connection, as the server does with an instance that has certificates.
            Its HTTP client never resets a stream: the instance does not learn who left. Otherwise each request
            has a connection of its own, closed when its user leaves, as with an instance without certificates.
        timeout_s: how long an instance may take to send anything.
        write_timeout_s: how long it may leave what it is sent unread.
        overshoots: see `Targets`.
        demand: when there is an instance at all. By default there is one from the first call on.
        balance: dollars of the chute's owner.
        is_disabled: the owner has turned the chute off.
        faults: everything that counted against an instance so far.
    """

    instance: ServedInstance
    http2: bool = True
    timeout_s: float = INSTANCE_TIMEOUT_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    others: tuple[ServedInstance, ...] = ()
    overshoots: bool = False
    demand: Demand = field(default_factory=Demand)
    balance: float = 100.0
    is_disabled: bool = False
    faults: list[str] = field(default_factory=list)
    _targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self._targets = Targets(self.instance.concurrency, overshoots=self.overshoots)

    async def __aenter__(self) -> Gateway:
        self._stack = AsyncExitStack()
        for instance in (self.instance, *self.others):
            client = client_of(instance, self.http2, self.timeout_s, self.write_timeout_s)
            await self._stack.enter_async_context(client)
            self._targets.targets.append(Target(instance, client, InstanceHealth(lambda: self.demand.now)))
        prometheus = httpx.AsyncHTTPTransport(local_address=CLIENT_ADDRESS)
        monitor = httpx.AsyncClient(base_url=self.instance.url, transport=prometheus, timeout=self.timeout_s)
        self._monitor = await self._stack.enter_async_context(monitor)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def health(self) -> InstanceHealth:
        """What the server makes of the first instance."""
        return self._targets.targets[0].health

    async def call(
        self, method: str, path: str, body: bytes = b"", query: Query | None = None, trace: bool = False
    ) -> UserAnswer:
        """A user's request, answered when the instance is done. `body` is JSON text, as the user sent it."""
        try:
            async with self.opened(method, path, body, query, trace) as answer:
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
        self, method: str, path: str, body: bytes, query: Query | None = None, trace: bool = False
    ) -> AsyncIterator[UserAnswer | UserStream]:
        """A user's request; what is answered as a stream comes as one.

        `trace` is the header `X-Chutes-Trace: true`: any answer becomes a stream of what the server did about it.

        Raises:
            Refused: the user gets an error instead.
        """
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, "Request body is too large.", Connection="close")
        if self.is_disabled:
            raise Refused(503, "This chute is currently disabled.")
        if self.balance <= 0:
            raise Refused(402, f"Account balance is ${self.balance}, please top-up with fiat or send tao")
        document = parsed_body(method, body)
        cord = self._select_cord(method, path)
        # From the body, else from the query, where any text counts as true: the cord's own word comes last.
        streams = bool(document.get("stream", (query or {}).get("stream", False)) or cord["stream"])
        self._require_instance()
        payload = forwarded_body(document)
        if trace:
            async with aclosing(self._traced(cord, payload, streams)) as events:
                yield UserStream(200, "text/event-stream", events)
        elif streams:
            async with aclosing(self._streamed(cord, payload)) as chunks:
                # The server, too, sends no status before the first chunk is there.
                first = await anext(chunks, None)
                if first is None:
                    raise Refused(500, "Unhandled error generating response: ")
                yield UserStream(200, "text/event-stream", _with_first(first, chunks))
        else:
            async with aclosing(self._invoke(cord["path"], payload, whole_answer)) as answers:
                # To the end: only then has the server seen a success.
                (answer,) = [answer async for answer in answers]
                yield answer

    async def deliver(self, path: str, body: bytes) -> int:
        """Send JSON text to the cord as it is, unseen by the server; answers with the instance's status.

        Such bodies reach an instance from end-to-end-encrypted users, or would from a server that looks less closely.
        """
        try:
            async with self._relay(self._select_cord("POST", path)["path"], gzip.compress(body), {}):
                return 200
        except Refused as refusal:
            return refusal.answer.status

    @asynccontextmanager
    async def relay(self, path: str, payload: bytes, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """Pass on what a user has encrypted for the instance. The path is the public one: the instance maps it."""
        async with self._relay(path, payload, headers) as response:
            yield response

    def decrypted_relay(self, content: bytes) -> bytes:
        """Take the transport's encryption off an answer in one piece; what the user is to decrypt is in it."""
        return decrypted(self.instance, content)

    async def connection_stats(self) -> dict[str, Any]:
        """What the SDK counts in the instance. As Prometheus does, from a private address and so without encryption."""
        stats: dict[str, Any] = (await self._monitor.get("/_conn_stats")).json()
        return stats

    async def gauge(self, name: str) -> float:
        """One of the service's own figures, as Prometheus reads them: an invocation would take a slot from users."""
        lines = (await self._monitor.get("/_metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def _select_cord(self, method: str, path: str) -> dict[str, Any]:
        """By public path and method, as `_invoke` does."""
        for cord in self.instance.cords:
            if (cord["public_api_path"], cord["public_api_method"]) == (path, method):
                return cord
        raise Refused(404, "No matching cord found!")

    def _require_instance(self) -> None:
        if self._targets.targets and not self._targets.existing:
            self.demand.deleted()
        self.demand.wish()
        if not self.demand.is_hot or not self._targets.existing:
            raise Refused(503, f"No instances available (yet) for chute_id='{CHUTE_ID}'")

    @asynccontextmanager
    async def _relay(self, path: str, payload: bytes, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        async with aclosing(self._invoke(path, payload, as_it_is, headers)) as responses:
            response = await anext(responses)
            try:
                yield response
            except InstanceFault as fault:
                # What the user could not read counts against the instance as well.
                await responses.athrow(fault)
                raise
            async for _ in responses:
                raise AssertionError("an answer came twice")

    async def _traced(self, cord: dict[str, Any], payload: bytes, streams: bool) -> AsyncGenerator[str, None]:
        """A server-sent event for each thing that happens, the answer's parts and the error among them."""
        yield event({"trace": {"message": f"identified {len(self._targets.existing)} available targets"}})
        try:
            if streams:
                async for chunk in self._invoke(cord["path"], payload, chunks_of):
                    yield event({"result": chunk})
            else:
                async for answer in self._invoke(cord["path"], payload, whole_answer):
                    content = base64.b64encode(answer.content).decode()
                    yield event({"result": {"content_type": answer.media_type, "bytes": content}})
            yield event({"trace": {"message": f"successfully called function={cord['path']!r}"}})
        except Refused as refusal:
            yield event({"error": refusal.answer.json()["detail"]})

    async def _streamed(self, cord: dict[str, Any], payload: bytes) -> AsyncGenerator[str, None]:
        """A stream's chunks. An error after the first is sent as one more chunk, and the stream ends like any other.

        A stream that another instance starts over is passed on from its beginning, after what the first one sent.
        """
        has_begun = False
        try:
            async with aclosing(self._invoke(cord["path"], payload, chunks_of)) as chunks:
                async for chunk in chunks:
                    has_begun = True
                    yield chunk
        except Refused as refusal:
            if not has_begun:
                raise
            error = f"Unhandled exception during response stream: {refusal.answer.json()['detail']}"
            yield json.dumps({"error": error}, separators=(",", ":"))

    async def _invoke(
        self, path: str, payload: bytes, read: Read[T], headers: dict[str, str] | None = None
    ) -> AsyncGenerator[T, None]:
        """Send a request to up to three instances, until one of them can be read to its end. Mirrors `invoke`.

        Raises:
            Refused: a 400 with the instance's words, a 429 if an instance or the server's count says that it is full,
                a 500 if all of them failed.
        """
        avoid: list[Target] = []
        is_overloaded = False
        for _ in range(MAX_ATTEMPTS):
            target = self._targets.choose(avoid)
            if isinstance(target, str):
                raise Refused(429, OVERLOAD) if is_overloaded or target == OVERLOAD else Refused(500, target)
            try:
                async with aclosing(self._invoke_one(target, path, payload, read, headers or {})) as results:
                    async for result in results:
                        yield result
                target.health.succeeded()
                self.demand.used()
                return
            except InstanceBusy:
                is_overloaded = True
            except (httpx.HTTPError, InstanceFault) as error:
                self.faults.append(f"{path}: {type(error).__name__}: {error}")
                target.health.failed(getattr(error, "status", None))
            avoid.append(target)
        raise Refused(429, OVERLOAD) if is_overloaded else Refused(500, "exhausted all available targets to no avail")

    async def _invoke_one(
        self, target: Target, path: str, payload: bytes, read: Read[T], headers: dict[str, str]
    ) -> AsyncGenerator[T, None]:
        """Send an encrypted request to one instance. Mirrors `_invoke_one`.

        Any status but 200, 400 and 429, a broken connection and an answer that cannot be read count against it.
        """
        cipher = target.instance.session.transport
        body = base64.b64encode(cipher.encrypt(payload))
        encrypted_path = cipher.encrypt(path.ljust(24, "?").encode()).hex()
        headers = target.instance.session.signed_headers(body) | headers
        request = target.client.build_request("POST", f"/{encrypted_path}", content=body, headers=headers)
        with target.counted():
            response = await target.client.send(request, stream=True)
            try:
                if response.status_code == 429:
                    target.num_counted = self._targets.concurrency
                    raise InstanceBusy
                if response.status_code == 400:
                    await response.aread()
                    # Twice: once where the instance is called, once where its error is passed to the user.
                    raise Refused(400, f"Invalid request: Invalid request: {response.text}")
                if response.status_code != 200:
                    await response.aread()
                    raise InstanceFault(f"HTTP_{response.status_code}: {response.text[:500]}", response.status_code)
                target.reported(response.headers)
                async for result in read(target, response):
                    yield result
            finally:
                await response.aclose()


async def _with_first(first: str, rest: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    yield first
    async for chunk in rest:
        yield chunk


def through_gateway(
    instance: ServedInstance,
    scenario: Callable[[Gateway], Awaitable[T]],
    http2: bool = True,
    overshoots: bool = False,
) -> T:
    """Run a scenario; nothing in it may count against the instance."""

    async def run() -> T:
        async with Gateway(instance, http2, overshoots=overshoots) as gateway:
            result = await scenario(gateway)
            assert gateway.faults == []
            return result

    return asyncio.run(run())
