"""What every store must do: `sweepkit.store.base`, promise by promise.

A test class inherits `StoreContract` and gives the fixture `url`, which names a store that does not exist yet.
"""

import hashlib
import math
import random
import threading
import time
from dataclasses import replace

import pytest
from depth import examples, few
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from processes import Victim, at_once
from store_machine import StoreMachine

from sweepkit.errors import ConflictError, FencedError, StoreError
from sweepkit.model.runs import RunState
from sweepkit.store.base import AttemptState, Report, SweepState, Unsent
from sweepkit.store.open import open_store

AGENT = {"agent_id": "agent-1", "host": "host-1", "lease_s": 60.0}
METRIC = {"metric": "loss", "goal": "minimize"}


def new_sweep(store, name="first", **more):
    values = {"text": "method: random", "seed": 7, "metric": "loss", "goal": "minimize", **more}
    return store.create_sweep(name, **values)[0].sweep_id


def claim_new(store, sweep, number, params=None):
    attempt = store.add_and_claim(sweep, number, params or {"lr": 0.1}, **AGENT)
    assert attempt is not None
    return attempt


def reports(*values, start=0):
    return [Report(seq=start + i, values={"loss": v}, step=i, time=float(i)) for i, v in enumerate(values)]


def the_run(store, sweep, number=0):
    return next(run for run in store.runs(sweep) if run.number == number)


def check_invariants(store, sweep):
    """Everything that must hold of a sweep at any moment, whoever died where."""
    runs = store.runs(sweep)
    assert [run.number for run in runs] == list(range(len(runs)))
    live = store.live_attempts(sweep)
    assert len({attempt.run_id for attempt in live}) == len(live)
    assert {attempt.run_id for attempt in live} == {run.run_id for run in runs if run.state is RunState.RUNNING}
    assert sum(store.counts(sweep).values()) == len(runs)
    for run in runs:
        attempts = store.attempts(run.run_id)
        assert [attempt.ordinal for attempt in attempts] == list(range(1, run.attempts + 1))
        assert run.failures <= run.attempts
        assert sum(attempt.state is AttemptState.LIVE for attempt in attempts) == (run.state is RunState.RUNNING)
        rows = store.reports(run.run_id)
        assert [row.seq for row in rows] == list(range(len(rows)))
        assert run.history == tuple(row.values["loss"] for row in rows)
        assert (run.ended_at is not None) == run.state.done


