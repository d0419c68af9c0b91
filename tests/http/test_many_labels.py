"""Models with many labels on the wire: which of them hold, under which names, and in lines that stay short."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from batch_classification.answers import label_scores, text_results
from batch_classification.hugging_face_wire import (
    TextClassificationRequest,
)
from batch_classification.in_process import start_engine
from batch_classification.stream import stream_batch
from batch_http.json_lines import MAX_LINE_BYTES
from batch_inference.engine import Engine
from schemas import (
    BatchRequest,
)
from tests.http.contract import check_line
from tests.inference.checkpoints import save_checkpoint

TEXTS = [f"The parcel number {number} came on Monday, and I love it!" for number in range(100)]
NAMES = {number: f"The intent that has number {number} of seventy-seven" for number in range(77)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """77 labels, each with a probability of its own."""
    folder = tmp_path_factory.mktemp("many") / "model"
    save_checkpoint(folder, "bert", id2label=NAMES, problem_type="multi_label_classification")
    engine = start_engine(model=str(folder), device="cpu", precision="float32", forward="packed")
    yield engine
    engine.close()


def test_labels_are_those_that_hold_best_first(many: Engine) -> None:
    request = BatchRequest(texts=TEXTS[:3], return_all_scores=True)
    results = text_results(request, request.texts, many.run(TEXTS[:3], 512))
    for result in results:
        scores = result["scores"]
        holding = sorted((label for label in scores if scores[label] >= 0.5), key=scores.__getitem__, reverse=True)
        assert 1 < len(holding) < 77
        assert result["labels"] == holding
        assert result["sentiment"] == holding[0]
        assert result["confidence"] == scores[holding[0]]


def test_a_line_that_would_be_too_long_lacks_scores(many: Engine) -> None:
    request = BatchRequest(texts=TEXTS, return_all_scores=True, batch_size=8)
    lines = b"".join(stream_batch(many, request)).splitlines(keepends=True)
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    events = [json.loads(line) for line in lines]
    for event in events:
        check_line(event)
    parts = [event for event in events if event["status"] == "batch_complete"]
    # Each of these is short enough for all that there is to say.
    assert all(len(result["scores"]) == 77 for event in parts for result in event["partial_results"])
    completed = events[-1]
    assert (completed["status"], completed["scores_omitted"], completed["texts_omitted"]) == ("completed", True, True)
    assert [result["scores"] for result in completed["final_results"]] == [None] * 100
    assert [result["sentiment"] for result in completed["final_results"]] == [
        result["sentiment"] for event in parts for result in event["partial_results"]
    ]


def test_hugging_faces_clients_get_the_models_own_labels(many: Engine) -> None:
    request = TextClassificationRequest(inputs=TEXTS[:2], parameters=None)
    answer = label_scores(request, many.run(TEXTS[:2], 512), many.model.own_labels)
    assert all({entry["label"] for entry in entries} == set(NAMES.values()) for entries in answer)
    assert all(sum(entry["score"] for entry in entries) > 1.5 for entries in answer)


def test_a_function_that_was_asked_for_wins(many: Engine) -> None:
    request = TextClassificationRequest.model_validate(
        {"inputs": TEXTS[:1], "parameters": {"function_to_apply": "softmax"}}
    )
    [entries] = label_scores(request, many.run(TEXTS[:1], 512), many.model.own_labels)
    assert sum(entry["score"] for entry in entries) == pytest.approx(1, abs=1e-5)


def test_a_model_with_one_label_for_a_text_has_no_labels_field(engine: Engine) -> None:
    request = BatchRequest(texts=TEXTS[:1])
    [result] = text_results(request, request.texts, engine.run(TEXTS[:1], 512))
    assert "labels" not in result
