"""Several seeds for each configuration: who gets which seed when, what the inner engine sees, and after a kill."""

import random
from dataclasses import replace

import pytest
from depth import examples
from engine_contract import run_of, space_of, through_json
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SweepKitError
from sweepkit.model.configurations import configuration_of
from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.metric import Metric
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView, Wait
from sweepkit.model.seeds import seed_of_run
from sweepkit.search.grid import GridEngine
from sweepkit.search.make import make_engine
from sweepkit.search.seeded import SeededEngine, averaged_prior
from sweepkit.sweep_config.read import from_config
from sweepkit.sweep_config.sweep import Seeds

WORDS = words_of(__file__)

SPACE = space_of(x=Distribution(kind=Kind.CATEGORICAL, values=(0, 1, 2, 3, 4)))
LOSS = Metric(name="loss")


class Spy:
    """An engine that remembers what it is told and which numbers it is asked for."""

    def __init__(self, inner):
        self.inner = inner
        self.views = {}
        self.asked = []

    def tell(self, run):
        self.views[run.number] = run
        self.inner.tell(run)

    def ask(self, number):
        self.asked.append(number)
        return self.inner.ask(number)

    def total(self):
        return self.inner.total()


def seeded(seeds=None, *, inner=None, objectives=(LOSS,), path=("seed",)):
    return SeededEngine(inner or GridEngine(SPACE), seeds or Seeds(seeds=(1, 2, 3)), objectives=objectives, path=path)


def begun(number, proposal, state=RunState.RUNNING, **fields):
    return RunView(
        number=number,
        run_id=f"r{number}",
        params=proposal.params,
        state=state,
        info=through_json(dict(proposal.info)),
        **fields,
    )


def ended(run, value, state=RunState.FINISHED):
    return replace(run, state=state, history=(value,))


def ask_and_begin(engine, number):
    run = begun(number, engine.ask(number))
    engine.tell(run)
    return run


def test_the_first_seeds_are_due_at_once_and_the_next_when_they_ended():
    spy = Spy(GridEngine(SPACE))
    engine = seeded(inner=spy)
    runs = [ask_and_begin(engine, number) for number in range(4)]
    assert [run.params for run in runs] == [{"x": x, "seed": seed} for x in (0, 1) for seed in (1, 2)]
    assert [configuration_of(run) for run in runs] == [0, 0, 1, 1]
    engine.tell(ended(runs[0], 1.0))
    assert ask_and_begin(engine, 4).params == {"x": 2, "seed": 1}  # 0 waits for its second seed
    assert spy.views[0].state is RunState.RUNNING and spy.views[0].history == (1.0,)
    engine.tell(ended(runs[1], 3.0))
    again = engine.ask(5)
    assert again.params == {"x": 0, "seed": 3} and "configuration 0 again, seed 3 (3 of 3)" in again.reason
    engine.tell(ended(begun(5, again), 2.0))
    assert engine.ask(6).params == {"x": 2, "seed": 2}
    assert (spy.views[0].state, spy.views[0].history, spy.views[0].params) == (RunState.FINISHED, (2.0,), {"x": 0})
    assert spy.asked == [0, 1, 2] and engine.total() == 15


def test_without_a_race_all_seeds_are_due_at_once():
    engine = seeded(Seeds(seeds=(7, 5), stop_worse=False))
    runs = [ask_and_begin(engine, number) for number in range(10)]
    assert [(run.params["x"], run.params["seed"]) for run in runs] == [(x, seed) for x in range(5) for seed in (7, 5)]
    assert isinstance(engine.ask(10), Exhausted)


def play(engine, score, n=100):
    """Run to the end, one run at a time; return the runs."""
    runs = []
    for number in range(n):
        proposal = engine.ask(number)
        if isinstance(proposal, Exhausted):
            break
        run = begun(number, proposal)
        runs.append(ended(run, score(run)))
        engine.tell(runs[-1])
    return runs


def test_a_configuration_that_is_clearly_worse_gets_no_further_seed():
    runs = play(seeded(Seeds(seeds=(1, 2, 3, 4))), lambda run: run.params["x"] + 0.01 * run.params["seed"])
    counts = [sum(run.params["x"] == x for run in runs) for x in range(5)]
    assert counts[0] == 4 and counts[2:] == [2, 2, 2]


def test_configurations_that_cannot_be_told_apart_get_all_their_seeds():
    dice = random.Random(0)
    runs = play(seeded(Seeds(seeds=(1, 2, 3, 4))), lambda run: dice.gauss(0, 1))
    assert len(runs) >= 18


