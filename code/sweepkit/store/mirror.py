"""A sweep as an Optuna study, so that optuna.load_study, its plots and optuna-dashboard work on it.

The mirror is derived data: it can be deleted and made again, and decides nothing. Trial number = run number, so with
several seeds for each configuration (`sweepkit.seeds_per_run`) each seed is a trial, which names its configuration and
its seed among its user attributes; the study's best trial is then the luckiest seed's, and no configuration's mean.

**Incremental.** The study keeps the change counter that it was brought up to; a call looks only at runs changed since.
A crash in between repeats work that changes nothing.

**Made anew.** Optuna neither reopens a finished trial nor changes a parameter's choices. So when a run is tried again
(`--retry-failed`, a lost attempt that had reported) or the space was extended, the study is deleted and written anew.

One process at a time should mirror a sweep. Two at once may write a run twice; the next call sees it and makes it anew.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweepkit.errors import StoreError
from sweepkit.model.configurations import configuration_of
from sweepkit.model.distributions import Distribution, Kind, as_choice
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import objectives_of, value_of
from sweepkit.model.records import metric_of, metrics_of
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import CONFIGURATION, RUN_SEED
from sweepkit.model.space import Parameter, Space
from sweepkit.store.base import RunRecord, Store, SweepRecord
from sweepkit.store.mirror_read import METRIC
from sweepkit.store.mirror_suggested import suggested, without_suggested

if TYPE_CHECKING:
    import sqlalchemy as sa
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_CHANGE = "sweepkit:change"
_SPACE = "sweepkit:space"
_SWEEP_ID = "sweepkit:sweep_id"
_ATTEMPT = "attempt"
_BUSY_TIMEOUT_S = 30.0
# Where a distribution without bounds is cut for Optuna: values beyond are kept as user attributes.
_SIGMAS = 8.0
_ROUNDING = 1e-9
_LONGEST_NAME = 512  # of a parameter, in Optuna's tables
# The storages that Optuna found to have its tables as they are now. It loads its migrations to know, 25 ms of CPU at
# each opening, and a sweep that runs is mirrored every few seconds.
_COMPATIBLE: set[str] = set()


class _Stale(Exception):  # noqa: N818 - no error: it asks for the study to be written anew
    """The study holds something that Optuna does not let us correct."""


def sync_mirror(store: Store, sweep_id: str, optuna_storage_url: str, space: Space | None) -> int:
    """Bring the Optuna study of a sweep up to date; make storage and study when there are none.

    Args:
        store: The record.
        sweep_id: Whose runs.
        optuna_storage_url: As Optuna takes it: `sqlite:///PATH` or `postgresql://…`.
        space: Gives the parameters' distributions; None keeps every value as a user attribute.

    Returns:
        The number of runs that had changed since the last call.

    Raises:
        StoreError: No such sweep, optuna is not installed, the storage cannot be opened, or a study of the sweep's name
            is there that belongs to another sweep.
    """
    sweep = next((sweep for sweep in store.sweeps() if sweep.sweep_id == sweep_id), None)
    if sweep is None:
        raise StoreError(f"sweep {sweep_id}: must be in the store, got no such id; take it from `sweeps()`")
    with _storage(optuna_storage_url) as storage:
        mirror = _Mirror(storage, sweep, space)
        try:
            return mirror.update(store)
        except _Stale:
            mirror.delete()
            return mirror.update(store)


def load_study(url: str, name: str) -> "Study":
    """Return the Optuna study of a sweep from the storage that it is mirrored into.

    Args:
        url: As `sync_mirror` takes it.
        name: Of the study, which is the sweep's.

    Raises:
        StoreError: The storage cannot be opened, or there is no such study in it.
    """
    with _storage(url) as storage:  # opens what Optuna itself would not: PostgreSQL by any of its names
        names = sorted(study.study_name for study in storage.get_all_studies())
        if name not in names:
            raise StoreError(f"Optuna study {name!r}: must be in the storage, got {', '.join(names) or 'none'}")
        shown = storage.url
    import optuna

    return optuna.load_study(study_name=name, storage=shown)


@contextmanager
def _storage(url: str) -> "Iterator[RDBStorage]":
    """Yield the Optuna storage of a URL, quiet, and close its connections."""
    try:
        import optuna
        import sqlalchemy as sa
    except ImportError:
        raise StoreError(
            "--optuna-storage: the mirror needs the package optuna, got none; install it: pip install optuna"
        ) from None
    from sweepkit.store.session import explain
    from sweepkit.store.url import parse_url, postgresql_url, shown_url, url_secrets

    logger = logging.getLogger("optuna.storages")
    level = logger.level
    parsed = parse_url(url, "--optuna-storage")
    if parsed.drivername.startswith("postgres"):
        parsed = postgresql_url(parsed)
    shown = f"Optuna storage {shown_url(parsed)}"
    storage = None
    logger.setLevel(logging.WARNING)  # "A new study created" would go to the user's terminal
    try:
        storage = _open_storage(parsed, shown)
        yield storage
    except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
        raise StoreError(explain(error, shown, url_secrets(parsed))) from error
    finally:
        logger.setLevel(level)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _open_storage(url: "sa.URL", shown: str) -> "RDBStorage":
    import optuna
    import sqlalchemy as sa

    arguments: dict[str, Any] = {}
    if url.drivername.startswith("sqlite"):
        arguments = {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
        try:
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{shown}: its folder must be there or be made, got: {error}; name another one") from None
    text = url.render_as_string(hide_password=False)
    for remaining in (2, 1, 0):
        try:
            known = text in _COMPATIBLE
            storage = optuna.storages.RDBStorage(text, engine_kwargs=arguments, skip_compatibility_check=known)
            _COMPATIBLE.add(text)
            return storage
        except sa.exc.SQLAlchemyError as error:
            # Two first starts on one file break each other in Optuna (optuna-dashboard beside us): the second try finds
            # the tables of the other.
            if not remaining or "already exists" not in str(error):
                raise
    raise AssertionError("the last try returns or raises")


class _Mirror:
    """One study and the sweep it shows."""

    def __init__(self, storage: "RDBStorage", sweep: SweepRecord, space: Space | None) -> None:
        self._storage = storage
        self._sweep = sweep
        self._objectives = _objectives(sweep)
        self._columns = columns(space)
        self._study_id = -1

    def update(self, store: Store) -> int:
        self._study_id = self._open_study()
        attrs = self._storage.get_study_user_attrs(self._study_id)
        fingerprint = self._fingerprint()
        if attrs.get(_SPACE, fingerprint) != fingerprint:
            raise _Stale
        since = int(attrs.get(_CHANGE, 0))
        changed = store.runs(self._sweep.sweep_id, since=since)
        if not changed:
            return 0
        known = self._storage.get_n_trials(self._study_id)
        for run in changed:
            if run.number < known:
                self._update_trial(run)
            else:
                self._create_trial(run)
                known += 1
        self._storage.set_study_user_attr(self._study_id, _SPACE, fingerprint)
        self._storage.set_study_user_attr(self._study_id, _CHANGE, max(run.change for run in changed))
        return len(changed)

    def delete(self) -> None:
        self._storage.delete_study(self._study_id)

    def _open_study(self) -> int:
        import optuna

        names = {study.study_name: study._study_id for study in self._storage.get_all_studies()}
        if self._sweep.name not in names:
            directions = [optuna.study.StudyDirection[metric.goal.name] for metric in self._objectives]
            try:
                study_id = self._storage.create_new_study(directions, self._sweep.name)
            except optuna.exceptions.DuplicatedStudyError:  # somebody made it just now
                study_id = self._storage.get_study_id_from_name(self._sweep.name)
            self._storage.set_study_user_attr(study_id, _SWEEP_ID, self._sweep.sweep_id)
            # With names Optuna calls the column of a single objective by its name, too; users look for `value`.
            shown = [metric.name for metric in self._objectives if metric.name]
            if len(shown) == 1:
                self._storage.set_study_user_attr(study_id, METRIC, shown[0])
            if len(shown) > 1:
                self._storage.set_study_system_attr(study_id, "study:metric_names", shown)
            return study_id
        study_id = names[self._sweep.name]
        owner = self._storage.get_study_user_attrs(study_id).get(_SWEEP_ID)
        if owner is None and self._storage.get_n_trials(study_id) == 0:  # we died before the next line
            self._storage.set_study_user_attr(study_id, _SWEEP_ID, self._sweep.sweep_id)
        elif owner != self._sweep.sweep_id:
            raise StoreError(
                f"Optuna study {self._sweep.name!r}: must be this sweep's mirror, got one of "
                f"{'sweep ' + owner if owner else 'another program'}; "
                f"delete it (optuna delete-study --study-name …) or name another --optuna-storage"
            )
        return study_id

    def _fingerprint(self) -> str:
        import optuna

        shapes = {
            name: optuna.distributions.distribution_to_json(column.distribution)
            for name, column in self._columns.items()
        }
        return json.dumps(shapes, sort_keys=True, ensure_ascii=False)

    def _create_trial(self, run: RunRecord) -> None:
        self._storage.create_new_trial(self._study_id, template_trial=self._frozen(run))

    def _update_trial(self, run: RunRecord) -> None:
        import optuna

        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, run.number)
        trial = self._storage.get_trial(trial_id)
        wanted = self._frozen(run)
        if trial.user_attrs.get("run_id") != run.run_id:
            raise _Stale
        if trial.state.is_finished():
            if not _same(trial, wanted):
                raise _Stale
            return
        if not _extends(trial.intermediate_values, wanted.intermediate_values):
            raise _Stale  # another attempt began anew
        for name in wanted.params.keys() - trial.params.keys():  # an objective's are suggested while it runs
            distribution = wanted.distributions[name]
            internal = distribution.to_internal_repr(wanted.params[name])
            self._storage.set_trial_param(trial_id, name, internal, distribution)
        for key, value in wanted.user_attrs.items():
            if trial.user_attrs.get(key) != value:
                self._storage.set_trial_user_attr(trial_id, key, value)
        for step, value in wanted.intermediate_values.items():
            if step not in trial.intermediate_values:
                self._storage.set_trial_intermediate_value(trial_id, step, value)
        if trial.state == wanted.state:
            return
        if wanted.state is not optuna.trial.TrialState.WAITING and trial.state is optuna.trial.TrialState.WAITING:
            self._storage.set_trial_state_values(trial_id, optuna.trial.TrialState.RUNNING)
        if wanted.state is not optuna.trial.TrialState.RUNNING:
            self._storage.set_trial_state_values(trial_id, wanted.state, wanted.values)

    def _frozen(self, run: RunRecord) -> "FrozenTrial":
        """Return the trial that shows a run as it is."""
        import optuna

        state, values = outcome(run, self._objectives)
        params, attrs = split_params(run.params, self._columns)
        distributions = {name: self._columns[name].distribution for name in params}
        noted, own = suggested(run.proposal)
        params, distributions, attrs = params | noted, distributions | own, without_suggested(attrs, noted)
        if (
            which := configuration_of(run)
        ) is not None:  # each seed is a trial: a run is one, and a trial has one value
            attrs |= {CONFIGURATION: which, RUN_SEED: run.proposal.get(RUN_SEED)}
        attrs |= {"run_id": run.run_id, "state": run.state.value, "reason": run.reason, _ATTEMPT: run.attempts}
        trial_state = optuna.trial.TrialState[state]
        start = run.started_at or run.created_at
        return optuna.trial.FrozenTrial(
            number=run.number,
            state=trial_state,
            value=None,
            values=values,
            datetime_start=None if state == "WAITING" else datetime.fromtimestamp(start),
            datetime_complete=datetime.fromtimestamp(run.ended_at or start) if trial_state.is_finished() else None,
            params=params,
            distributions=distributions,
            user_attrs=attrs,
            system_attrs={},
            # A pending run shows no values: those it has are of an attempt that will be made again.
            intermediate_values={} if state == "WAITING" else dict(enumerate(run.history)),
            trial_id=-1,
        )


def _same(trial: "FrozenTrial", wanted: "FrozenTrial") -> bool:
    return bool(
        trial.state == wanted.state
        and trial.values == wanted.values
        and trial.user_attrs.get(_ATTEMPT) == wanted.user_attrs[_ATTEMPT]
    )


def _extends(old: Mapping[int, float], new: Mapping[int, float]) -> bool:
    return all(
        step in new and (new[step] == value or (math.isnan(new[step]) and math.isnan(value)))
        for step, value in old.items()
    )


_State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]


def _objectives(sweep: SweepRecord) -> tuple[Metric, ...]:
    """Return what a recorded sweep optimizes: several metrics, one, or one without a name, since Optuna wants one."""
    return metrics_of(sweep) or (metric_of(sweep) or Metric(name=""),)


def outcome(run: RunRecord, metrics: Sequence[Metric]) -> tuple[_State, list[float] | None]:
    """Return the name of the Optuna state that shows a run, and its values.

    A finished run gets its own value (`value_of`); without one it is FAIL, since Optuna has no COMPLETE without a value
    (the user attribute `state` still says "finished"). A stopped run gets its last finite value, as Optuna prunes.
    With several objectives both are COMPLETE with a value of each (FAIL without): Optuna prunes one objective only, and
    so `best_trials` is the sweep's front.
    """
    if len(metrics) > 1 and run.state.done:
        well = run.state.ended_well
        vector = objectives_of(run, metrics) if well else None
        return ("FAIL", None) if vector is None else ("COMPLETE", list(vector))
    if run.state is RunState.FINISHED:
        value = value_of(run, metrics[0])
        return ("FAIL", None) if value is None else ("COMPLETE", [value])
    if run.state is RunState.STOPPED:
        return "PRUNED", [value for value in run.history if math.isfinite(value)][-1:] or None
    if run.state.done:
        return "FAIL", None
    return ("RUNNING" if run.state is RunState.RUNNING else "WAITING"), None


@dataclass(frozen=True, slots=True)
class MirrorColumn:
    """One parameter of the space as Optuna sees it; `distribution` is an optuna BaseDistribution."""

    parameter: Parameter
    distribution: "BaseDistribution"


def columns(space: Space | None) -> dict[str, MirrorColumn]:
    """Return the space's parameters that Optuna can show, by dotted name."""
    found = {}
    for parameter in space.parameters if space else ():
        if parameter.distribution.support_size() == 1:
            continue  # a constant was not searched: best_params is what the engine chose
        distribution = optuna_distribution(parameter.distribution)
        if distribution is not None and len(parameter.name) <= _LONGEST_NAME:
            found[parameter.name] = MirrorColumn(parameter, distribution)
    return found


