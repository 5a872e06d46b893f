"""The cache of run views over a real record."""

import threading

import pytest

from sweepkit.agents.run_cache import RunCache, view_of
from sweepkit.model.audit import AUDIT
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store


class Record:
    """A sweep in a store; `claim` makes and claims its next run, `report` writes metric values of an attempt."""

    def __init__(self, path):
        self.store = open_store(path)
        self.sweep, _ = self.store.create_sweep("s", text="", seed=0, metric="m", goal="minimize")
        self.sweep_id = self.sweep.sweep_id
        self.sent = {}

    def claim(self, agent="a"):
        number = len(self.store.runs(self.sweep_id))
        params = {"x": number}
        return self.store.add_and_claim(self.sweep_id, number, params, agent_id=agent, host="h", lease_s=60)

    def report(self, attempt, *values):
        seq = self.sent.get(attempt.attempt_id, 0)
        reports = [Report(seq=seq + index, values={"m": value}) for index, value in enumerate(values)]
        self.store.report(attempt, reports, metric="m", goal="minimize")
        self.sent[attempt.attempt_id] = seq + len(values)


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path / "s.db")
    yield made
    made.store.close()


def test_a_refresh_returns_what_changed_and_only_that(record):
    cache = RunCache(record.store, record.sweep_id)
    assert cache.refresh() == [] and len(cache) == 0
    first, second = record.claim(), record.claim()
    assert [view.number for view in cache.refresh()] == [0, 1]
    assert cache.refresh() == []
    record.report(second, 0.5)
    (changed,) = cache.refresh()
    assert (changed.number, changed.history) == (1, (0.5,))
    record.store.finish(first, RunState.FINISHED, reason="exit code 0", summary=0.25)
    cache.refresh()
    assert cache.views() == [view_of(run) for run in record.store.runs(record.sweep_id)]
    assert [view.state for view in cache.views()] == [RunState.FINISHED, RunState.RUNNING]


def test_a_report_counts_once_whether_the_record_is_ahead_or_behind(record):
    cache = RunCache(record.store, record.sweep_id)
    attempt = record.claim()
    cache.begin(attempt.run)
    record.report(attempt, 3.0)
    cache.refresh()  # another worker looks between the record and the judge
    assert cache.extend(0, (3.0,)).history == (3.0,)
    cache.extend(0, (2.0,))  # the record is away: not written yet
    record.claim()
    record.store.started(attempt, pid=1)  # a write that makes the run change
    cache.refresh()
    assert cache.views()[0].history == (3.0, 2.0)
    record.report(attempt, 2.0)
    record.store.finish(attempt, RunState.FINISHED, reason="exit code 0")
    cache.refresh()
    assert cache.views()[0].history == (3.0, 2.0)


def test_a_run_that_another_agent_took_over_has_its_history(record):
    cache = RunCache(record.store, record.sweep_id)
    attempt = record.claim()
    cache.begin(attempt.run)
    cache.extend(0, (9.0,))
    assert record.store.lose(attempt.attempt_id, attempt.token, reason="lease over")
    taken = record.store.claim(record.sweep_id, agent_id="b", host="h2", lease_s=60)
    record.report(taken, 1.0)
    cache.refresh()
    assert cache.views()[0].history == (1.0,)
    assert cache.extend(0, (0.5,)).history == (1.0, 0.5)


def test_a_second_attempt_of_ours_begins_with_an_empty_history(record):
    cache = RunCache(record.store, record.sweep_id)
    attempt = record.claim()
    cache.begin(attempt.run)
    cache.extend(0, (9.0,))
    record.report(attempt, 9.0)
    record.store.finish(attempt, RunState.PENDING, reason="again", failure=True)
    cache.refresh()
    again = record.store.claim(record.sweep_id, agent_id="a", host="h", lease_s=60)
    cache.begin(again.run)
    (view,) = cache.views()
    assert (view.state, view.history) == (RunState.RUNNING, ())


