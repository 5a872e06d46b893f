"""An Optuna study as a sweep and its runs, so that what analyses a sweep analyses any study: ours mirrored, or foreign.

Nothing is written into the storage: a storage that is not there, or one that this Optuna would have to upgrade, is
refused.
"""

import contextlib
import math
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sweepkit.errors import StoreError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import OUTCOME
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Parameter, Space
from sweepkit.sweep_config.sweep import Method, SweepSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_OPTION = "--optuna-storage"
_TABLES = {"studies", "trials", "version_info", "alembic_version"}
_STATES = {
    "COMPLETE": RunState.FINISHED,
    "PRUNED": RunState.STOPPED,
    "FAIL": RunState.FAILED,
    "RUNNING": RunState.RUNNING,
    "WAITING": RunState.PENDING,
}
METRIC = "sweepkit:metric"  # the study's user attribute with its metric's name
_PARAM = "param:"  # the user attribute under which the mirror keeps a value that fits no distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A study that was read.

    Args:
        spec: Its space, as far as its trials tell it, and its objectives; method custom, for a storage does not know
            who proposed. A metric without a name is called `value`, of several `value_0`, `value_1`, …
        runs: Its trials by number. The id of a run is that of the sweep it mirrors, else `trial NUMBER`.
    """

    spec: SweepSpec
    runs: tuple[RunRecord, ...]


def read_study(url: str, name: str | None = None) -> FoundStudy:
    """Return a study of an Optuna storage.

    Args:
        url: `sqlite:///PATH`, `postgresql://…`, any other URL that SQLAlchemy has a driver for, or the path of a SQLite
            or journal file.
        name: Of the study; None takes the only one.

    Raises:
        StoreError: optuna is not installed, there is no such storage or study, more than one could be meant, or an
            older or newer Optuna wrote it.
    """
    with _opened(url) as (storage, shown):
        import optuna

        names = sorted(study.study_name for study in storage.get_all_studies())
        if not names:
            raise StoreError(f"{shown}: must hold a study, got none; name another storage")
        if name is None and len(names) == 1:
            name = names[0]
        if name is None or name not in names:
            listed = ", ".join(names[:20]) or "none"
            asked = "a study must be named" if name is None else f"the study {name!r} must be in it"
            raise StoreError(f"{shown}: {asked}, it has: {listed}; write #STUDY after the storage, or give --study")
        with warnings.catch_warnings():
            # That choices are lists or tuples matters to who writes such a study, and it is there already.
            warnings.filterwarnings("ignore", message="Choices for a categorical distribution", category=UserWarning)
            return _found(optuna.load_study(study_name=name, storage=storage))


@contextmanager
def _opened(url: str) -> "Iterator[tuple[BaseStorage, str]]":
    """Yield a storage that is only read, and how to call it; what goes wrong in it is reported as a StoreError."""
    try:
        import optuna
        import sqlalchemy as sa
    except ImportError:
        raise StoreError(
            f"{_OPTION}: a study needs the package optuna, got none; install it: pip install optuna"
        ) from None
    from sweepkit.store.session import explain
    from sweepkit.store.url import parse_url, shown_url, url_secrets

    path = _file_of(url)
    parsed = None if path is not None else parse_url(url, _OPTION)
    shown = f"Optuna storage {path if parsed is None else shown_url(parsed)}"
    secrets = () if parsed is None else url_secrets(parsed)
    engines: list[sa.Engine] = []
    try:
        if path is not None and not _is_sqlite(path):
            from optuna.storages.journal import JournalFileBackend

            yield optuna.storages.JournalStorage(JournalFileBackend(str(path))), shown
        else:
            yield _relational(path, parsed, shown, engines), shown
    except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, OSError) as error:
        raise StoreError(explain(error, shown, secrets)) from error
    except (RuntimeError, ValueError, KeyError) as error:  # another schema; a file that is no journal
        got = " ".join(str(error).split())
        raise StoreError(f"{shown}: must be one that this Optuna reads, got: {got}") from error
    finally:
        for engine in engines:
            engine.dispose()


def _file_of(url: str) -> Path | None:
    """Return the file that a storage is, None for a server. Raises StoreError when the file is not there."""
    if "://" in url and not url.startswith("sqlite"):
        return None
    path = Path(url.partition(":///")[2] if "://" in url else url).expanduser()
    if not path.is_file():
        raise StoreError(f"Optuna storage {path}: must be there to be read, got no such file; name another one")
    return path


def _is_sqlite(path: Path) -> bool:
    """Return whether a file is a SQLite database, as SQLite says it.

    Not by reading it: whoever closes a file of his own lets go of all locks that his process has on it, and the study
    may be in the very file that a sweep of this process is recorded in.
    """
    try:
        if not os.access(path, os.R_OK):
            raise PermissionError("permission denied")
        if not path.stat().st_size:
            return False
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        if "not a database" in str(error):
            return False
        raise StoreError(f"Optuna storage {path}: must be a file that can be read, got: {error}") from None
    return True


def _relational(path: Path | None, url: Any, shown: str, engines: list[Any]) -> "BaseStorage":
    """Return the storage in a database; the engines that it opened go into `engines`."""
    import optuna
    import sqlalchemy as sa

    from sweepkit.store.url import postgresql_url
    from sweepkit.store.watch import connect_read_only

    if path is not None:
        real = path.resolve()
        text, arguments = "sqlite+pysqlite://", {"creator": lambda: connect_read_only(real), "poolclass": sa.NullPool}
    else:
        url = postgresql_url(url) if url.drivername.startswith("postgres") else url
        text, arguments = url.render_as_string(hide_password=False), {"hide_parameters": True}
    engine = sa.create_engine(text, **arguments)
    engines.append(engine)
    if not set(sa.inspect(engine).get_table_names()) >= _TABLES:
        raise StoreError(f"{shown}: must hold Optuna's tables, got a database without them; name another one")
    storage = optuna.storages.RDBStorage(text, engine_kwargs=arguments, skip_table_creation=True)
    engines.append(storage.engine)
    return storage


# -- from a study to a sweep -------------------------------------------------------------------------------------------


def _found(study: "Study") -> FoundStudy:
    trials = study.get_trials(deepcopy=False)
    metrics = metrics_of(study)
    spec = SweepSpec(
        name=study.study_name,
        method=Method.CUSTOM,
        space=Space(parameters=tuple(_parameters(trials))),
        metric=metrics[0] if len(metrics) == 1 else None,
        metrics=metrics if len(metrics) > 1 else (),
        source=f"Optuna study {study.study_name}",
    )
    return FoundStudy(spec=spec, runs=tuple(run_of_trial(trial, metrics) for trial in trials))


def metrics_of(study: "Study") -> tuple[Metric, ...]:
    """Return what a study optimizes: each objective with the study's own direction, by its name where it has one."""
    goals = [Goal.MAXIMIZE if direction.name == "MAXIMIZE" else Goal.MINIMIZE for direction in study.directions]
    default = ["value"] if len(goals) == 1 else [f"value_{index}" for index in range(len(goals))]
    own = study.user_attrs.get(METRIC)  # of a mirror with one objective, whose column Optuna calls `value`
    names = study.metric_names or ([own] if len(goals) == 1 and isinstance(own, str) else default)
    return tuple(Metric(name=name or "value", goal=goal) for name, goal in zip(names, goals, strict=True))


