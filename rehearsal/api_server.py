"""The fake API server over HTTP, for the SDK's own commands."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rehearsal.account import Account
from rehearsal.fake_api import FakeApi
from rehearsal.rejections import Rejected
from rehearsal.serving import serving

LOOKS_EVERY_S = 0.05
WARM_UP_LASTS_S = 600.0

Answer = Callable[[FakeApi, Request, bytes], Any]


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a `multipart/form-data` body, by name. Python's own parser takes seconds for a model's weights."""
    boundary = re.search("boundary=([^;]+)", content_type)
    assert boundary, content_type
    form = {}
    for part in body.split(f"--{boundary[1]}".encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        assert name, head
        form[name[1].decode()] = content.removesuffix(b"\r\n")
    return form


def _create_image(api: FakeApi, request: Request, body: bytes) -> Response:
    form = _form(request.headers["Content-Type"], body)
    return JSONResponse(api.create_image(form, request.headers.get("X-Chutes-Version", "0.0.0")), 202)


def _build_log(api: FakeApi, request: Request, _: bytes) -> Response:
    """All of it once the build is over; until then as it comes, from `offset` on."""
    image = api.image(request.path_params["key"])
    if api.forge.is_done(image):
        return PlainTextResponse("\n".join(api.forge.log(image)))

    async def lines() -> AsyncIterator[str]:
        num_sent = int(request.query_params.get("offset", "0").partition("-")[0])
        while True:
            is_done = api.forge.is_done(image)
            for line in api.forge.log(image)[num_sent:]:
                num_sent += 1
                document = {"log": {"log_type": "stdout", "log": line}, "offset": f"{num_sent}-1"}
                yield f"data: {json.dumps(document, separators=(',', ':'))}\n"
            if is_done:
                yield "DONE\n"
                return
            yield ".\n"
            await asyncio.sleep(LOOKS_EVERY_S)

    return StreamingResponse(lines(), media_type="text/event-stream")


def _warm_up(api: FakeApi, request: Request, _: bytes) -> Response:
    key = request.path_params["key"]
    now = api.warm_up(key)
    if request.query_params.get("quick") == "true":
        return JSONResponse(now)

    async def states() -> AsyncIterator[str]:
        for _ in range(int(WARM_UP_LASTS_S / LOOKS_EVERY_S)):
            state = api.warm_up(key)
            is_hot = state["status"] == "hot"
            number = state["instance_count"]
            log = f"chute is hot, {number} instances available" if is_hot else "waiting for instances ..."
            yield f"data: {json.dumps({'status': state['status'], 'log': log})}\n\n"
            if is_hot:
                return
            await asyncio.sleep(LOOKS_EVERY_S)

    return StreamingResponse(states(), media_type="text/event-stream")


def _create_chute(api: FakeApi, request: Request, body: bytes) -> Any:
    return api.create_chute(body, accept_fee=request.query_params.get("accept_fee") == "true")


def _share(api: FakeApi, _: Request, body: bytes) -> Any:
    args = json.loads(body)
    return api.share(args["chute_id_or_name"], args["user_id_or_name"])


def _create_key(api: FakeApi, _: Request, body: bytes) -> Any:
    api.keys.append(json.loads(body)["name"])
    return json.loads(body) | {"api_key_id": str(len(api.keys)), "secret_key": "cpk_rehearsal"}


def _listed(items: list[Any]) -> dict[str, Any]:
    return {"total": len(items), "page": 0, "limit": 25, "items": items, "cord_refs": {}}


ROUTES: list[tuple[str, str, str, Answer]] = [
    ("GET", "/images/", "images", lambda api, *_: _listed([api.get_image(image) for image in api.images])),
    ("POST", "/images/", "images", _create_image),
    ("GET", "/images/{key}/logs", "images", _build_log),
    ("GET", "/images/{key:path}", "images", lambda api, request, _: api.get_image(request.path_params["key"])),
    ("DELETE", "/images/{key:path}", "images", lambda api, request, _: api.delete_image(request.path_params["key"])),
    ("POST", "/chutes/", "chutes", _create_chute),
    ("POST", "/chutes/share", "chutes", _share),
    ("GET", "/chutes/warmup/{key:path}", "chutes", _warm_up),
    (
        "GET", "/chutes/{key}/evidence", "chutes",
        lambda api, request, _: api.evidence(request.path_params["key"], request.query_params.get("nonce", "")),
    ),
    ("GET", "/chutes/{key:path}", "chutes", lambda api, request, _: api.get_chute(request.path_params["key"])),
    ("DELETE", "/chutes/{key}", "chutes", lambda api, request, _: api.delete_chute(request.path_params["key"])),
    ("POST", "/api_keys/", "api_keys", _create_key),
    (
        "GET", "/encrypted_logs/{key}/sessions", "chutes",
        lambda api, request, _: api.log_sessions(request.path_params["key"]),
    ),
    (
        "GET", "/encrypted_logs/{key}/sessions/{instance}/chunks", "chutes",
        lambda api, request, _: api.log_chunks(request.path_params["key"], request.path_params["instance"]),
    ),
    ("GET", "/users/me", "me", lambda api, *_: {"username": api.account.username, "balance": api.balance}),
]  # fmt: skip
"""Method, path, what a signature without a body is for, and the answer."""


def api_app(api: FakeApi) -> Starlette:
    """The server as an application."""

    def endpoint(purpose: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            body = await request.body()
            try:
                api.account.authenticate(request.headers, body, purpose)
                answered = answer(api, request, body)
            except Rejected as rejection:
                if rejection.status == 500:
                    return PlainTextResponse(rejection.detail, 500)
                return JSONResponse({"detail": rejection.detail}, rejection.status)
            return answered if isinstance(answered, Response) else JSONResponse(answered)

        return respond

    return Starlette(
        routes=[Route(path, endpoint(purpose, answer), methods=[method]) for method, path, purpose, answer in ROUTES]
    )


@contextmanager
def running_fake_api(account: Account) -> Iterator[FakeApi]:
    """Serve on a free port of the loopback interface."""
    api = FakeApi(account)
    with serving(api_app(api)) as url:
        api.url = url
        yield api