def test_threads_may_extend_and_refresh_at_once(record):
    cache = RunCache(record.store, record.sweep_id)
    attempts = [record.claim() for _ in range(3)]
    for attempt in attempts:
        cache.begin(attempt.run)

    def work(attempt):
        for value in range(50):
            cache.extend(attempt.run.number, (float(value),))
            cache.refresh()

    threads = [threading.Thread(target=work, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [view.history for view in cache.views()] == [tuple(map(float, range(50)))] * 3


def test_a_rule_over_folds_sees_each_folds_own_value(record):
    """Of finished runs from the record, of our running one as it goes; only what came with the metric counts."""

    def tell(attempt, *rows):
        reports = [Report(seq=seq, values=values) for seq, values in enumerate(rows)]
        record.store.report(attempt, reports, metric="m", goal="minimize")
        return reports

    cache = RunCache(record.store, record.sweep_id, instances=("m", "fold_m"))
    done, lost, mine = record.claim(), record.claim("b"), record.claim()
    tell(done, {"m": 3.0, "fold_m": 3.0}, {"fold_m": 9.0}, {"m": 2.0, "fold_m": 1.0}, {"m": 7.0})
    tell(lost, {"m": 1.0, "fold_m": 1.0})
    record.store.finish(done, RunState.FINISHED, reason="exit code 0")
    cache.begin(mine.run)
    assert [view.instances for view in cache.refresh()] == [(3.0, 1.0), (), ()]
    for report in tell(mine, {"m": 4.0, "fold_m": 4.0}, {"m": 5.0, "fold_m": 6.0}):
        seen = cache.extend(mine.run.number, (report.values["m"],), cache.instances((report,)))
    assert (seen.history, seen.instances) == ((4.0, 5.0), (4.0, 6.0))
    cache.refresh()  # the record knows nothing of instances: ours stay
    assert cache.views()[2].instances == (4.0, 6.0)
    again = RunCache(record.store, record.sweep_id, instances=("m", "fold_m"))
    again.refresh()
    assert again.views()[0].instances == (3.0, 1.0)
    plain = RunCache(record.store, record.sweep_id)
    plain.refresh()
    assert {view.instances for view in plain.views()} == {()} and plain.instances(tell(lost)) == ()


def test_a_history_that_begins_anew_is_all_that_a_stopping_rule_sees(record):
    cache = RunCache(record.store, record.sweep_id)
    attempt = record.claim()
    cache.begin(attempt.run)
    record.report(attempt, 3.0, 2.0)
    cache.extend(0, (3.0, 2.0))
    cache.begin(attempt.run)
    assert cache.views()[0].history == ()
    cache.refresh()  # the record still has the history before
    assert cache.views()[0].history == ()
    record.store.begin_anew(attempt)
    assert cache.extend(0, (5.0,)).history == (5.0,)
    cache.refresh()
    assert cache.views()[0].history == (5.0,)


def test_a_run_has_made_its_last_report_when_it_has_as_many_as_every_finished_one(record):
    cache = RunCache(record.store, record.sweep_id)
    first, second, third = record.claim(), record.claim(), record.claim()
    for attempt in (first, second, third):
        cache.begin(attempt.run)
    assert not cache.has_made_all(cache.extend(1, (1.0, 2.0)))  # nobody knows yet
    record.report(first, 3.0, 2.0, 1.0)
    record.store.finish(first, RunState.FINISHED, reason="exit code 0")
    cache.refresh()
    assert not cache.has_made_all(cache.views()[1])
    assert cache.has_made_all(cache.extend(1, (0.5,)))
    assert not cache.has_made_all(cache.extend(1, (0.5,)))  # it goes on: its length is another
    record.report(third, 3.0)
    record.store.finish(third, RunState.FINISHED, reason="exit code 0")
    cache.refresh()
    record.claim()
    cache.refresh()
    assert not cache.has_made_all(cache.extend(3, (1.0, 1.0, 1.0)))  # lengths differ: none is the last


def test_stopped_and_audited_runs_are_counted_at_once_and_after_the_record_is_read_again(record):
    cache = RunCache(record.store, record.sweep_id)
    first, second = record.claim(), record.claim()
    for attempt in (first, second):
        cache.begin(attempt.run)
    cache.note_audit(1, {"report": 1, "reason": "worse"})
    assert cache.stops() == 1
    record.store.suggested(second, second.run.params, {**second.run.proposal, AUDIT: {"report": 1, "reason": "worse"}})
    record.store.finish(first, RunState.STOPPED, reason="worse")
    cache.refresh()
    assert cache.stops() == 2
    anew = RunCache(record.store, record.sweep_id)
    anew.refresh()
    assert anew.stops() == 2 and anew.views()[1].params == {"x": 1}


def test_counts_of_a_cache_are_those_of_its_views(record):
    cache = RunCache(record.store, record.sweep_id)
    waiting, valued, stopped = record.claim(), record.claim(), record.claim()
    for attempt in (waiting, valued, stopped):
        cache.begin(attempt.run)
    assert (cache.any_valued(), cache.stops(), cache.pending()) == (False, 0, [])
    record.store.release(waiting, reason="gone")
    record.store.finish(valued, RunState.FINISHED, reason="exit code 0")
    record.store.finish(stopped, RunState.STOPPED, reason="worse")
    cache.refresh()
    assert (cache.any_valued(), cache.stops(), [view.number for view in cache.pending()]) == (False, 1, [0])
    again = record.store.claim(record.sweep_id, agent_id="a", host="h", lease_s=60)
    record.report(again, 0.5)
    record.store.finish(again, RunState.FINISHED, reason="exit code 0")
    cache.refresh()
    assert (cache.any_valued(), cache.stops(), cache.pending()) == (True, 1, [])
