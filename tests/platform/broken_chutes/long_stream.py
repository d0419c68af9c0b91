"""Yields as many times as the environment says; all but the first time once the test has made a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chutes.chute import Chute

chute = Chute(username="rehearsal", name="long-stream", image="rehearsal/none:1", concurrency=4)


@chute.cord(public_api_path="/stream", public_api_method="POST", stream=True)
def stream(self: Any, body: dict[str, Any] | None = None) -> Iterator[str]:
    yield "0\n"
    while not Path(os.environ["RELEASED"]).exists():
        time.sleep(0.01)
    for number in range(1, int(os.environ["NUM_YIELDS"])):
        yield f"{number}\n"


@chute.cord(public_api_path="/answer", public_api_method="POST")
def answer(self: Any, body: dict[str, Any] | None = None) -> dict[str, str]:
    return {"still": "there"}
