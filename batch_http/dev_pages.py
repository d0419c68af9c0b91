"""Pages for people who try the service on their machine: `/` to classify texts, `/docs` to try every endpoint."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import HTMLResponse

logger = logging.getLogger(__name__)

TRY_IT = Path(__file__).with_name("try_it.html")
ONLY_ITSELF = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
)


def is_dev_mode() -> bool:
    """Whether the SDK serves with `--dev`; it says so before it loads the chute."""
    return os.environ.get("CHUTES_DEV_MODE") == "true"


def add_dev_pages(app: FastAPI) -> None:
    """Add the pages to an app that has no `/docs` yet. Neither needs a network."""
    _add_docs(app)

    @app.get("/", include_in_schema=False)
    async def try_it() -> HTMLResponse:
        return HTMLResponse(TRY_IT.read_text(encoding="utf-8"), headers={"Content-Security-Policy": ONLY_ITSELF})


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
