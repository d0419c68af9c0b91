"""Keeps callers apart: every request has a state of its own."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


class IsolationMiddleware:
    """ASGI middleware that gives each request a copy of its connection's state. Must be outside of all others.

    Hypercorn shares one state among all requests of a connection, and the SDK keeps the decoded body there: of two
    requests at once on one HTTP/2 connection, both would be answered with the text of the later.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = dict(scope.get("state", {}))
        await self._app(scope, receive, send)


def put_outside(app: FastAPI, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    """Wrap all of an app's middlewares into one more, also those that are added later: the SDK adds its own last."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: wrap(build())  # type: ignore[method-assign]
