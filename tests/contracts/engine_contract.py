"""What every engine keeps. A test class inherits `EngineContract` and overrides `make_engine`."""

import json
from itertools import count
from math import inf, isfinite

import pytest

from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.search.base import Engine

D = Distribution

SAMPLES = {
    Kind.CONSTANT: D(kind=Kind.CONSTANT, values=(None,)),
    Kind.CATEGORICAL: D(kind=Kind.CATEGORICAL, values=(0, False, "", None, [1, 2], {"a": 0.5}, 1, True, 1.0, "1")),
    Kind.CATEGORICAL_W_PROBABILITIES: D(
        kind=Kind.CATEGORICAL_W_PROBABILITIES, values=("a", 0, "never", "b"), probabilities=(0.5, 0.3, 0.0, 0.2)
    ),
    Kind.INT_UNIFORM: D(kind=Kind.INT_UNIFORM, min=-2, max=3),
    Kind.UNIFORM: D(kind=Kind.UNIFORM, min=-1.0, max=2.5),
    Kind.Q_UNIFORM: D(kind=Kind.Q_UNIFORM, min=1, max=10, q=3),
    Kind.LOG_UNIFORM: D(kind=Kind.LOG_UNIFORM, min=-9.0, max=-2.0),
    Kind.LOG_UNIFORM_VALUES: D(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=0.1),
    Kind.Q_LOG_UNIFORM: D(kind=Kind.Q_LOG_UNIFORM, min=0, max=3, q=1),
    Kind.Q_LOG_UNIFORM_VALUES: D(kind=Kind.Q_LOG_UNIFORM_VALUES, min=1, max=100, q=8),
    Kind.INV_LOG_UNIFORM: D(kind=Kind.INV_LOG_UNIFORM, min=1.0, max=5.0),
    Kind.INV_LOG_UNIFORM_VALUES: D(kind=Kind.INV_LOG_UNIFORM_VALUES, min=1e-4, max=1.0),
    Kind.NORMAL: D(kind=Kind.NORMAL, mu=0.0, sigma=1.0),
    Kind.Q_NORMAL: D(kind=Kind.Q_NORMAL, mu=0.0, sigma=3.0, q=0.5),
    Kind.LOG_NORMAL: D(kind=Kind.LOG_NORMAL, mu=0.0, sigma=0.5),
    Kind.Q_LOG_NORMAL: D(kind=Kind.Q_LOG_NORMAL, mu=1.0, sigma=0.5, q=1.0),
    Kind.BETA: D(kind=Kind.BETA, a=2.0, b=3.0),
    Kind.Q_BETA: D(kind=Kind.Q_BETA, a=1.0, b=1.0, q=0.25),
}


def space_of(**distributions: Distribution) -> Space:
    """Return a space; `a__b` is the nested parameter b of a."""
    paths = {tuple(name.split("__")): distribution for name, distribution in distributions.items()}
    return Space(parameters=tuple(Parameter(path=path, distribution=paths[path]) for path in sorted(paths)))


