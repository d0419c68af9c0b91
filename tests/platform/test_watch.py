"""Looking at a chute asks for nothing, and says what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.demand import Demand
from rehearsal.fake_api import FakeApi
from rehearsal.front import running_front
from rehearsal.gateway import Gateway
from rehearsal.scripted import Reply, ScriptedInstance
from tests.clock import Clock
from tests.platform.deploying import deployed_by_hand
from tools.platform_api import PlatformApi
from tools.watch import Watch, main

FIGURES = {
    "uptime": 1260.0, "texts_per_second": 812.5, "requests_in_flight": 3, "queued_texts": 40,
    "total_texts_processed": 90_000, "errors": {"queue_full": 2, "internal_error": 0},
}  # fmt: skip


async def stats(_: str, __: Any) -> Reply:
    return Reply(document=FIGURES)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chute(account_in_use: FakeApi, clock: Clock) -> Iterator[FakeApi]:
    """A platform where a cold start takes 20 minutes, and an instance is kept for 10."""
    account_in_use.new_demand = lambda: Demand(cold_for_s=1200, shutdown_after_s=600, clock=clock)
    deployed_by_hand(account_in_use)
    return account_in_use


def test_a_look_at_a_cold_chute_asks_for_nothing(chute: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "batch-processor: cold: no instance, and nothing to pay" in printed
    assert "17 to 97 minutes" in printed
    assert "make startup-logs" in printed
    assert chute.chutes["batch-processor"].demand.num_starts == 0


def test_of_a_hot_chute_it_shows_the_figures_and_what_they_cost(
    chute: FakeApi, clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    demand = chute.chutes["batch-processor"].demand
    demand.wish()
    clock.now += 1200
    cord = {"path": "/stats", "public_api_path": "/batch-stats", "public_api_method": "GET", "stream": False}
    instance = ScriptedInstance(stats, cords=[cord])
    with running_front(Gateway(instance, demand=demand)) as url:
        assert main(["--url", url]) == 0
        assert "set CHUTES_API_KEY" in capsys.readouterr().out
        assert instance.num_asked == 0
        monkeypatch.setenv("CHUTES_API_KEY", "cpk_secret")
        assert main(["--url", url]) == 0
    printed = capsys.readouterr().out
    assert "hot: 1 instance(s) serving, $1.80 an hour each" in printed
    assert "812.5 texts/s over the last minute, 3 requests in flight, 40 texts queued, 90000 texts so far" in printed
    assert "errors: queue_full 2\n" in printed
    assert "up for 21 minutes, which has cost $0.63" in printed
    assert "keeps it for another 600 s ($0.30)" in printed
    assert "cpk_secret" not in printed


def test_watched_it_goes_idle_and_the_watch_ends(
    chute: FakeApi, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    demand = chute.chutes["batch-processor"].demand
    demand.wish()
    clock.now += 1200

    def pass_by(seconds: float) -> None:
        clock.now += seconds

    with PlatformApi() as api:
        Watch(api, "batch-processor", every_s=120, clock=clock, sleep=pass_by).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(" 10:00  cold")
    assert lines[-1].endswith("$0.30 since this watch began")
    assert demand.num_starts == 1


def test_an_instance_that_starts_is_told_from_one_that_serves(
    chute: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starting = {"instance_id": "1", "active": False, "verified": False}
    answer = chute.get_chute("batch-processor") | {"instances": [starting]}
    monkeypatch.setattr(chute, "get_chute", lambda _: answer)
    main([])
    assert "cold: none serving, 1 starting" in capsys.readouterr().out


def test_a_platform_that_cannot_be_asked_is_one_sentence(
    chute: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chute.chutes.clear()
    assert main([]) == 1
    assert "There is no chute named batch-processor in your account" in capsys.readouterr().err
    assert main(["--chute", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("CHUTE=nothing is none of batch_processor, ")
    monkeypatch.setenv("BATCH_PROCESSOR_CONCURRENCY", "0")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("BATCH_PROCESSOR_CONCURRENCY='0' is not valid")