def test_a_program_that_ignores_its_seed_shows_no_noise_to_judge_by():
    assert len(play(seeded(), lambda run: float(run.params["x"]))) == 15


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.DIVERGED, RunState.STOPPED])
def test_a_seed_that_ended_badly_is_the_last_of_its_configuration(state):
    spy = Spy(GridEngine(SPACE))
    engine = seeded(inner=spy)
    engine.tell(ended(ask_and_begin(engine, 0), 1.0))
    bad = ended(begun(1, engine.ask(1)), 5.0, state)
    engine.tell(bad)
    assert engine.ask(2).params == {"x": 1, "seed": 1}
    told = spy.views[0]
    if state is RunState.FAILED:
        assert (told.state, told.history) == (RunState.FINISHED, (1.0,))
    else:
        assert (told.state, told.history) == (state, (1.0,) if state is RunState.DIVERGED else (3.0,))
    engine.tell(replace(bad, state=RunState.PENDING, history=()))  # --retry-failed
    engine.ask(2)
    assert spy.views[0].state is RunState.RUNNING
    engine.tell(ended(bad, 2.0))
    assert engine.ask(2).params == {"x": 0, "seed": 3}


def test_at_the_end_of_a_grid_it_waits_for_verdicts_and_is_then_exhausted():
    engine = seeded(
        Seeds(seeds=(1, 2, 3)), inner=GridEngine(space_of(x=Distribution(kind=Kind.CATEGORICAL, values=(0,))))
    )
    runs = [ask_and_begin(engine, number) for number in range(2)]
    assert isinstance(engine.ask(2), Wait)
    for run in runs:
        engine.tell(ended(run, 1.0))
    last = ask_and_begin(engine, 2)
    assert last.params == {"x": 0, "seed": 3} and isinstance(engine.ask(3), Exhausted)
    engine.tell(ended(last, 1.0))
    assert isinstance(engine.ask(3), Exhausted)


def test_with_several_metrics_the_means_are_told_and_nothing_is_stopped():
    spy = Spy(GridEngine(SPACE))
    engine = seeded(Seeds(seeds=(1, 2)), inner=spy, objectives=(LOSS, Metric(name="size")))
    for number, values in enumerate([((1.0,), (10.0,)), ((3.0,), (20.0,))]):
        engine.tell(replace(begun(number, engine.ask(number)), state=RunState.FINISHED, objectives=values))
    engine.ask(2)
    assert spy.views[0].objectives == ((2.0,), (15.0,)) and spy.views[0].state is RunState.FINISHED


def test_more_seeds_in_the_yaml_go_to_the_configurations_that_are_there():
    runs = play(seeded(Seeds(seeds=(1, 2), stop_worse=False)), lambda run: 1.0)
    engine = seeded(Seeds(seeds=(1, 2, 9), stop_worse=False))
    for run in runs:
        engine.tell(run)
    assert [ask_and_begin(engine, 10 + x).params for x in range(5)] == [{"x": x, "seed": 9} for x in range(5)]
    assert isinstance(engine.ask(15), Exhausted)


def _config(**own):
    return {"method": "grid", "metric": {"name": "loss"}, "parameters": {"x": {"values": [1, 2]}}, "sweepkit": own}


def test_the_engine_of_a_sweep_with_seeds_puts_them_where_the_program_looks():
    spec = from_config(_config(seeds_per_run=[3, 4]))
    assert make_engine(spec, seed=0).ask(0).params == {"x": 1, "seed": 3}
    assert make_engine(spec, seed=0).total() == 4
    blind = from_config(_config(seeds_per_run=2, seed_parameter=None))
    proposal = make_engine(blind, seed=0).ask(0)
    run = begun(0, proposal)
    assert proposal.params == {"x": 1} and seed_of_run(run, None) == 1
    nested = _config(seeds_per_run=2, seed_parameter="opt.seed")
    nested["parameters"] = {"opt": {"parameters": {"lr": {"values": [1, 2]}}}}
    assert make_engine(from_config(nested), seed=0).ask(0).params == {"opt": {"lr": 1, "seed": 1}}


def test_prior_runs_with_several_seeds_are_one_observation():
    spec = from_config(_config(seeds_per_run=2))
    prior = [run_of(0, {"x": 1, "seed": seed}, history=(float(seed),)) for seed in (1, 2, 6)]
    told = averaged_prior([*prior, run_of(3, {"x": 2}, history=(5.0,))], spec)
    assert [(view.number, view.params, view.history) for view in told] == [(0, {"x": 1}, (3.0,)), (1, {"x": 2}, (5.0,))]


def test_a_space_that_suggests_the_seed_itself_is_refused():
    space = space_of(seed=Distribution(kind=Kind.CATEGORICAL, values=(1, 2)))
    with pytest.raises(SweepKitError, match=WORDS["seed-gets-the"]):
        seeded(inner=GridEngine(space)).ask(0)


# -- in any order of completion ---------------------------------------------------------------------------------------

