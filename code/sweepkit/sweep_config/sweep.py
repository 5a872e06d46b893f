"""A sweep as a value: W&B's keys with W&B's meaning, our extensions under `sweepkit`.

Defaults live here and nowhere else. Reading YAML is `sweepkit.sweep_config.read`'s business.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from sweepkit.model.metric import Metric
from sweepkit.model.space import Space


class Method(StrEnum):
    """W&B's `method`."""

    GRID = "grid"
    RANDOM = "random"
    BAYES = "bayes"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyTerminate:
    """A stopping rule and its settings. `hyperband` is W&B's; the other types are ours (`sweepkit.early_terminate`).

    `docs/stopping.md` says what each type does; percentile, successive_halving, optuna_hyperband, patient, threshold
    and wilcoxon are Optuna's.

    Args:
        type: "hyperband", "asha", "median", "patience", "percentile", "successive_halving", "optuna_hyperband",
            "patient", "threshold", "wilcoxon", "auto" (without settings) or "none".
        min_iter: First band, in reports of the metric. hyperband, asha: required there or `max_iter` and `s`.
        max_iter: Longest run, in reports.
        s: Number of bands counted down from `max_iter`.
        eta: Ratio of bands, and of runs kept (1/eta), > 1.
        strict: hyperband compares the value at the band (True, W&B's code) or the best so far (False).
        n_startup_runs: median (>= 1), percentile (>= 0): finished runs before it acts.
        n_warmup_reports: median, patience, percentile, threshold: reports of a run before it may be stopped, >= 0.
        interval_reports: median, percentile, threshold: judge only every so many reports after the warm-up, >= 1.
        n_min_runs: median, percentile: other runs that must have reached the report, >= 1.
        patience: patience (>= 1): reports without an improvement of more than `min_delta`. patient (>= 0): one less.
        min_delta: patience, patient: what counts as an improvement, in units of the metric, >= 0.
        percentile: percentile: part of the runs that is kept, in percent, in [0, 100].
        called: percentile: what messages call it, "" for its type: Optuna's median is the percentile of 50.
        min_resource: successive_halving, optuna_hyperband: Optuna's step of the first rung, >= 1; None: a hundredth of
            the longest finished run, at least 1, for successive_halving; 1 for optuna_hyperband.
        max_resource: optuna_hyperband: reports of a whole run, >= min_resource; None: of the longest finished one.
        reduction_factor: Ratio of rungs, >= 2, and of runs kept at one; None: 4, or 3 for optuna_hyperband.
        min_early_stopping_rate: successive_halving: rungs left out at the beginning, >= 0.
        bootstrap_count: successive_halving, optuna_hyperband: runs that a rung ends before any passes it, >= 0.
        rule: patient: the rule that decides once patience is exhausted; None ends the run then.
        lower: threshold: a smaller value ends the run; None for no bound.
        upper: threshold: a larger value ends the run; None for no bound.
        p_threshold: wilcoxon: ends a run that is worse than the best one with a smaller p-value, in [0, 1].
        n_startup_steps: wilcoxon: instances (folds) that both must have, >= 0; two are always needed.
        instances: wilcoxon: name of the reported value of one instance alone; None: see `instance_metric`.
    """

    type: str
    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float = 3
    strict: bool = True
    n_startup_runs: int = 5
    n_warmup_reports: int = 0
    interval_reports: int = 1
    n_min_runs: int = 1
    patience: int = 5
    min_delta: float = 0.0
    percentile: float = 25.0
    called: str = field(default="", compare=False)
    min_resource: int | None = None
    max_resource: int | None = None
    reduction_factor: int | None = None
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0
    rule: "EarlyTerminate | None" = None
    lower: float | None = None
    upper: float | None = None
    p_threshold: float = 0.1
    n_startup_steps: int = 2
    instances: str | None = None

    def instance_metric(self, metric: str) -> str | None:
        """Return the name under which a run reports the value of one instance; None when the rule asks for none.

        Without `instances` it is the metric's with `fold_` before its last part: what our trainer reports of a fold.

        >>> EarlyTerminate(type="wilcoxon").instance_metric("eval/macro_f1")
        'eval/fold_macro_f1'
        """
        if self.rule is not None:
            return self.rule.instance_metric(metric)
        if self.type != "wilcoxon":
            return None
        head, slash, last = metric.rpartition("/")
        return self.instances or f"{head}{slash}fold_{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """An engine by name, with the options that were given (`sweepkit.sampler`); `sampler.py` knows which.

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
class WandbNaming:
    """How each run appears in W&B: `sweepkit.wandb`. None leaves a setting as it would be without the section.

    Args:
        group: Group of the runs; `{sweep}` stands for the sweep's name, which is the default.
        name: Display name of a run, with `{number}` (from 0), `{run_id}` and `{sweep}`; `{number:03d}` pads.
        job_type: W&B's job type.
        tags: W&B's tags; no commas in them.
        mode: "online": every run is sent to a W&B server while it logs. "offline": our trainer too records every run
            with W&B. "disabled": no run is recorded, and what a program logs by `wandb.log` alone is not seen.
            None: programs decide.
        sweep_id: False: runs have no `wandb.run.sweep_id`, and `wandb sync` takes their folders. None: our id of it.
    """

    group: str | None = None
    name: str | None = None
    job_type: str | None = None
    tags: tuple[str, ...] = ()
    mode: str | None = None
    sweep_id: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """Several runs of each configuration, one for each seed: `sweepkit.seeds_per_run`.

    Args:
        seeds: At least two different seeds, each in [0, 2**32), in the order in which a configuration gets them; the
            number N in the YAML stands for 1 … N.
        stop_worse: A configuration that is clearly worse than the best one gets no further seed (`stats.seed_race`).
        min_seeds: Seeds that every configuration gets before it may be judged so, in [1, number of seeds].
    """

    seeds: tuple[int, ...]
    stop_worse: bool = True
    min_seeds: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """Our own settings, the YAML's `sweepkit:` key, stripped before a sweep goes to W&B.

    Args:
        seed: Seed of the search, >= 0; None draws one, which the record keeps.
        sampler: An engine other than the method's own, with its options. Not with method grid.
        cost: "time" weighs the improvement that a Gaussian process expects of a run with how long it would take, as
            finished runs taught it; None weighs nothing. With method bayes, or sampler gp or auto.
        retries: Further attempts of a run that failed, >= 0. Runs lost with their agent are not counted.
        timeout_s: A run's longest duration in seconds; None for no limit.
        time_budget_s: Seconds after which a call of a runner starts no further run; those under way go on. Time in
            which the sweep is paused does not count. None for no limit.
        kill_delay_s: Seconds between SIGTERM and SIGKILL when a run is stopped (W&B: 30).
        preload: Modules to import before the first attempt, beside those found in the program.
        gpus_per_run: GPUs of a slot, >= 0; None means one where there are any.
        cpus_per_run: CPU cores of a slot, >= 1; None shares the cores evenly.
        runs_per_gpu: Runs that share a GPU, >= 1; "auto" for as many as fit by what was measured of them, and pay; None
            means one.
        min_free_gpu_memory_gb: GiB that a GPU must have free before a run is put on it; None for the rule of
            `agents.gpu_memory`; 0 never waits.
        early_terminate: A stopping rule of ours in place of W&B's key; auto is the one that measured best.
        audit_stopped: Share of the runs that the rule would stop which are finished all the same, in (0, 1], two at
            least, by the sweep's seed: they say how often it errs. None audits nothing.
        prior_runs: Sweep names, result files (`run_*_result.json`) or `runs.csv` tables whose runs the engine
            is told first.
        first_points: Configurations that are run first, by parameters; what one leaves out is searched.
        on_failure: Rules for failures, first match wins.
        search_space: "module:function": the function that suggests the parameters of each run, define-by-run. The
            module is looked up beside the YAML, in the working directory and in code/.
        base_config: The training configuration that trainer.py starts from unless --base-config names one: a path
            from the YAML's folder, or a name in config/.
        wandb: How each run appears in W&B; None: in the sweep's group, with a name of W&B's choice.
        seed_parameter: The parameter through which the program gets its seed, nested ones with dots; None: only by the
            environment variable SEED. A run that has the parameter gets its value as SEED, too.
        seeds_per_run: Several runs of each configuration, with different seeds; None: one run, whatever its seed.
        holdout: Values of parameters, by dotted name, that make the program score the hold-out set in place of the one
            that the sweep selects by; {} when none is named.
        value: What a run's value is of its reports: best, last, or "mean_of_last N". None: what the program says to W&B
            by define_metric(…, summary=…), else best. A metric that is a running mean, a count or a sum needs last.
    """

    seed: int | None = None
    sampler: Sampler | None = None
    cost: Literal["time"] | None = None
    retries: int = 0
    timeout_s: float | None = None
    time_budget_s: float | None = None
    kill_delay_s: float = 30.0
    preload: tuple[str, ...] = ()
    gpus_per_run: int | None = None
    cpus_per_run: int | None = None
    runs_per_gpu: int | Literal["auto"] | None = None
    min_free_gpu_memory_gb: float | None = None
    early_terminate: EarlyTerminate | None = None
    audit_stopped: float | None = None
    prior_runs: tuple[str, ...] = ()
    first_points: tuple[Mapping[str, Any], ...] = ()
    base_config: str | None = None
    on_failure: tuple[FailureRule, ...] = ()
    search_space: str | None = None
    wandb: WandbNaming | None = None
    seed_parameter: str | None = "seed"
    seeds_per_run: Seeds | None = None
    holdout: Mapping[str, Any] = field(default_factory=dict)
    value: str | None = None


