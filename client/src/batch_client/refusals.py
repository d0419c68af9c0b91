"""What a server says is wrong with a request, in whatever shape its errors have."""

from __future__ import annotations

import json

from pydantic import BaseModel, ValidationError

from batch_client.errors import Problem


class _Refusal(BaseModel):
    detail: list[Problem] | str


def parse_refusal(body: bytes) -> list[Problem]:
    """The problems that a refusal names; a body in another shape becomes one problem without a `loc`."""
    try:
        detail = _Refusal.model_validate_json(body).detail
    except ValidationError:
        return [Problem((), reason_in(body) or body[:200].decode(errors="replace").strip() or "it gave no reason")]
    if not isinstance(detail, str):
        return detail or [Problem((), "it gave no reason")]
    # The platform's API server passes a chute's refusal on as text, behind words of its own.
    _, own, refusal = detail.partition('{"detail"')
    return parse_refusal((own + refusal).encode()) if own else [Problem((), detail)]


def reason_in(body: bytes) -> str | None:
    """The sentence of an error's body, if it has one where this service, FastAPI, or the other protocols' servers put
    it: under `detail`, `error`, `message` or `error.message`."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    for name in ("detail", "error", "message"):
        value = document.get(name) if isinstance(document, dict) else None
        value = value.get("message") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return None