def _parameters(trials: "Sequence[FrozenTrial]") -> Iterator[Parameter]:
    """Yield the parameters by name; bounds that differ from trial to trial are joined."""
    seen: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            known = seen.setdefault(name, [])
            if distribution not in known:
                known.append(distribution)
    for name in sorted(seen):
        yield Parameter(path=(name,), distribution=_distribution(seen[name]))


def _distribution(given: "Sequence[BaseDistribution]") -> Distribution:
    """Return Optuna's distributions of one parameter as one of W&B's; steps are not kept."""
    import optuna

    newest = given[-1]
    if isinstance(newest, optuna.distributions.CategoricalDistribution):
        choices = [c for item in given for c in getattr(item, "choices", ())]
        kept = [choice for i, choice in enumerate(choices) if not any(_same(choice, c) for c in choices[:i])]
        return Distribution(kind=Kind.CATEGORICAL, values=tuple(kept))
    ranges: list[Any] = [item for item in given if hasattr(item, "low")]
    low, high = min(item.low for item in ranges), max(item.high for item in ranges)
    if low == high:
        return Distribution(kind=Kind.CONSTANT, values=(low,))
    if getattr(newest, "log", False):
        return Distribution(kind=Kind.LOG_UNIFORM_VALUES, min=low, max=high)
    whole = isinstance(newest, optuna.distributions.IntDistribution)
    return Distribution(kind=Kind.INT_UNIFORM if whole else Kind.UNIFORM, min=low, max=high)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def run_of_trial(trial: "FrozenTrial", metrics: Sequence[Metric]) -> RunRecord:
    """Return a trial as a run, its parameters by their flat names.

    Args:
        trial: Of any study.
        metrics: The study's objectives, in their order.
    """
    attrs = trial.user_attrs
    state = _state(trial.state.name, attrs.get("state"))
    values = [float(value) for value in trial.values or () if value is not None]
    names = [metric.name for metric in metrics]
    scores = dict(zip(names, values, strict=False))
    started, ended = trial.datetime_start, trial.datetime_complete
    duration = None if started is None or ended is None else (ended - started).total_seconds()
    history, summary = _course(trial, values, metrics)
    outcome: dict[str, Any] = {} if duration is None else {"duration_s": duration}
    if len(metrics) > 1 and len(scores) == len(metrics):
        outcome[OUTCOME] = scores
    numbers = {
        key: float(value) for key, value in attrs.items() if isinstance(value, float) and not key.startswith(_PARAM)
    }
    others = {key.removeprefix(_PARAM): value for key, value in attrs.items() if key.startswith(_PARAM)}
    return RunRecord(
        run_id=str(attrs.get("run_id") or f"trial {trial.number}"),
        sweep_id="",
        number=trial.number,
        params={**others, **trial.params},
        state=state,
        reason=_reason(trial, state),
        history=history,
        summary=summary,
        best_metrics=numbers | scores,
        last_metrics=numbers | scores,
        attempts=int(attrs.get("attempt", 1)) if isinstance(attrs.get("attempt", 1), int) else 1,
        started_at=None if started is None else started.timestamp(),
        ended_at=None if ended is None else ended.timestamp(),
        outcome=outcome,
    )


