"""A store beside a model of a few dictionaries: whatever calls are made, both must tell the same."""

import itertools
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sweepkit.errors import FencedError
from sweepkit.model.runs import RunState
from sweepkit.store.base import AttemptState, Report, SweepState

AGENT = {"agent_id": "a", "host": "h"}
DONE = [state for state in RunState if state.done]
_names = itertools.count()


@dataclass
class ModelRun:
    params: dict
    state: RunState = RunState.PENDING
    reports: dict = field(default_factory=dict)  # seq -> values, of the last attempt
    failures: int = 0
    attempts: list = field(default_factory=list)  # states

    def history(self):
        return [self.reports[seq]["m"] for seq in sorted(self.reports) if "m" in self.reports[seq]]

    def last(self):
        merged = {}
        for seq in sorted(self.reports):
            merged.update(self.reports[seq])
        return merged


@dataclass
class ModelAttempt:
    attempt: object
    number: int
    live: bool = True
    expired: bool = False


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, store):
        super().__init__()
        self.store = store
        record, made = store.create_sweep(f"machine-{next(_names)}", text="", seed=0, metric="m", goal="maximize")
        assert made
        self.sweep = record.sweep_id
        self.open = True
        self.runs = []
        self.attempts = []
        self.mark = 0
        self.copy = {}  # what a reader that follows `since` knows

    def _claimed(self, attempt, number, lease_s):
        run = self.runs[number]
        run.state = RunState.RUNNING
        run.reports = {}
        run.attempts.append(AttemptState.LIVE)
        assert (attempt.run.number, attempt.ordinal) == (number, len(run.attempts))
        self.attempts.append(ModelAttempt(attempt, number, expired=lease_s <= 0))

    def _pick(self, data):
        return data.draw(st.sampled_from(self.attempts))

    def _end(self, model, state, attempt_state):
        model.live = False
        run = self.runs[model.number]
        run.state = state
        run.attempts[model.attempt.ordinal - 1] = attempt_state

    def _write(self, model, call):
        """Return True when the call went through; it must be fenced exactly when the attempt is over."""
        if model.live:
            call()
            return True
        with pytest.raises(FencedError):
            call()
        return False

    @rule(offset=st.sampled_from([0, 0, 0, 0, 1, -1]), cap=st.sampled_from([None, None, 3, 6]), value=st.floats())
    def add(self, offset, cap, value):
        number = len(self.runs) + offset
        run = self.store.add_run(self.sweep, number, {"v": value}, cap=cap)
        allowed = self.open and offset == 0 and (cap is None or len(self.runs) < cap)
        assert (run is not None) == allowed
        if allowed:
            self.runs.append(ModelRun({"v": value}))

    @rule(lease_s=st.sampled_from([60.0, -5.0]))
    def claim(self, lease_s):
        attempt = self.store.claim(self.sweep, lease_s=lease_s, **AGENT)
        pending = [number for number, run in enumerate(self.runs) if run.state is RunState.PENDING]
        assert (attempt is not None) == bool(self.open and pending)
        if attempt is not None:
            self._claimed(attempt, pending[0], lease_s)

    @rule(lease_s=st.sampled_from([60.0, -5.0]), offset=st.sampled_from([0, 0, 1]))
    def add_and_claim(self, lease_s, offset):
        number = len(self.runs) + offset
        attempt = self.store.add_and_claim(self.sweep, number, {"한": "글"}, lease_s=lease_s, **AGENT)
        assert (attempt is not None) == (self.open and offset == 0)
        if attempt is not None:
            self.runs.append(ModelRun({"한": "글"}))
            self._claimed(attempt, number, lease_s)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def started(self, data):
        model = self._pick(data)
        self._write(model, lambda: self.store.started(model.attempt, pid=5))

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        rows=st.lists(
            st.tuples(
                st.integers(0, 12),
                st.dictionaries(st.sampled_from(["m", "정확도"]), st.floats(width=32) | st.integers(-5, 5)),
            ),
            max_size=5,
        ),
    )
    def report(self, data, rows):
        model = self._pick(data)
        reports = [Report(seq=seq, values=values) for seq, values in rows]
        if self._write(model, lambda: self.store.report(model.attempt, reports, metric="m", goal="maximize")):
            for seq, values in rows:
                self.runs[model.number].reports.setdefault(seq, values)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), state=st.sampled_from([RunState.PENDING, *DONE]), failure=st.booleans())
    def finish(self, data, state, failure):
        model = self._pick(data)
        if self._write(model, lambda: self.store.finish(model.attempt, state, reason="왜", failure=failure)):
            self._end(model, state, AttemptState.DONE)
            self.runs[model.number].failures += failure

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def release(self, data):
        model = self._pick(data)
        if self._write(model, lambda: self.store.release(model.attempt, reason="back")):
            self._end(model, RunState.PENDING, AttemptState.RELEASED)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def lose(self, data):
        model = self._pick(data)
        assert self.store.lose(model.attempt.attempt_id, model.attempt.token, reason="gone") == model.live
        if model.live:
            self._end(model, RunState.PENDING, AttemptState.LOST)

    @rule(lease_s=st.sampled_from([60.0, -5.0]))
    def renew(self, lease_s):
        gone = self.store.renew([model.attempt for model in self.attempts], lease_s=lease_s)
        assert gone == [model.attempt.attempt_id for model in self.attempts if not model.live]
        for model in self.attempts:
            model.expired = lease_s <= 0

    @rule(states=st.sets(st.sampled_from(DONE)))
    def retry(self, states):
        hit = [number for number, run in enumerate(self.runs) if run.state in states]
        assert [run.number for run in self.store.retry(self.sweep, states)] == hit
        for number in hit:
            self.runs[number].state = RunState.PENDING
            self.runs[number].failures = 0

    @rule(state=st.sampled_from([SweepState.RUNNING, SweepState.RUNNING, SweepState.PAUSED]))
    def set_state(self, state):
        self.store.update_sweep(self.sweep, state=state)
        self.open = state is SweepState.RUNNING

    @invariant()
    def runs_agree(self):
        records = self.store.runs(self.sweep)
        assert len(records) == len(self.runs)
        for number, (record, model) in enumerate(zip(records, self.runs, strict=True)):
            assert (record.number, record.state) == (number, model.state)
            assert str(dict(record.params)) == str(model.params)
            assert (record.failures, record.attempts) == (model.failures, len(model.attempts))
            assert str([float(v) for v in model.history()]) == str(list(record.history))
            assert str(sorted(model.last().items())) == str(sorted(record.last_metrics.items()))
            finite = [value for value in model.history() if math.isfinite(value)]
            assert (record.best_metrics.get("m") == max(finite)) if finite else (record.best_metrics == {})

    @invariant()
    def a_follower_agrees(self):
        for run in self.store.runs(self.sweep, since=self.mark):
            self.copy[run.number] = run
            self.mark = max(self.mark, run.change)
        assert str([self.copy[number] for number in sorted(self.copy)]) == str(self.store.runs(self.sweep))

    @invariant()
    def attempts_agree(self):
        live = {record.attempt_id: record.expired for record in self.store.live_attempts(self.sweep)}
        assert live == {model.attempt.attempt_id: model.expired for model in self.attempts if model.live}
        counts = self.store.counts(self.sweep)
        assert counts == {
            state: sum(run.state is state for run in self.runs)
            for state in RunState
            if any(run.state is state for run in self.runs)
        }
