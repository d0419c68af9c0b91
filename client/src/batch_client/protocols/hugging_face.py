"""Hugging Face's inference endpoints, and servers that answer like them: texts are posted to the address itself.

An answer is one list of labels per text; endpoints that run transformers' pipeline leave the inner list out where each
text has one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import TypeAdapter

from batch_client.outcomes import Prediction
from batch_client.protocols.base import LabelScore, as_json, check_count, parsed, prediction_of
from batch_client.protocols.other_server import OtherServer

_ANSWER = TypeAdapter(list[list[LabelScore]] | list[LabelScore])


class HuggingFace(OtherServer):
    """`--protocol hf`."""

    name: ClassVar[str] = "hf"
    path: ClassVar[str] = ""
    title: ClassVar[str] = "Hugging Face's endpoints"

    def request(self, texts: Sequence[str]) -> bytes:
        """A batch. `top_k` null asks for every label, as transformers' pipeline does."""
        further = {"parameters": {"top_k": None}} if self._options.all_scores else {}
        return as_json({"inputs": list(texts)} | further)

    def parse(self, body: bytes, texts: Sequence[str]) -> list[Prediction]:
        """The labels of each text."""
        answer = parsed(_ANSWER, body)
        per_text = [each if isinstance(each, list) else [each] for each in answer]
        if len(texts) == 1 and len(answer) > 1 and not isinstance(answer[0], list):
            per_text = [[each for scores in per_text for each in scores]]
        check_count(len(per_text), len(texts))
        return [prediction_of(scores, self._options.all_scores) for scores in per_text]
