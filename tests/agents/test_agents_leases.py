"""Leases by two clocks: one that may jump, and one that never does."""

import pytest

from sweepkit.agents.leases import LeaseWatch
from sweepkit.model.records import LiveAttempt

LEASE_S = 60.0


class World:
    """An agent that renews every quarter of a lease, and a watcher that looks as often; two clocks."""

    def __init__(self):
        self.monotonic = self.wall = 1000.0
        self.until = self.wall + LEASE_S
        self.watch = LeaseWatch(LEASE_S, clock=lambda: self.monotonic)

    def attempt(self):
        return LiveAttempt(
            attempt_id="a-1", token="t", run_id="a", agent_id="", host="", pid=None,
            lease_until=self.until, expired=self.until <= self.wall,
        )  # fmt: skip

    def passes(self, seconds, *, renewed, looked=True):
        """Let time pass in quarters of a lease; return after how many seconds the lease was taken to be over."""
        for step in range(round(seconds / (LEASE_S / 4))):
            self.monotonic += LEASE_S / 4
            self.wall += LEASE_S / 4
            if renewed:
                self.until = self.wall + LEASE_S
            if looked:
                self.watch.look([self.attempt()])
                if self.watch.over(self.attempt()):
                    return (step + 1) * LEASE_S / 4
        return None


@pytest.mark.parametrize("jump_s", [3600.0, 86_400.0, -3600.0, 61.0])
def test_a_clock_that_jumps_takes_no_run_of_a_living_agent(jump_s):
    world = World()
    assert world.passes(120, renewed=True) is None
    world.wall += jump_s
    world.watch.look([world.attempt()])
    assert not world.watch.over(world.attempt())
    assert world.passes(600, renewed=True) is None


def test_the_run_of_a_dead_agent_is_taken_when_its_lease_is_over():
    world = World()
    assert world.passes(120, renewed=True) is None
    assert world.passes(600, renewed=False) == LEASE_S


def test_a_clock_that_jumps_back_makes_no_lease_endless():
    world = World()
    world.passes(120, renewed=True)
    world.wall -= 86_400
    assert world.passes(600, renewed=False) == 1.5 * LEASE_S


def test_who_comes_late_sees_for_itself_that_nobody_renews():
    world = World()
    world.passes(600, renewed=False, looked=False)
    assert world.passes(600, renewed=False) == LEASE_S * 3 / 4


def test_who_was_frozen_itself_gives_the_others_time_to_renew():
    world = World()
    world.passes(60, renewed=True)
    world.monotonic += 600  # the whole machine stood still, and only we have woken up yet
    world.wall += 600
    world.watch.look([world.attempt()])
    assert not world.watch.over(world.attempt())
    assert world.passes(600, renewed=True) is None
