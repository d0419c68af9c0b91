"""Hugging Face's text-embeddings-inference: `POST /predict`, for sequence classifiers.

Read from its router's `types.rs` and `server.rs`. A flat list of two strings would be taken for one pair of sentences,
so every text goes in a list of its own. It refuses with 413 what is too much for one request (by default more than 32
texts), and with 422 what it cannot tokenize.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import TypeAdapter

from batch_client.outcomes import Prediction
from batch_client.protocols.base import LabelScore, as_json, check_count, parsed, prediction_of
from batch_client.protocols.other_server import OtherServer
from batch_client.service_identity import ServiceIdentity, identity_from

_ANSWER = TypeAdapter(list[list[LabelScore]])


class TextEmbeddingsInference(OtherServer):
    """`--protocol tei`."""

    name: ClassVar[str] = "tei"
    path: ClassVar[str] = "/predict"
    title: ClassVar[str] = "text-embeddings-inference"
    max_texts: ClassVar[int] = 32
    """Its `--max-client-batch-size` unless set."""

    identity_path: ClassVar[str | None] = "/info"

    def identify(self, document: Any) -> ServiceIdentity | None:
        """Its model, the commit of that on the hub, and the type of its numbers."""
        return identity_from(
            model=document["model_id"], revision=document.get("model_sha"), precision=document.get("model_dtype")
        )

    def request(self, texts: Sequence[str]) -> bytes:
        """A batch; texts beyond the model's length are cut, as everywhere here, instead of refused."""
        return as_json({"inputs": [[text] for text in texts], "truncate": True, "raw_scores": False})

    def parse(self, body: bytes, texts: Sequence[str]) -> list[Prediction]:
        """All labels of each text, best first."""
        answers = parsed(_ANSWER, body)
        check_count(len(answers), len(texts))
        return [prediction_of(scores, self._options.all_scores) for scores in answers]
