"""Infinity: `POST /classify`, for models that its command line serves as classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from batch_client.outcomes import Prediction
from batch_client.protocols.base import LabelScore, as_json, check_count, parsed, prediction_of
from batch_client.protocols.other_server import OtherServer
from batch_client.service_identity import ServiceIdentity, identity_from


class _Answer(TypedDict):
    data: list[list[LabelScore]]


_ANSWER = TypeAdapter(_Answer)


class Infinity(OtherServer):
    """`--protocol infinity`."""

    name: ClassVar[str] = "infinity"
    path: ClassVar[str] = "/classify"
    title: ClassVar[str] = "Infinity"

    identity_path: ClassVar[str | None] = "/models"

    def identify(self, document: Any) -> ServiceIdentity | None:
        """The model that it lists first: the one that is asked."""
        return identity_from(model=document["data"][0]["id"])

    def request(self, texts: Sequence[str]) -> bytes:
        """A batch for the model that it was started with."""
        return as_json({"input": list(texts), "raw_scores": False})

    def parse(self, body: bytes, texts: Sequence[str]) -> list[Prediction]:
        """All labels of each text."""
        answers = parsed(_ANSWER, body)["data"]
        check_count(len(answers), len(texts))
        return [prediction_of(scores, self._options.all_scores) for scores in answers]