def _state(theirs: str, ours: Any) -> RunState:
    """Return a trial's state; a mirrored run says itself what it was, where Optuna has no word for it."""
    if isinstance(ours, str) and ours in {state.value for state in RunState}:
        return RunState(ours)
    return _STATES[theirs]


def _course(
    trial: "FrozenTrial", values: Sequence[float], metrics: Sequence[Metric]
) -> tuple[tuple[float, ...], float | None]:
    """Return the reports and the value without a report that make our value of the run be Optuna's.

    We count the best report, Optuna the value that the objective returned: where the two differ, its reports are left
    out. A pruned trial counts with its best report, as in our own record.
    """
    history = tuple(float(trial.intermediate_values[step]) for step in sorted(trial.intermediate_values))
    if len(metrics) > 1:
        return (), None
    if trial.state.name != "COMPLETE" or not values:
        return history, None
    finite = [value for value in history if math.isfinite(value)]
    if finite and metrics[0].goal.best([*finite, values[0]]) != values[0]:
        history = ()
    return history, values[0]


def _reason(trial: "FrozenTrial", state: RunState) -> str:
    """Return why a trial ended as it did: our own words, else a note that its program left; "" when nobody knows."""
    attrs: Mapping[str, Any] = {**trial.system_attrs, **trial.user_attrs}
    for key in ("reason", "fail_reason", "error", "exception"):
        if isinstance(attrs.get(key), str):
            return str(attrs[key])
    if state is RunState.STOPPED:
        steps = len(trial.intermediate_values)
        return f"pruned after {steps} report{'' if steps == 1 else 's'}"
    return ""
