import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.stats.race import CANDIDATES, End, Race, Round, Step, plan_rounds
from sweepkit.stats.student import pool, quantile

WORDS = words_of(__file__)

EVERYONE = tuple((float(value),) for value in np.random.default_rng(0).normal(0.4, 0.01, size=40))
FIVE = tuple((0.43 - 0.001 * place,) for place in range(5))


def race(**changes):
    settings_ = {"sweep": FIVE, "rounds": plan_rounds(5, 15), "everyone": EVERYONE, "seed": 3} | changes
    return Race(**settings_)


def drawn(true, spread, seed=0):
    """Return what a run of a candidate scores with one of its seeds."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0, spread, size=(len(true), 40))
    return lambda pair: float(true[pair[0]] + table[pair])


def run(rules, score, *, dice=None):
    """Run a race to its end; return its scores. With dice the runs of a round end in any order."""
    scores = {}
    while isinstance(step := rules.next(scores), Step):
        pair = step.runs[0] if dice is None else step.runs[int(dice.integers(len(step.runs)))]
        scores[pair] = score(pair)
    return scores


# -- rounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates", "budget", "rounds"),
    [
        (5, 15, [(5, 1), (3, 2), (2, 2)]),
        (5, 30, [(5, 2), (3, 4), (2, 4)]),
        (5, 5, [(5, 1)]),
        (5, 3, [(3, 1)]),
        (4, 15, [(4, 2), (2, 3)]),
        (2, 15, [(2, 7)]),
        (1, 15, [(1, 5)]),
        (3, 1, [(1, 1)]),
    ],
)
def test_the_rounds_of_a_budget(candidates, budget, rounds):
    assert [(item.keep, item.each) for item in plan_rounds(candidates, budget)] == rounds


@given(candidates=st.integers(1, CANDIDATES), budget=st.integers(1, 200))
@settings(max_examples=examples(100), deadline=None)
def test_rounds_keep_to_the_budget_and_use_it(candidates, budget):
    rounds = plan_rounds(candidates, budget)
    used = sum(item.keep * item.each for item in rounds)
    keeps = [item.keep for item in rounds]
    assert 1 <= used <= budget and keeps == sorted(keeps, reverse=True) and keeps[0] == min(candidates, budget)
    assert candidates == 1 or budget == 1 or budget - used < min(2, keeps[0])


# -- who runs next ----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.0005, 0.003, 0.02]))
@settings(max_examples=examples(60), deadline=None)
def test_the_order_in_which_runs_end_changes_nothing(seed, spread):
    score = drawn([0.42, 0.421, 0.419, 0.422, 0.418], spread, seed)
    there = run(race(), score)
    again = run(race(), score, dice=np.random.default_rng(seed))
    assert there == again and race().next(there) == race().next(again)
    assert len(there) <= 15 and all(candidate in range(5) for candidate, _ in there)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=examples(40), deadline=None)
def test_a_race_that_is_read_back_at_any_point_goes_on_alike(seed):
    score = drawn([0.42, 0.421, 0.419, 0.422, 0.418], 0.003, seed)
    whole = run(race(), score)
    done = {}
    while isinstance(step := race().next(done), Step):  # a new race for every run: it remembers nothing
        done[step.runs[0]] = score(step.runs[0])
    assert done == whole


def test_each_round_runs_the_best_by_sweep_and_fresh_scores_with_the_next_seeds():
    rules = race(level=1.0)
    first = rules.next({})
    assert first == Step(round=0, runs=((0, 0), (1, 0), (2, 0), (3, 0), (4, 0)))
    scores = {(0, 0): 0.40, (1, 0): 0.43, (2, 0): 0.42, (3, 0): 0.433, (4, 0): 0.40}
    second = rules.next(scores)
    assert second == Step(round=1, runs=((3, 1), (1, 1), (2, 1), (3, 2), (1, 2), (2, 2)))
    one_of_it = rules.next(scores | {(3, 1): 0.5})
    assert one_of_it == Step(round=1, runs=((1, 1), (2, 1), (3, 2), (1, 2), (2, 2)))


def test_the_sweep_score_counts_for_the_cut():
    rules = Race(sweep=((0.9,), (0.1,), (0.1,)), rounds=(Round(keep=3, each=1), Round(keep=2, each=1)), level=1.0)
    step = rules.next({(0, 0): 0.30, (1, 0): 0.35, (2, 0): 0.40})  # by fresh scores alone 0 would drop out
    assert isinstance(step, Step) and {candidate for candidate, _ in step.runs} == {0, 2}


# -- its end ----------------------------------------------------------------------------------------------------------


def test_a_clear_lead_ends_it_early_and_noise_does_not():
    clear = race()
    scores = run(clear, drawn([0.50, 0.42, 0.41, 0.40, 0.40], 0.001))
    end = clear.next(scores)
    assert isinstance(end, End) and end.kind == "chance" and len(scores) == 11
    assert clear.standing(scores).places[0].candidate == 0 and clear.standing(scores).places[0].chance > 0.95
    level = race()
    scores = run(level, drawn([0.42] * 5, 0.01))
    assert len(scores) == 15 and level.next(scores) == End(reason="all 15 runs of the race are made", kind="budget")


def test_equal_ones_end_it_when_told_what_equal_is():
    rules = race(rope=0.02, sweep=tuple((0.42,) for _ in range(5)))
    scores = run(rules, drawn([0.42] * 5, 0.001, seed=4))
    end = rules.next(scores)
    assert len(scores) == 11 and end.kind in ("rope", "chance")
    if end.kind == "rope":
        assert len(end.equal) == 3 and end.reason == WORDS["all-that-are"]
    assert any(
        race(rope=0.02, sweep=rules.sweep).next(run(rules, drawn([0.42] * 5, 0.001, seed=s))).kind == "rope"
        for s in range(5)
    )


def test_one_round_alone_never_ends_early_though_the_sweep_tells_a_spread():
    rules = race(rounds=(Round(keep=5, each=1), Round(keep=2, each=1)))
    step = rules.next({(place, 0): 0.5 if place == 0 else 0.1 for place in range(5)})
    assert isinstance(step, Step) and step.round == 1


def test_seeds_that_change_nothing_end_it_and_say_so():
    rules = race()
    scores = run(rules, lambda pair: 0.4 if pair[0] < 2 else 0.3)
    end = rules.next(scores)
    assert isinstance(end, End) and end.kind == "seedless" and len(scores) == 11


def test_one_collapsed_seed_does_not_cost_the_best_its_place():
    score = drawn([0.45, 0.42, 0.42, 0.41, 0.40], 0.002, seed=6)
    scores = run(race(level=1.0), lambda pair: score(pair) - (0.1 if pair == (0, 1) else 0.0))
    assert race(level=1.0).standing(scores).places[0].candidate == 0


# -- what it came to --------------------------------------------------------------------------------------------------


def test_a_standing_in_numbers():
    rules = race(level=1.0)
    scores = run(rules, drawn([0.42, 0.43, 0.41, 0.40, 0.40], 0.002, seed=1))
    found = rules.standing(scores)
    fresh = [[score for (c, _), score in sorted(scores.items()) if c == place] for place in range(5)]
    shared = pool(fresh)
    assert found.spread == shared and shared.df == 10 and not found.fallback
    assert sum(place.chance for place in found.places) == pytest.approx(1.0)
    assert [place.rounds for place in found.places] == [3, 3, 2, 1, 1]
    for place in found.places:
        mine = fresh[place.candidate]
        half = quantile(0.975, 10) * shared.sd / len(mine) ** 0.5
        assert place.mean == pytest.approx(np.mean(mine))
        assert place.low <= place.mean <= place.high and place.low < place.estimate < place.high
        assert half < place.high - place.low < 6 * half
        assert place.optimism == pytest.approx(FIVE[place.candidate][0] - np.mean(mine))
    leader = found.places[0]
    assert leader.candidate == 1 and leader.tied and not found.places[-1].tied


def test_a_score_is_drawn_towards_the_mean_of_the_sweep_the_more_the_fewer_runs_it_has():
    rules = race(level=1.0)
    found = rules.standing(run(rules, drawn([0.43] * 5, 0.004, seed=2)))
    for place in found.places:
        every = np.mean([*FIVE[place.candidate], *place.fresh])
        assert min(every, 0.4) < place.estimate < max(every, 0.41)


def test_seeds_that_change_nothing_give_sentences_and_no_division_by_zero():
    rules = race()
    scores = run(rules, lambda pair: 0.4 if pair[0] < 2 else 0.3)
    found = rules.standing(scores)
    assert found.spread.sd == 0 and {place.candidate for place in found.places[:2]} == {0, 1}
    assert [place.low for place in found.places] == [place.mean for place in found.places]
    assert all(np.isfinite(place.chance) for place in found.places)


def test_a_candidate_whose_runs_fail_ranks_behind_and_cannot_be_the_best():
    rules = race(level=1.0)
    score = drawn([0.5, 0.42, 0.41, 0.40, 0.40], 0.002)
    scores = run(rules, lambda pair: None if pair == (0, 1) else score(pair))
    found = rules.standing(scores)
    failing = next(place for place in found.places if place.candidate == 0)
    assert failing.lost == 1 and failing.chance == 0.0 and found.places[0].candidate != 0 and not failing.tied


def test_nothing_has_a_value():
    rules = race()
    scores = run(rules, lambda pair: None)
    found = rules.standing(scores)
    assert len(scores) == 15 and all(place.mean is None and place.chance is None for place in found.places)


def test_a_single_candidate_and_a_sweep_of_one_run():
    rules = Race(sweep=((0.4,),), rounds=plan_rounds(1, 15), everyone=((0.4,),))
    scores = run(rules, drawn([0.38], 0.01))
    (place,) = rules.standing(scores).places
    assert len(scores) == 5 and place.chance == 1.0 and place.low < place.mean < place.high


def test_one_fresh_run_each_borrows_its_spread_from_the_sweep_and_says_so():
    rules = race(rounds=plan_rounds(5, 5))
    found = rules.standing(run(rules, drawn([0.42] * 5, 0.01)))
    assert found.fallback and found.spread.df == 5 and found.places[0].low is not None
