"""`"on_long_text": "reject"`: texts of too many tokens are invalid, as blank ones are."""

from __future__ import annotations

from typing import TypeVar

from batch_classification.answers import valid_texts
from batch_http.requests import InvalidRequest, Problem
from batch_inference.engine import Engine
from schemas import BatchRequest, InvalidText, SingleRequest

RequestT = TypeVar("RequestT", BatchRequest, SingleRequest)

TOO_MANY_TOKENS = "too_many_tokens"


def without_long_texts(request: RequestT, engine: Engine) -> RequestT:
    """The request as it is, unless it rejects long texts and has some: then those are `InvalidText`s.

    Raises:
        InvalidRequest: it rejects invalid texts, too.
    """
    if request.on_long_text != "reject":
        return request
    texts = list(request.texts) if isinstance(request, BatchRequest) else [request.text]
    limit = engine.effective_max_length(request.max_length)
    num_dropped = iter(engine.num_dropped(valid_texts(texts), request.max_length).tolist())
    checked = [text if isinstance(text, InvalidText) else _checked(text, next(num_dropped), limit) for text in texts]
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
    return request.model_copy(update={"texts": checked} if isinstance(request, BatchRequest) else {"text": checked[0]})


def _checked(text: str, num_dropped: int, limit: int) -> str | InvalidText:
    if not num_dropped:
        return text
    return InvalidText(
        TOO_MANY_TOKENS,
        f"has {limit + num_dropped} tokens, max_length allows {limit}; shorten it, or set on_long_text to window or "
        "truncate",
    )
