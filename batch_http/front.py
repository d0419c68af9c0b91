"""The outermost layer of a chute's server: what every request goes through before the SDK sees it, and all it takes to
set it up. Each of its concerns is a module of its own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import MappingProxyType
from typing import Any

from chutes.chute import Chute
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_http.admission import Slots, check_room
from batch_http.body import MAX_JSON_BYTES, MAX_WIRE_BYTES, BodyBudget, ClientLeft, receive_body
from batch_http.callers import RECEIVE, CallerMiddleware, Channel, CordCaller, OpenAnswers
from batch_http.dev_pages import is_dev_mode
from batch_http.errors import (
    CALLER,
    CLIENT_CLOSED_REQUEST,
    CLIENT_GONE,
    HAS_LEFT,
    ErrorShape,
    add_error_handlers,
    is_reported,
    refusal_response,
)
from batch_http.health import add_health
from batch_http.json_bounds import check_json
from batch_http.plain_http import plain_http
from batch_http.refusals import Refused
from batch_http.routes import RouteTable, origin_form
from batch_http.served_engine import count_error
from batch_http.server.decoding import bound_sdk_decoding
from batch_http.server.log import keep_log_from_blocking
from batch_http.server.loop_errors import log_loop_errors
from batch_http.server.repairs import repair_hypercorn
from batch_http.server.sdk_log import quieten_sdk_log
from batch_http.shutdown import drain_on_sigterm

logger = logging.getLogger(__name__)

BEFORE_LOADING, AFTER_LOADING = 0, 100
"""Priorities of start-up hooks. Those without one have 50."""


def install_front(
    chute: Chute, error_shapes: Mapping[str, ErrorShape] = MappingProxyType({}), cors_origins: Sequence[str] = ()
) -> None:
    """Set up everything that stands between callers and a chute's cords. Call once, right after making the chute.

    A start-up hook of the chute's, of the default priority, must leave a `ServedEngine` as `chute.engine`. Cords
    pass the body that they are given to `caller_of`. `error_shapes` says by public path which endpoints answer
    errors in a shape of their own, besides, and `cors_origins` whose web pages may call in dev mode.
    """
    open_answers = OpenAnswers()
    # A redirect from /process-batch/ would lose the body with some clients: it is a 404.
    chute.router.redirect_slashes = False
    chute.add_middleware(CallerMiddleware)
    add_error_handlers(chute, error_shapes)
    put_outside(chute, lambda app: Front(app, chute, open_answers))
    if is_dev_mode():
        add_health(chute)
        put_outside(chute, lambda app: plain_http(app, cors_origins))

    async def repair_server(_chute: Any) -> None:
        keep_log_from_blocking()
        quieten_sdk_log()
        repair_hypercorn()
        log_loop_errors(asyncio.get_running_loop())
        bound_sdk_decoding()

    async def be_ready(chute: Any) -> None:
        drain_on_sigterm(chute.engine, open_answers)
        # What is loaded by now stays. Looking through it for garbage would stop every answer for a quarter of a second.
        gc.collect()
        gc.freeze()

    chute.on_startup(priority=BEFORE_LOADING)(repair_server)
    chute.on_startup(priority=AFTER_LOADING)(be_ready)


def put_outside(app: FastAPI, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    """Wrap all of an app's middlewares into one more, also those that are added later: the SDK adds its own last."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: wrap(build())  # type: ignore[method-assign]


class Front:
    """ASGI middleware, outside of all others, the SDK's own included.

    - Each request gets a state of its own. Hypercorn shares one among all requests of a connection, and the SDK keeps
      the decoded body there: of two requests at once on one HTTP/2 connection, both would get the later one's answer.
    - Its body is received whole, within bounds, before anything is done about it.
    - In dev mode, where the SDK does not, it is refused if too many requests are at work.
    - No exception leaves: Hypercorn would log a traceback for each.
    """

    def __init__(self, app: ASGIApp, chute: Chute, open_answers: OpenAnswers) -> None:
        self._app = app
        self._chute = chute
        self._open_answers = open_answers
        self._budget = BodyBudget()
        # In production bodies are encrypted, and the SDK's own middleware limits the number of requests.
        self._slots = Slots(chute.concurrency) if is_dev_mode() else None
        self._max_body_bytes = MAX_JSON_BYTES if is_dev_mode() else MAX_WIRE_BYTES

    @cached_property
    def _routes(self) -> RouteTable:
        # Complete once the server runs: the SDK adds its own after the cords'.
        return RouteTable(self._chute.routes, are_sdk_routes_hidden=is_dev_mode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_websocket(send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = origin_form(scope["path"])
        scope["state"] = dict(scope.get("state", {}))
        self._open_answers.opened()
        try:
            await self._answer(scope, receive, send)
        except ClientLeft:
            count_error(self._chute, CLIENT_GONE)
        except Refused as refused:
            if refused.kind:
                count_error(self._chute, refused.kind)
            await refusal_response(scope, refused)(scope, receive, send)
        finally:
            self._open_answers.closed()
            # Hypercorn's objects of a connection, and so its last request's body, may live until the next garbage
            # collection.
            scope["state"].clear()
            scope.pop(RECEIVE, None)
            scope.pop(CALLER, None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Hypercorn cannot use an HTTP/1.1 connection again whose request has not been read to its end.
        if (refusal := self._routes.refusal(scope)) and scope["http_version"] >= "2":
            raise refusal
        with ExitStack() as held:
            share = held.enter_context(self._budget.share())
            body = await receive_body(receive, scope, share, self._max_body_bytes, refusal)
            scope[CALLER] = caller = CordCaller()
            scope[RECEIVE] = channel = Channel(body, receive, caller)
            if self._slots and body:
                check_room(body, getattr(self._chute, "engine", None))
                check_json(body, scope)
                slot = await self._slots.take(body, channel.left)
                held.callback(slot.give_back)
            try:
                await self._call_app(scope, channel, send, caller)
            finally:
                # A thread that is still at work for a client that has left keeps what the request held.
                loop, release = asyncio.get_running_loop(), held.pop_all().close
                if caller.close(lambda: loop.call_soon_threadsafe(release)):
                    release()

    async def _call_app(self, scope: Scope, receive: Receive, send: Send, caller: CordCaller) -> None:
        has_started = False
        status = None

        async def send_on(message: Message) -> None:
            nonlocal has_started, status
            has_started = True
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
            # The SDK's own answer, where it has called the cord off before its thread began.
            if status == CLIENT_CLOSED_REQUEST and not caller.has_begun:
                count_error(self._chute, CLIENT_GONE)
        except Exception as error:
            if caller.has_left:
                if has_started:
                    return
                # The cord's thread counts it, if there is one.
                kind = None if caller.has_begun else CLIENT_GONE
                raise Refused(kind, CLIENT_CLOSED_REQUEST, HAS_LEFT) from None
            if not is_reported(scope):
                logger.error("A request failed: %s.", type(error).__name__)
            if not has_started:
                raise Refused("internal_error", 500, "an unexpected error occurred; the log says what") from error


async def _refuse_websocket(send: Send) -> None:
    """Nothing here speaks anything but HTTP."""
    content = b'{"detail":"Not Found"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": content})
