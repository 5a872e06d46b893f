"""The optimizer of the Optuna guide as a class: its space and objective, run by our agents or by a user's study.

    from sweepkit.studies.optimizer import OptunaOptimizer

    optimizer = OptunaOptimizer(config="tiny_bart_lora", n_trials=20, study_name="first", output_dir="outputs")
    study = optimizer.optimize()                # an optuna.Study; the same call continues what was stopped or killed
    print(optimizer.get_best_value(), optimizer.get_best_params())
    optimizer.save_results("outputs/results")
    optimizer.plot_optimization_history("outputs/plots")

With a study of one's own: `study.optimize(optimizer.objective)` trains each trial in this process.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.seeds import CONFIGURATION
from sweepkit.paths import default_output_dir
from sweepkit.runner.leader import Leader
from sweepkit.search.kept_study import StudySettings, random_trials
from sweepkit.search.pruner_rule import PrunerRule
from sweepkit.search.trial_engine import TrialEngine
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.make import FirstStop, make_rule
from sweepkit.studies.inputs import config_of, with_data, write_config
from sweepkit.studies.options import StudyOptions
from sweepkit.studies.plan import checkpoint_of, make_plan_of, run_options, settings, slot_options
from sweepkit.studies.results import StudyResult, folder_of, write_results
from sweepkit.studies.yaml.guide_space import guide_parameters, metric_of, space_of
from sweepkit.studies.yaml.study_sweep import PRUNERS, Study, study_sweep
from sweepkit.sweep_config.read import from_config
from sweepkit.sweep_config.sweep import OBJECTIVES, SweepSpec
from sweepkit.training.config.training import AnyConfig, apply, flatten, route, to_yaml, unknown_parameters

# Where transformers' arguments have another name than our section `training`.
_ARGUMENTS = {"warmup_ratio": "warmup_steps"}  # a float below 1 is a ratio there


# What the record says where an object of the user's searches or prunes.
_STAND_IN = {"sampler": "tpe", "pruner": "none"}
_LOOKS = 16  # random trials that show which parameters a subclass suggests


class NoResultError(SweepKitError, ValueError):
    """Something was asked of trials that there are not yet."""


class OptunaOptimizer:
    """Search for the best training configuration.

    Args:
        config: What every trial starts from: a path, a name in config/ or config/models/, a mapping of sections (the
            guides' names are understood), a TrainingConfig; None for config/base_config.yaml, the embedded model.
        train_dataset: A path, rows, a pandas frame or a Hugging Face data set; None for the configuration's own data.
        val_dataset: The same, for scoring.
        n_trials: Trials in all, >= 1; None for no limit but the timeout's.
        timeout: Seconds after which `optimize` starts no further trial; None for no limit.
        study_name: Also the folder of the results.
        direction: "maximize" (ROUGE-L F1) or "minimize" (the loss of the evaluation).
        storage: URL of the Optuna storage that the study is found in; None for `optuna.db` in `output_dir`.
        metric: Another metric that the trainer reports, such as "eval/rouge1_f1".
        search_space: Parameters as a sweep's YAML has them, in place of the guide's fifteen.
        sampler: As `optimize.py --sampler`, or a sampler of Optuna's kind.
        pruner: As `optimize.py --pruner`, or a pruner of Optuna's kind.
        seed: Of the search, >= 0.
        n_jobs: Trials at once in `optimize`, >= 1; -1 for as many as the machine has room for.
        output_dir: Where everything is written; None for outputs/.
        wandb: Record each trial with W&B, too.
        fresh: `optimize` starts anew under a new name when the study is there already.

    Attributes:
        study: What `optimize` returned; may be set to a study of one's own, whose results are then saved.
        best_params: Of the best trial, by name; None before there is one.
        best_value: Its value; None before there is one.

    Raises:
        SpecError: The configuration, the search space or a setting is wrong.
        DataError: A data set is.
    """

    def __init__(
        self,
        config: Any = None,
        train_dataset: Any = None,
        val_dataset: Any = None,
        n_trials: int | None = 50,
        timeout: float | None = None,
        *,
        study_name: str = "optuna_study",
        direction: str = "maximize",
        storage: str | None = None,
        metric: str | None = None,
        search_space: Mapping[str, Any] | None = None,
        sampler: Any = "tpe",
        pruner: Any = "median",
        seed: int = 42,
        n_jobs: int = 1,
        output_dir: str | os.PathLike[str] | None = None,
        wandb: bool = False,
        fresh: bool = False,
    ) -> None:
        _check_choice("direction", direction, [goal.value for goal in Goal])
        if isinstance(pruner, str):
            _check_choice("pruner", pruner, list(PRUNERS))
        if n_trials is None and timeout is None:
            rule, hint = "must be given where there is no timeout, or the search never ends", "write n_trials=50"
            raise SpecError([Problem(where="OptunaOptimizer", key="n_trials", rule=rule, got="None", hint=hint)])
        self.n_trials, self.timeout, self.direction = n_trials, timeout, direction
        self.study_name, self.n_jobs, self.fresh = study_name, n_jobs, fresh
        self.output_dir = Path(os.path.abspath(default_output_dir() if output_dir is None else output_dir))
        self.storage = storage or f"sqlite:///{self.output_dir / 'optuna.db'}"
        self.study: Any = None
        self.best_params: dict[str, Any] | None = None
        self.best_value: float | None = None
        self.metric = metric_of(direction, metric)
        self._datasets = (train_dataset, val_dataset)
        self._own_config = config_of(config)
        self._config: AnyConfig | None = None
        self.search_space: Mapping[str, Any] = search_space or guide_parameters(
            checkpoint_of(self._own_config, "config")
        )
        self.space = space_of(self.search_space)
        self._first_points: list[dict[str, Any]] = []
        names = self._names_suggested() if self._suggests_itself() else list(self.search_space)
        self._settings = settings(self._own_config, dict.fromkeys(names), wandb=wandb)
        self._search: dict[str, Any] = {"sampler": sampler, "pruner": pruner, "seed": seed}
        self.spec = from_config(self._sweep("base_config"), source=f"study {study_name}")
        self._result: StudyResult | None = None
        self._best_text: str | None = None

    @property
    def config(self) -> AnyConfig:
        """Return what every trial starts from, without the data sets that were handed over."""
        return self._own_config

    # -- one trial ----------------------------------------------------------------------------------------------------

    def create_search_space(self, trial: Any) -> dict[str, Any]:
        """Return a trial's values, by parameter, from its `suggest_…` calls.

        A subclass may have its own: parameters of the training configuration by name, suggested or not.

        Args:
            trial: An `optuna.Trial` or `optuna.trial.FixedTrial`.
        """
        from sweepkit.search.suggest import suggest

        return suggest(self.space, trial)

    def objective(self, trial: Any) -> float:
        """Train one trial in this process, for `study.optimize(optimizer.objective)`.

        The metric is reported after every epoch, and the study's pruner may end the training there. Model and optimizer
        are gone when this returns or raises.

        Returns:
            The best finite value of the metric; NaN when the training diverged, which fails the trial.

        Raises:
            optuna.TrialPruned: The pruner ended it.
            SweepKitError: The trial's study goes another way than the metric, or data or checkpoint are missing or
                malformed.
        """
        self._check_study(getattr(trial, "study", None))
        from sweepkit.search.trial_reports import TrialReports
        from sweepkit.training.in_process import train_here

        config = self._trial_config(self.create_search_space(trial))
        reports = TrialReports(trial, self.metric)
        train_here(config, self.folder / "trials" / f"trial_{trial.number}", reports)
        return reports.value()

    def _check_study(self, study: Any) -> None:
        """Refuse a study that would search the other way, or for several values where one is returned."""
        if study is None:  # a FixedTrial has none
            return
        directions = [direction.name.lower() for direction in study.directions]
        if directions == [self.metric.goal.value]:
            return
        write = f"optuna.create_study(direction={self.metric.goal.value!r})"
        if len(directions) > 1:
            rule = f"objective returns one value, {self.metric.name}"
            hint = f"write {write}, or search for several with optimize.py --config and metrics: in it"
        else:
            rule = f"{self.metric.name} is to {self.metric.goal.value}"
            hint = f"write {write}, or give the optimizer direction={directions[0]!r} and a metric"
        raise SpecError([Problem(where=f"study {study.study_name}", rule=rule, got=", ".join(directions), hint=hint)])

    def hp_space(self, trial: Any) -> dict[str, Any]:
        """Return a trial's values for `transformers.Trainer.hyperparameter_search(hp_space=…, backend="optuna")`.

        All parameters are suggested; those that are fields of TrainingArguments are returned, by its names. The others
        are the model's and the generation's: `model_init` reads them of the trial. Give the Trainer's arguments
        `warmup_steps=0.0`: with the whole number 0 transformers would cut the ratio to 0.
        """
        found = {}
        for name, value in flatten(self.create_search_space(trial)).items():
            section, _, field = (route(name, type(self._own_config)) or "").partition(".")
            if section == "training":
                found[_ARGUMENTS.get(field, field)] = value
        return found

    def model_init(self, trial: Any = None) -> Any:
        """Return a new model as a trial wants it, for transformers' `Trainer(model_init=…)`; None: as configured."""
        from sweepkit.training.models.loading import load

        config = self._trial_config({} if trial is None else self.create_search_space(trial))
        return load(config).model  # type: ignore[arg-type]

    def _trial_config(self, params: Mapping[str, Any]) -> AnyConfig:
        return apply(self.training_config(), {**self._settings["fixed"], **flatten(params)})

    def training_config(self) -> AnyConfig:
        """Return what every trial starts from; data sets that were handed over are written as files first."""
        if self._config is None:
            train, val = self._datasets
            self._config = with_data(self._own_config, train, val, self.folder / "data")
        return self._config

    # -- the study ----------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Return where the files of the study go."""
        return folder_of(self.output_dir, self.study_name)

    def enqueue_trial(self, params: Mapping[str, Any]) -> None:
        """Have a trial of `optimize` begin with these values; what they leave out is searched.

        Those that are enqueued are the first trials, in their order: call it before `optimize`.
        """
        self._first_points.append(dict(params))

    def _suggests_itself(self) -> bool:
        return type(self).create_search_space is not OptunaOptimizer.create_search_space

    def _names_suggested(self) -> list[str]:
        """Return the parameters that a subclass suggests, as some random trials show them.

        Raises:
            SpecError: The training configuration has no such parameter.
        """
        looks = [flatten(self.create_search_space(trial)) for trial in random_trials(_LOOKS)]
        names = list(dict.fromkeys(name for look in looks for name in look))
        if problems := unknown_parameters(names, type(self._own_config)):
            raise SpecError([replace(item, where=f"{type(self).__name__}.create_search_space") for item in problems])
        return names

    def _leader(self, seed: int) -> Leader | None:
        """Return who leads the sweep where that is not the engine or the rule that its configuration names."""
        sampler, pruner = self._search["sampler"], self._search["pruner"]
        rule: StoppingRule | None = None
        if not isinstance(pruner, str):
            rule = FirstStop([make_rule(self.spec), PrunerRule(pruner, self.metric)])
        if isinstance(sampler, str) and not self._suggests_itself():
            return None if rule is None else Leader(rule=rule)
        points = tuple(self._first_points)
        parallel = self.n_jobs != 1
        study = StudySettings(sampler=sampler, pruner="none", parallel=parallel, first_points=points)
        engine = TrialEngine(self.create_search_space, self._settings["fixed"], study, [self.metric], seed=seed)
        return Leader(make_engine=lambda _: engine, rule=rule)

    def optimize(self) -> Any:
        """Run the study by agents, as `optimize.py` does, and return it from its storage, an `optuna.Study`.

        The same call in another process continues what was stopped or killed; a greater `n_trials` adds trials. Results
        are written to `output_dir`/<study_name>/, also when it is interrupted.

        Raises:
            SweepKitError: The study is recorded with other settings, or record or storage cannot be used.
        """
        from sweepkit.store.mirror import load_study
        from sweepkit.studies.run import run_study

        asked = StudyOptions(
            output_dir=self.output_dir, optuna_storage=self.storage, n_jobs=self.n_jobs, fresh=self.fresh
        )
        options = run_options(asked)
        base = write_config(self.training_config(), self.folder)
        leader = self._leader(self._search["seed"])
        searches = leader is None or leader.make_engine is None
        plan = make_plan_of(self._sweep(str(base)), options, searches=searches)
        ended = run_study(options, plan, slot_options(asked), leader=leader)
        self._result = ended.result
        self._best_text = None if ended.config is None else ended.config.read_text(encoding="utf-8")
        self.study = load_study(self.storage, ended.result.name)
        best = ended.result.best_configuration()
        self.best_params = None if best is None else ended.result.tuned(best.first)
        self.best_value = None if best is None else best.value
        return self.study

    def _sweep(self, base_config: str) -> dict[str, Any]:
        named: dict[str, Any] = {
            key: value if isinstance(value, str | int) else _STAND_IN[key] for key, value in self._search.items()
        }
        study = Study(
            name=self.study_name,
            metric=self.metric,
            parameters=self.search_space,
            base_config=base_config,
            n_trials=self.n_trials,
            timeout_s=self.timeout,
            **named,
            **self._settings,
        )
        sweep = study_sweep(study)
        if not isinstance(self._search["sampler"], str):
            del sweep["sweepkit"]["sampler"]
        if self._suggests_itself():
            sweep["parameters"] = {name: {"value": value} for name, value in self._settings["fixed"].items()}
            sweep["sweepkit"]["search_space"] = f"{OBJECTIVES}:create_search_space"
        elif self._first_points and isinstance(self._search["sampler"], str):
            sweep["sweepkit"]["first_points"] = self._first_points
        return sweep

    # -- its results --------------------------------------------------------------------------------------------------

    def get_best_params(self) -> dict[str, Any]:
        """Return the best trial's values of the searched parameters. Raises NoResultError (a ValueError) before one."""
        self._refresh()
        if self.best_params is None:
            raise self._no_best()
        return self.best_params

    def get_best_value(self) -> float:
        """Return the best trial's value. Raises NoResultError (a ValueError) before there is one."""
        self._refresh()
        if self.best_value is None:
            raise self._no_best()
        return self.best_value

    def _no_best(self) -> NoResultError:
        """Return why there is no best trial."""
        if self.study is not None and len(self.study.directions) > 1:
            return NoResultError(
                f"study {self.study.study_name!r}: has {len(self.study.directions)} objectives, so no single best; "
                "read study.best_trials, or pareto_front.csv of save_results()"
            )
        return NoResultError(f"study {self.study_name!r}: needs a trial with a value, got none; call optimize()")

    def _refresh(self) -> None:
        """Take the best trial of a study of the user's own, which may have gone on since it was last asked."""
        if self._result is not None or self.study is None:
            return
        result = self._results()
        best = result.best_configuration()
        if best is not None:
            self.best_params, self.best_value = result.tuned(best.first), best.value

    def _results(self) -> StudyResult:
        """Return the trials: of `optimize`, else of the study that was set."""
        if self._result is not None:
            return self._result
        if self.study is None:
            raise NoResultError(f"study {self.study_name!r}: needs trials, got none; call optimize(), or set `study`")
        from sweepkit.store.mirror_read import metrics_of, run_of_trial

        spec = self._spec_of(metrics_of(self.study))
        runs = [run_of_trial(trial, spec.objectives) for trial in self.study.trials]
        if not runs:
            raise NoResultError(f"study {self.study.study_name!r}: needs trials, got none; call its optimize()")
        alone = {CONFIGURATION: None}  # Optuna's best trial is the best single one, whatever others repeat
        runs = [replace(run, params=self._nested(run.params), proposal={**run.proposal, **alone}) for run in runs]
        return StudyResult(name=self.study.study_name, spec=spec, runs=sorted(runs, key=lambda run: run.number))

    def _spec_of(self, metrics: Sequence[Metric]) -> SweepSpec:
        """Return what a study of one's own searches: its directions are its own, a name that it has not is ours."""
        if len(metrics) > 1:
            return replace(self.spec, metric=None, metrics=tuple(metrics))
        (metric,) = metrics
        if metric.name == "value" and metric.goal is self.metric.goal:
            return self.spec
        return replace(self.spec, metric=metric, metrics=())

    def _nested(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a trial's configuration; one of other parameters than ours keeps those it has."""
        from sweepkit.search.suggest import Replay, suggest

        try:
            return suggest(self.space, Replay(params))
        except (KeyError, ValueError):
            return dict(params)

    def save_results(self, path: str | os.PathLike[str] | None = None) -> list[Path]:
        """Write best_params.json, all_trials.csv, study_stats.json and the best trial's full configuration.

        Args:
            path: The folder; None for that of the study.

        Returns:
            The files.

        Raises:
            NoResultError: There are no trials yet.
        """
        from datetime import datetime

        from sweepkit.studies.results import write_optimized

        result = self._results()
        folder = self.folder if path is None else Path(path)
        files = write_results(folder, result)
        text = self._best_text
        best = result.best()
        if text is None and best is not None and self._result is None:
            with contextlib.suppress(SpecError):  # a study of other parameters than the trainer's
                text = to_yaml(self._trial_config(best.params))
        return files if text is None else [*files, write_optimized(folder, text, now=datetime.now())]

    def plot_optimization_history(self, path: str | os.PathLike[str] | None = None) -> list[Path]:
        """Write the figures of the study, each as one HTML file that needs no network.

        They are optimization_history.html, param_importances.html, parallel_coordinate.html and the report with all of
        them, optuna_study_report.html.

        Args:
            path: The folder; None for that of the study.

        Raises:
            NoResultError: There are no trials yet.
        """
        from sweepkit.studies.figures import write_figures

        folder = self.folder if path is None else Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        return write_figures(folder, self._results())


def create_optuna_optimizer(
    config: Any = None, train_dataset: Any = None, val_dataset: Any = None, n_trials: int | None = 50, **settings: Any
) -> OptunaOptimizer:
    """Return an OptunaOptimizer; arguments are its own."""
    return OptunaOptimizer(config, train_dataset, val_dataset, n_trials, **settings)


def _check_choice(name: str, value: str, choices: list[str]) -> None:
    if value not in choices:
        rule = f"must be one of {', '.join(choices)}"
        raise SpecError([Problem(where="OptunaOptimizer", key=name, rule=rule, got=repr(value))])
