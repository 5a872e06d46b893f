"""The Optuna mirror, read back by Optuna itself and by optuna-dashboard."""

import contextlib
import io
import json
import math
import shutil
import sqlite3
import warnings

import optuna
import pytest
import store_contract as contract
from depth import examples
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from sweepkit.errors import StoreError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.runs import RunState
from sweepkit.model.space import Parameter, Space
from sweepkit.store import mirror
from sweepkit.store.base import Report
from sweepkit.store.mirror import sync_mirror
from sweepkit.store.open import open_store

pytestmark = pytest.mark.slow

AGENT = contract.AGENT


def space(**kinds):
    return Space(
        parameters=tuple(
            Parameter(path=tuple(name.split("__")), distribution=Distribution(**kind)) for name, kind in kinds.items()
        )
    )


SPACE = space(
    lr={"kind": Kind.LOG_UNIFORM_VALUES, "min": 1e-5, "max": 1e-1},
    layers={"kind": Kind.INT_UNIFORM, "min": 1, "max": 4},
    model__name={"kind": Kind.CATEGORICAL, "values": ("코바트", "t5", None)},
    model__sizes={"kind": Kind.CATEGORICAL, "values": ([1, 2], {"a": "값"})},
)


def params(lr=0.01, layers=2, name="코바트", sizes=None):
    return {"lr": lr, "layers": layers, "model": {"name": name, "sizes": sizes or [1, 2]}, "extra": {"deep": [1]}}


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "sweepkit.db") as store:
        yield store


@pytest.fixture(scope="module")
def empty_storage(tmp_path_factory):
    """The file of a storage without studies: Optuna takes 0.1 s of CPU to make one."""
    file = tmp_path_factory.mktemp("optuna") / "optuna.db"
    close(optuna.storages.RDBStorage(f"sqlite:///{file}"))
    return file


@pytest.fixture
def url(tmp_path, empty_storage):
    """Of a storage without studies; `unmade_url` where there shall be none."""
    (tmp_path / "more").mkdir()
    return f"sqlite:///{shutil.copy(empty_storage, tmp_path / 'more')}"


@pytest.fixture
def unmade_url(tmp_path):
    return f"sqlite:///{tmp_path}/more/optuna.db"


def close(storage):
    storage.remove_session()
    storage.engine.dispose()


def load(name, url):
    storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True)
    study = optuna.load_study(study_name=name, storage=storage)
    trials = study.get_trials(deepcopy=True)
    best = study.best_trial if any(trial.state is TrialState.COMPLETE for trial in trials) else None
    direction = study.direction
    close(storage)
    return trials, best, direction


def five_runs(store, goal="minimize"):
    sweep = contract.new_sweep(store, "요약", goal=goal)
    attempts = [store.add_and_claim(sweep, number, params(layers=1 + number % 4), **AGENT) for number in range(5)]
    store.add_run(sweep, 5, params())
    metric = {"metric": "loss", "goal": goal}
    for attempt, values in zip(attempts, [(3.0, 1.0, 2.0), (5.0, 4.5), (math.inf, math.nan), (), (7.0,)], strict=True):
        store.report(attempt, contract.reports(*values), **metric)
    ends = [RunState.FINISHED, RunState.STOPPED, RunState.DIVERGED, RunState.FAILED]
    for attempt, state in zip(attempts, ends, strict=False):
        store.finish(attempt, state, reason=f"이유 {state}")
    return sweep, attempts


def test_what_a_run_is_suggested_while_it_runs_comes_to_its_trial(store, url):
    sweep = contract.new_sweep(store)
    attempt = store.add_and_claim(sweep, 0, {}, **AGENT)
    sync_mirror(store, sweep, url, Space(parameters=()))
    assert load("first", url)[0][0].params == {}
    said = optuna.distributions.distribution_to_json
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1), "k": optuna.distributions.IntDistribution(1, 3)}
    for values in ({"x": 0.5}, {"x": 0.5, "k": 2}):
        noted = {
            name: {
                "value": value,
                "distribution": json.loads(said(distributions[name])),
            }
            for name, value in values.items()
        }
        store.suggested(attempt, values, {"suggestions": noted})
        sync_mirror(store, sweep, url, Space(parameters=()))
        assert load("first", url)[0][0].params == values
    store.report(attempt, contract.reports(0.25), **contract.METRIC)
    store.finish(attempt, RunState.FINISHED, reason="done")
    sync_mirror(store, sweep, url, Space(parameters=()))
    ((trial,), _, _) = load("first", url)
    assert (trial.state, trial.value, trial.params) == (TrialState.COMPLETE, 0.25, {"x": 0.5, "k": 2})
    assert trial.distributions == distributions


