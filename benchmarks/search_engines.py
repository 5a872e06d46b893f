"""The engines of benchmarks/search.py, asked and told alike: ours, Optuna 5's default, W&B's own."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from search_problems import Problem

from sweepkit.model.runs import Exhausted, RunState, RunView
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.read import from_config


class Ours:
    """One of the product's engines."""

    def __init__(self, problem: Problem, seed: int, sampler: str | None, **settings: Any) -> None:
        self._engine = make_engine(from_config(problem.config(**settings)), seed=seed, sampler=sampler)
        self._runs: dict[int, RunView] = {}

    def ask(self, number: int) -> dict[str, Any] | None:
        """Return a configuration, None when there is none left."""
        found = self._engine.ask(number)
        if isinstance(found, Exhausted):
            return None
        params = dict(found.params)
        self._runs[number] = RunView(
            number=number, run_id=str(number), params=params, state=RunState.RUNNING, info=found.info
        )
        self._engine.tell(self._runs[number])
        return params

    def tell(self, number: int, value: float, seconds: float | None = None) -> None:
        """Take a value in; NaN: failed."""
        good = math.isfinite(value)
        state, history = (RunState.FINISHED, (value,)) if good else (RunState.FAILED, ())
        known = {} if seconds is None else {"seconds": seconds}
        self.show(replace(self._runs[number], state=state, history=history, **known))

    def show(self, view: RunView) -> None:
        """Take a view of a run in."""
        self._engine.tell(view)


class Optuna:
    """Optuna's default sampler on a live study."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._problem = problem
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> dict[str, Any]:
        """Return a configuration."""
        trial = self._trials[number] = self._study.ask()
        params: dict[str, Any] = {}
        for name, item in self._problem.parameters.items():
            when = self._problem.conditions.get(name, {}).get("when", {})
            if all(params[parent] == wanted for parent, wanted in when.items()):
                params[name] = _suggested(trial, name, item)
        return params

    def tell(self, number: int, value: float) -> None:
        """Take a value in; NaN: failed."""
        import optuna

        if math.isfinite(value):
            self._study.tell(self._trials[number], value)
        else:
            self._study.tell(self._trials[number], state=optuna.trial.TrialState.FAIL)


def _suggested(trial: Any, name: str, item: Mapping[str, Any]) -> Any:
    if "values" in item:
        return trial.suggest_categorical(name, item["values"])
    if isinstance(item["min"], int):
        return trial.suggest_int(name, item["min"], item["max"])
    return trial.suggest_float(name, item["min"], item["max"], log="distribution" in item)


class Wandb:
    """W&B's own engine, the package `sweeps`."""

    def __init__(self, problem: Problem, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sweeps

        self._sweeps = sweeps
        self._config = {key: value for key, value in problem.config().items() if key not in ("sweepkit", "program")}
        self._runs: dict[int, Any] = {}
        self._random = np.random.RandomState(seed)

    def ask(self, number: int) -> dict[str, Any]:
        """Return a configuration."""
        np.random.set_state(self._random.get_state())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = self._sweeps.next_run(self._config, list(self._runs.values()))
        self._random.set_state(np.random.get_state())
        self._runs[number] = self._sweeps.SweepRun(name=str(number), state="running", config=run.config)
        return {key: item["value"] for key, item in run.config.items()}

    def tell(self, number: int, value: float) -> None:
        """Take a value in; NaN: failed."""
        good = math.isfinite(value)
        summary = {"loss": value} if good else {}
        run = self._runs[number]
        self._runs[number] = self._sweeps.SweepRun(
            name=str(number), state="finished" if good else "failed", config=run.config, summary_metrics=summary
        )


def engine_of(name: str, problem: Problem, seed: int) -> Any:
    """Return an engine by its name in the tables."""
    if name == "optuna":
        return Optuna(problem, seed)
    return Wandb(problem, seed) if name == "wandb" else Ours(problem, seed, None if name == "bayes" else name)
