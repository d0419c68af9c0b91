"""A request's way into the engine: by the model of sentiment, or by those of the analyses that it names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from batch_http.invalid_texts import InvalidText
from batch_inference.admitted import AdmittedTexts
from batch_inference.admitted_for_several import AdmittedForSeveral
from batch_inference.caller import Caller
from batch_inference.engine import Engine
from schemas import BatchRequest, SingleRequest


def valid_texts(texts: Sequence[str | InvalidText]) -> list[str]:
    """What the engine is asked about."""
    return [text for text in texts if isinstance(text, str)]


def admitted_request(
    engine: Engine, request: BatchRequest | SingleRequest, caller: Caller
) -> AbstractContextManager[AdmittedTexts | AdmittedForSeveral]:
    """The valid texts of a request, admitted as `Engine.admitted` does.

    Raises:
        as `Engine.admitted`, on entering.
    """
    texts = valid_texts(request.texts if isinstance(request, BatchRequest) else [request.text])
    length, in_windows = request.max_length, request.in_windows
    if request.analyses is None:
        return engine.admitted(texts, length, caller, in_windows=in_windows)
    return engine.admitted_for_several(request.analyses, texts, length, caller, in_windows=in_windows)
