"""Which run a GPU gets beside others: rule by rule, and on simulated GPUs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_gpu import Simulation, runs_per_hour, works

from sweepkit.scheduling.gpu_needs import Gains, Need, Pace
from sweepkit.scheduling.packing import AtOnce, GpuRoom, Waiting, choose, describe, most_at_once, unfit

FOUR = AtOnce(most=4, reason="")


def waiting(number, gib, *, alone=False):
    need = Need(memory_mb=None if gib is None else 1024.0 * gib, reason="")
    return Waiting(run_id=str(number), number=number, need=need, alone=alone)


def room(*runs, foreign_gib=0.0):
    return GpuRoom(name="gpu 0", total_mb=81_920.0, foreign_mb=1024.0 * foreign_gib, runs=runs)


def chosen(place, *runs, at_once=FOUR, newest=0):
    return choose(place, runs, at_once, newest=newest).run_id


def paces(**unit_s):
    """Return twelve paces of each number of runs at once: one=1.0, two=1.1."""
    numbers = {"one": 1, "two": 2, "three": 3}
    return Gains(
        paces=tuple(
            Pace(params={}, at_once=numbers[name], unit_s=value * (1 + 0.01 * (n % 3)))
            for name, value in unit_s.items()
            for n in range(12)
        )
    )


def test_an_empty_gpu_takes_the_first_run_whatever_it_needs():
    assert chosen(room(), waiting(3, None), waiting(4, 1)) == "3"
    assert chosen(room(), waiting(3, 500, alone=True)) == "3"
    assert choose(room(), [], FOUR, newest=0).more


def test_the_largest_that_fits_goes_beside():
    assert chosen(room(waiting(0, 40)), waiting(1, 45), waiting(2, 10), waiting(3, 30)) == "3"
    assert chosen(room(waiting(0, 40), foreign_gib=35), waiting(1, 45), waiting(2, 10)) is None
    assert choose(room(waiting(0, 40)), [waiting(1, 45)], FOUR, newest=0).more


@pytest.mark.parametrize(
    ("there", "new"),
    [
        (waiting(0, None), waiting(1, 1)),
        (waiting(0, 1), waiting(1, None)),
        (waiting(0, 1, alone=True), waiting(1, 1)),
        (waiting(0, 1), waiting(1, 1, alone=True)),
    ],
)
def test_beside_what_is_not_known_nothing_is_put(there, new):
    assert unfit(room(there), new, FOUR)
    assert chosen(room(there), new) is None


def test_what_needs_a_larger_gpu_waits_for_it_alone():
    little = GpuRoom(name="gpu 1", total_mb=20_480.0, foreign_mb=0.0, largest=False)
    assert chosen(little, waiting(1, 40), waiting(2, 10), newest=99) == "2"
    assert "larger GPU" in choose(little, [waiting(1, 40)], FOUR, newest=0).reason
    assert chosen(room(), waiting(1, 400)) == "1"  # nowhere is more: it is tried


def test_a_run_that_many_overtook_is_waited_for():
    big, small = waiting(1, 60), waiting(30, 5)
    assert chosen(room(waiting(2, 40)), big, small, newest=10) == "30"
    placed = choose(room(waiting(2, 40)), [big, small], FOUR, newest=20)
    assert placed.run_id is None and not placed.more
    assert chosen(room(), big, small, newest=20) == "1"


def test_no_more_than_looked_ahead_wait():
    held = [waiting(n, 60) for n in range(1, 5)]
    assert not choose(room(waiting(0, 40)), held, FOUR, newest=0).more
    full = choose(room(*(waiting(n, 1) for n in range(4))), held, FOUR, newest=0)
    assert full.run_id is None and not full.more


def test_packing_is_undone_where_it_gives_nothing():
    assert most_at_once(paces()).most == 1
    assert most_at_once(paces(one=1.0)).most == 2
    assert most_at_once(paces(one=1.0, two=2.1)).most == 1
    assert most_at_once(paces(one=1.0, two=1.1)).most == 3
    undone = most_at_once(paces(one=1.0, two=1.1, three=1.8))
    assert undone.most == 2 and "3 at once gave 1.67 ×" in undone.reason


def test_what_cannot_be_told_apart_is_measured_in_turn():
    unit_s = {1: (1.0, 1.6, 0.8), 2: (2.5, 1.4, 1.9)}
    few = [Pace(params={}, at_once=number, unit_s=value) for number, values in unit_s.items() for value in values]
    assert most_at_once(Gains(paces=tuple(few))).most == 1
    more = [*few, Pace(params={}, at_once=1, unit_s=1.1)]
    assert most_at_once(Gains(paces=tuple(more))).most == 2


def test_a_gpu_is_described():
    said = describe(room(waiting(0, 21), waiting(1, 20)), paces(one=1.0, two=1.1), FOUR)
    assert said.startswith("2 runs on gpu 0: 41 of 80 GiB, 1.8 × the runs per hour")


# -- on simulated GPUs ------------------------------------------------------------------------------------------------

SEEDS = st.integers(0, 10_000)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(SEEDS, st.floats(100, 400), st.sampled_from([(81_920.0,), (81_920.0, 40_960.0)]))
def test_memory_that_follows_the_law_is_never_exceeded(seed, unit_mb, gpus):
    mix = works(40, seed=seed, unit_mb=unit_mb * min(gpus) / 81_920.0)
    assert Simulation(mix, gpus=gpus, seed=seed).run().out_of_memory == 0


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(SEEDS, st.floats(0.05, 0.15), st.floats(0.15, 0.35))
def test_small_runs_make_half_as_many_more_an_hour_at_least(seed, low, high):
    outcome, gain = runs_per_hour(works(48, seed=seed, load=(low, high)), seed=seed, memory_noise=0.02)
    assert gain >= 1.5 and outcome.placed_beside > 24


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(SEEDS, st.sampled_from([600.0, 45_000.0]), st.floats(0.0, 0.1))
def test_runs_that_fill_the_gpu_lose_next_to_nothing(seed, base_mb, overhead):
    _, gain = runs_per_hour(works(60, seed=seed, base_mb=base_mb, load=(1.0, 1.0)), seed=seed, overhead=overhead)
    assert gain >= 0.95


@pytest.mark.slow
def test_an_unlawful_memory_fails_at_the_stated_rate_and_every_run_ends():
    placed = failed = 0
    for seed in range(4):
        mix = works(40, seed=seed, unit_mb=400, base_mb=9_000)
        outcome = Simulation(mix, seed=seed, memory_noise=0.25).run()
        placed, failed = placed + outcome.placed_beside, failed + outcome.out_of_memory
    assert placed > 40 and failed <= 0.05 * placed
