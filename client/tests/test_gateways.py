"""What stands between a client and a service: gateways, cold starts, proxies, certificates."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from typer.testing import Result

from answering import answering
from batch_client import AsyncClient, Client, InputError, UnavailableError, UnexpectedAnswerError
from stand_in import FAST, Service, prediction

Run = Callable[..., Result]
COLD = '{"detail": "No instances available (yet) for chute_id=12"}'


@pytest.mark.parametrize("status", ["408", "425", "500", "502", "503", "504", "520", "522", "529"])
def test_what_gateways_answer_for_a_service_is_tried_again(service: Service, status: str) -> None:
    service[1].behaviour.next_faults = [status] * 2
    with Client(service[0], **FAST) as client:
        assert client.classify(["good"])[0].sentiment == prediction("good")["sentiment"]


def test_a_request_that_a_gateway_finds_too_large_is_halved(service: Service) -> None:
    service[1].behaviour.next_faults = ["413"]
    with Client(service[0], **FAST) as client:
        assert len(client.classify([f"text {number}" for number in range(10)])) == 10
    assert service[1].requests["answered"] == 2


def test_a_cold_service_is_waited_for_with_a_line_that_counts(
    service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_client.delivery._SECONDS_BETWEEN_NOTICES", 0.3)
    (tmp_path / "in.txt").write_text("good\nbad\n")
    service[1].behaviour.cold_until = time.monotonic() + 3
    result = run(
        "score", tmp_path / "in.txt", "--url", service[0], "--out", tmp_path / "o.csv", "--patience", "0.5"
    )  # patience is for services that do not answer; the platform does
    assert result.exit_code == 0, result.stderr
    assert (
        "no instance of the service is up yet; waiting for 0:00, at most 2:00:00; others have waited 17 to 97 minutes"
    ) in result.stderr
    service[1].behaviour.cold_until = time.monotonic() + 1
    assert run("compare", "--url", service[0], "--rounds", "1", "--texts", "2").exit_code == 0
    service[1].behaviour.cold_until = time.monotonic() + 2.5
    notices: list[str] = []
    with Client(service[0], on_waiting=notices.append, **FAST | {"patience_s": 0.5}) as client:
        assert len(client.classify(["good"])) == 1
    assert any("waiting for 0:01" in line for line in notices), notices


def test_a_service_that_stays_cold_ends_the_run_in_time(service: Service) -> None:
    service[1].behaviour.cold_until = float("inf")

    async def ask() -> None:
        async with AsyncClient(service[0], cold_start_s=0.5, **FAST) as client:
            await client.classify(["good"])

    with pytest.raises(UnavailableError, match="No instances available"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("status", "retry_after"), [("503", None), ("429", "2")], ids=["503 for a while", "429 with Retry-After"]
)
def test_statuses_at_the_start_are_answers_and_are_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch, status: str, retry_after: str | None
) -> None:
    service[1].behaviour.next_stats = [status] * 3
    service[1].behaviour.retry_after = retry_after

    async def ask() -> None:
        async with AsyncClient(service[0], **FAST) as client:
            await client.check(patience_s=0.05)

    asyncio.run(ask())


def test_a_dead_service_is_reported_with_its_cause(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_client.ask.PATIENCE_AT_THE_START_S", 0.5)
    (tmp_path / "in.txt").write_text("good\n")
    result = run("score", tmp_path / "in.txt", "--url", "http://127.0.0.1:9", "--out", tmp_path / "o.csv")
    assert result.exit_code == 1
    assert "cannot connect to http://127.0.0.1:9" in result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "in.txt"]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/html; charset=utf-8", "<html>Log in</html>", "page of HTML"),
        ("application/json", '{"status": "ok"}', "is this a batch-processor address?"),
    ],
)
def test_another_server_is_reported_at_once(kind: str, body: str, words: str) -> None:
    async def ask(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.check(patience_s=60)

    with answering((200, kind, body)) as url, pytest.raises(UnexpectedAnswerError, match=words.replace("?", r"\?")):
        asyncio.run(ask(url))


def test_a_certificate_that_is_not_trusted_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()

    async def ask(url: str) -> None:
        async with AsyncClient(url, **FAST) as client:
            await client.check(patience_s=60)

    with answering((404, "text/plain", ""), certificate=authority.issue_cert("127.0.0.1")) as url:
        with pytest.raises(UnexpectedAnswerError, match=r"is not trusted: .*SSL_CERT_FILE"):
            asyncio.run(ask(url))
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        with pytest.raises(UnexpectedAnswerError, match="404"):
            asyncio.run(ask(url))


def test_an_address_that_does_not_speak_tls_is_reported_at_once(service: Service) -> None:
    async def ask() -> None:
        async with AsyncClient(service[0].replace("http://", "https://"), **FAST) as client:
            await client.check(patience_s=60)

    with pytest.raises(UnexpectedAnswerError, match="does not speak TLS"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://user:hidden@127.0.0.1:1080"),
        ("ALL_PROXY", "socks://127.0.0.1:1080"),
        ("HTTPS_PROXY", "gopher://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/nowhere/authority.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_an_environment_that_cannot_work_is_reported_by_its_variable(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    (tmp_path / "in.txt").write_text("good\n")
    with pytest.raises(InputError, match=variable):
        Client("http://127.0.0.1:9")
    result = run("score", tmp_path / "in.txt", "--url", "http://127.0.0.1:9", "--out", tmp_path / "o.csv")
    assert result.exit_code == 1
    assert variable in result.stderr
    assert "hidden" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with (
        pytest.raises(UnavailableError, match="the proxy that HTTP_PROXY names"),
        Client("http://192.0.2.1", **FAST | {"patience_s": 0.3}) as client,
    ):
        client.classify(["good"])


def test_a_service_that_knows_no_reports_is_asked_without(service: Service) -> None:
    service[1].behaviour.knows_reports = False
    service[1].behaviour.refused_texts = frozenset({"bad"})
    with Client(service[0], **FAST) as client:
        outcomes = list(client.classify_stream(["good", "bad", "fine"]))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Prediction", "Failure", "Prediction"]


def test_one_bad_text_costs_no_second_request(service: Service) -> None:
    service[1].behaviour.refused_texts = frozenset({"bad"})
    with Client(service[0], **FAST) as client:
        outcomes = list(client.classify_stream(["good", "bad", "fine"]))
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [None, "the text is refused", None]
    assert service[1].requests == {"answered": 1}


@pytest.mark.parametrize("texts", ["Great", b"Great", {"text": "Great"}, None, 5])
def test_what_is_no_list_of_texts_is_refused(service: Service, texts: object) -> None:
    with Client(service[0], **FAST) as client:
        with pytest.raises(InputError):
            client.classify(texts)  # type: ignore[arg-type]
        with pytest.raises(InputError):
            list(client.classify_stream(texts))  # type: ignore[arg-type]
        with pytest.raises(InputError):
            client.columns(texts)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_client_works_in_a_child_and_in_another_process(service: Service, tmp_path: Path) -> None:
    code = f"""
import os, pickle, signal
from batch_client import Client
client = Client({service[0]!r})
client.classify(["good"])
assert pickle.loads(pickle.dumps(client)).classify(["good"]) == client.classify(["good"])
if (child := os.fork()) == 0:
    signal.alarm(20)
    client.classify(["bad"])
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
client.classify(["still works"])
client.close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    assert service[1].seen["bad"] == 1
