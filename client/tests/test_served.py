"""A run is known by what answers at its address, not by the address."""

import asyncio
import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from batch_client import AsyncClient, Client
from batch_client.journal import num_rows_done
from batch_client.service_identity import ServiceIdentity
from other_servers import serving_as
from scoring import NUM_ROWS, command, start_and_wait
from stand_in import FAST, Behaviour, Service, serving

Run = Callable[..., Result]
FIRST, SECOND = "model stand-in, precision float32", "model another, precision float32"


def texts_of(source: Path, num_rows: int) -> list[str]:
    with source.open(newline="") as file:
        return [row["review"] for row in csv.DictReader(file)][:num_rows]


@pytest.mark.parametrize("change", [{"model": "another"}, {"revision": "2"}, {"precision": "int8"}])
def test_a_run_that_was_killed_is_not_resumed_by_another_model(run: Run, source: Path, change: dict[str, str]) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        arguments = command(source, url, "--max-concurrency", "1")
        process = start_and_wait(arguments, source.with_name("o.csv"))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        num_done = num_rows_done(source.with_name("o.csv.partial"))
        stand_in.behaviour.delay_s = 0.0
        for name, value in change.items():
            setattr(stand_in.behaviour, name, value)
        stand_in.seen.clear()
        refused = run(*arguments)
        assert refused.exit_code == 1
        assert f"the answers so far ({FIRST})" in refused.stderr
        assert next(iter(change.values())) in refused.stderr
        assert not stand_in.seen
        dry = run(*arguments, "--dry-run").stdout
        assert f"Answers so far by: {FIRST}." in dry
        assert "Service: model " in dry
        accepted = run(*arguments, "--accept-model-change", "--report", str(source.with_name("r.html")))
        assert accepted.exit_code == 0, accepted.stderr
        assert f"Answered by {FIRST}, then by model " in accepted.stderr
        assert f"<dt>Answered by</dt><dd>{FIRST}, then by model " in source.with_name("r.html").read_text()
        assert stand_in.seen.total() == NUM_ROWS - num_done


