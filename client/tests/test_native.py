import json
from typing import Any

import pytest

from batch_client.errors import FaultError
from batch_client.protocols.native import parse_batch_answer
from batch_client.refusals import parse_refusal
from stand_in import prediction

TEXTS = ["good", "bad"]


def answer(**changes: Any) -> dict[str, Any]:
    results = [prediction(text) | {"processing_order": order} for order, text in enumerate(TEXTS)]
    results[1] |= changes
    return {"results": results}


def test_predictions_come_in_order_and_an_omitted_text_is_fine() -> None:
    predictions = parse_batch_answer(json.dumps(answer(text=None)).encode(), TEXTS, all_scores=True)
    assert [found.sentiment for found in predictions] == [prediction(text)["sentiment"] for text in TEXTS]


@pytest.mark.parametrize(
    "changes",
    [
        {"processing_order": 0}, {"text": "another"}, {"sentiment": ""}, {"confidence": 1.5}, {"confidence": "0.9"},
        {"confidence": float("nan")}, {"token_count": 1.5}, {"truncated": None}, {"scores": {}},
    ],
)  # fmt: skip
def test_an_answer_that_breaks_the_contract_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(FaultError):
        parse_batch_answer(json.dumps(answer(**changes)).encode(), TEXTS, all_scores=True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"results": []}', b"\xff", b'{"results": null}'])
def test_a_body_that_is_no_answer_is_a_fault(body: bytes) -> None:
    with pytest.raises(FaultError):
        parse_batch_answer(body, TEXTS, all_scores=False)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"detail": 3}', b'{"detail": "no"}', b'{"detail": []}', b'{"detail": "x {\\"detail\\""}']
)
def test_a_refusal_in_any_shape_gives_a_reason(body: bytes) -> None:
    assert parse_refusal(body)[0].msg


def test_a_refusal_that_the_platform_passes_on_as_text_names_the_same_places() -> None:
    own = '{"detail":[{"loc":["texts",3],"msg":"texts[3] is blank","type":"blank_text"}]}'
    passed_on = json.dumps({"detail": f"Invalid request: Invalid request: {own}"}).encode()
    assert parse_refusal(passed_on) == parse_refusal(own.encode())
    assert parse_refusal(passed_on)[0].loc == ("texts", 3)
