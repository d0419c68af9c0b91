"""Who is still being answered: what a cord knows of its caller, and a shutdown of answers that are not out yet.

`CordCaller` is the one sign that a caller has left, for HTTP/1.1 and HTTP/2, single answers and streams. The server's
channel of a request gives it (`Front`), the end of the request does, and the body carries it to the cord.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_http.errors import CALLER, refusal_response
from batch_http.refusals import INVALID_REQUEST
from batch_http.served_engine import count_error
from batch_http.server.decoding import refusal_in
from batch_inference.caller import Caller

RECEIVE = "batch_http.receive"
"""The key in a request's scope of its `Channel`, as it is outside of the SDK's middleware."""


class CordCaller(Caller):
    """The caller of a cord, and whether a thread is at work for it: a thread cannot be stopped from outside."""

    def __init__(self) -> None:
        super().__init__()
        self._work_lock = threading.Lock()
        self._has_begun = False
        self._is_at_work = False
        self._is_closed = False
        self._on_idle: Callable[[], object] = lambda: None

    @property
    def has_begun(self) -> bool:
        """Whether the cord's thread ever began."""
        return self._has_begun

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A cord's thread is at work for this caller within the block.

        Raises:
            CancelledError: the request is over; the work is not to begin.
        """
        with self._work_lock:
            if self._is_closed:
                raise CancelledError
            self._has_begun = self._is_at_work = True
        try:
            yield
        finally:
            with self._work_lock:
                self._is_at_work = False
                on_idle, self._on_idle = self._on_idle, lambda: None
            on_idle()

    def close(self, on_idle: Callable[[], object]) -> bool:
        """The request is over; whether no thread is at work for it. If one is, it calls back when it ends."""
        self.leave()
        with self._work_lock:
            self._is_closed = True
            if self._is_at_work:
                self._on_idle = on_idle
            return not self._is_at_work


class Channel:
    """A request's channel after its body has been received: the body once more, then whether the client has left.

    Any number of tasks may wait on it at once.
    """

    def __init__(self, body: bytes, receive: Receive, caller: CordCaller) -> None:
        self._unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._receive = receive
        self._caller = caller
        self._has_left = False
        self._receiving = asyncio.Lock()

    async def __call__(self) -> Message:
        """As ASGI has it."""
        if self._unread:
            return self._unread.pop()
        await self.left()
        return {"type": "http.disconnect"}

    async def left(self) -> None:
        """Wait until the client has left."""
        async with self._receiving:
            while not self._has_left:
                message = await self._receive()
                self._has_left = message["type"] == "http.disconnect"
        self._caller.leave()


class _CallerBody(dict[str, Any]):
    """A decoded body that carries its caller: nothing else reaches a cord from the middleware."""

    def __init__(self, body: dict[str, Any], caller: CordCaller) -> None:
        super().__init__(body)
        self.caller = caller


@contextmanager
def caller_of(body: object) -> Iterator[Caller]:
    """The caller of a cord that was given this body, for which the cord is at work within the block.

    A body that did not come through the middleware has a caller that never leaves.

    Raises:
        CancelledError: the caller has left before the cord's thread began.
    """
    if isinstance(body, _CallerBody):
        with body.caller.at_work():
            yield body.caller
    else:
        yield Caller()


class OpenAnswers:
    """Counts the requests whose answer has not been written out. Used on the server's event loop only."""

    def __init__(self) -> None:
        self._num_open = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    def opened(self) -> None:
        """A request came in."""
        self._num_open += 1
        self._none_open.clear()

    def closed(self) -> None:
        """Its answer is out, or its caller left."""
        self._num_open -= 1
        if self._num_open == 0:
            self._none_open.set()

    async def none_open(self) -> None:
        """Wait until no answer is outstanding."""
        await self._none_open.wait()


class CallerMiddleware:
    """ASGI middleware, inside the SDK's own: puts the caller on the body.

    The SDK waits for the news that a client left beside every call of a cord, through a channel for which its
    middleware starts a group of tasks at each look. It gets the server's own channel here: that is a tenth of a single
    text's request. Beside a stream the SDK waits for nothing until the first line is there, so that is done here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        body = state.get("decrypted")
        if refusal := refusal_in(body):
            count_error(scope["app"], INVALID_REQUEST)
            await refusal_response(scope, refusal)(scope, receive, send)
            return
        if not (isinstance(body, dict) and body and CALLER in scope):
            await self._app(scope, receive, send)
            return
        state["decrypted"] = _CallerBody(body, scope[CALLER])
        channel: Channel = scope[RECEIVE]
        if not is_stream(scope):
            await self._app(scope, channel, send)
            return
        watch = asyncio.create_task(channel.left())
        try:
            await self._app(scope, channel, send)
        finally:
            watch.cancel()


def is_stream(scope: Scope) -> bool:
    """Whether a request is for a cord that answers with a stream."""
    paths = getattr(scope["app"].state, "stream_paths", None)
    if paths is None:
        cords = [cord for cord in scope["app"].cords if cord._stream]
        paths = scope["app"].state.stream_paths = {path for cord in cords for path in (cord.path, cord.public_api_path)}
    return scope["path"] in paths
