"""Every answer is byte for byte what its model in `schemas` would make of it: the dictionaries and the models agree."""

from __future__ import annotations

import json

import httpx
import pytest
from pydantic import BaseModel

import schemas
from batch_classification import answers
from batch_classification.admission import valid_texts
from batch_classification.stats import ClassifierStats
from batch_classification.stream import stream_batch
from batch_http.responses import json_response
from batch_inference.engine import Engine
from schemas import BatchRequest, BatchResult, SingleRequest, SingleResult

TEXTS = ["I love this!", 'A "quoted" \\ back\tslash', "ünïcödé 字 😀 \u2028", "plain"]
EVENTS: dict[str, type[BaseModel]] = {
    "started": schemas.StartedEvent,
    "processing_batch": schemas.ProcessingBatchEvent,
    "batch_complete": schemas.BatchCompleteEvent,
    "completed": schemas.CompletedEvent,
    "error": schemas.ErrorEvent,
}


def check(content: bytes, model: type[BaseModel]) -> None:
    assert model.model_validate_json(content, strict=True).model_dump_json().encode() == content


@pytest.mark.parametrize("with_scores", [False, True])
def test_a_batch(engine: Engine, with_scores: bool) -> None:
    texts = [*TEXTS, " ", "the text before is blank"]
    request = BatchRequest(texts=texts, return_all_scores=with_scores, on_invalid_text="report")
    outcome = engine.run(valid_texts(request.texts), request.max_length)
    result = answers.batch_result(request, outcome, 0.25, engine)
    check(json_response(result).body, BatchResult)


@pytest.mark.parametrize("with_scores", [False, True])
def test_a_single_text(engine: Engine, with_scores: bool) -> None:
    request = SingleRequest(text=TEXTS[0], return_all_scores=with_scores)
    result = answers.single_result(request, engine.run([request.text], 512), 0.25)
    check(json_response(result).body, SingleResult)


@pytest.mark.parametrize("text", ["short", "字" * 10_000])
@pytest.mark.parametrize("with_scores", [False, True])
def test_a_stream(engine: Engine, text: str, with_scores: bool) -> None:
    texts = [text] * 8 + [" "]
    request = BatchRequest(
        texts=texts, max_length=50, batch_size=4, return_all_scores=with_scores, on_invalid_text="report"
    )
    for line in b"".join(stream_batch(engine, request)).splitlines():
        check(line, EVENTS[json.loads(line)["status"]])


@pytest.mark.parametrize(("text", "model"), [("fine", SingleResult), ("", schemas.FailedSingle)])
def test_a_single_text_that_may_be_invalid(engine: Engine, text: str, model: type[BaseModel]) -> None:
    request = SingleRequest(text=text, on_invalid_text="report")
    outcome = engine.run(valid_texts([request.text]), 512)
    check(json_response(answers.single_result(request, outcome, 0.25)).body, model)


def test_the_statistics(client: httpx.Client) -> None:
    check(client.get("/batch-stats").content, ClassifierStats)