def test_every_state_has_its_trial(store, url):
    sweep, attempts = five_runs(store)
    assert sync_mirror(store, sweep, url, SPACE) == 6
    trials, best, direction = load("요약", url)
    assert direction is optuna.study.StudyDirection.MINIMIZE
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert [trial.state for trial in trials] == [*states, TrialState.RUNNING, TrialState.WAITING]
    assert (best.number, best.value) == (0, 1.0)
    assert best.params == {"lr": 0.01, "layers": 1, "model.name": "코바트", "model.sizes": "[1, 2]"}
    assert best.user_attrs["run_id"] == attempts[0].run.run_id
    assert best.user_attrs["reason"] == "이유 finished" and best.user_attrs["param:extra.deep"] == "[1]"
    assert best.intermediate_values == {0: 3.0, 1: 1.0, 2: 2.0}
    assert trials[1].value == 4.5 and str(trials[2].intermediate_values) == "{0: inf, 1: nan}"
    assert trials[5].user_attrs["state"] == "pending"


def test_a_second_call_adds_nothing_and_a_running_trial_is_completed_later(store, url):
    sweep, attempts = five_runs(store, goal="maximize")
    sync_mirror(store, sweep, url, SPACE)
    before = load("요약", url)
    assert sync_mirror(store, sweep, url, SPACE) == 0
    assert str(load("요약", url)) == str(before)  # as text: NaN equals NaN
    store.report(attempts[4], contract.reports(9.0, start=1), metric="loss", goal="maximize")
    assert sync_mirror(store, sweep, url, SPACE) == 1
    assert load("요약", url)[0][4].intermediate_values == {0: 7.0, 1: 9.0}
    store.finish(attempts[4], RunState.FINISHED, reason="ok")
    store.finish(store.claim(sweep, **AGENT), RunState.FAILED, reason="no")
    assert sync_mirror(store, sweep, url, SPACE) == 2
    trials, best, _ = load("요약", url)
    assert len(trials) == 6 and (best.number, best.value) == (4, 9.0)
    assert str(trials[:4]) == str(before[0][:4]) and trials[5].state is TrialState.FAIL


def shapes(trials):
    return [
        (t.number, t.state, str(t.values), t.params, t.distributions, t.user_attrs, str(t.intermediate_values))
        for t in trials
    ]


def test_a_deleted_mirror_is_made_again_alike(store, unmade_url, tmp_path):
    url = unmade_url
    sweep, attempts = five_runs(store)
    for _ in range(2):
        sync_mirror(store, sweep, url, SPACE)
        store.report(attempts[4], contract.reports(6.0, start=1), metric="loss", goal="minimize")
    store.finish(attempts[4], RunState.FINISHED, reason="ok")
    sync_mirror(store, sweep, url, SPACE)
    grown = shapes(load("요약", url)[0])
    (tmp_path / "more" / "optuna.db").unlink()
    assert sync_mirror(store, sweep, url, SPACE) == 6
    assert shapes(load("요약", url)[0]) == grown


def test_optuna_looks_at_its_tables_once_and_refuses_those_of_another_version(store, url, monkeypatch):
    sweep, _ = five_runs(store)
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as tables:
        ((version,),) = tables.execute("SELECT version_num FROM alembic_version")
        tables.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        for _ in range(2):
            with pytest.raises(RuntimeError, match="upgrade"):
                sync_mirror(store, sweep, url, SPACE)
        tables.execute("UPDATE alembic_version SET version_num = ?", [version])
    manager, looked = optuna.storages._rdb.storage._VersionManager, []
    monkeypatch.setattr(manager, "check_table_schema_compatibility", lambda self: looked.append(self))
    assert [sync_mirror(store, sweep, url, SPACE) for _ in range(3)] == [6, 0, 0]
    assert len(looked) == 1