def test_a_redeploy_in_mid_run_leaves_answers_of_one_model_only(run: Run, source: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        arguments = command(source, url, "--max-concurrency", "1")
        process = start_and_wait(arguments, source.with_name("o.csv"))
        stand_in.behaviour.model = "another"
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"is another service now ({SECOND}) than the one that gave the answers so far ({FIRST})" in stderr
        num_done = num_rows_done(source.with_name("o.csv.partial"))
        assert num_done
        answered_by = {stand_in.answered_by[text] for text in texts_of(source, num_done)}
        assert answered_by == {"stand-in"}
        stand_in.behaviour.model, stand_in.behaviour.delay_s = "stand-in", 0.0
        assert run(*arguments).exit_code == 0
        assert {stand_in.answered_by[text] for text in texts_of(source, NUM_ROWS)} == {"stand-in"}
        assert len(source.with_name("o.csv").read_text().splitlines()) == NUM_ROWS + 1


def test_starting_over_asks_the_new_model_about_all_rows(run: Run, source: Path) -> None:
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        arguments = command(source, url, "--max-concurrency", "1")
        process = start_and_wait(arguments, source.with_name("o.csv"))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stand_in.behaviour.model, stand_in.behaviour.delay_s = "another", 0.0
        over = run(*arguments, "--start-over")
        assert over.exit_code == 0, over.stderr
        assert f"Answered by {SECOND}.\n" in over.stderr
        assert set(stand_in.answered_by.values()) == {"another"}


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_failed_rows_are_not_asked_of_another_model(service: Service, run: Run, tmp_path: Path, name: str) -> None:
    url, stand_in = service
    (tmp_path / "in.csv").write_text("review\ngood\nbad\n")
    stand_in.behaviour.refused_texts = frozenset({"bad"})
    assert run("score", tmp_path / "in.csv", "--url", url, "--out", tmp_path / name).exit_code == 3
    stand_in.behaviour.refused_texts = frozenset()
    stand_in.behaviour.model = "another"
    stand_in.seen.clear()
    again = ("score", tmp_path / name, "--retry-errors", "--url", url, "--out", tmp_path / f"again-{name}")
    again = (*again, "--text-column", "review")
    refused = run(*again)
    assert refused.exit_code == 1
    assert f"is another service now ({SECOND})" in refused.stderr
    assert not stand_in.seen
    assert f"Answers so far by: {FIRST}." in run(*again, "--dry-run").stdout
    accepted = run(*again, "--accept-model-change")
    assert accepted.exit_code == 0, accepted.stderr
    assert f"Answered by {FIRST}, then by {SECOND}." in accepted.stderr
    note = json.loads((tmp_path / f".again-{name}.batch-client.json").read_text())
    assert [facts["model"] for facts in note["services"]] == ["stand-in", "another"]


def test_a_result_that_was_changed_since_has_no_known_model(service: Service, run: Run, tmp_path: Path) -> None:
    url, stand_in = service
    (tmp_path / "in.csv").write_text("review\ngood\nbad\n")
    stand_in.behaviour.refused_texts = frozenset({"bad"})
    run("score", tmp_path / "in.csv", "--url", url, "--out", tmp_path / "o.csv")
    stand_in.behaviour.model, stand_in.behaviour.refused_texts = "another", frozenset()
    scored = tmp_path / "o.csv"
    scored.write_text(scored.read_text() + scored.read_text().splitlines()[1] + "\n")
    again = run("score", scored, "--retry-errors", "--url", url, "--out", tmp_path / "p.csv", "--text-column", "review")
    assert again.exit_code == 0, again.stderr
    assert "which model gave the other answers is not known" in again.stderr
    assert not (tmp_path / ".p.csv.batch-client.json").exists()


def test_what_is_in_the_way_of_the_note_is_not_touched(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("review\ngood\n")
    own = tmp_path / ".o.csv.batch-client.json"
    own.write_text('{"mine": true}')
    refused = run("score", tmp_path / "in.csv", "--url", service[0], "--out", tmp_path / "o.csv")
    assert refused.exit_code == 1
    assert "in the way of the note" in refused.stderr
    assert own.read_text() == '{"mine": true}'


@pytest.mark.parametrize(
    ("protocol", "path", "document", "facts"),
    [
        (
            "tei",
            "/info",
            {"model_id": "org/model", "model_sha": "abc", "model_dtype": "float16", "version": "1.7"},
            {"model": "org/model", "revision": "abc", "precision": "float16"},
        ),
        ("vllm", "/v1/models", {"data": [{"id": "m", "root": "/m"}]}, {"model": "m", "root": "/m"}),
        ("infinity", "/models", {"data": [{"id": "m"}]}, {"model": "m"}),
        ("tei", "/info", {"other": "shape"}, None),
        ("vllm", "/v1/models", {"data": []}, None),
        ("hf", "/info", {"model_id": "never asked"}, None),
        ("tei", "/elsewhere", {}, None),
    ],
)
def test_other_servers_are_asked_what_they_are(
    protocol: str, path: str, document: dict[str, object], facts: dict[str, str] | None
) -> None:
    with serving_as(protocol, {path: document}) as url, Client(url, protocol=protocol, **FAST) as client:
        assert client.identity() == (ServiceIdentity(facts) if facts else None)


def test_what_the_model_sees_of_a_text_is_a_part_of_what_the_service_is(service: Service) -> None:
    service[1].behaviour.text_preparation = "tweets"
    with Client(service[0]) as client:
        assert str(client.identity()) == f"{FIRST}, text preparation tweets"


def test_a_dry_run_says_why_the_service_is_not_known(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("good\n")
    dry = run("score", tmp_path / "in.txt", "--url", "http://127.0.0.1:9", "--out", tmp_path / "o.csv", "--dry-run")
    assert dry.exit_code == 0
    assert "Service: not known (cannot connect to http://127.0.0.1:9" in dry.stdout


def test_asking_what_the_service_is_waits_for_no_request_with_texts(service: Service) -> None:
    """The one request that may be in flight hangs until the identity is known."""
    service[1].behaviour.delay_s = 60.0

    async def ask() -> ServiceIdentity | None:
        async with AsyncClient(service[0], max_concurrency=1) as client:
            texts = asyncio.create_task(client.classify(["good"]))
            while not service[1].most_in_flight:
                await asyncio.sleep(0.01)
            found = await client.identity()
            texts.cancel()
            await asyncio.gather(texts, return_exceptions=True)
            return found

    assert str(asyncio.run(asyncio.wait_for(ask(), 30))) == FIRST
