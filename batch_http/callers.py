"""Who is still being answered: tells a stream that its caller has left, and a shutdown when the last answer is out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from batch_http.errors import refusal_response
from batch_http.refusals import INVALID_REQUEST
from batch_http.served_engine import count_error
from batch_http.server.decoding import refusal_in

RECEIVE = "batch_http.receive"
"""The key in a request's scope of its channel, as it is outside of the SDK's middleware."""


class CallerBody(dict[str, Any]):
    """A decoded request body that also knows when its caller stops waiting for the answer."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.left: Future[None] = Future()


def when_caller_leaves(body: object, callback: Callable[[], object]) -> None:
    """Call back, on any thread, once the answer to this body is out or nobody waits for it any more.

    Never calls back for a body that did not come through the middleware.
    """
    if isinstance(body, CallerBody):
        body.left.add_done_callback(lambda _: callback())


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
    """ASGI middleware, inside the SDK's own.

    The SDK does not tell a plain function or a generator that its client left. The body is the one object that reaches
    a cord from here, so the news travels on it.

    The SDK waits for that news beside every call of a cord, through a channel for which its middleware starts a group
    of tasks at each look. It gets the server's own channel here: that is a tenth of a single text's request.
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
        if isinstance(body, dict) and body:
            state["decrypted"] = body = CallerBody(body)
            receive = scope.get(RECEIVE, receive)
        try:
            await self._app(scope, receive, send)
        finally:
            if isinstance(body, CallerBody):
                body.left.set_result(None)