def loss(params) -> float:
    """Return a smooth loss of any configuration, by its numbers."""
    total = 0.0
    for value in params.values():
        if isinstance(value, dict):
            total += loss(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            total += (min(value, 1e3) - 0.3) ** 2
        else:
            total += len(str(value)) / 10
    return total


def run_of(number: int, params, state=RunState.FINISHED, **fields) -> RunView:
    if state is RunState.FINISHED:
        fields.setdefault("history", (loss(params),))
        fields.setdefault("objectives", ((loss(params),), (1 / (1 + loss(params)),)))
    return RunView(number=number, run_id=f"r{number}", params=params, state=state, **fields)


def drive(engine: Engine, n: int, *, pending_every: int = 0) -> list[RunView]:
    """Ask and tell up to `n` times; every `pending_every`-th run stays pending. Return what was told."""
    said = []
    for number in range(n):
        proposal = engine.ask(number)
        if isinstance(proposal, Exhausted):
            break
        state = RunState.PENDING if pending_every and number % pending_every == 0 else RunState.FINISHED
        said.append(run_of(number, proposal.params, state, info=proposal.info))
        engine.tell(said[-1])
    return said


def through_json(value):
    return json.loads(json.dumps(value))


def key(params):
    return content_key(params)


class EngineContract:
    """Inherit, and give `engine` and, where not all 18 are possible, `kinds`."""

    kinds = tuple(Kind)
    asks = 16  # past the random start of the engines that have one

    def engine(self, space: Space, seed: int = 7) -> Engine:
        raise NotImplementedError

    finite = space_of(
        a=D(kind=Kind.CATEGORICAL, values=(0, False, None, [1], 2.0, 2)),
        b__c=D(kind=Kind.INT_UNIFORM, min=1, max=3),
        b__d=D(kind=Kind.CONSTANT, values=("x",)),
    )  # 5 * 3 points: 2.0 and 2 are one

    @pytest.fixture
    def mixed(self) -> Space:
        return space_of(**{f"p_{kind}": SAMPLES[kind] for kind in self.kinds})

    def test_the_same_seed_and_runs_give_the_same_proposals(self, mixed):
        first, second = drive(self.engine(mixed), self.asks), drive(self.engine(mixed), self.asks)
        assert [key(run.params) for run in first] == [key(run.params) for run in second]

    def test_asking_twice_gives_the_same(self):
        engine = self.engine(self.finite)
        drive(engine, 3)
        assert engine.ask(3) == engine.ask(3)

    @pytest.mark.parametrize("before_the_end", [1, 9])
    def test_an_engine_rebuilt_half_way_goes_on_alike(self, before_the_end):
        space = space_of(**{f"p_{kind}": SAMPLES[kind] for kind in self.kinds[1::2]})
        said = drive(self.engine(space), self.asks, pending_every=8)
        cut = max(len(said) - before_the_end, 0)
        rebuilt = self.engine(space)
        for run in said[:cut]:
            rebuilt.tell(run_of(run.number, run.params, RunState.RUNNING, info=run.info))
            rebuilt.tell(run)
        assert key(rebuilt.ask(cut).params) == key(said[cut].params)

    def test_a_record_in_json_changes_nothing(self):
        straight, through = self.engine(self.finite), self.engine(self.finite)
        for run in drive(straight, 12):
            through.tell(run_of(run.number, through_json(run.params), info=through_json(run.info)))
        assert key(through.ask(12).params) == key(straight.ask(12).params)

    @pytest.mark.parametrize("pending_every", [0, 1, 2])
    def test_a_finite_space_is_used_up_exactly_d27(self, pending_every):
        engine = self.engine(self.finite)
        said = drive(engine, 100, pending_every=pending_every)
        assert engine.total() == 15 == len(said)
        assert len({key(run.params) for run in said}) == 15
        end = engine.ask(15)
        assert isinstance(end, Exhausted) and "15" in end.reason

    def test_a_told_point_is_blocked_in_every_state(self):
        engine = self.engine(self.finite)
        said = []
        for number, state in zip(count(), RunState):
            said.append(key(engine.ask(number).params))
            engine.tell(run_of(number, engine.ask(number).params, state))
        assert len(set(said)) == len(RunState)

    def test_constants_alone_are_one_run_d29(self):
        engine = self.engine(space_of(a=SAMPLES[Kind.CONSTANT]))
        assert engine.total() == 1
        said = drive(engine, 5)
        assert [run.params for run in said] == [{"a": None}]

    def test_values_lie_in_the_support_and_are_native_d25(self):
        for kind in self.kinds:
            distribution = SAMPLES[kind]
            for run in drive(self.engine(space_of(x=distribution)), min(self.asks, 12)):
                value = run.params["x"]
                assert distribution.contains(value), (kind, value)
                assert type(value) in (int, float, str, bool, list, dict, type(None)), (kind, type(value))
                assert not isinstance(value, float) or isfinite(value)
                json.dumps(run.params, allow_nan=False)

    def test_params_are_nested(self):
        proposal = self.engine(self.finite).ask(0)
        assert isinstance(proposal, Proposal) and proposal.reason
        assert set(proposal.params) == {"a", "b"} and set(proposal.params["b"]) == {"c", "d"}
        assert list(self.finite.flatten(proposal.params)) == [p.path for p in self.finite.parameters]

    def test_a_program_cannot_change_the_space_through_its_params(self):
        engine = self.engine(space_of(a=D(kind=Kind.CATEGORICAL, values=([1],))))
        engine.ask(0).params["a"].append(2)
        assert engine.ask(0).params == {"a": [1]}

    def test_no_history_breaks_an_engine(self):
        engine = self.engine(self.finite)
        bad = [(float("nan"),), (inf, -inf), (1e308, -1e308), (), (5e-324,)]
        for number in range(15):
            state = list(RunState)[number % len(RunState)]
            proposal = engine.ask(number)
            engine.tell(run_of(number, proposal.params, state, history=bad[number % len(bad)], info=proposal.info))
        assert isinstance(engine.ask(15), Exhausted)

    def test_runs_of_another_space_are_harmless_d29(self):
        engine = self.engine(self.finite)
        engine.tell(run_of(0, {"a": "not listed", "b": {"c": 99}}))
        engine.tell(run_of(1, {}))
        assert isinstance(engine.ask(2), Proposal)
