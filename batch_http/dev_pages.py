"""Pages for people who try a chute on their machine: `/` to send it something, `/docs` to try every endpoint."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse

logger = logging.getLogger(__name__)

TRY_SENTIMENT = Path(__file__).with_name("try_it.html")
TRY_REQUEST = Path(__file__).with_name("try_request.html")
"""A page for any chute: it takes the requests from `/openapi.json`."""

ONLY_ITSELF = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
)


def is_dev_mode() -> bool:
    """Whether the SDK serves with `--dev`; it says so before it loads the chute."""
    return os.environ.get("CHUTES_DEV_MODE") == "true"


def describe(app: FastAPI, document: Callable[[], dict[str, Any]], page: Path = TRY_REQUEST) -> None:
    """Serve an OpenAPI document at `/openapi.json`, and in dev mode the pages, of which none needs a network.

    Args:
        app: has no `/docs` yet.
        document: called for each request, so it may say what the loaded model takes.
        page: the one at `/`.
    """
    app.openapi = document  # type: ignore[method-assign]
    if not is_dev_mode():
        return
    _add_docs(app)

    @app.get("/", include_in_schema=False)
    async def try_it() -> HTMLResponse:
        return HTMLResponse(page.read_text(encoding="utf-8"), headers={"Content-Security-Policy": ONLY_ITSELF})


def _add_docs(app: FastAPI) -> None:
    try:
        from fastapi_swagger import patch_fastapi  # type: ignore[import-untyped]
    except ImportError:
        # In an extra: the image does without.
        logger.info("There is no /docs here: it needs the package fastapi-swagger, which `make run` installs.")
        return
    patch_fastapi(
        app,
        redirect_from_root_to_docs=False,
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True, "defaultModelsExpandDepth": 0},
    )