@pytest.mark.parametrize("change", ["retry", "lost", "extended"])
def test_what_optuna_cannot_change_is_written_anew(store, url, change):
    sweep, attempts = five_runs(store)
    sync_mirror(store, sweep, url, SPACE)
    wider = SPACE
    if change == "retry":
        store.retry(sweep, [RunState.FAILED])
        expected = (3, TrialState.WAITING)
    elif change == "lost":
        store.lose(attempts[4].attempt_id, attempts[4].token, reason="gone")
        expected = (4, TrialState.WAITING)
    else:
        wider = space(lr={"kind": Kind.UNIFORM, "min": 0, "max": 1})
        store.add_run(sweep, 6, params())
        expected = (6, TrialState.WAITING)
    sync_mirror(store, sweep, url, wider)
    trials, best, _ = load("요약", url)
    assert trials[expected[0]].state is expected[1]
    assert [trial.user_attrs["run_id"] for trial in trials] == [run.run_id for run in store.runs(sweep)]
    assert best.number == 0
    assert ("layers" in best.params) == (change != "extended")
    if change == "lost":
        again = store.claim(sweep, **AGENT)
        store.report(again, contract.reports(0.5), metric="loss", goal="minimize")
        store.finish(again, RunState.FINISHED, reason="ok")
        sync_mirror(store, sweep, url, SPACE)
        assert load("요약", url)[1].intermediate_values == {0: 0.5}


def test_a_crash_between_the_steps_is_repaired_by_the_next_call(store, url, monkeypatch):
    sweep, _ = five_runs(store)
    calls = []
    create = optuna.storages.RDBStorage.create_new_trial

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return create(self, *args, **kwargs)

    monkeypatch.setattr(optuna.storages.RDBStorage, "create_new_trial", dying)
    with pytest.raises(KeyboardInterrupt):
        sync_mirror(store, sweep, url, SPACE)
    assert len(load("요약", url)[0]) == 3
    sync_mirror(store, sweep, url, SPACE)
    assert [trial.user_attrs["run_id"] for trial in load("요약", url)[0]] == [run.run_id for run in store.runs(sweep)]


def test_values_that_fit_no_distribution_are_user_attributes(store, url):
    sweep = contract.new_sweep(store, "odd")
    for number, odd in enumerate([{"lr": 0.5}, {"layers": 2.5}, {"layers": True}, {"name": "gpt"}, {"lr": "1e-5"}]):
        store.add_run(sweep, number, params(**odd))
    sync_mirror(store, sweep, url, SPACE)
    trials, best, _ = load("odd", url)
    missing = [sorted({"lr", "layers", "model.name", "model.sizes"} - set(trial.params)) for trial in trials]
    assert missing == [["lr"], ["layers"], ["layers"], ["model.name"], ["lr"]]
    assert [trial.user_attrs[f"param:{names[0]}"] for trial, names in zip(trials, missing, strict=True)] == [
        0.5, 2.5, True, "gpt", "1e-5",
    ]  # fmt: skip
    assert best is None


def test_without_a_space_everything_is_a_user_attribute(store, url):
    sweep = contract.new_sweep(store, "bare", metric=None, goal=None)
    store.finish(store.add_and_claim(sweep, 0, {"a": {"b": 1}}, **AGENT), RunState.FINISHED, reason="ok")
    sync_mirror(store, sweep, url, None)
    (trial,), _, _ = load("bare", url)
    # Optuna has no COMPLETE without a value; the attribute tells what it was.
    assert (trial.state, trial.params) == (TrialState.FAIL, {})
    assert trial.user_attrs["param:a.b"] == 1 and trial.user_attrs["state"] == "finished"


def test_a_summary_counts_as_a_value(store, url):
    sweep = contract.new_sweep(store, "summary", goal="maximize")
    store.finish(store.add_and_claim(sweep, 0, {}, **AGENT), RunState.FINISHED, reason="ok", summary=0.75)
    sync_mirror(store, sweep, url, SPACE)
    assert load("summary", url)[1].value == 0.75


