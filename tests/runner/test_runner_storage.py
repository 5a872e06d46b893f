"""Other records than the default: PostgreSQL, a SQLite URL, and the Optuna mirror."""

import pytest
from sweeping import PROGRAMS, Sweeper

pytestmark = pytest.mark.slow

GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  mode: {{values: [good, nan]}}
  x: {{values: [3, 1, 2]}}
"""


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(GRID)
    return made


@pytest.mark.postgres
def test_a_sweep_on_postgresql_is_continued_from_another_directory(sweeper, tmp_path, postgres_database):
    first = sweeper.summary("--storage", postgres_database, "--count", "2")
    assert sum(first["counts"].values()) == 2
    second = sweeper.summary("--storage", postgres_database)
    assert second["counts"] == {"finished": 3, "diverged": 3}
    assert not (sweeper.folder / "out" / "sweepkit.db").exists()


def test_a_sqlite_url_names_the_record(sweeper):
    record = sweeper.folder / "elsewhere.db"
    assert sweeper.summary("--storage", f"sqlite:///{record}")["counts"] == {"finished": 3, "diverged": 3}
    assert record.exists() and not (sweeper.folder / "out" / "sweepkit.db").exists()


def test_optuna_opens_the_mirror(sweeper):
    import optuna

    url = f"sqlite:///{sweeper.folder / 'mirror.db'}"
    done = sweeper.summary("--optuna-storage", url)
    study = optuna.load_study(study_name="s", storage=url)
    assert len(study.trials) == 6
    assert study.best_value == done["best"]["value"]
    assert study.best_params == {"mode": "good", "x": 1}
    states = [trial.state.name for trial in study.trials]
    assert sorted(states) == ["COMPLETE"] * 3 + ["FAIL"] * 3
