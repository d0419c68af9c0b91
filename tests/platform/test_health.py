"""When the server takes an instance out of service, and when it deletes it."""

from __future__ import annotations

import pytest

from rehearsal.health import InstanceHealth
from tests.clock import Clock


def failing(health: InstanceHealth, times: int) -> None:
    for _ in range(times):
        health.failed(500)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_seven_failures_in_a_row_disable_an_instance_for_90_seconds(clock: Clock) -> None:
    health = InstanceHealth(clock)
    failing(health, 6)
    health.succeeded()
    failing(health, 6)
    assert health.is_available
    failing(health, 1)
    assert not health.is_available
    clock.now += 89
    assert not health.is_available
    clock.now += 1
    assert health.is_available


def test_the_sixth_time_within_an_hour_deletes_it(clock: Clock) -> None:
    health = InstanceHealth(clock)
    failing(health, 6)
    for times in range(1, 6):
        failing(health, 1)
        clock.now += 90 * times - 1
        assert not health.is_available
        clock.now += 1
        assert health.is_available
    failing(health, 1)
    assert health.is_deleted


def test_what_is_an_hour_old_does_not_count(clock: Clock) -> None:
    health = InstanceHealth(clock)
    failing(health, 6)
    for _ in range(10):
        failing(health, 1)
        clock.now += 1000
    assert not health.is_deleted


def test_failures_of_a_disabled_instance_do_not_disable_it_again(clock: Clock) -> None:
    health = InstanceHealth(clock)
    failing(health, 60)
    assert not health.is_deleted
    clock.now += 90
    assert health.is_available


def test_a_success_of_a_disabled_instance_enables_it(clock: Clock) -> None:
    health = InstanceHealth(clock)
    failing(health, 7)
    health.succeeded()
    assert health.is_available
    failing(health, 6)
    assert health.is_available


def test_in_an_outage_of_the_platform_none_is_deleted(clock: Clock) -> None:
    health = InstanceHealth(clock, num_others_failing=49)
    for _ in range(6):
        failing(health, 7)
        clock.now += 500
    assert not health.is_deleted
    assert health.is_available


def test_a_426_deletes_it_at_once() -> None:
    health = InstanceHealth()
    health.failed(426)
    assert health.is_deleted