class StoreContract:
    @pytest.fixture
    def store(self, url):
        with open_store(url) as store:
            yield store

    # --- kept files ---
    def test_files_are_kept_byte_by_byte_and_leave_with_their_sweep(self, store):
        sweep, other = new_sweep(store), new_sweep(store, "other")
        run = store.add_run(sweep, 0, {"lr": 0.1}).run_id
        every = bytes(range(256)) * 5000
        for owner, name, data in ((sweep, "a", every), (run, "a", b""), (other, "a", b"x"), ("code", "가", b"y")):
            assert store.kept_file(owner, name) is None
            store.keep_file(owner, name, data)
        store.keep_file(other, "a", b"z")
        assert store.kept_file(sweep, "a") == every and store.kept_file(run, "a") == b""
        store.forget_file(other, "b")  # that there is none is fine
        store.keep_file(other, "c", b"")
        store.forget_file(other, "c")
        assert store.kept_files(other) == {"a": hashlib.sha256(b"z").hexdigest()}
        store.remove_sweep(sweep)
        assert store.kept_files(sweep) == store.kept_files(run) == {}
        assert store.kept_file(other, "a") == b"z" and store.kept_file("code", "가") == b"y"

    def test_two_who_keep_the_first_file_at_once(self, url):
        open_store(url).close()

        def keep(number):
            with open_store(url) as store:
                store.keep_file("code", f"{number}", b"x")

        at_once(4, keep)
        with open_store(url) as store:
            assert sorted(store.kept_files("code")) == [f"{number}" for number in range(4)]

    # --- sweeps ---
    def test_sweep_is_created_once_and_read_back(self, store):
        made, new = store.create_sweep(
            "요약 스윕",
            text="name: 요약\n",
            seed=2**70,
            metric="eval/rouge",
            goal="maximize",
            family="요약",
            generation=3,
            meta={"프로그램": "train.py", "n": [1, 2.5, None]},
        )
        assert new
        again, new = store.create_sweep("요약 스윕", text="other", seed=1, metric=None, goal=None)
        assert (again, new) == (made, False)
        assert store.sweep("요약 스윕") == made
        assert store.sweep("nobody") is None
        assert (made.text, made.seed, made.generation, made.family) == ("name: 요약\n", 2**70, 3, "요약")
        assert made.meta == {"프로그램": "train.py", "n": [1, 2.5, None]}
        assert made.state is SweepState.RUNNING and abs(made.created_at - store.now()) < 60
        assert len(made.sweep_id) == 8 and made.sweep_id.isalnum() and made.sweep_id.lower() == made.sweep_id

    def test_sweeps_of_a_family_come_oldest_generation_first(self, store):
        for name, generation in (("a-3", 3), ("a", 1), ("a-2", 2)):
            new_sweep(store, name, family="a", generation=generation)
        new_sweep(store, "b")
        assert [sweep.name for sweep in store.sweeps("a")] == ["a", "a-2", "a-3"]
        assert {sweep.name for sweep in store.sweeps()} == {"a", "a-2", "a-3", "b"}
        assert store.sweep("b").family == "b"

    def test_update_sweep_changes_only_what_is_given(self, store):
        sweep = new_sweep(store, meta={"a": 1, "b": {"x": 1}})
        before = store.sweep("first")
        after = store.update_sweep(sweep, state=SweepState.PAUSED, reason="by hand", meta={"b": 2, "c": 3})
        assert after == replace(before, state=SweepState.PAUSED, reason="by hand", meta={"a": 1, "b": 2, "c": 3})
        assert store.update_sweep(sweep, text="더").text == "더" and store.sweep("first").reason == "by hand"
        with pytest.raises(StoreError, match="nosuchid"):
            store.update_sweep("nosuchid", text="x")

    # --- adding ---
    def test_add_run_wants_the_next_number_a_running_sweep_and_room_under_the_cap(self, store):
        sweep = new_sweep(store)
        assert store.add_run(sweep, 1, {}) is None
        run = store.add_run(
            sweep, 0, {"옵티마": {"lr": 1e-5, "이름": "아담"}, "l": [1, None]}, proposal={"reason": "격자"}
        )
        assert (run.number, run.state, run.reason, run.attempts, run.history) == (0, RunState.PENDING, "", 0, ())
        assert run.params == {"옵티마": {"lr": 1e-5, "이름": "아담"}, "l": [1, None]}
        assert run.proposal == {"reason": "격자"} and run.ended_at is None
        assert store.runs(sweep) == [run]
        assert store.add_run(sweep, 0, {}) is None
        assert store.add_run(sweep, 1, {}, cap=1) is None
        assert store.add_run(sweep, 1, {}, cap=2) is not None
        for state in (SweepState.PAUSED, SweepState.FINISHED, SweepState.CANCELLED):
            store.update_sweep(sweep, state=state)
            assert store.add_run(sweep, 2, {}) is None
            assert store.add_and_claim(sweep, 2, {}, **AGENT) is None
        assert store.counts(sweep) == {RunState.PENDING: 2}

    def test_an_unknown_sweep_is_an_error_and_not_an_endless_ask_again(self, store):
        for call in (
            lambda: store.add_run("nosuchid", 0, {}),
            lambda: store.add_and_claim("nosuchid", 0, {}, **AGENT),
            lambda: store.claim("nosuchid", **AGENT),
        ):
            with pytest.raises(StoreError, match="nosuchid"):
                call()

    def test_params_that_json_cannot_hold_are_refused_by_name(self, store):
        with pytest.raises(StoreError, match="run 0: params"):
            store.add_run(new_sweep(store), 0, {"x": object()})

    def test_odd_text_is_kept_or_escaped_but_never_an_error(self, store):
        sweep = new_sweep(store, text="a\0b")
        attempt = claim_new(store, sweep, 0, {"nul\0": "a\0b", "half": "\udc80", "한": "글"})
        assert the_run(store, sweep).params == {"nul\0": "a\0b", "half": "\udc80", "한": "글"}
        run = store.finish(attempt, RunState.FAILED, reason="bad \0 \udc80 이유")
        assert run.reason == "bad \\0 \\udc80 이유"

    # --- claiming ---
    def test_claim_takes_the_lowest_pending_run_and_empties_it(self, store):
        sweep = new_sweep(store)
        assert store.claim(sweep, **AGENT) is None
        for number in range(3):
            store.add_run(sweep, number, {"n": number})
        first = store.claim(sweep, **AGENT)
        assert (first.run.number, first.ordinal, first.attempt_id) == (0, 1, f"{first.run.run_id}-1")
        assert first.run.state is RunState.RUNNING and first.run.reason and first.run.attempts == 1
        assert first.run == the_run(store, sweep)
        store.report(first, reports(1.0, 2.0), **METRIC)
        store.finish(first, RunState.PENDING, reason="oom", outcome={"exit_code": 1}, failure=True)
        again = store.claim(sweep, **AGENT)
        assert (again.run.number, again.ordinal, again.run.history, again.run.failures) == (0, 2, (), 1)
        assert again.run.best_metrics == {} and again.run.last_metrics == {}
        assert again.run.outcome == {"exit_code": 1}  # what the attempt before ended with
        assert again.token != first.token
        assert store.claim(sweep, **AGENT).run.number == 1
        store.update_sweep(sweep, state=SweepState.PAUSED)
        assert store.claim(sweep, **AGENT) is None

    def test_claim_passes_over_what_is_excluded(self, store):
        sweep = new_sweep(store)
        runs = [store.add_run(sweep, number, {"n": number}) for number in range(3)]
        exclude = {runs[0].run_id, runs[1].run_id, "nobody"}
        assert store.claim(sweep, **AGENT, exclude=exclude).run.number == 2
        assert store.claim(sweep, **AGENT, exclude=exclude) is None
        assert [run.state for run in store.runs(sweep)].count(RunState.PENDING) == 2
        assert store.claim(sweep, **AGENT, exclude=[]).run.number == 0

    def test_attempts_for_gpus_are_seen_by_their_host_alone_while_they_live(self, store):
        sweep = new_sweep(store)
        other = new_sweep(store, "second")
        for number, target in ((0, sweep), (1, sweep), (0, other)):
            store.add_run(target, number, {"n": number})
        who = {"agent_id": "a", "lease_s": 60}
        first = store.claim(sweep, host="h", gpus=("GPU-1",), **who)
        second = store.claim(other, host="h", gpus=("GPU-1", "GPU-2"), **who)
        store.claim(sweep, host="elsewhere", gpus=("GPU-1",), **who)
        found = store.gpu_attempts("h")
        assert found[0].claimed_at <= found[1].claimed_at  # of one millisecond the order is any
        known = {item.attempt_id: (item.gpus, dict(item.run.params)) for item in found}
        both = ("GPU-1", "GPU-2")
        assert known == {first.attempt_id: (("GPU-1",), {"n": 0}), second.attempt_id: (both, {"n": 0})}
        store.finish(first, RunState.FINISHED, reason="", outcome={"exit_code": 0})
        store.release(second, reason="")
        assert store.gpu_attempts("h") == []
        assert store.attempts(first.run.run_id)[0].outcome == {"exit_code": 0}
        assert store.attempts(second.run.run_id)[0].outcome == {}
        store.claim(other, agent_id="a", host="h", lease_s=-1, gpus=("GPU-1",))
        assert store.gpu_attempts("h") == []  # its lease is over

    def test_add_and_claim_is_both(self, store):
        sweep = new_sweep(store)
        attempt = store.add_and_claim(sweep, 0, {"a": 1}, proposal={"r": "왜"}, cap=1, **AGENT)
        assert attempt.run == the_run(store, sweep)
        assert (attempt.ordinal, attempt.run.state, attempt.run.proposal) == (1, RunState.RUNNING, {"r": "왜"})
        assert store.add_and_claim(sweep, 1, {}, cap=1, **AGENT) is None
        assert store.add_and_claim(sweep, 5, {}, **AGENT) is None
        check_invariants(store, sweep)

    @pytest.mark.slow
    def test_numbers_have_no_gaps_and_the_cap_holds_under_eight_processes(self, store, url):
        sweep = new_sweep(store)

        def agent(index):
            mine = []
            with open_store(url) as own:
                while len(own.runs(sweep)) < 40:
                    attempt = own.add_and_claim(sweep, len(own.runs(sweep)), {"by": index}, cap=40, **AGENT)
                    if attempt is not None:
                        mine.append(attempt.run.number)
            return mine

        numbers = [number for mine in at_once(8, agent) for number in mine]
        assert sorted(numbers) == list(range(40))
        check_invariants(store, sweep)

    @pytest.mark.slow
    def test_no_run_is_claimed_twice_by_eight_processes(self, store, url):
        sweep = new_sweep(store)
        for number in range(40):
            store.add_run(sweep, number, {})

        def agent(index):
            mine = []
            with open_store(url) as own:
                while (attempt := own.claim(sweep, **AGENT)) is not None:
                    mine.append(attempt.run.number)
            return mine

        numbers = [number for mine in at_once(8, agent) for number in mine]
        assert sorted(numbers) == list(range(40))
        check_invariants(store, sweep)

    def test_threads_of_one_process_share_a_store(self, store):
        sweep = new_sweep(store)
        for number in range(30):
            store.add_run(sweep, number, {})
        done, errors = [], []

        def worker():
            try:
                while (attempt := store.claim(sweep, **AGENT)) is not None:
                    store.report(attempt, reports(1.0), **METRIC)
                    done.append(store.finish(attempt, RunState.FINISHED, reason="ok").number)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=worker) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors and sorted(done) == list(range(30))
        check_invariants(store, sweep)

    @pytest.mark.slow
    def test_two_processes_create_one_sweep(self, url):
        def create(index):
            with open_store(url) as own:
                record, new = own.create_sweep("same", text=str(index), seed=index, metric=None, goal=None)
                return record.sweep_id, new

        results = at_once(8, create)
        assert len({sweep_id for sweep_id, _ in results}) == 1
        assert sum(new for _, new in results) == 1

    # --- the life of an attempt ---
    def test_started_records_the_process(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        assert the_run(store, sweep).started_at is None
        (live,) = store.live_attempts(sweep)
        assert (live.pid, live.agent_id, live.host, live.token) == (None, "agent-1", "host-1", attempt.token)
        store.started(attempt, pid=4321, device="cuda:0")
        (live,) = store.live_attempts(sweep)
        assert (live.pid, live.attempt_id, live.run_id) == (4321, attempt.attempt_id, attempt.run.run_id)
        (record,) = store.attempts(attempt.run.run_id)
        assert (record.device, record.state, record.pid) == ("cuda:0", AttemptState.LIVE, 4321)
        assert the_run(store, sweep).started_at == record.started_at >= record.claimed_at

    def test_what_is_unsent_is_recorded_with_the_end_as_if_it_had_come_before(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(0.5), **METRIC)
        unsent = Unsent(pid=4321, device="cuda:0", age_s=0.25, reports=reports(0.5, 0.25), **METRIC)
        run = store.finish(attempt, RunState.FINISHED, reason="exit code 0", unsent=unsent)
        assert run == the_run(store, sweep)
        assert run.history == (0.5, 0.25) and run.best_metrics == {"loss": 0.25}
        assert [report.seq for report in store.reports(run.run_id)] == [0, 1]
        (record,) = store.attempts(run.run_id)
        assert (record.state, record.pid, record.device) == (AttemptState.DONE, 4321, "cuda:0")
        assert record.started_at == run.started_at
        assert 0.2 < run.ended_at - run.started_at

    def test_nothing_that_is_unsent_is_recorded_of_an_attempt_that_is_not_live(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        assert store.lose(attempt.attempt_id, attempt.token, reason="its agent died")
        unsent = Unsent(pid=4321, reports=reports(0.5), **METRIC)
        with pytest.raises(FencedError):
            store.finish(attempt, RunState.FINISHED, reason="exit code 0", unsent=unsent)
        assert the_run(store, sweep).state is RunState.PENDING
        assert store.reports(attempt.run.run_id, attempt_id=attempt.attempt_id) == []

    def test_finish_ends_the_run_with_everything_known(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(0.5), **METRIC)
        run = store.finish(
            attempt, RunState.STOPPED, reason="밴드 3", outcome={"exit_code": -15, "호스트": "가"}, summary=math.inf
        )
        assert run == the_run(store, sweep)
        assert (run.state, run.reason, run.summary) == (RunState.STOPPED, "밴드 3", math.inf)
        assert run.outcome == {"exit_code": -15, "호스트": "가"} and run.ended_at >= run.created_at
        assert run.history == (0.5,) and run.failures == 0 and store.live_attempts(sweep) == []
        (record,) = store.attempts(run.run_id)
        assert (record.state, record.reason, record.ended_at) == (AttemptState.DONE, "밴드 3", run.ended_at)

    def test_a_nan_summary_comes_back(self, store):
        run = store.finish(
            claim_new(store, new_sweep(store), 0), RunState.DIVERGED, reason="nan", summary=math.nan, failure=True
        )
        assert math.isnan(run.summary) and run.failures == 1

    def test_finish_refuses_running(self, store):
        attempt = claim_new(store, new_sweep(store), 0)
        with pytest.raises(ValueError, match="RUNNING"):
            store.finish(attempt, RunState.RUNNING, reason="?")

    def test_release_counts_for_nothing(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.release(attempt, reason="Ctrl-C")
        run = the_run(store, sweep)
        assert (run.state, run.reason, run.attempts, run.failures) == (RunState.PENDING, "", 1, 0)
        assert store.attempts(run.run_id)[0].state is AttemptState.RELEASED
        assert store.attempts(run.run_id)[0].reason == "Ctrl-C"
        assert store.claim(sweep, **AGENT).ordinal == 2

    def test_lose_is_compare_and_set(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        assert not store.lose(attempt.attempt_id, "0" * 32, reason="?")
        assert not store.lose("nobody-1", attempt.token, reason="?")
        assert the_run(store, sweep) == attempt.run
        assert store.lose(attempt.attempt_id, attempt.token, reason="its process is gone")
        assert not store.lose(attempt.attempt_id, attempt.token, reason="again")
        run = the_run(store, sweep)
        assert (run.state, run.failures, run.attempts) == (RunState.PENDING, 0, 1)
        (record,) = store.attempts(run.run_id)
        assert (record.state, record.reason) == (AttemptState.LOST, "its process is gone")

    @pytest.mark.slow
    def test_only_one_of_eight_processes_loses_an_attempt(self, store, url):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)

        def reclaim(index):
            with open_store(url) as own:
                return own.lose(attempt.attempt_id, attempt.token, reason=f"by {index}")

        assert sum(at_once(8, reclaim)) == 1
        check_invariants(store, sweep)

    @pytest.mark.parametrize("end", ["lose", "release", "finish", "retaken"])
    def test_a_stale_token_changes_nothing(self, store, end):
        sweep = new_sweep(store)
        old = claim_new(store, sweep, 0)
        store.report(old, reports(1.0), **METRIC)
        if end == "finish":
            store.finish(old, RunState.FINISHED, reason="done")
        elif end == "release":
            store.release(old, reason="given back")
        else:
            assert store.lose(old.attempt_id, old.token, reason="lost")
        if end == "retaken":
            store.report(store.claim(sweep, **AGENT), reports(5.0), **METRIC)
        before = store.runs(sweep), store.attempts(old.run.run_id), store.reports(old.run.run_id)
        for write in (
            lambda: store.started(old, pid=1),
            lambda: store.report(old, reports(9.0, start=5), **METRIC),
            lambda: store.report(old, [], **METRIC),
            lambda: store.finish(old, RunState.FINISHED, reason="late"),
            lambda: store.release(old, reason="late"),
        ):
            with pytest.raises(FencedError, match=old.attempt_id):
                write()
        assert store.renew([old], lease_s=60) == [old.attempt_id]
        assert (store.runs(sweep), store.attempts(old.run.run_id), store.reports(old.run.run_id)) == before

    def test_a_forged_token_is_fenced(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        with pytest.raises(FencedError):
            store.finish(replace(attempt, token="0" * 32), RunState.FINISHED, reason="no")
        assert the_run(store, sweep) == attempt.run

    # --- leases ---
    def test_leases_follow_the_database_clock_and_not_the_host(self, store, monkeypatch):
        before = store.now()
        monkeypatch.setattr(time, "time", lambda: 5.0)  # a host whose clock stands in 1970
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        assert before + 60 - 0.01 <= attempt.lease_until <= store.now() + 60 + 0.01
        (live,) = store.live_attempts(sweep)
        assert (live.lease_until, live.expired) == (attempt.lease_until, False)
        assert store.renew([attempt], lease_s=-1.0) == []
        assert store.live_attempts(sweep)[0].expired
        assert store.renew([attempt], lease_s=600.0) == []  # late, but nobody has declared it lost
        (live,) = store.live_attempts(sweep)
        assert not live.expired and live.lease_until > attempt.lease_until

    def test_renew_names_those_that_are_gone(self, store):
        sweep = new_sweep(store)
        attempts = [claim_new(store, sweep, number) for number in range(3)]
        store.lose(attempts[1].attempt_id, attempts[1].token, reason="gone")
        assert store.renew(attempts, lease_s=60) == [attempts[1].attempt_id]
        assert store.renew([], lease_s=60) == []

    def test_a_renewal_is_no_change_of_the_run(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.renew([attempt], lease_s=60)
        assert store.runs(sweep, since=attempt.run.change) == []

    # --- reports ---
    def test_reports_come_back_with_nan_infinities_and_korean(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        given = [
            Report(seq=0, values={"loss": 3.0, "정확도": 0.1}, step=10, time=1.5),
            Report(seq=1, values={"loss": math.nan, "정확도": math.inf}),
            Report(seq=2, values={"other": -math.inf, "flag": True}, step=2**80),
            Report(seq=3, values={"loss": 1, "big": 10**400, "정확도": 0.3}),
            Report(seq=4, values={"loss": 2.0}),
        ]
        store.report(attempt, given[:2], **METRIC)
        store.report(attempt, given[2:], **METRIC)
        run = the_run(store, sweep)
        assert str(run.history) == "(3.0, nan, 1.0, 2.0)"
        assert run.best_metrics == {"loss": 1, "big": math.inf, "정확도": 0.3}
        assert run.last_metrics == {"loss": 2.0, "정확도": 0.3, "other": -math.inf, "flag": 1, "big": math.inf}
        back = store.reports(run.run_id)
        assert [row.seq for row in back] == [0, 1, 2, 3, 4]
        assert back[0] == given[0]
        assert math.isnan(back[1].values["loss"]) and back[1].values["정확도"] == math.inf
        assert (back[2].values, back[2].step) == ({"other": -math.inf, "flag": 1}, None)
        assert store.reports(run.run_id, attempt_id=attempt.attempt_id) == store.reports(run.run_id)[:1] + back[1:]

    def test_best_follows_the_goal(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        rows = [Report(seq=i, values={"acc": v, "i": i}) for i, v in enumerate([0.2, 0.9, math.inf, 0.4])]
        store.report(attempt, rows, metric="acc", goal="maximize")
        assert the_run(store, sweep).best_metrics == {"acc": 0.9, "i": 1}

    def test_without_a_metric_there_is_no_history_and_no_best(self, store):
        sweep = new_sweep(store, metric=None, goal=None)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(1.0), metric=None, goal=None)
        run = the_run(store, sweep)
        assert (run.history, run.best_metrics, run.last_metrics) == ((), {}, {"loss": 1.0})

    def test_a_resend_is_harmless(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(3.0, 2.0), **METRIC)
        before = the_run(store, sweep)
        store.report(attempt, reports(3.0, 2.0), **METRIC)
        store.report(attempt, reports(9.0, 9.0), **METRIC)
        assert the_run(store, sweep) == before
        store.report(attempt, reports(9.0, 9.0, 1.0), **METRIC)
        assert the_run(store, sweep).history == (3.0, 2.0, 1.0)
        assert [row.values["loss"] for row in store.reports(before.run_id)] == [3.0, 2.0, 1.0]

    def test_reports_out_of_order_are_put_in_order(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, [*reports(5.0, start=3), *reports(4.0, start=1)], **METRIC)
        store.report(attempt, [*reports(1.0, start=0), *reports(9.0, start=1)], **METRIC)
        assert the_run(store, sweep).history == (1.0, 4.0, 5.0)
        assert the_run(store, sweep).last_metrics == {"loss": 5.0}
        assert the_run(store, sweep).best_metrics == {"loss": 1.0}

    def test_a_history_that_begins_anew_holds_nothing_of_the_one_before(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        store.report(attempt, reports(*range(2000)), **METRIC)
        store.begin_anew(attempt)
        run = the_run(store, sweep)
        assert (run.history, dict(run.best_metrics), dict(run.last_metrics)) == ((), {}, {})
        store.report(attempt, reports(5.0, 7.0), **METRIC)
        run = the_run(store, sweep)
        assert run.history == (5.0, 7.0) and (run.best_metrics, run.last_metrics) == ({"loss": 5.0}, {"loss": 7.0})
        check_invariants(store, sweep)
        store.finish(attempt, RunState.FINISHED, reason="")
        with pytest.raises(FencedError):
            store.begin_anew(attempt)

    def test_what_was_suggested_while_it_ran_is_the_runs_configuration(self, store):
        sweep = new_sweep(store)
        attempt = store.add_and_claim(sweep, 0, {}, proposal={"reason": "a trial"}, **AGENT)
        before = the_run(store, sweep).change
        noted = {"reason": "a trial", "suggestions": {"x": {"value": 0.5, "distribution": {"name": "F"}}}}
        store.suggested(attempt, {"x": 0.5}, noted)
        run = the_run(store, sweep)
        assert (run.params, run.proposal, run.state) == ({"x": 0.5}, noted, RunState.RUNNING) and run.change > before
        store.finish(attempt, RunState.FINISHED, reason="done")
        with pytest.raises(FencedError):
            store.suggested(attempt, {"x": 1.0}, {})
        assert the_run(store, sweep).params == {"x": 0.5}

    def test_a_long_history_comes_back_whole(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        values = [random.Random(1).random() + i for i in range(2000)]
        for start in range(0, 2000, 100):
            store.report(attempt, reports(*values[start : start + 100], start=start), **METRIC)
        assert the_run(store, sweep).history == tuple(values)
        run = store.finish(attempt, RunState.PENDING, reason="again")
        assert run.history == tuple(values) == store.runs(sweep, since=run.change - 1)[0].history
        second = store.claim(sweep, **AGENT)
        store.report(second, reports(7.0), **METRIC)
        assert the_run(store, sweep).history == (7.0,)
        assert len(store.reports(run.run_id, attempt_id=attempt.attempt_id)) == 2000
        store.report(second, reports(*values, start=3), **METRIC)
        store.report(second, reports(8.0, start=1), **METRIC)  # out of order: made anew from the reports
        assert the_run(store, sweep).history == (7.0, 8.0, *values)

    def test_bad_reports_are_refused_whole(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        with pytest.raises(StoreError, match="seq"):
            store.report(attempt, [*reports(1.0), Report(seq=-1, values={})], **METRIC)
        with pytest.raises(StoreError, match="numbers"):
            store.report(attempt, [*reports(1.0), Report(seq=1, values={"loss": "high"})], **METRIC)
        assert store.reports(attempt.run.run_id) == []

    # --- reading ---
    def test_every_write_of_a_run_raises_its_change(self, store):
        sweep = new_sweep(store)
        seen = [store.add_run(sweep, 0, {}).change]
        attempt = store.claim(sweep, **AGENT)
        steps = (
            lambda: None,
            lambda: store.started(attempt, pid=1),
            lambda: store.report(attempt, reports(1.0), **METRIC),
            lambda: store.finish(attempt, RunState.FAILED, reason="x"),
            lambda: store.retry(sweep, [RunState.FAILED]),
        )
        for step in steps:
            step()
            (run,) = store.runs(sweep, since=seen[-1])
            seen.append(run.change)
            assert store.runs(sweep, since=run.change) == []
        assert seen == sorted(set(seen)) and seen[0] > 0

    def test_runs_since_shows_only_the_changed_ones_by_number(self, store):
        sweep = new_sweep(store)
        attempts = [claim_new(store, sweep, number) for number in range(5)]
        mark = max(run.change for run in store.runs(sweep))
        for number in (4, 1):
            store.finish(attempts[number], RunState.FINISHED, reason="ok")
        assert [run.number for run in store.runs(sweep, since=mark)] == [1, 4]
        assert len(store.runs(sweep)) == 5
        other = new_sweep(store, "other")
        assert store.runs(other) == [] and store.counts(other) == {}

    def test_a_reader_that_follows_changes_misses_none(self, store, url):
        sweep = new_sweep(store)

        def work(index):
            with open_store(url) as own:
                if index:
                    return self._write_some(own, sweep, 25)
                seen, mark = {}, 0
                while sum(run.state is RunState.FINISHED for run in seen.values()) < 25:
                    for run in own.runs(sweep, since=mark):
                        seen[run.number] = run
                        mark = max(mark, run.change)
                return seen, mark

        seen, _ = at_once(5, work)[0]
        finished = {number: run for number, run in seen.items() if run.state is RunState.FINISHED}
        assert {run.number: run for run in store.runs(sweep) if run.number in finished} == finished
        assert len(finished) == 25

    @staticmethod
    def _write_some(own, sweep, cap):
        while (number := len(own.runs(sweep))) < cap:
            attempt = own.add_and_claim(sweep, number, {}, cap=cap, **AGENT)
            if attempt is not None:
                own.report(attempt, reports(1.0), **METRIC)
                own.finish(attempt, RunState.FINISHED, reason="ok")

    def test_retry_puts_done_runs_back(self, store):
        sweep = new_sweep(store)
        ends = [RunState.FAILED, RunState.FINISHED, RunState.DIVERGED, RunState.FAILED]
        for number, state in enumerate(ends):
            store.finish(claim_new(store, sweep, number), state, reason="end", failure=True)
        again = store.retry(sweep, [RunState.FAILED, RunState.DIVERGED])
        assert [run.number for run in again] == [0, 2, 3]
        assert {(run.state, run.failures, run.reason, run.ended_at) for run in again} == {
            (RunState.PENDING, 0, "", None)
        }
        assert store.counts(sweep) == {RunState.PENDING: 3, RunState.FINISHED: 1}
        assert store.retry(sweep, [RunState.FAILED]) == [] == store.retry(sweep, [])
        with pytest.raises(ValueError, match="running"):
            store.retry(sweep, [RunState.RUNNING])
        assert store.claim(sweep, **AGENT).ordinal == 2
        check_invariants(store, sweep)

    def test_a_renamed_sweep_keeps_its_runs_and_no_two_have_one_name(self, store):
        sweep, other = new_sweep(store, "old"), new_sweep(store, "other")
        claim_new(store, sweep, 0)
        renamed = store.rename_sweep(sweep, "new", text="name: new")
        assert (renamed.name, renamed.family, renamed.generation, renamed.text) == ("new", "new", 1, "name: new")
        assert store.sweep("old") is None and store.sweep("new") == renamed and len(store.runs(sweep)) == 1
        with pytest.raises(ConflictError):
            store.rename_sweep(other, "new", text="")
        with pytest.raises(StoreError, match="no such id"):
            store.rename_sweep("nothing", "x", text="")
        check_invariants(store, sweep)

    def test_a_removed_sweep_leaves_nothing_and_the_others_stay(self, store):
        kept, gone = new_sweep(store, "kept"), new_sweep(store, "gone")
        for sweep in (kept, gone):
            attempt = claim_new(store, sweep, 0)
            store.report(attempt, reports(*[0.5] * 2000), **METRIC)
            store.finish(attempt, RunState.FINISHED, reason="ok")
        run = the_run(store, gone)
        store.remove_sweep(gone)
        assert [sweep.name for sweep in store.sweeps()] == ["kept"]
        assert store.runs(gone) == [] == store.attempts(run.run_id) and store.reports(run.run_id) == []
        check_invariants(store, kept)
        assert len(the_run(store, kept).history) == 2000
        with pytest.raises(StoreError, match="no such id"):
            store.remove_sweep(gone)
        assert store.runs(new_sweep(store, "gone")) == []

    def test_a_sweep_with_a_run_under_way_is_removed_by_force_only(self, store):
        sweep = new_sweep(store)
        attempt = claim_new(store, sweep, 0)
        with pytest.raises(ConflictError, match="got 1"):
            store.remove_sweep(sweep)
        check_invariants(store, sweep)
        store.remove_sweep(sweep, force=True)
        assert store.sweeps() == [] and store.renew([attempt], lease_s=60.0) == [attempt.attempt_id]

    def test_a_run_whose_agent_is_gone_holds_no_sweep(self, store):
        sweep = new_sweep(store)
        assert store.add_and_claim(sweep, 0, {}, **{**AGENT, "lease_s": 0.0}) is not None
        store.remove_sweep(sweep)
        assert store.sweeps() == []

    def test_the_record_outlives_its_process(self, url):
        with open_store(url) as store:
            sweep = new_sweep(store)
            store.finish(claim_new(store, sweep, 0, {"한": "글"}), RunState.FINISHED, reason="끝")
            runs = store.runs(sweep)
        with open_store(url) as store:
            assert store.runs(sweep) == runs

    def test_a_closed_store_says_so(self, url):
        store = open_store(url)
        store.close()
        store.close()
        for call in (store.now, store.sweeps, lambda: store.create_sweep("a", text="", seed=0, metric=None, goal=None)):
            with pytest.raises(StoreError, match="closed"):
                call()

    def test_a_forked_child_gets_connections_of_its_own(self, store):
        sweep = new_sweep(store)

        def child(index):
            for number in range(5):
                store.update_sweep(sweep, meta={f"{index}-{number}": store.now()})
            return len(store.sweep("first").meta)

        at_once(3, child)
        assert len(store.sweep("first").meta) == 15
        store.update_sweep(sweep, reason="the parent still writes")

    # --- dying ---
    @pytest.mark.slow
    def test_two_first_starts_at_once(self, fresh_url):
        for _ in range(few(8)):  # Optuna's own storages fail 17 times of 20
            url = fresh_url()

            def first(index, url=url):
                with open_store(url) as own:
                    return new_sweep(own, "same")

            assert len(set(at_once(6, first))) == 1

    @pytest.mark.slow
    def test_kill_9_at_random_moments_leaves_a_consistent_record(self, store, url):
        sweep = new_sweep(store)
        chance = random.Random(20)
        for _ in range(few(12)):
            victim = Victim(lambda tick: busy_agent(url, sweep, tick))
            victim.kill_after(chance.randrange(1, 30), chance.random() * 0.005)
            check_invariants(store, sweep)
            for live in store.live_attempts(sweep):
                assert store.lose(live.attempt_id, live.token, reason="killed")
            check_invariants(store, sweep)
        assert store.counts(sweep)[RunState.FINISHED] >= few(6)

    def test_any_sequence_of_calls_agrees_with_the_model(self, store):
        run_state_machine_as_test(
            lambda: StoreMachine(store),
            settings=settings(
                max_examples=examples(40),
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


def busy_agent(url, sweep, tick):
    """Claim, report and end runs until killed; `tick` after every call."""
    chance = random.Random()
    with open_store(url) as store:
        while True:
            attempt = store.claim(sweep, **AGENT) or store.add_and_claim(sweep, len(store.runs(sweep)), {}, **AGENT)
            tick()
            store.started(attempt, pid=1)
            tick()
            for seq in range(chance.randrange(4)):
                store.report(attempt, reports(chance.random(), start=seq), **METRIC)
                tick()
            end = chance.random()
            if end < 0.2:
                store.release(attempt, reason="back")
            elif end < 0.4:
                store.finish(attempt, RunState.PENDING, reason="again", failure=True)
            else:
                store.finish(attempt, RunState.FINISHED, reason="ok")
            tick()