STATES = st.sampled_from([RunState.FINISHED] * 6 + [RunState.FAILED, RunState.DIVERGED, RunState.STOPPED])
SETTINGS = st.builds(
    lambda n, stop, least: Seeds(seeds=tuple(range(1, n + 1)), stop_worse=stop, min_seeds=min(least, n)),
    st.integers(2, 4),
    st.booleans(),
    st.integers(1, 3),
)
ENGINES = {"grid": {}, "random": {"method": "random"}, "tpe": {"method": "bayes", "sweepkit": {"sampler": "tpe"}}}


def engine_of(kind, seeds):
    config = {
        "method": "grid",
        "metric": {"name": "loss"},
        "parameters": {"x": {"values": [0, 1, 2]}, "y": {"values": [1, 2]}},
    }
    spec = from_config({**config, **ENGINES[kind]})
    spec = replace(spec, extensions=replace(spec.extensions, seeds_per_run=seeds))
    return make_engine(spec, seed=3)


@settings(max_examples=examples(60), deadline=None)
@given(
    kind=st.sampled_from(sorted(ENGINES)),
    seeds=SETTINGS,
    workers=st.integers(1, 4),
    data=st.data(),
    dice=st.integers(0, 999).map(random.Random),
)
def test_whatever_ends_when_it_can_be_rebuilt_and_no_configuration_gets_too_many(kind, seeds, workers, data, dice):
    engine = engine_of(kind, seeds)
    record, live = {}, []
    for _ in range(200):
        proposal = engine.ask(len(record)) if len(live) < workers else None
        if proposal is not None:
            rebuilt = engine_of(kind, seeds)
            for number in sorted(record):
                rebuilt.tell(record[number])
            assert rebuilt.ask(len(record)) == proposal
        if isinstance(proposal, Proposal):
            run = begun(len(record), proposal)
            record[run.number] = run
            live.append(run.number)
            engine.tell(run)
            continue
        if isinstance(proposal, Exhausted) and not live:
            break
        assert live, "it waits, and nothing runs that could end"
        number = live.pop(dice.randrange(len(live)))
        value = record[number].params["x"] + dice.gauss(0, 0.3)
        record[number] = ended(record[number], value, data.draw(STATES))
        engine.tell(record[number])
    check_record(engine, record, seeds)


def check_record(engine, record, seeds):
    by_content, by_number = {}, {}
    for run in record.values():
        bare = {key: value for key, value in run.params.items() if key != "seed"}
        by_content.setdefault(content_key(bare), []).append(run)
        by_number.setdefault(configuration_of(run), []).append(run)
    assert sorted(by_number) == list(range(6)) and len(by_content) == 6, "a finite space: each point once"
    for runs in by_content.values():
        given_ = [run.params["seed"] for run in runs]
        assert len(set(given_)) == len(given_) <= len(seeds.seeds) and set(given_) <= set(seeds.seeds)
        if all(run.state is RunState.FINISHED for run in runs):
            assert len(runs) >= seeds.min_seeds
            assert seeds.stop_worse or len(runs) == len(seeds.seeds)
    assert engine.total() == 6 * len(seeds.seeds) >= len(record)


@settings(max_examples=examples(60), deadline=None)
@given(seeds=SETTINGS, workers=st.integers(1, 4), data=st.data(), dice=st.integers(0, 999).map(random.Random))
def test_the_inner_engine_sees_one_view_of_each_configuration_and_its_mean(seeds, workers, data, dice):
    spy = Spy(GridEngine(SPACE))
    engine = seeded(seeds, inner=spy)
    record, live = {}, []
    for _ in range(100):
        proposal = engine.ask(len(record)) if len(live) < workers else None
        groups = {}
        for run in record.values():
            groups.setdefault(configuration_of(run), []).append(run)
        assert set(spy.views) <= set(groups) and spy.asked == sorted(spy.asked)
        for number, view in spy.views.items() if proposal is not None else ():
            runs = groups[number]
            assert view.number == number and view.params == {"x": runs[0].params["x"]}
            if any(not run.state.done for run in runs):
                assert view.state is RunState.RUNNING
            values = [run.history[0] for run in runs if run.state in (RunState.FINISHED, RunState.STOPPED)]
            if values:
                assert view.history == pytest.approx((sum(values) / len(values),))
        if isinstance(proposal, Proposal):
            run = begun(len(record), proposal)
            record[run.number] = run
            live.append(run.number)
            engine.tell(run)
        elif live:
            number = live.pop(dice.randrange(len(live)))
            record[number] = ended(record[number], dice.gauss(0, 1), data.draw(STATES))
            engine.tell(record[number])
        else:
            break
    assert {configuration_of(run) for run in record.values()} == set(range(5))
