"""`"on_long_text": "reject"`: texts of too many tokens are invalid, as blank ones are."""

from __future__ import annotations

from typing import TypeVar

from batch_http.requests import InvalidRequest, Problem
from batch_inference.admitted import AdmittedTexts
from batch_inference.engine import Engine
from schemas import BatchRequest, InvalidText, SingleRequest

RequestT = TypeVar("RequestT", BatchRequest, SingleRequest)

TOO_MANY_TOKENS = "too_many_tokens"


def without_long_texts(request: RequestT, admitted: AdmittedTexts, engine: Engine) -> RequestT:
    """The request as it is, unless it rejects long texts and has some: then those are `InvalidText`s, and are not run.

    Args:
        request: the request.
        admitted: its valid texts.
        engine: knows what the model takes.

    Raises:
        InvalidRequest: it rejects invalid texts, too.
    """
    if request.on_long_text != "reject":
        return request
    texts = list(request.texts) if isinstance(request, BatchRequest) else [request.text]
    limit = engine.effective_max_length(request.max_length)
    num_dropped = admitted.encoded.num_dropped.tolist()
    dropped = iter(num_dropped)
    checked = [text if isinstance(text, InvalidText) else _checked(text, next(dropped), limit) for text in texts]
    if checked == texts:
        return request
    if request.on_invalid_text == "reject":
        raise InvalidRequest(
            [
                Problem(loc=["texts", index], msg=f"texts[{index}] {text.problem}", type=text.kind)
                if isinstance(request, BatchRequest)
                else Problem(loc=["text"], msg=f"text {text.problem}", type=text.kind)
                for index, text in enumerate(checked)
                if isinstance(text, InvalidText)
            ]
        )
    admitted.drop([num > 0 for num in num_dropped])
    return request.model_copy(update={"texts": checked} if isinstance(request, BatchRequest) else {"text": checked[0]})


def _checked(text: str, num_dropped: int, limit: int) -> str | InvalidText:
    if not num_dropped:
        return text
    return InvalidText(
        TOO_MANY_TOKENS,
        f"has {limit + num_dropped} tokens, max_length allows {limit}; shorten it, or set on_long_text to window or "
        "truncate",
    )
