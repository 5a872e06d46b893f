"""The sections of a sweep beside its parameters: metric, scheduler, controller, and `sweepkit`."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sweepkit.model.metric import Goal, Impute, Metric, mean_of_last
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.first_points import read_first_points
from sweepkit.sweep_config.sampler import read_sampler
from sweepkit.sweep_config.seeds_section import read_seeds_per_run
from sweepkit.sweep_config.stopping_section import STOPPING_TYPES, read_early_terminate
from sweepkit.sweep_config.sweep import Extensions, FailureAction, FailureRule, Scheduler
from sweepkit.sweep_config.wandb_section import read_wandb_naming
from sweepkit.text.yaml import KeyPath

_METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_SCHEDULER_KEYS = ("engine", "source", "optimizer", "search_space")
SCHEDULER_ENGINES = ("optuna", "ax", "wandb")
# The conditions become part of the space: `sweep_config.conditions` reads them.
EXTENSION_KEYS = (*(item.name for item in fields(Extensions)), "conditions")
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def read_metric(check: Checker, node: Any, path: KeyPath) -> Metric | None:
    """Read one metric; None after refusing it."""
    if not isinstance(node, dict):
        hint = f"write {{name: {node}, goal: minimize}}" if isinstance(node, str) else ""
        check.refuse(path, "a metric must be a mapping with a name", got=node, hint=hint)
        return None
    check.known_keys(node, path, _METRIC_KEYS, "a metric")
    name = check.string(node, path, "name")
    if "name" not in node:
        check.refuse(path, "a metric needs a name", got=node, hint="write the name that the program logs")
    goal = check.choice(node, path, "goal", tuple(Goal))
    target = check.number(node, path, "target")
    impute = check.choice(node, path, "impute", tuple(Impute))
    running: str | None = None
    if node.get("impute_while_running") is not False:  # W&B wants the string "false", people write the boolean
        running = check.choice(node, path, "impute_while_running", (*Impute, "false"))
    if name is None:
        return None
    settings: dict[str, Any] = {
        "goal": None if goal is None else Goal(goal),
        "target": None if target is None else float(target),
        "impute": None if impute is None else Impute(impute),
        "impute_while_running": None if running in (None, "false") else Impute(running),
    }
    return Metric(name=name, **{key: value for key, value in settings.items() if value is not None})


def read_metrics(check: Checker, node: Any, path: KeyPath) -> tuple[Metric, ...]:
    """Read the list of objectives."""
    if not isinstance(node, list):
        check.refuse(path, "must be a list of metrics", got=node)
        return ()
    if len(node) < 2:
        check.refuse(path, "metrics lists at least two", got=node, hint="use metric for one")
    read = [read_metric(check, item, (*path, index)) for index, item in enumerate(node)]
    return tuple(metric for metric in read if metric is not None)


def read_scheduler(check: Checker, node: Any, path: KeyPath) -> Scheduler | None:
    """Read W&B's `scheduler`; None after refusing it."""
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping with an engine", got=node)
        return None
    check.known_keys(node, path, _SCHEDULER_KEYS, "scheduler")
    if "engine" not in node:
        check.refuse(path, f"scheduler needs an engine: {', '.join(SCHEDULER_ENGINES)}", got=node)
    engine = check.choice(node, path, "engine", SCHEDULER_ENGINES)
    texts = {key: check.string(node, path, key) for key in ("source", "optimizer", "search_space")}
    for key in ("optimizer", "search_space"):
        if key in node and "source" not in node:
            check.refuse((*path, key), f"{key} needs source, the file that defines it", got=node[key])
    return None if engine is None else Scheduler(engine=engine, **texts)


def read_controller(check: Checker, node: Any, path: KeyPath) -> str | None:
    """Read `controller.type`; other keys there are ignored, as W&B does."""
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping with a type", got=node, hint="write {type: local}")
        return None
    if "type" not in node:
        check.refuse(path, "controller needs a type: local or cloud", got=node)
    return check.choice(node, path, "type", ("local", "cloud"))


