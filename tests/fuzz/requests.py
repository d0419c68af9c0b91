"""Requests as hypothesis makes them up: valid ones, valid ones with something changed, and any JSON at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from batch_classification.hugging_face_wire import (
    TextClassificationRequest,
)
from batch_http.requests import RequestBody
from rehearsal.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, read_labelled
from schemas import (
    BatchRequest,
    SingleRequest,
)

METHODS = ("POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Request:
    """A request, and whether it keeps every rule, if that is known.

    Attributes:
        body: the bytes to send.
        decoded: what the body says, where it is JSON.
        is_valid: True if it must be answered with 200 (or 429), None if only the service can tell.
    """

    method: str
    path: str
    body: bytes
    decoded: Any = None
    is_valid: bool | None = None


any_character = st.characters(codec="utf-8", exclude_characters="\0")
written = st.sampled_from([text.text for path in (OWN_SHORT_TEXTS, OWN_LONG_TEXTS) for text in read_labelled(path)])
spellings = st.sampled_from(
    ["<s>", "</s>", "<pad>", "<mask>", "\u2028", "\u0085", "@", "http://", "\ufeff", "🤷🏽‍♀️", "x" * 10_000]
)
texts = (
    st.one_of(
        written,
        st.text(any_character, min_size=1, max_size=60),
        st.lists(st.one_of(written, spellings), min_size=1, max_size=3).map(" ".join),
    )
    .map(lambda text: text[:10_000])
    .filter(lambda text: bool(text.strip()))
)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-2, 1100), st.floats(), st.text(max_size=20), texts
)
any_json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
bad_texts = st.sampled_from(["", " \n", "\0", "half \ud83d", "x" * 10_001, 7, None, ["text"]])
"""What no text may be, and a request of several texts may have reported."""

options = {
    "max_length": st.integers(50, 1024),
    "return_all_scores": st.booleans(),
    "on_invalid_text": st.sampled_from(["reject", "report"]),
    "on_long_text": st.sampled_from(["truncate", "window", "reject"]),
    "analyses": st.just(["sentiment"]),
}
valid_singles = st.fixed_dictionaries({"text": texts}, optional=options)
several_texts = st.one_of(st.lists(texts, min_size=1, max_size=6), st.integers(1, 100).map(lambda n: ["ok"] * n))
batches = st.fixed_dictionaries({"texts": several_texts}, optional=options | {"batch_size": st.integers(1, 32)})
parameters = st.fixed_dictionaries(
    {}, optional={"top_k": st.integers(1, 5), "function_to_apply": st.sampled_from(["softmax", "none", None])}
)
valid_inputs = st.fixed_dictionaries(
    {"inputs": st.one_of(texts, several_texts)}, optional={"parameters": st.one_of(st.none(), parameters)}
)


@st.composite
def valid_batches(draw: st.DrawFn) -> dict[str, Any]:
    """A batch that keeps every rule, or has its bad texts reported."""
    body = draw(batches)
    if body.get("on_invalid_text") == "report" and draw(st.booleans()):
        places = st.integers(0, len(body["texts"]) - 1)
        bad = draw(st.dictionaries(places, bad_texts, max_size=3))
        body["texts"] = [bad.get(index, text) for index, text in enumerate(body["texts"])]
    return body


BODIES: dict[str, tuple[st.SearchStrategy[dict[str, Any]], type[RequestBody]]] = {
    "/process-batch": (valid_batches(), BatchRequest),
    "/process-batch-stream": (valid_batches(), BatchRequest),
    "/analyze-single": (valid_singles, SingleRequest),
    "/text-classification": (valid_inputs, TextClassificationRequest),
}
"""What each endpoint takes."""


@st.composite
def _changed(draw: st.DrawFn, valid: st.SearchStrategy[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """A valid body with some fields replaced, removed or added."""
    body = dict(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        name = draw(
            st.one_of(st.sampled_from(names), st.sampled_from(["stream", "stream_options"]), st.text(max_size=9))
        )
        if draw(st.booleans()):
            body[name] = draw(any_json)
        else:
            body.pop(name, None)
    return body


@st.composite
def _damaged(draw: st.DrawFn, valid: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """The JSON of a valid body with a piece cut out, repeated, or replaced by any bytes."""
    body = json.dumps(draw(valid)).encode()
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 20)))
    return body[:start] + draw(st.one_of(st.binary(max_size=8), st.just(body[start:end] * 3))) + body[end:]


@st.composite
def requests_to(
    draw: st.DrawFn, path: str, valid: st.SearchStrategy[dict[str, Any]], model: type[RequestBody]
) -> Request:
    """A request to one endpoint: as it takes them, nearly so, or anything at all."""
    match draw(st.sampled_from(["valid", "valid", "changed", "changed", "any", "damaged"])):
        case "valid":
            decoded = draw(valid)
            may_be_too_long = decoded.get("on_long_text") == "reject" and decoded.get("on_invalid_text") != "report"
            return Request("POST", path, _dumped(decoded), decoded, is_valid=None if may_be_too_long else True)
        case "changed":
            decoded = draw(_changed(valid, sorted(model.model_fields)))
        case "any":
            decoded = draw(any_json)
        case _:
            body = draw(_damaged(valid))
            return Request("POST", path, body, _loaded(body))
    return Request("POST", path, _dumped(decoded), decoded)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request to any endpoint, or to nearly one."""
    path = draw(st.sampled_from(sorted(BODIES)))
    valid, model = BODIES[path]
    if draw(st.integers(0, 6)):
        return draw(requests_to(path, valid, model))
    method = draw(st.sampled_from(METHODS))
    path = draw(st.sampled_from([path, "/batch-stats", "/nowhere", "//", "/process_batch", "/process-batch/", "/%00"]))
    decoded = draw(valid)
    return Request(method, path, _dumped(decoded), decoded)


def _dumped(decoded: Any) -> bytes:
    # Half a surrogate pair and NaN are written as they are: Python's own reader, which the SDK uses, takes them.
    return json.dumps(decoded).encode()


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
