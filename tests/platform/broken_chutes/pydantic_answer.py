"""Returns a pydantic model from a cord."""

from __future__ import annotations

from typing import Any

from chutes.chute import Chute
from pydantic import BaseModel

chute = Chute(username="rehearsal", name="pydantic-answer", image="rehearsal/none:1")


class Answer(BaseModel):
    text: str


@chute.cord(public_api_path="/answer", public_api_method="POST")
def answer(self: Any, body: dict[str, Any] | None = None) -> Answer:
    return Answer(text="hello")
