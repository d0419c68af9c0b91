"""`analyses` on the wire: each one's answer is the one that its model gives alone, whatever is asked for beside it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_classification.in_process import start_engine
from batch_classification.stream import stream_batch
from batch_http.json_lines import MAX_LINE_BYTES
from batch_inference.engine import Engine
from rehearsal.dev_server import Server, running_server
from schemas import AnalysedSingle, AnalysedText, BatchRequest
from tests.helpers import problems_of, wait_until_idle
from tests.http.contract import check_answer, check_line
from tests.inference.checkpoints import save_checkpoint

NUM_REQUESTS = int(os.environ.get("ANALYSED_REQUESTS", "100"))
AT_ONCE = 32
LEAVES_EVERY = 11

NAMES = ("sentiment", "moods", "topics")
TEXT = "I love this, but the parcel was late."


@dataclass(frozen=True)
class Analysing:
    """A server with three analyses, and each of their models alone."""

    server: Server
    alone: dict[str, Engine]


@pytest.fixture(scope="module")
def analysing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analysing]:
    folder = tmp_path_factory.mktemp("analysing")
    moods = save_checkpoint(folder / "moods", id2label={0: "sad", 1: "glad", 2: "cross", 3: "calm"})
    topics = save_checkpoint(
        folder / "topics", "bert", id2label={0: "food", 1: "work", 2: "sport"},
        problem_type="multi_label_classification",
    )  # fmt: skip
    models = {"sentiment": "bundled", "moods": str(moods), "topics": str(topics)}
    alone = {
        name: start_engine(model=model, device="cpu", answer_cache_mib=0, text_preparation="tweets")
        for name, model in models.items()
    }
    variables = {
        "BATCH_PROCESSOR_ANALYSES": f"moods={moods},topics={topics}",
        "BATCH_PROCESSOR_ANALYSES_TEXT_PREPARATION": "moods=tweets,topics=tweets",
        "BATCH_PROCESSOR_ANSWER_CACHE_MIB": "16",
    }
    with running_server(folder / "log", **variables) as server:
        yield Analysing(server, alone)
    for engine in alone.values():
        engine.close()


@pytest.fixture
def client(analysing: Analysing) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=analysing.server.url, timeout=120) as client:
        yield client


def asked(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    check_answer(response)
    return response.json()


def check(result: dict[str, Any], names: list[str], alone: dict[str, Engine], options: dict[str, Any]) -> None:
    """Whether a result has these analyses, each with its model's own answer."""
    assert list(result["analyses"]) == names
    length, in_windows = options.get("max_length", 512), options.get("on_long_text") == "window"
    for name, analysis in result["analyses"].items():
        expected = alone[name].run([result["text"]], length, in_windows=in_windows)
        probabilities = dict(zip(expected.labels, expected.answers[0].tolist(), strict=True))
        assert analysis["label"] in probabilities
        assert analysis["confidence"] == pytest.approx(probabilities[analysis["label"]], abs=1e-4)
        assert analysis["confidence"] == pytest.approx(max(probabilities.values()), abs=1e-4)
        assert analysis["token_count"] == expected.num_tokens[0]
        assert analysis["tokens_dropped"] == expected.num_dropped[0]
        assert analysis["truncated"] is bool(expected.num_dropped[0])
        if options.get("return_all_scores"):
            assert analysis["scores"] == pytest.approx(probabilities, abs=1e-4)
        else:
            assert "scores" not in analysis
        assert analysis.get("windows") == (int(expected.num_windows[0]) if in_windows else None)
        assert ("labels" in analysis) is (name == "topics")
    first = result["analyses"][names[0]]
    assert [result[field] for field in ("token_count", "truncated")] == [first["token_count"], first["truncated"]]
    assert ("sentiment" in result) is ("sentiment" in names)
    if "sentiment" in names:
        own = result["analyses"]["sentiment"]
        assert (result["sentiment"], result["confidence"]) == (own["label"], own["confidence"])
        assert result.get("scores") == own.get("scores")