def split_params(params: Mapping[str, Any], shown: Mapping[str, MirrorColumn]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run's values as Optuna parameters, and those that fit no distribution as user attributes.

    Lists and dicts are JSON text in both. Names are dotted.
    """
    fit: dict[str, Any] = {}
    taken = set()
    for name, column in shown.items():
        flat = Space(parameters=(column.parameter,)).flatten(params)
        if column.parameter.path not in flat:
            continue
        ok, value = _fitted(flat[column.parameter.path], column.distribution)
        if ok:
            fit[name] = value
            taken.add(column.parameter.path)
    rest = {".".join(path): as_choice(value) for path, value in _leaves(params, (), taken)}
    return fit, {f"param:{name}": value for name, value in rest.items()}


def _leaves(
    node: Mapping[str, Any], path: tuple[str, ...], taken: "set[tuple[str, ...]]"
) -> "Iterator[tuple[tuple[str, ...], Any]]":
    for key, value in node.items():
        here = (*path, str(key))
        if here in taken:
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here, taken)
        else:
            yield here, value


def _fitted(value: Any, distribution: "BaseDistribution") -> tuple[bool, Any]:
    import optuna

    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        choice = as_choice(value)
        return any(type(choice) is type(known) and choice == known for known in distribution.choices), choice
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False, None
    assert isinstance(distribution, optuna.distributions.IntDistribution | optuna.distributions.FloatDistribution)
    inside = min(max(value, distribution.low), distribution.high)
    if not math.isclose(value, inside, rel_tol=_ROUNDING):
        return False, None
    value = inside  # exp and log of a bound may differ from the bound in the last digits
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return value == int(value), int(value)
    return True, float(value)


def optuna_distribution(distribution: Distribution) -> "BaseDistribution | None":
    """Return W&B's distribution as Optuna's, wide enough for every value that it draws; None when there is none.

    Kinds without bounds are cut at 8 standard deviations. The steps of a q_uniform are kept, and those to which W&B's
    own engine rounds its bounds, be they outside; those of other kinds are left out, and their bounds widened to the
    multiples around them.
    """
    import optuna

    if distribution.values:
        return optuna.distributions.CategoricalDistribution(_choices(distribution.values))
    if (stepped := _stepped(distribution)) is not None:
        return stepped
    try:
        low, high, log = _bounds(distribution)
    except (OverflowError, ValueError):  # exp() of a great exponent
        return None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        return None
    if distribution.kind is Kind.INT_UNIFORM or (distribution.q is not None and isinstance(distribution.q, int)):
        return optuna.distributions.IntDistribution(math.floor(low), math.ceil(high))
    return optuna.distributions.FloatDistribution(low, high, log=log and low > 0)


def _stepped(distribution: Distribution) -> "BaseDistribution | None":
    """Return a q_uniform with its steps; None for other kinds, and where no multiple of q lies inside its bounds."""
    import optuna

    size = distribution.support_size() if distribution.kind is Kind.Q_UNIFORM else None
    if size is None or size < 2:
        return None
    step = 1.0 if distribution.q is None else distribution.q
    low, high = distribution.support_value(0), distribution.support_value(size - 1)
    if not math.isclose(high - low, (size - 1) * step, rel_tol=1e-9):
        return None
    bounds = distribution.bounds()
    assert bounds is not None
    # What lies just inside of a bound is rounded so; a bound itself, halfway between two steps, no engine draws.
    low = min(low, math.floor(bounds[0] / step + 0.5) * step)
    high = max(high, math.ceil(bounds[1] / step - 0.5) * step)
    if isinstance(step, int):
        return optuna.distributions.IntDistribution(int(low), int(high), step=step)
    return optuna.distributions.FloatDistribution(float(low), float(high), step=step)


def _choices(values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in map(as_choice, values):
        # Optuna finds a choice by ==, so of 1, 1.0 and True only the first can be distinguished.
        if value not in kept:
            kept.append(value)
    return kept


def _bounds(d: Distribution) -> tuple[float, float, bool]:
    """Return lower bound, upper bound, and whether the scale is logarithmic."""
    low, high, log = _plain_bounds(d)
    if d.q is not None and d.q > 0:
        low, high = math.floor(low / d.q) * d.q, math.ceil(high / d.q) * d.q
    return low, high, log


def _plain_bounds(d: Distribution) -> tuple[float, float, bool]:
    kind = d.kind
    if kind in (Kind.BETA, Kind.Q_BETA):
        return 0.0, 1.0, False
    if kind in (Kind.NORMAL, Kind.Q_NORMAL, Kind.LOG_NORMAL, Kind.Q_LOG_NORMAL):
        mu, sigma = d.mu or 0.0, 1.0 if d.sigma is None else d.sigma
        low, high = mu - _SIGMAS * sigma, mu + _SIGMAS * sigma
        if kind in (Kind.NORMAL, Kind.Q_NORMAL):
            return low, high, False
        return math.exp(low), math.exp(high), True
    if d.min is None or d.max is None:
        raise ValueError(f"{kind}: needs min and max")
    if kind in (Kind.LOG_UNIFORM, Kind.Q_LOG_UNIFORM):
        return math.exp(d.min), math.exp(d.max), True
    if kind is Kind.INV_LOG_UNIFORM:
        return math.exp(-d.max), math.exp(-d.min), True
    log = kind in (Kind.LOG_UNIFORM_VALUES, Kind.Q_LOG_UNIFORM_VALUES, Kind.INV_LOG_UNIFORM_VALUES)
    return float(d.min), float(d.max), log
