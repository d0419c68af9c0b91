"""Every text ends with its right answer or a reason, whatever the service does."""

import asyncio
from email.utils import formatdate

import pytest

from batch_client import AccessError, AsyncClient, Failure, Outcome, Prediction, UnavailableError, UnexpectedAnswerError
from stand_in import FAST, RANDOM_FAULTS, Behaviour, Service, prediction, serving

TEXTS = [f"text number {number}" for number in range(1000)]


def outcomes_of(url: str, texts: list[str] = TEXTS, **options: object) -> list[Outcome]:
    async def ask() -> list[Outcome]:
        async with AsyncClient(url, **FAST | options) as client:
            return [outcome async for outcome in client.classify_stream(texts)]

    return asyncio.run(ask())


def assert_right(outcomes: list[Outcome], texts: list[str] = TEXTS) -> None:
    assert [getattr(outcome, "sentiment", outcome) for outcome in outcomes] == [
        prediction(text)["sentiment"] for text in texts
    ]


@pytest.mark.parametrize("fault", [*RANDOM_FAULTS, "502", "504"])
def test_each_kind_of_fault_is_overcome(service: Service, fault: str) -> None:
    url, stand_in = service
    stand_in.behaviour.next_faults = [fault] * 3
    assert_right(outcomes_of(url, timeout_s=0.3))
    assert stand_in.requests[fault] >= 1


def test_all_faults_at_random_are_overcome(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.fault_rate = 0.4
    texts = TEXTS * 2
    assert_right(outcomes_of(url, texts, timeout_s=0.3, texts_per_request=50), texts)
    assert len(stand_in.requests) > 4


def test_a_refused_text_gets_its_reason_and_the_others_their_answers(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.refused_texts = frozenset({TEXTS[3], TEXTS[250], TEXTS[251]})
    outcomes = outcomes_of(url)
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)] == [3, 250, 251]
    assert outcomes[3] == Failure("refused", "the text is refused")
    assert stand_in.requests["answered"] == 10
    assert max(stand_in.seen.values()) == 1


def test_a_refusal_that_does_not_say_where_is_narrowed_down(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.refused_silently = frozenset({TEXTS[42]})
    outcomes = outcomes_of(url, TEXTS[:100])
    assert outcomes.pop(42) == Failure("refused", "something in here is bad")
    assert all(isinstance(outcome, Prediction) for outcome in outcomes)


def test_a_text_that_makes_the_service_fail_does_not_take_others_with_it(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.poisonous_texts = frozenset({TEXTS[77]})
    outcomes = outcomes_of(url, TEXTS[:100], attempts=2)
    failed = outcomes.pop(77)
    assert isinstance(failed, Failure)
    assert "500" in failed.reason
    assert all(isinstance(outcome, Prediction) for outcome in outcomes)


def test_overload_is_waited_out_and_concurrency_goes_down(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.capacity = 2
    stand_in.behaviour.delay_s = 0.005
    assert_right(outcomes_of(url, texts_per_request=10, start_concurrency=16))
    assert stand_in.requests["429"] > 0


def test_retry_after_as_a_date_is_honoured(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.next_faults = ["429"]
    stand_in.behaviour.retry_after = formatdate(usegmt=True)
    assert_right(outcomes_of(url))


def test_a_wait_beyond_patience_is_not_begun(service: Service) -> None:
    url, stand_in = service
    stand_in.behaviour.next_faults = ["429"] * 100
    stand_in.behaviour.retry_after = "3600"
    with pytest.raises(UnavailableError, match="429"):
        outcomes_of(url)


def test_a_service_that_is_gone_ends_patience() -> None:
    with serving() as (url, _):
        pass
    with pytest.raises(UnavailableError, match="cannot connect"):
        outcomes_of(url, patience_s=0.3)


def test_the_key_is_sent_and_a_wrong_one_ends_at_once() -> None:
    with serving(Behaviour(api_key="secret-key")) as (url, stand_in):
        assert_right(outcomes_of(url, api_key="secret-key"))
        with pytest.raises(AccessError) as caught:
            outcomes_of(url, api_key="other-key")
        assert "other-key" not in str(caught.value)
        assert stand_in.requests.total() == 10


def test_a_wrong_address_ends_at_once(service: Service) -> None:
    with pytest.raises(UnexpectedAnswerError, match="404"):
        outcomes_of(service[0] + "/elsewhere")