@pytest.mark.parametrize("names", [["moods"], ["topics", "sentiment"], ["sentiment", "moods", "topics"]])
def test_a_batch_has_what_was_asked_for_in_that_order(
    analysing: Analysing, client: httpx.Client, names: list[str]
) -> None:
    options = {"return_all_scores": True, "max_length": 50, "on_long_text": "window"}
    # Texts of its own: an answer that another test left in the cache needs no pass.
    texts = [f"{TEXT} {' '.join(names)}", "@ana see https://example.org/x " * 30, "fine"]
    answer = asked(client, "/process-batch", {"texts": texts, "analyses": names} | options)
    assert [result["text"] for result in answer["results"]] == [text.strip() for text in texts]
    for order, result in enumerate(answer["results"]):
        assert result["processing_order"] == order
        check(result, names, analysing.alone, options)
    assert answer["batch_info"]["actual_batches_used"] >= len(names)
    used = sum(result["analyses"][name]["token_count"] for result in answer["results"] for name in names)
    assert answer["performance_metrics"]["total_tokens_processed"] >= used


def test_a_stream_and_a_single_text_have_them_too(analysing: Analysing, client: httpx.Client) -> None:
    names = ["topics", "moods"]
    request = {"texts": ["one", "two", " ", "three"], "batch_size": 2, "on_invalid_text": "report", "analyses": names}
    response = client.post("/process-batch-stream", json=request)
    events = [json.loads(line) for line in response.text.splitlines()]
    for event in events:
        check_line(event)
    assert [event["status"] for event in events] == [
        "started", "processing_batch", "batch_complete", "processing_batch", "batch_complete", "completed",
    ]  # fmt: skip
    results = events[-1]["final_results"]
    assert [result.get("text") for result in results] == ["one", "two", None, "three"]
    assert results == events[2]["partial_results"] + events[4]["partial_results"]
    for result in (results[0], results[1], results[3]):
        check(result, names, analysing.alone, {})
    single = asked(client, "/analyze-single", {"text": TEXT, "analyses": names, "return_all_scores": True})
    check(single, names, analysing.alone, {"return_all_scores": True})
    AnalysedSingle.model_validate(single, strict=True)


def test_fields_come_in_the_order_of_their_model(client: httpx.Client) -> None:
    content = client.post(
        "/analyze-single",
        json={"text": "ünïcödé", "analyses": list(NAMES), "return_all_scores": True, "on_long_text": "window"},
    ).content
    assert AnalysedSingle.model_validate_json(content, strict=True).model_dump_json().encode() == content


def test_labels_are_those_that_hold(client: httpx.Client) -> None:
    answer = asked(client, "/process-batch", {"texts": [TEXT, "so"], "analyses": ["topics"], "return_all_scores": True})
    for result in answer["results"]:
        topics = result["analyses"]["topics"]
        ranked = sorted(topics["scores"], key=topics["scores"].__getitem__, reverse=True)
        assert topics["labels"] == [label for label in ranked if topics["scores"][label] >= 0.5]


@pytest.mark.parametrize(
    ("analyses", "sentence"),
    [
        (["moods", "anger"], "analyses[1] is 'anger', which is not served here; use one of sentiment, moods, topics"),
        ([], "analyses is empty; name at least one, or leave the field out"),
        (["moods", "moods"], "analyses names 'moods' more than once; name each once"),
        ("moods", "analyses must be a list of strings, but is a string"),
        ([1], "analyses[0] must be a string, but is an integer"),
    ],
)
@pytest.mark.parametrize("path", ["/process-batch", "/process-batch-stream", "/analyze-single"])
def test_a_mistake_is_a_sentence(client: httpx.Client, path: str, analyses: object, sentence: str) -> None:
    body = {"text": "a"} if path == "/analyze-single" else {"texts": ["a"]}
    problems = problems_of(client.post(path, json=body | {"analyses": analyses, "max_length": 1}))
    assert sentence in [problem["msg"] for problem in problems]
    assert "max_length must be 50 or more" in [problem["msg"] for problem in problems]