@pytest.mark.parametrize(("rule", "value"), [("best", 1.0), ("last", 2.0), ("mean_of_last 2", 1.5)])
def test_a_finished_trial_has_the_value_that_the_run_has(store, url, rule, value):
    sweep = contract.new_sweep(store, "valued", meta={"value": rule})
    attempt = store.add_and_claim(sweep, 0, {}, **AGENT)
    store.report(attempt, contract.reports(3.0, 1.0, 2.0), metric="loss", goal="minimize")
    store.finish(attempt, RunState.FINISHED, reason="ok")
    sync_mirror(store, sweep, url, SPACE)
    assert load("valued", url)[1].value == value


def test_a_foreign_study_is_left_alone(store, url, tmp_path):
    sweep, _ = five_runs(store)
    sync_mirror(store, sweep, url, SPACE)
    with open_store(tmp_path / "other.db") as other:
        another = contract.new_sweep(other, "요약")
        other.add_run(another, 0, {})
        with pytest.raises(StoreError, match="요약.*another --optuna-storage"):
            sync_mirror(other, another, url, SPACE)
    assert len(load("요약", url)[0]) == 6


def test_failures_to_open_say_what_to_do(store, tmp_path):
    sweep, _ = five_runs(store)
    (tmp_path / "text.db").write_text("no database" * 100)
    for bad, words in (
        (f"sqlite:///{tmp_path}/text.db", "not a database"),
        ("sqlite:////proc/nothing/x.db", "folder"),
        ("postgresql://me:geheim@127.0.0.1:1/x", "connect"),
        ("nosql://me:geheim@host/x", "nosql"),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            sync_mirror(store, sweep, bad, SPACE)
        assert "geheim" not in str(caught.value)
    with pytest.raises(StoreError, match="nosuchid"):
        sync_mirror(store, "nosuchid", f"sqlite:///{tmp_path}/o.db", None)


@pytest.mark.postgres
def test_the_mirror_may_live_on_postgresql(store, postgres):
    sweep, _ = five_runs(store)
    url = postgres.new_database()
    assert sync_mirror(store, sweep, url, SPACE) == 6
    assert sync_mirror(store, sweep, url, SPACE) == 0
    assert load("요약", url.replace("postgresql:", "postgresql+psycopg:"))[1].value == 1.0


def test_optuna_dashboard_lists_the_study(store, url):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations
        import optuna_dashboard
    sweep, _ = five_runs(store)
    sync_mirror(store, sweep, url, SPACE)
    storage = optuna.storages.RDBStorage(url)
    app = optuna_dashboard.wsgi(storage)

    def get(path):
        status = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
        }  # fmt: skip
        body = b"".join(app(environ, lambda line, *_: status.append(line)))
        assert status[0].startswith("200"), (status, body)
        return json.loads(body)

    (study,) = get("/api/studies")["study_summaries"]
    assert study["study_name"] == "요약"
    detail = get(f"/api/studies/{study['study_id']}")
    assert [trial["state"] for trial in detail["trials"]] == [
        "Complete",
        "Pruned",
        "Fail",
        "Fail",
        "Running",
        "Waiting",
    ]
    assert detail["best_trials"][0]["number"] == 0
    storage.remove_session()
    storage.engine.dispose()


