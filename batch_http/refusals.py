"""Requests that are refused before they reach a cord, and the sentence that each gets."""

from __future__ import annotations

from dataclasses import dataclass, field

INVALID_REQUEST = "invalid_request"
"""What the statistics count for each request that is itself at fault."""


@dataclass
class Refused(Exception):
    """A request that is not worked on.

    Attributes:
        kind: what the statistics count, if they do.
        problem: the `type` of what is wrong with the request, where it is at fault; the kind unless given.
        status: 400 if the request is at fault, 429 if the service has no room for it, 404 and 405 if it leads nowhere.
        message: one sentence for the caller.
        headers: further ones of the answer, names in lower case.
        is_whole: the request has been received to its end, so that its connection can carry another.
    """

    kind: str | None
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    is_whole: bool = True
    problem: str | None = None
