"""An answer of the fake API server that is no success."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from platform_rules.refusals import Refusal


class Rejected(Exception):
    """The server's refusal: `detail` as JSON, but a bare text where the server itself failed."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def reject_first(refusals: Iterable[Refusal | None]) -> None:
    """Stop at the first refusal, as the server does.

    Raises:
        Rejected: there is one.
    """
    for refusal in refusals:
        if refusal:
            raise Rejected(refusal.status, refusal.detail)
