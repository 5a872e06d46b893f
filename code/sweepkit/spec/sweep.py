"""A sweep as a value: W&B's keys with W&B's meaning, our extensions under `sweepkit`.

Defaults live here and nowhere else. Reading YAML is `sweepkit.spec.read`'s business.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sweepkit.spec.space import Space


class Method(StrEnum):
    """W&B's `method`."""

    GRID = "grid"
    RANDOM = "random"
    BAYES = "bayes"
    CUSTOM = "custom"


class Goal(StrEnum):
    """W&B's `metric.goal`."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def better(self, a: float, b: float) -> bool:
        """Return whether `a` is strictly better than `b`."""
        return a < b if self is Goal.MINIMIZE else a > b

    def best(self, values: "list[float] | tuple[float, ...]") -> float:
        """Return the best of a non-empty sequence."""
        return min(values) if self is Goal.MINIMIZE else max(values)

    def worst(self, values: "list[float] | tuple[float, ...]") -> float:
        """Return the worst of a non-empty sequence."""
        return max(values) if self is Goal.MINIMIZE else min(values)


class Impute(StrEnum):
    """W&B's `metric.impute`: what a run that failed is told as."""

    LATEST = "latest"
    BEST = "best"
    WORST = "worst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is optimized.

    Args:
        name: The name as the program logs it, e.g. "eval/rouge_combined_f1".
        goal: Direction.
        target: The sweep ends as soon as any run reaches this value.
        impute: What a failed run is told as.
        impute_while_running: What a running run is told as; None (W&B's "false") means as pending.
    """

    name: str
    goal: Goal = Goal.MINIMIZE
    target: float | None = None
    impute: Impute = Impute.WORST
    impute_while_running: Impute | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyTerminate:
    """A stopping rule and its settings. `hyperband` is W&B's; the other types are ours (`sweepkit.early_terminate`).

    Args:
        type: "hyperband", "asha", "median" or "patience".
        min_iter: First band, in reports of the metric. hyperband, asha: required there or `max_iter` and `s`.
        max_iter: Longest run, in reports.
        s: Number of bands counted down from `max_iter`.
        eta: Ratio of bands, and of runs kept (1/eta), > 1.
        strict: hyperband compares the value at the band (True, W&B's code) or the best so far (False).
        n_startup_runs: median: finished runs before it acts, >= 1.
        n_warmup_reports: median, patience: reports of a run before it may be stopped, >= 0.
        patience: patience: reports without an improvement of more than `min_delta`, >= 1.
        min_delta: patience: what counts as an improvement, in units of the metric, >= 0.
    """

    type: str
    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float = 3
    strict: bool = True
    n_startup_runs: int = 5
    n_warmup_reports: int = 0
    patience: int = 5
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """An engine by name, with the options that were given (`sweepkit.sampler`); `spec.sampler` knows which there are.

    Args:
        name: "tpe", "gp", "cmaes", "nsga", "random", "grid", "qmc" or "auto".
        options: By name, checked; one that is absent has the engine's default.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """W&B 0.31's `scheduler:` key."""

    engine: str
    source: str | None = None
    optimizer: str | None = None
    search_space: str | None = None


class FailureAction(StrEnum):
    """What a rule of `sweepkit.on_failure` does with a failed attempt."""

    FAIL = "fail"  # the run has failed and is not tried again
    RETRY = "retry"  # again, on any slot
    ELSEWHERE = "elsewhere"  # again, on another slot
    QUARANTINE = "quarantine"  # again, on another slot, and this slot gets no further run
    PAUSE_SWEEP = "pause_sweep"  # nothing more is started; the run is tried again when the sweep goes on
    DIVERGED = "diverged"  # the configuration is to blame, as if its loss were NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """A rule of `sweepkit.on_failure`, before the table of `scheduling.outcome`.

    Args:
        match: Regular expression, searched in the reason and the last 16 KiB of the log, lines apart.
        action: What is done.
        times: Further attempts that it gives one run, >= 1.
    """

    match: str
    action: FailureAction
    times: int = 3

    def matches(self, text: str) -> bool:
        """Return whether the rule applies to a failure with this text."""
        return re.search(self.match, text, re.MULTILINE) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """Our own settings, the YAML's `sweepkit:` key, stripped before a sweep goes to W&B.

    Args:
        seed: Seed of the search, >= 0; None draws one, which the record keeps.
        sampler: An engine other than the method's own, with its options. Not with method grid.
        retries: Further attempts of a run that failed, >= 0. Runs lost with their agent are not counted.
        timeout_s: A run's longest duration in seconds; None for no limit.
        time_budget_s: Seconds after which a call of a runner starts no further run; those under way go on. Time in
            which the sweep is paused does not count. None for no limit.
        kill_delay_s: Seconds between SIGTERM and SIGKILL when a run is stopped (W&B: 30).
        preload: Modules to import before the first attempt, beside those found in the program.
        gpus_per_run: GPUs of a slot, >= 0; None means one where there are any.
        cpus_per_run: CPU cores of a slot, >= 1; None shares the cores evenly.
        min_free_gpu_memory_gb: GiB that a GPU must have free before a run is put on it; None for the rule of
            `agents.gpu_memory`; 0 never waits.
        early_terminate: A stopping rule of ours (asha, median, patience) in place of W&B's key.
        prior_runs: Sweep names, result files (`run_*_result.json`) or `runs.csv` tables whose runs the engine
            is told first.
        on_failure: Rules for failures, first match wins.
        base_config: The training configuration that trainer.py starts from unless --base-config names one: a path
            from the YAML's folder, or a name in config/.
    """

    seed: int | None = None
    sampler: Sampler | None = None
    retries: int = 0
    timeout_s: float | None = None
    time_budget_s: float | None = None
    kill_delay_s: float = 30.0
    preload: tuple[str, ...] = ()
    gpus_per_run: int | None = None
    cpus_per_run: int | None = None
    min_free_gpu_memory_gb: float | None = None
    early_terminate: EarlyTerminate | None = None
    prior_runs: tuple[str, ...] = ()
    base_config: str | None = None
    on_failure: tuple[FailureRule, ...] = ()


DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """One sweep, complete and valid.

    Args:
        name: YAML `name`, else the file's stem.
        method: W&B's method.
        space: The search space. Empty only when a `scheduler.search_space` gives it.
        program: The script as written; resolved to a file elsewhere.
        command: The command with its macros; items are strings.
        metric: What is optimized, or None (grid and random run without).
        metrics: Several objectives (method custom); () otherwise.
        early_terminate: The stopping rule in force (W&B's key or ours), or None.
        run_cap: At most this many runs, over all agents.
        description, entity, project: As W&B.
        controller: "local", "cloud" or None.
        scheduler: W&B 0.31's scheduler, or None.
        extensions: Our own settings.
        source: The file it was read from, as the user named it; "" if none.
        directory: Absolute folder of that file, "" if none; a relative `program` is looked up there first.
        text: The YAML text as read.
        wandb_config: The plain dictionary for W&B, `sweepkit` stripped.
        warnings: What the user should be told though it is accepted, one sentence each.
    """

    name: str
    method: Method
    space: Space
    program: str | None = None
    command: tuple[str, ...] = DEFAULT_COMMAND
    metric: Metric | None = None
    metrics: tuple[Metric, ...] = ()
    early_terminate: EarlyTerminate | None = None
    run_cap: int | None = None
    description: str | None = None
    entity: str | None = None
    project: str | None = None
    controller: str | None = None
    scheduler: Scheduler | None = None
    extensions: Extensions = field(default_factory=Extensions)
    source: str = ""
    directory: str = ""
    text: str = ""
    wandb_config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """Return all that is optimized: the one metric, or each of several; () without any."""
        return self.metrics if self.metric is None else (self.metric,)
