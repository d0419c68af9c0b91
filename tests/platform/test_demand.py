"""When a chute has an instance: somebody asks for one, waits, uses it, and leaves it idle."""

from __future__ import annotations

import pytest

from rehearsal.demand import Demand
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_wish_that_nobody_renews_expires_after_an_hour(clock: Clock) -> None:
    demand = Demand(cold_for_s=97 * 60, clock=clock)
    demand.wish()
    clock.now += 98 * 60
    assert not demand.is_hot
    demand.wish()
    assert demand.num_starts == 2


def test_who_goes_on_calling_gets_an_instance_however_long_it_takes(clock: Clock) -> None:
    demand = Demand(cold_for_s=97 * 60, clock=clock)
    for _ in range(97):
        demand.wish()
        assert not demand.is_hot
        clock.now += 60
    assert demand.is_hot
    assert demand.num_starts == 1


def test_it_is_paid_for_until_it_has_been_idle_for_long_enough(clock: Clock) -> None:
    demand = Demand(cold_for_s=1200, shutdown_after_s=600, clock=clock)
    demand.wish()
    clock.now += 1200
    assert demand.is_hot
    clock.now += 500
    demand.used()
    clock.now += 599
    assert demand.is_hot
    clock.now += 3600
    assert not demand.is_hot
    assert demand.paid_s == 1100
    clock.now += 3600
    assert not demand.is_hot, "nobody has asked for another"


def test_a_scaled_hour_passes_in_a_minute(clock: Clock) -> None:
    demand = Demand(cold_for_s=1860, clock=clock, scale=60)
    demand.wish()
    clock.now += 30.9
    assert not demand.is_hot
    clock.now += 0.2
    assert demand.is_hot
