"""vLLM: `POST /classify`, for models served with `--runner pooling`.

It names the best label only; the other probabilities come without names, so their columns cannot be filled. Its
answers have carried `data[].{index, label, probs, num_classes}` from 0.7 to 0.25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from batch_client.errors import FaultError, InputError
from batch_client.options import Options
from batch_client.outcomes import Prediction
from batch_client.protocols.base import Probability, as_json, check_count, parsed
from batch_client.protocols.other_server import OtherServer
from batch_client.service_identity import ServiceIdentity, identity_from


class _Class(TypedDict):
    index: int
    label: str | None
    probs: Annotated[list[Probability], Field(min_length=1)]


class _Answer(TypedDict):
    data: list[_Class]


_ANSWER = TypeAdapter(_Answer)


class Vllm(OtherServer):
    """`--protocol vllm`."""

    name: ClassVar[str] = "vllm"
    path: ClassVar[str] = "/classify"
    title: ClassVar[str] = "vLLM"
    takes_max_length: ClassVar[bool] = True

    @classmethod
    def check(cls, options: Options) -> None:
        """See `ServiceProtocol`."""
        super().check(options)
        if options.all_scores:
            raise InputError("--all-scores is not for vLLM, which names the best label only; leave it out")

    identity_path: ClassVar[str | None] = "/v1/models"

    def identify(self, document: Any) -> ServiceIdentity | None:
        """The model that it lists first: the one that is asked."""
        return identity_from(model=document["data"][0]["id"], root=document["data"][0].get("root"))

    def request(self, texts: Sequence[str]) -> bytes:
        """A batch, cut to `max_length` tokens; more than its model takes would be refused."""
        return as_json({"input": list(texts), "truncate_prompt_tokens": self._options.max_length})

    def parse(self, body: bytes, texts: Sequence[str]) -> list[Prediction]:
        """One class per text, each with its index."""
        classes = parsed(_ANSWER, body)["data"]
        check_count(len(classes), len(texts))
        if [each["index"] for each in classes] != list(range(len(texts))):
            raise FaultError("the service answered the texts in another order")
        return [_prediction(each) for each in classes]


def _prediction(answer: _Class) -> Prediction:
    confidence = max(answer["probs"])
    # A model without id2label has no names: the number of the class has to do.
    label = answer["label"] or f"LABEL_{answer['probs'].index(confidence)}"
    return Prediction(label.upper(), confidence, None, None)