OBJECTIVES = "objective"  # stands for the module of `search_space` where runs suggest their parameters themselves
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
        warnings: What the user should know though it is accepted, one sentence each.
        refused: What of a recorded sweep this version would not take, one sentence each; () of any other.
        reader_note: What to write where W&B's own reader shall read the file too; "" when it reads the same.
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
    refused: tuple[str, ...] = ()
    reader_note: str = ""

    @property
    def instance_names(self) -> tuple[str, str] | None:
        """Return the names of the metric and of its value for one instance, when the stopping rule asks for that."""
        rule = self.early_terminate or self.extensions.early_terminate
        if rule is None or self.metric is None:
            return None
        name = rule.instance_metric(self.metric.name)
        return None if name is None else (self.metric.name, name)

    @property
    def suggests_itself(self) -> bool:
        """Return whether a run suggests its parameters while it runs: an Optuna objective, or an optimizer's space."""
        return (self.extensions.search_space or "").partition(":")[0] == OBJECTIVES

    @property
    def confirmable(self) -> bool:
        """Return whether its best can be run again with fresh seeds: one metric, and parameters given from outside."""
        return self.metric is not None and not self.suggests_itself

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """Return all that is optimized: the one metric, or each of several; () without any."""
        return self.metrics if self.metric is None else (self.metric,)
