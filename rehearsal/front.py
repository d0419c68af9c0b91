"""A gateway over HTTP: what a user's own program meets at `https://SLUG.chutes.ai`, on loopback.

    python -m rehearsal.front --port 8080 --cold-for 180

starts an instance in production mode with the bundled model, and answers for three minutes after the first call that
there is none. Stop it with Ctrl-C.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rehearsal.answers import Refused, UserAnswer
from rehearsal.demand import Demand
from rehearsal.gateway import Gateway
from rehearsal.running import running_instance
from rehearsal.serving import serving
from rehearsal.targets import ServedInstance


def gateway_app(gateway: Gateway) -> Starlette:
    """The gateway as an application. It is opened and closed with it."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with gateway:
            yield

    async def answer(request: Request) -> Response:
        stack = AsyncExitStack()
        body = await request.body()
        try:
            query, trace = dict(request.query_params), request.headers.get("X-Chutes-Trace", "").lower() == "true"
            opened = gateway.opened(request.method, request.url.path, body, query, trace)
            given = await stack.enter_async_context(opened)
            if isinstance(given, UserAnswer):
                await stack.aclose()
                return _response(given)
        except Refused as refusal:
            await stack.aclose()
            return _response(refusal.answer)

        async def chunks() -> AsyncIterator[str]:
            async with stack:
                async for chunk in given.chunks:
                    yield chunk

        return StreamingResponse(chunks(), media_type=given.media_type, headers=_headers())

    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    return Starlette(routes=[Route("/{path:path}", answer, methods=methods)], lifespan=lifespan)


def _response(answer: UserAnswer) -> Response:
    return Response(answer.content, answer.status, _headers() | answer.headers, answer.media_type)


def _headers() -> dict[str, str]:
    """The server's own: none of an instance's reaches the user."""
    return {"X-Chutes-InvocationID": str(uuid.uuid4())}


@contextmanager
def running_front(gateway: Gateway) -> Iterator[str]:
    """Serve the gateway, which must not be open, on a thread; yields its URL. A test may look at it meanwhile."""
    with serving(gateway_app(gateway)) as url:
        yield url


@contextmanager
def cold_chute(instance: ServedInstance, cold_for_s: float) -> Iterator[str]:
    """The URL of a chute that has no instance until `cold_for_s` seconds after the first call."""
    with running_front(Gateway(instance, demand=Demand(cold_for_s))) as url:
        yield url


@contextmanager
def serving_gateway(instance: ServedInstance) -> Iterator[str]:
    """The URL of a gateway to the instance, against which nothing may count."""
    gateway = Gateway(instance)
    with running_front(gateway) as url:
        yield url
    assert gateway.faults == []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--cold-for", type=float, default=0.0, help="seconds without an instance, from the first call")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_instance(Path(folder)) as instance:
        gateway = Gateway(instance, demand=Demand(args.cold_for))
        print(f"Ready at http://127.0.0.1:{args.port}, cold for {args.cold_for:g} s from the first call.", flush=True)
        uvicorn.run(gateway_app(gateway), host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
