"""Infinity: `POST /classify`, for models that its command line serves as classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from batch_client.outcomes import Prediction
from batch_client.protocols.base import LabelScore, as_json, check_count, parsed, prediction_of, refuse_max_length

if TYPE_CHECKING:
    from batch_client.options import Options


class _Answer(TypedDict):
    data: list[list[LabelScore]]


_ANSWER = TypeAdapter(_Answer)


class Infinity:
    """`--protocol infinity`."""

    name: ClassVar[str] = "infinity"
    path: ClassVar[str] = "/classify"
    max_texts: ClassVar[int] = 100
    is_own: ClassVar[bool] = False

    def check(self, options: Options) -> None:
        """Raise InputError for what it does not take."""
        refuse_max_length(options, "Infinity")

    def request(self, texts: Sequence[str], options: Options) -> bytes:
        """A batch for the model that it was started with."""
        return as_json({"input": list(texts), "raw_scores": False})

    def parse(self, body: bytes, texts: Sequence[str], options: Options) -> list[Prediction]:
        """All labels of each text."""
        answers = parsed(_ANSWER, body)["data"]
        check_count(len(answers), len(texts))
        return [prediction_of(scores, options.all_scores) for scores in answers]
