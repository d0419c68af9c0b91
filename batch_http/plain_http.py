"""What callers expect of any HTTP server and the SDK's does not do, in dev mode: elsewhere the platform answers them.

- HEAD is answered as GET, without the content.
- A stream of JSON lines says that it is one.
- Web pages of chosen origins may call (CORS).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_http.callers import is_stream
from batch_http.openapi import JSON_LINES


def plain_http(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The app with all of it; `origins` are those of the pages that may call, `*` for any."""
    app = PlainHttp(app)
    return CORSMiddleware(app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]) if origins else app


class PlainHttp:
    """ASGI middleware for HEAD and for the media type of streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200 and is_stream(scope):
                message["headers"] = [*message["headers"], (b"content-type", JSON_LINES.encode())]
            if message["type"] == "http.response.body" and is_head:
                message["body"] = b""
            await send(message)

        # The server looks at its own scope to see that a HEAD has no content.
        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_on)
