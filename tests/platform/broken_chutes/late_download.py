"""Fetches on the first request what it should have fetched when it started."""

from __future__ import annotations

import urllib.request
from typing import Any

from chutes.chute import Chute

chute = Chute(username="rehearsal", name="late-download", image="rehearsal/none:1")


@chute.cord(public_api_path="/answer", public_api_method="POST")
def answer(self: Any, body: dict[str, Any] | None = None) -> dict[str, int]:
    # An address that is nobody's, set aside for documentation.
    with urllib.request.urlopen("http://192.0.2.1/model", timeout=1) as response:
        return {"num_bytes": len(response.read())}