def test_null_is_as_good_as_leaving_it_out(client: httpx.Client) -> None:
    assert "analyses" not in asked(client, "/analyze-single", {"text": TEXT, "analyses": None})


def test_a_text_that_is_too_long_is_reported_once(client: httpx.Client) -> None:
    texts = ["word " * 100, "fine"]
    request = {"texts": texts, "max_length": 50, "on_long_text": "reject", "analyses": list(NAMES)}
    [problem] = problems_of(client.post("/process-batch", json=request))
    assert (problem["loc"], problem["type"]) == (["texts", 0], "too_many_tokens")
    answer = asked(client, "/process-batch", request | {"on_invalid_text": "report"})
    assert answer["results"][0]["error"]["code"] == "too_many_tokens"
    assert list(answer["results"][1]["analyses"]) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_hugging_face_s_clients_have_a_path_for_each(analysing: Analysing, client: httpx.Client, name: str) -> None:
    answers = asked(client, f"/text-classification/{name}", {"inputs": [TEXT, "so"]})
    own = analysing.alone[name].model.own_labels
    expected = analysing.alone[name].run([TEXT, "so"], 512).answers.tolist()
    for answer, probabilities in zip(answers, expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        assert scores == pytest.approx(dict(zip(own, probabilities, strict=True)), abs=1e-4)
    refused = client.post(f"/text-classification/{name}", json={"inputs": " "})
    assert refused.json()["error"] == "inputs[0] is blank; remove it or send some text"


def test_the_path_of_an_unknown_one_says_which_there_are(client: httpx.Client) -> None:
    response = client.post("/text-classification/anger", json={"inputs": "a"})
    assert response.status_code == 404
    assert "/text-classification/moods" in response.text


def test_figures_are_each_one_s_own(client: httpx.Client) -> None:
    def figures() -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
        answer = client.get("/batch-stats")
        check_answer(answer)
        samples = {
            sample.labels["analysis"]: sample.value
            for family in text_string_to_metric_families(client.get("/_metrics").text)
            for sample in family.samples
            if sample.name == "batch_processor_texts_total"
        }
        return answer.json(), answer.json()["analyses"], samples

    before, before_each, samples_before = figures()
    asked(client, "/process-batch", {"texts": ["counted once", "counted twice"], "analyses": ["moods", "topics"]})
    after, each, samples = figures()
    assert list(each) == list(NAMES)
    assert after["total_texts_processed"] - before["total_texts_processed"] == 2
    assert [each[name]["texts"] - before_each[name]["texts"] for name in NAMES] == [0, 2, 2]
    assert [samples[name] - samples_before[name] for name in NAMES] == [0, 2, 2]
    assert each["topics"]["labels"] == ["FOOD", "WORK", "SPORT"]
    assert [each[name]["is_multi_label"] for name in NAMES] == [False, False, True]
    assert after["forward_passes"] == sum(figures["forward_passes"] for figures in each.values())
    assert after["model"] == each["sentiment"]["model"] == "bundled"


def test_a_line_is_short_however_many_analyses_it_has(tmp_path: Path) -> None:
    names = [f"long{number}" for number in range(3)]
    labels = {number: f"{number} " + "a label as long as labels may be " * 7 for number in range(2)}
    folder = save_checkpoint(tmp_path / "long", id2label=labels)
    analyses = ",".join(f"{name}={folder}" for name in names)
    engine = start_engine(model="bundled", device="cpu", forward="packed", analyses=analyses)
    texts = [f"{number} " + "字" * 300 for number in range(100)]
    request = BatchRequest(
        texts=texts, analyses=["sentiment", *names], return_all_scores=True, batch_size=32, max_length=50
    )
    lines = b"".join(stream_batch(engine, request)).splitlines(keepends=True)
    engine.close()
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    events = [json.loads(line) for line in lines]
    for event in events:
        check_line(event)
    parts = [result for event in events for result in event.get("partial_results", [])]
    assert all(list(result["analyses"]) == ["sentiment", *names] for result in parts)
    long = [result for event in events if event.get("scores_omitted") for result in event.get("partial_results", [])]
    assert len(long) >= 96
    assert all(result["analyses"]["long0"]["scores"] is result["text"] is None for result in long)
    last = events[-1]
    assert (last["texts_omitted"], last["scores_omitted"], last["analyses_omitted"]) == (True, True, True)
    assert [result["sentiment"] for result in last["final_results"]] == [result["sentiment"] for result in parts]
    assert {str(result["analyses"]) for result in last["final_results"]} == {"None"}


async def one_call(client: httpx.AsyncClient, number: int, alone: dict[str, Engine]) -> None:
    """A marked request at random, of which some are hung up on."""
    rng = random.Random(number)
    names = rng.sample(NAMES, rng.randint(1, 3))
    mark = rng.randrange(number + 1)
    texts = [
        f"caller {mark} text {index} " + "is great " * rng.choice([1, 5, 60]) for index in range(rng.randint(1, 4))
    ]
    options: dict[str, Any] = rng.choice(
        [{}, {"return_all_scores": True}, {"max_length": 50}, {"max_length": 50, "on_long_text": "window"}]
    )
    path = rng.choice(["/process-batch", "/process-batch-stream", "/analyze-single", "/text-classification"])
    if path == "/text-classification":
        path, body = f"{path}/{names[0]}", {"inputs": texts}
    else:
        body = {"analyses": names, **options}
        body |= {"text": texts[0]} if path == "/analyze-single" else {"texts": texts, "batch_size": rng.choice([1, 16])}
    if number % LEAVES_EVERY == 0:
        call = asyncio.create_task(client.post(path, json=body))
        await asyncio.sleep(rng.random() / 50)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    last = json.loads(response.text.splitlines()[-1])
    if path.startswith("/text-classification"):
        expected = alone[names[0]].run(texts, 512).answers
        assert [[entry["score"] for entry in answer] for answer in last] == [
            pytest.approx(sorted(row, reverse=True), abs=1e-4) for row in expected.tolist()
        ]
        return
    results = last.get("results") or last.get("final_results") or [last]
    assert [result["text"] for result in results] == [text.strip() for text in texts[: len(results)]]
    assert len(results) == (1 if path == "/analyze-single" else len(texts))
    for result in results:
        check(result, names, alone, options)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_crowd_s_analyses_are_never_mixed(analysing: Analysing, http2: bool) -> None:
    """`ANALYSED_REQUESTS=1000` is the long profile."""

    async def scenario() -> None:
        limits = httpx.Limits(max_connections=4 if http2 else AT_ONCE)
        async with httpx.AsyncClient(
            base_url=analysing.server.url, http1=not http2, http2=http2, limits=limits, timeout=300
        ) as client:
            slots = asyncio.Semaphore(AT_ONCE)

            async def caller(number: int) -> None:
                async with slots:
                    await one_call(client, number, analysing.alone)

            await asyncio.gather(*(caller(number) for number in range(NUM_REQUESTS)))

    asyncio.run(scenario())
    with httpx.Client(base_url=analysing.server.url, timeout=60) as client:
        assert "internal_error" not in wait_until_idle(client)["errors"]


def test_results_without_analyses_are_as_ever(client: httpx.Client) -> None:
    answer = asked(client, "/process-batch", {"texts": [TEXT]})
    assert list(answer["results"][0]) == [
        "text", "sentiment", "confidence", "token_count", "processing_order", "truncated", "tokens_dropped",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="analyses"):
        AnalysedText.model_validate(answer["results"][0])
