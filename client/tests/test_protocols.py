"""Other servers, asked in their own wire formats: stand-ins for each, and what their formats cannot tell."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from batch_client import Client, Failure, InputError
from other_servers import SERVERS, UNTOKENIZABLE, serving_as
from stand_in import FAST, Service, prediction

TEXTS = [f"text number {number} 😀" for number in range(130)]


@pytest.mark.parametrize("protocol", SERVERS)
def test_every_text_gets_the_servers_label_in_order(protocol: str) -> None:
    with serving_as(protocol) as url, Client(url, protocol=protocol, **FAST) as client:
        predictions = client.classify(TEXTS)
    assert [each.sentiment for each in predictions] == [prediction(text)["sentiment"] for text in TEXTS]
    assert [each.confidence for each in predictions] == pytest.approx(
        [prediction(text)["confidence"] for text in TEXTS]
    )
    assert {(each.token_count, each.truncated, each.scores) for each in predictions} == {(None, None, None)}


@pytest.mark.parametrize("protocol", ["tei", "infinity", "hf"])
def test_all_scores(protocol: str) -> None:
    with serving_as(protocol) as url, Client(url, protocol=protocol, all_scores=True, **FAST) as client:
        answers = [client.classify([text])[0] for text in TEXTS[:2]] + client.classify(TEXTS[2:5])
    for text, answer in zip(TEXTS, answers, strict=False):
        assert answer.scores == pytest.approx(prediction(text)["scores"])


def test_a_text_that_the_server_refuses_is_found_and_the_others_answered() -> None:
    with serving_as("tei") as url, Client(url, protocol="tei", **FAST) as client:
        outcomes = list(client.classify_stream([*TEXTS[:20], UNTOKENIZABLE, *TEXTS[20:40]]))
    assert outcomes[20] == Failure("refused", "tokenization error")
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)] == [20]


def test_vllm_names_one_label_only() -> None:
    with pytest.raises(InputError, match="--all-scores is not for vLLM"):
        Client("http://127.0.0.1:1", protocol="vllm", all_scores=True)


@pytest.mark.parametrize("protocol", ["tei", "infinity", "hf"])
def test_a_max_length_that_cannot_be_asked_for_is_refused(protocol: str) -> None:
    with pytest.raises(InputError, match="--max-length is not for"):
        Client("http://127.0.0.1:1", protocol=protocol, max_length=128)


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="'triton' is not known; use one of batch-processor, tei, vllm, infinity, hf"):
        Client("http://127.0.0.1:1", protocol="triton")


def test_only_our_service_has_statistics() -> None:
    with Client("http://127.0.0.1:1", protocol="tei") as client, pytest.raises(InputError, match="no statistics"):
        client.stats()


def test_scoring_a_file_leaves_empty_what_the_protocol_does_not_tell(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,review\n1,Great!\n2,\n3,Awful.\n", encoding="utf-8")
    with serving_as("infinity") as url:
        result = run(
            "score", source, "--text-column", "review", "--url", url, "--protocol", "infinity", "--out", out
        )  # fmt: skip
    assert result.exit_code == 3, result.stderr
    rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    assert [row["sentiment"] for row in rows] == [
        prediction("Great!")["sentiment"],
        "",
        prediction("Awful.")["sentiment"],
    ]
    assert {(row["token_count"], row["truncated"]) for row in rows} == {("", "")}
    assert [row["error"] for row in rows] == ["", "the text is blank", ""]


def test_a_request_that_the_server_always_refuses_ends_the_run_at_once(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("review\nGreat!\nAwful.\n", encoding="utf-8")
    with serving_as("vllm") as url:
        result = run(
            "score", source, "--url", url, "--protocol", "vllm", "--max-length", 1024, "--out", tmp_path / "out.csv"
        )  # fmt: skip
    assert result.exit_code == 1
    assert "truncate_prompt_tokens value is greater than max_model_len (512)" in result.stderr


def test_another_servers_address_is_told_from_ours(service: Service) -> None:
    url, _ = service
    with Client(url, protocol="tei", **FAST) as client, pytest.raises(Exception, match="is this a tei address"):
        client.classify(["Great!"])


def test_comparing_needs_no_endpoint_for_single_texts(run: Callable[..., Result]) -> None:
    with serving_as("hf") as url:
        result = run("compare", "--url", url, "--protocol", "hf", "--texts", 3, "--rounds", 1)
    assert result.exit_code == 0, result.stderr
    assert "Speedup" in result.stdout


def test_a_refused_request_carries_the_servers_sentence() -> None:
    with serving_as("vllm") as url, Client(url, protocol="vllm", max_length=1024, **FAST) as client:
        outcomes = list(client.classify_stream(["Great!"]))
    assert outcomes == [Failure("refused", "truncate_prompt_tokens value is greater than max_model_len (512)")]
