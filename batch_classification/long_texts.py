"""`"on_long_text": "reject"`: texts of too many tokens are invalid, as blank ones are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from batch_http.invalid_texts import InvalidText
from batch_http.requests import InvalidRequest, Problem
from batch_inference.admitted import AdmittedTexts
from batch_inference.admitted_for_several import AdmittedForSeveral
from schemas import BatchRequest, SingleRequest

RequestT = TypeVar("RequestT", BatchRequest, SingleRequest)

TOO_MANY_TOKENS = "too_many_tokens"


def without_long_texts(request: RequestT, admitted: AdmittedTexts | AdmittedForSeveral) -> RequestT:
    """The request as it is, unless it rejects long texts and has some: then those are `InvalidText`s, and are not run.

    Args:
        request: the request.
        admitted: its valid texts; a text that is too long for one analysis is too long.

    Raises:
        InvalidRequest: it rejects invalid texts, too.
    """
    if request.on_long_text != "reject":
        return request
    texts = list(request.texts) if isinstance(request, BatchRequest) else [request.text]
    seen_by = [admitted] if isinstance(admitted, AdmittedTexts) else list(admitted.by_model.values())
    problems = _problems(seen_by)
    in_order = iter(problems)
    checked = [text if isinstance(text, InvalidText) else next(in_order) or text for text in texts]
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
    admitted.drop([problem is not None for problem in problems])
    return request.model_copy(update={"texts": checked} if isinstance(request, BatchRequest) else {"text": checked[0]})


def _problems(seen_by: Sequence[AdmittedTexts]) -> list[InvalidText | None]:
    """What is wrong with each text; None if nothing is."""
    dropped_by = zip(*(admitted.encoded.num_dropped.tolist() for admitted in seen_by), strict=True)
    limits = [admitted.max_length for admitted in seen_by]
    return [
        next((_too_long(limit, num) for limit, num in zip(limits, dropped, strict=True) if num), None)
        for dropped in dropped_by
    ]


def _too_long(limit: int, num_dropped: int) -> InvalidText:
    return InvalidText(
        TOO_MANY_TOKENS,
        f"has {limit + num_dropped} tokens, max_length allows {limit}; shorten it, or set on_long_text to window or "
        "truncate",
    )
