"""What a user gets from the platform: an answer, a stream, or a refusal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True)
class UserAnswer:
    """An answer in one piece."""

    status: int
    media_type: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class UserStream:
    """What a user gets of a stream: chunks, one per yield of the cord, as they come."""

    status: int
    media_type: str
    chunks: AsyncIterator[str]


class Refused(Exception):
    """The user gets an error: `{"detail": ...}` with this status."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.answer = UserAnswer(status, "application/json", orjson.dumps({"detail": detail}), headers)


class InstanceFault(Exception):
    """The instance did something that counts against it: see `InstanceHealth`."""

    def __init__(self, what: str, status: int | None = None) -> None:
        super().__init__(what)
        self.status = status


class InstanceBusy(Exception):
    """The instance answered 429."""