def read_extensions(check: Checker, node: Any, path: KeyPath) -> Extensions:
    """Read our own `sweepkit:` key. An empty section is allowed."""
    if node is None:
        return Extensions()
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping of keys to values", got=node)
        return Extensions()
    check.known_keys(node, path, EXTENSION_KEYS, "sweepkit")
    # A null stands for the default, so that a YAML can name a setting and leave it unset.
    given = {key: value for key, value in node.items() if value is not None}
    settings: dict[str, Any] = {
        "seed": check.integer(given, path, "seed", at_least=0),
        "sampler": read_sampler(check, given["sampler"], (*path, "sampler")) if "sampler" in given else None,
        "retries": check.integer(given, path, "retries", at_least=0),
        "timeout_s": check.number(given, path, "timeout_s", above=0),
        "time_budget_s": check.number(given, path, "time_budget_s", above=0),
        "kill_delay_s": check.number(given, path, "kill_delay_s", at_least=0),
        "gpus_per_run": check.integer(given, path, "gpus_per_run", at_least=0),
        "cpus_per_run": check.integer(given, path, "cpus_per_run", at_least=1),
        "runs_per_gpu": _read_sharing(check, given, path),
        "min_free_gpu_memory_gb": check.number(given, path, "min_free_gpu_memory_gb", at_least=0),
        "audit_stopped": _read_share(check, given, path, "audit_stopped"),
        "base_config": check.string(given, path, "base_config"),
        "search_space": _read_function(check, given, path),
    }
    for key in ("preload", "prior_runs"):
        if key in given:
            settings[key] = check.strings(given, path, key)
    for index, module in enumerate(given["preload"] if isinstance(given.get("preload"), list) else ()):
        if isinstance(module, str) and not _MODULE.fullmatch(module):
            check.refuse((*path, "preload", index), "must be the dotted name of a Python module", got=module)
    for key in ("timeout_s", "time_budget_s", "kill_delay_s", "min_free_gpu_memory_gb"):
        if settings[key] is not None:
            settings[key] = float(settings[key])
    if "early_terminate" in given:
        place = (*path, "early_terminate")
        settings["early_terminate"] = read_early_terminate(check, given["early_terminate"], place, STOPPING_TYPES)
    if "first_points" in given:
        settings["first_points"] = read_first_points(check, given["first_points"])
    if "on_failure" in given:
        settings["on_failure"] = _read_failure_rules(check, given["on_failure"], (*path, "on_failure"))
    if "wandb" in given:
        settings["wandb"] = read_wandb_naming(check, given["wandb"], (*path, "wandb"))
    settings |= _read_seeding(check, given, path)
    chosen = {key: value for key, value in settings.items() if value is not None}
    if node.get("seed_parameter", "") is None:  # the one null that is not the default: no parameter has the seed
        chosen["seed_parameter"] = None
    return Extensions(**chosen)


def _read_sharing(check: Checker, given: Mapping[str, Any], path: KeyPath) -> Any:
    """Return how many runs share a GPU: a whole number or auto; None when absent or refused."""
    value = given.get("runs_per_gpu")
    if value is None or value == "auto":
        return value
    if isinstance(value, str):
        check.refuse((*path, "runs_per_gpu"), "must be a whole number of at least 1, or auto", got=value)
        return None
    return check.integer(given, path, "runs_per_gpu", at_least=1)


def _read_seeding(check: Checker, given: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    """Return the settings of seeds and of the hold-out set; None for what is absent or refused."""
    settings: dict[str, Any] = {
        "seed_parameter": check.string(given, path, "seed_parameter"),
        "holdout": check.mapping(given, path, "holdout"),
        "value": check.string(given, path, "value"),
    }
    if settings["value"] is not None and mean_of_last(settings["value"]) is None:
        rule = 'must be best, last or "mean_of_last N"'
        check.refuse(
            (*path, "value"), rule, got=settings["value"], hint="write mean_of_last 3 for the last three reports"
        )
    if settings["seed_parameter"] == "":
        check.refuse((*path, "seed_parameter"), "must be a parameter's name", got="", hint="write null for none")
    if settings["holdout"] == {}:
        hint = "write the parameters that name the set, as {data.val_file: data/test.csv}"
        check.refuse((*path, "holdout"), "must name at least one parameter", got={}, hint=hint)
    if "seeds_per_run" in given:
        settings["seeds_per_run"] = read_seeds_per_run(check, given["seeds_per_run"], (*path, "seeds_per_run"))
    return settings


def _read_share(check: Checker, given: Mapping[str, Any], path: KeyPath, key: str) -> float | None:
    """Return a number in (0, 1]; None when absent or refused."""
    share = check.number(given, path, key, above=0)
    if share is not None and share > 1:
        check.refuse((*path, key), "must be at most 1", got=share, hint="0.05 is one run of twenty")
        return None
    return None if share is None else float(share)


def _read_function(check: Checker, given: Mapping[str, Any], path: KeyPath) -> str | None:
    """Return `search_space`, a function's name; None when absent or refused."""
    named = check.string(given, path, "search_space")
    if named is not None and not _FUNCTION.fullmatch(named):
        rule = "must name a function of a Python module, as module:function"
        hint = "my_space:space is `def space(trial)` in my_space.py"
        check.refuse((*path, "search_space"), rule, got=named, hint=hint)
    return named


_RULE_KEYS = ("match", "do", "times")


def _read_failure_rules(check: Checker, node: Any, path: KeyPath) -> tuple[FailureRule, ...]:
    """Read the list of rules for failures; those that are wrong are refused and left out."""
    if not isinstance(node, list):
        check.refuse(path, "must be a list of rules", got=node, hint="write - {match: 'ECC error', do: elsewhere}")
        return ()
    rules = [_read_failure_rule(check, item, (*path, index)) for index, item in enumerate(node)]
    return tuple(rule for rule in rules if rule is not None)


def _read_failure_rule(check: Checker, node: Any, path: KeyPath) -> FailureRule | None:
    if not isinstance(node, dict):
        check.refuse(path, "a rule must be a mapping with match and do", got=node)
        return None
    check.known_keys(node, path, _RULE_KEYS, "a rule for failures")
    match = check.string(node, path, "match")
    action = check.choice(node, path, "do", tuple(FailureAction))
    times = check.integer(node, path, "times", at_least=1)
    for key in ("match", "do"):
        if key not in node:
            check.refuse(path, f"a rule for failures needs {key}", got=node)
    if match is None or action is None:
        return None
    try:
        re.compile(match)
    except re.error as error:
        check.refuse((*path, "match"), f"must be a regular expression, {error}", got=match)
        return None
    return FailureRule(match=match, action=FailureAction(action), **({} if times is None else {"times": times}))
