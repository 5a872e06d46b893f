"""What an Optuna YAML of the users' guides says, as values.

`optuna_config` reads it, `optuna_sweep` makes a sweep of it. Defaults live here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from sweepkit.model.metric import Goal

DEFAULT_TRIALS = 20
ParameterKind = Literal["float", "int", "categorical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameter:
    """One parameter of `search_space`, in today's words of Optuna.

    Args:
        name: As the trainer takes it, bare ("batch_size") or dotted ("training.learning_rate").
        kind: "float", "int" or "categorical".
        low: Least value; None for categorical.
        high: Greatest value, inclusive, above low; None for categorical.
        log: Drawn evenly over the orders of magnitude; low is then above 0.
        step: Values are low, low + step, …, high; None for all between. Not with log.
        choices: The values of a categorical; () otherwise.
    """

    name: str
    kind: ParameterKind
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric as the trainer reports it, and its direction."""

    metric: str
    goal: Goal


class PhaseKind(StrEnum):
    """What a phase of a search does."""

    EXPLORE = "explore"  # search the whole space
    FOCUS = "focus"  # search ranges narrowed around the best runs of the phase before
    STAGE = "stage"  # search some parameters, the others at their best so far
    CONFIRM = "confirm"  # run the best configurations again with fresh seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of a search; it becomes a sweep of its own, `<study>-<name>`.

    Args:
        name: Unique among the phases.
        kind: What it does.
        n_trials: Runs of it, >= 1; a confirming phase has top × seeds of them.
        parameters: stage: the names that are searched.
        top: focus: so many best runs are narrowed around; confirm: so many configurations are run again, >= 1.
        margin: focus: the ranges reach beyond those runs by this part of the whole range, in [0, 1].
        seeds: confirm: the seeds; () draws as many as `n_seeds`, counted up from the training configuration's own.
        n_seeds: confirm: how many, >= 1.
        full: confirm: trains without the values of `quick_validation`.
        sampler: An own sampler, as the section `sampler`; {} for the study's.
    """

    name: str
    kind: PhaseKind
    n_trials: int = DEFAULT_TRIALS
    parameters: tuple[str, ...] = ()
    top: int = 3
    margin: float = 0.1
    seeds: tuple[int, ...] = ()
    n_seeds: int = 3
    full: bool = False
    sampler: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptunaConfig:
    """Everything that an Optuna YAML says, valid.

    Args:
        study_name: Also the sweep's name; the file's stem unless the YAML gives one.
        objectives: What is optimized, one or several.
        parameters: The search space, in the file's order.
        n_trials: Runs of the study, >= 1; None for no limit but the timeout's.
        timeout_s: Seconds after which a call starts no further run; None for no limit.
        sampler: `name` and the sampler's options.
        seed: Of the search, >= 0; None draws one, which the record keeps.
        storage: URL of the Optuna storage that the study is mirrored into; None leaves that to the caller.
        n_jobs: Runs at once, >= 1; -1 for as many as the machine has slots; None leaves that to the caller.
        pruning: A stopping rule as `sweepkit.early_terminate` takes it; {} for none.
        fixed: Trainer parameters that every run has.
        quick: The same from `quick_validation`: a final training leaves them out.
        conditions: As `sweepkit.conditions` takes them.
        wandb: `group` and `name` for `sweepkit.wandb`; {} when W&B is off.
        project: W&B's project, or None.
        extensions: More keys for `sweepkit:`.
        task: The training configuration's task.
        base_config: A name in config/, or an absolute path; None for config/base_config.yaml.
        base_seed: Its training.seed, which every run has unless `seed` is a parameter.
        phases: () for one search without phases.
        source: The file as the user named it.
        directory: Absolute folder of that file, "" if none.
        text: The YAML as read.
        notes: What the user should know though it is accepted, one sentence each.
    """

    study_name: str
    objectives: tuple[Objective, ...]
    parameters: tuple[SearchParameter, ...]
    n_trials: int | None = DEFAULT_TRIALS
    timeout_s: float | None = None
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"name": "tpe"})
    seed: int | None = None
    storage: str | None = None
    n_jobs: int | None = None
    pruning: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    wandb: Mapping[str, Any] = field(default_factory=dict)
    project: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    task: str = "summarization"
    base_config: str | None = None
    base_seed: int = 42
    phases: tuple[Phase, ...] = ()
    source: str = ""
    directory: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()

    @property
    def constants(self) -> dict[str, Any]:
        """Return every trainer parameter that all runs have alike."""
        return {**self.fixed, **self.quick}
