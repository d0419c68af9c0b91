import asyncio
import inspect
import itertools
import subprocess
import sys
from dataclasses import fields
from typing import get_type_hints

import pytest

from batch_client import AsyncClient, Client, Failure, InputError, Prediction, TextsFailedError
from batch_client.options import OptionFields, Options
from batch_client.progress import Tick
from stand_in import FAST, Service, prediction


def test_any_number_of_texts_is_split_and_put_together_in_order(service: Service) -> None:
    texts = [f"text {number}" for number in range(1234)]
    with Client(service[0], all_scores=True, **FAST) as client:
        predictions = client.classify(texts)
    assert [found.confidence for found in predictions] == [prediction(text)["confidence"] for text in texts]
    assert predictions[0].scores == prediction(texts[0])["scores"]
    assert service[1].requests["answered"] == 13


def test_no_texts_need_no_request(service: Service) -> None:
    with Client(service[0]) as client:
        assert client.classify([]) == []
    assert not service[1].requests


def test_classify_says_which_texts_failed_and_keeps_the_others(service: Service) -> None:
    with Client(service[0], **FAST) as client, pytest.raises(TextsFailedError) as caught:
        client.classify(["fine", " ", "also fine"])
    assert caught.value.failures == {1: "the text is blank"}
    assert caught.value.outcomes[2] != Failure("blank", "the text is blank")


def test_a_stream_draws_only_what_it_needs_and_can_be_left(service: Service) -> None:
    drawn = itertools.count()
    with Client(service[0], texts_per_request=10, max_concurrency=4, **FAST) as client:
        outcomes = client.classify_stream(f"text {number}" for number in drawn)
        assert len(list(itertools.islice(outcomes, 25))) == 25
        outcomes.close()
        assert next(drawn) < 200


def test_a_client_can_be_closed_before_its_streams(service: Service) -> None:
    with Client(service[0], **FAST) as client:
        outcomes = client.classify_stream(f"text {number}" for number in itertools.count())
        next(outcomes)
    outcomes.close()


def test_the_sync_client_works_inside_a_running_loop(service: Service) -> None:
    async def notebook() -> int:
        with Client(service[0], **FAST) as client:
            return len(client.classify(["one", "two"]))

    assert asyncio.run(notebook()) == 2


def test_an_exception_of_the_source_reaches_the_caller(service: Service) -> None:
    def texts():  # type: ignore[no-untyped-def]
        yield "fine"
        raise ZeroDivisionError

    with Client(service[0], **FAST) as client, pytest.raises(ZeroDivisionError):
        client.classify(texts())


def test_stats_are_typed(service: Service) -> None:
    async def ask() -> str | None:
        async with AsyncClient(service[0], **FAST) as client:
            return (await client.stats()).model

    assert asyncio.run(ask()) == "stand-in"


def test_an_async_client_works_in_one_loop_after_another(service: Service) -> None:
    client = AsyncClient(service[0], **FAST)
    assert asyncio.run(client.classify(["one"])) == asyncio.run(client.classify(["one"]))
    asyncio.run(client.close())
    with pytest.raises(InputError, match="the client is closed"):
        asyncio.run(client.classify(["one"]))


def test_an_async_client_is_not_shared_by_two_running_loops(service: Service) -> None:
    client = AsyncClient(service[0], **FAST)

    async def outer() -> None:
        await client.classify(["one"])
        with pytest.raises(InputError, match="in use in another event loop"):
            await asyncio.to_thread(asyncio.run, client.classify(["one"]))
        await client.close()

    asyncio.run(outer())


def test_a_closed_client_says_so(service: Service) -> None:
    with Client(service[0], **FAST) as client:
        pass
    for call in (client.stats, client.check, lambda: client.classify(["one"]), lambda: client.columns(["one"])):
        with pytest.raises(InputError, match="the client is closed"):
            call()


def test_a_client_that_is_called_by_its_own_texts_does_not_hang(service: Service) -> None:
    with Client(service[0], **FAST) as client, pytest.raises(InputError, match="while it draws texts"):
        client.classify(client.stats().device for _ in range(1))


@pytest.mark.parametrize(
    "options", [{"url": "127.0.0.1:8000"}, {"max_length": 49}, {"timeout_s": 0.0}, {"api_key": "line\nbreak"}]
)
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Client(**{"url": "http://127.0.0.1:8000"} | options)  # type: ignore[arg-type]


def test_both_clients_take_options_as_they_are_and_further_ones(service: Service) -> None:
    options = Options(service[0], all_scores=True, **FAST)

    async def ask() -> Prediction:
        async with AsyncClient(options) as client:
            return (await client.classify(["good"]))[0]

    assert asyncio.run(ask()).scores == prediction("good")["scores"]
    with Client(options, all_scores=False) as client:
        assert client.classify(["good"])[0].scores is None


def test_the_key_does_not_show_in_the_options() -> None:
    with Client("http://127.0.0.1:8000", api_key="secret-key") as client:
        assert "secret-key" not in repr(client._client.options)


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, batch_client; print([m for m in ('pyarrow', 'torch', 'jinja2') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_progress_is_given_to_a_function(service: Service) -> None:
    ticks: list[Tick] = []
    with Client(service[0], **FAST) as client:
        client.columns(["text", " "] * 150, progress=ticks.append)
        client.classify(iter(["text"] * 10), progress=ticks.append)
    assert [(tick.num_rows, tick.num_failed) for tick in ticks][-2:] == [(300, 150), (10, 0)]

    async def ask() -> None:
        async with AsyncClient(service[0], **FAST) as client:
            await client.classify(["text"], progress=ticks.append)

    asyncio.run(ask())
    assert ticks[-1].num_rows == 1


def test_progress_is_shown_on_standard_error(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_client.progress._SECONDS_BETWEEN_LINES", 0.0)
    with Client(service[0], **FAST) as client:
        client.classify(["text"] * 5, progress=True)
        client.classify(iter(["text"] * 5), progress=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("5 of 5 rows, ")
    assert second.startswith("5 rows, ")


def test_keywords_are_the_fields_of_the_options() -> None:
    names = [field.name for field in fields(Options) if field.name != "url"]
    assert list(OptionFields.__annotations__) == names
    for client in (Client, AsyncClient):
        assert list(inspect.signature(client).parameters) == ["url", "on_waiting", *names]
    assert get_type_hints(OptionFields) == {name: get_type_hints(Options)[name] for name in names}
