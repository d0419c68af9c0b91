"""`/health` for load balancers and orchestrators, where there is no platform that asks in its own way."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import JSONResponse


def add_health(app: FastAPI) -> None:
    """Add the path to an app that will have a `ServedEngine` as `engine`: 200 while it takes requests, 503 after."""

    @app.get("/health", include_in_schema=False)
    async def health() -> JSONResponse:
        engine = getattr(app, "engine", None)
        if engine is not None and engine.is_ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "takes no requests"}, 503)
