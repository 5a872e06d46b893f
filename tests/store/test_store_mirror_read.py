"""A study of any Optuna storage as a sweep: values as Optuna has them, nothing written, refusals in words."""

import hashlib

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from snapshots import words_of

from sweepkit.errors import StoreError
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Goal
from sweepkit.model.objectives import value_of, values_of
from sweepkit.model.runs import RunState
from sweepkit.store.mirror_read import read_study

WORDS = words_of(__file__)


def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_categorical("kind", ["a", "한국어", None, 1, True])
    trial.suggest_int("layers", 1, 4)
    if trial.number == 1:
        raise ValueError("boom")
    for step in range(3):
        trial.report(step * lr, step)
        if trial.number == 2 and step == 1:
            raise optuna.TrialPruned
    return lr + 1.0


@pytest.fixture(params=["sqlite", "journal"])
def storage(request, tmp_path):
    """A storage with a study of six trials, its file, and its URL."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / "스터디 #1.db"
    if request.param == "sqlite":
        made = optuna.storages.RDBStorage(f"sqlite:///{file}")
    else:
        made = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(storage=made, study_name="mine", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=5, catch=(ValueError,))
    study.enqueue_trial({"lr": 1e-3})
    if request.param == "sqlite":
        made.remove_session()
        made.engine.dispose()
    return study, file


def test_a_study_becomes_a_sweep(storage):
    study, file = storage
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    found = read_study(str(file))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]
    metric = found.spec.metric
    assert (found.spec.name, metric.name, metric.goal) == ("mine", "value", Goal.MINIMIZE)
    kinds = {item.name: item.distribution.kind for item in found.spec.space.parameters}
    assert kinds == {"kind": Kind.CATEGORICAL, "layers": Kind.INT_UNIFORM, "lr": Kind.LOG_UNIFORM_VALUES}
    states = [run.state for run in found.runs]
    done = RunState.FINISHED
    assert states == [done, RunState.FAILED, RunState.STOPPED, done, done, RunState.PENDING]
    trials = study.trials
    for run, trial in zip(found.runs, trials, strict=True):
        assert run.number == trial.number and run.params == trial.params
        if run.state is done:  # the value that was returned, though better ones were reported
            assert value_of(run, metric) == trial.value and run.outcome["duration_s"] >= 0
    assert found.runs[2].reason == "pruned after 2 reports" and len(found.runs[2].history) == 2


def test_several_objectives_and_names(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{tmp_path / 's.db'}"
    for name in ("a", "b"):
        study = optuna.create_study(storage=url, study_name=name, directions=["minimize", "maximize"])
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 2.0), n_trials=2)
    study._storage.remove_session()
    study._storage.engine.dispose() if hasattr(study._storage, "engine") else study._storage._backend.engine.dispose()
    found = read_study(url, "b")
    assert [metric.name for metric in found.spec.metrics] == ["value_0", "value_1"]
    assert values_of(found.runs[0], found.spec.metrics) == (study.trials[0].params["x"], 2.0)
    with pytest.raises(StoreError, match=WORDS["a-study-must"]):
        read_study(url)
    with pytest.raises(StoreError, match=WORDS["c'-must-be"]):
        read_study(url, "c")


def test_what_is_no_storage_is_refused_and_not_made(tmp_path):
    (tmp_path / "text").write_text("no journal\nnone at all\n", encoding="utf-8")
    import sqlite3

    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("create table t (a)")
    other.commit()
    other.close()
    for url, words in (
        (str(tmp_path / "absent.db"), "no such file"),
        (f"sqlite:///{tmp_path / 'absent.db'}", "no such file"),
        (str(tmp_path / "text"), "must be one that this Optuna reads"),
        (f"sqlite:///{tmp_path / 'other.db'}", "a database without them"),
        ("postgresql://me:geheim@localhost:1/x", "localhost:1"),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            read_study(url)
        assert "geheim" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db", "text"]
