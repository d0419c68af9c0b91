"""Gives a cord's `input_schema` as a class, so that the SDK builds it from the body by itself."""

from __future__ import annotations

from typing import Any

from chutes.chute import Chute
from pydantic import BaseModel

chute = Chute(username="rehearsal", name="schema-class", image="rehearsal/none:1")


class Request(BaseModel):
    texts: list[str]


@chute.cord(public_api_path="/answer", public_api_method="POST", input_schema=Request)
def answer(self: Any, body: Request) -> dict[str, int]:
    return {"total_texts": len(body.texts)}