BOUNDED = st.tuples(st.floats(-5, 5), st.floats(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(
    kind=st.sampled_from([kind for kind in Kind if kind not in (Kind.CATEGORICAL, Kind.CONSTANT)]),
    bounds=BOUNDED,
    q=st.sampled_from([1, 2, 0.5, 1.0]),
    share=st.floats(0, 1),
)
@example(kind=Kind.Q_UNIFORM, bounds=(0.0, 1.7), q=1, share=1.0)  # W&B draws 2
@example(kind=Kind.Q_UNIFORM, bounds=(0.8, 3.7), q=2, share=0.0)  # 0, of 2 alone inside
@example(kind=Kind.Q_UNIFORM, bounds=(0.3, 4.2), q=0.5, share=1.0)
@settings(max_examples=examples(200), deadline=None)
def test_every_value_that_a_distribution_draws_fits(kind, bounds, q, share):
    """The draws are W&B's formulas at a quantile between the bounds (or within 8 sigma), rounded as W&B rounds."""
    low, high = bounds
    point = low + share * (high - low)
    assume(kind is not Kind.Q_UNIFORM or point not in bounds or point / q % 1 != 0.5)  # no quantile inside gives it
    wide = {"min": low, "max": high}
    by_exponent = {"log_uniform": math.exp(point), "inv_log_uniform": math.exp(-point)}
    if kind is Kind.CATEGORICAL_W_PROBABILITIES:
        d, value = Distribution(kind=kind, values=(low, high), probabilities=(0.5, 0.5)), low
    elif kind is Kind.INT_UNIFORM:
        d, value = Distribution(kind=kind, min=math.floor(low), max=math.ceil(high)), math.floor(point)
    else:
        name = kind.value.removeprefix("q_")
        if name.endswith("_values"):
            wide = {"min": math.exp(low), "max": math.exp(high)}
            value = min(max(math.exp(point), wide["min"]), wide["max"])
        elif name in by_exponent:
            value = by_exponent[name]
        elif name in ("normal", "log_normal"):
            wide = {"mu": low, "sigma": 1.0}
            value = low + 7.9 * (2 * share - 1)
            value = math.exp(value) if name == "log_normal" else value
        elif name == "beta":
            wide, value = {"a": 1.0, "b": 2.0}, share
        else:
            value = point
        quantized = kind.value.startswith("q_")
        d = Distribution(kind=kind, q=q if quantized else None, **wide)
        value = round(value / q) * q if quantized else value
    column = {"x": mirror.MirrorColumn(Parameter(path=("x",), distribution=d), mirror.optuna_distribution(d))}
    fit, attrs = mirror.split_params({"x": value}, column)
    assert attrs == {} and fit["x"] == pytest.approx(value, rel=1e-9)
    optuna.trial.create_trial(params=fit, distributions={"x": column["x"].distribution}, value=0.0)


def test_a_distribution_too_wide_for_optuna_is_left_out():
    huge = Distribution(kind=Kind.LOG_UNIFORM, min=0, max=5000)
    assert mirror.optuna_distribution(huge) is None
    column = mirror.columns(Space(parameters=(Parameter(path=("x",), distribution=huge),)))
    assert mirror.split_params({"x": 3.0}, column) == ({}, {"param:x": 3.0})


def test_report_rows_without_the_metric_are_no_steps(store, url):
    sweep = contract.new_sweep(store, "rows")
    attempt = store.add_and_claim(sweep, 0, {}, **AGENT)
    rows = [Report(seq=0, values={"x": 1}), Report(seq=1, values={"loss": 2.0})]
    store.report(attempt, rows, metric="loss", goal="minimize")
    sync_mirror(store, sweep, url, None)
    assert load("rows", url)[0][0].intermediate_values == {0: 2.0}


def test_several_objectives_are_a_study_of_several_directions(store, url):
    wanted = [{"name": "f1", "goal": "maximize"}, {"name": "s", "goal": "minimize"}]
    sweep, _ = store.create_sweep("둘", text="", seed=0, metric=None, goal=None, meta={"metrics": wanted})
    endings = [
        (RunState.FINISHED, (0.5, 3.0)),
        (RunState.FINISHED, (0.4, 4.0)),
        (RunState.STOPPED, (0.6, 5.0)),
        (RunState.FINISHED, None),
        (RunState.DIVERGED, (0.9, 0.0)),
    ]
    for number, (state, values) in enumerate(endings):
        attempt = store.add_and_claim(sweep.sweep_id, number, params(), **AGENT)
        facts = {} if values is None else {"objectives": {"s": values[1], "f1": values[0]}}
        sync_mirror(store, sweep.sweep_id, url, SPACE)  # seen running, then brought to its end
        store.finish(attempt, state, reason="ended", outcome=facts)
    assert sync_mirror(store, sweep.sweep_id, url, SPACE) == 1
    storage = optuna.storages.RDBStorage(url)
    study = optuna.load_study(study_name="둘", storage=storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["f1", "s"]
    assert [trial.values for trial in study.trials] == [[0.5, 3.0], [0.4, 4.0], [0.6, 5.0], None, None]
    assert sorted(trial.number for trial in study.best_trials) == [0, 2]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3 + ["FAIL"] * 2
    storage.remove_session()
    storage.engine.dispose()
