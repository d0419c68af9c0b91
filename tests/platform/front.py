"""The gateway as users see it: over HTTP, on a port of loopback, for clients that speak nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from tests.platform.gateway import Gateway
from tests.platform.running import Instance


@contextmanager
def serving_gateway(instance: Instance) -> Iterator[str]:
    """Serve a gateway to the instance, on a thread of its own; yields its address. Nothing may count as a fault."""
    loop = asyncio.new_event_loop()
    gateway = Gateway(instance)

    async def answer(request: web.Request) -> web.Response:
        answer = await gateway.call(request.method, request.path, await request.read())
        return web.Response(body=answer.content, status=answer.status, content_type=answer.media_type)

    async def start() -> str:
        await gateway.__aenter__()
        app = web.Application(client_max_size=128 * 2**20)
        app.router.add_route("*", "/{path:.*}", answer)
        runners.append(web.AppRunner(app))
        await runners[0].setup()
        await web.TCPSite(runners[0], "127.0.0.1", 0).start()
        host, port = runners[0].addresses[0]
        return f"http://{host}:{port}"

    async def stop() -> None:
        await runners[0].cleanup()
        await gateway.__aexit__()

    runners: list[web.AppRunner] = []
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
        assert gateway.faults == []
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
