"""The sections of a sweep beside its parameters: metric, scheduler, controller, and `sweepkit`."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sweepkit.model.metric import Goal, Impute, Metric, mean_of_last
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import ELSEWHERE, TEXT, TEXTS, Field, chosen, whole
from sweepkit.sweep_config.first_points import read_first_points
from sweepkit.sweep_config.sampler import read_sampler
from sweepkit.sweep_config.seeds_section import read_seeds_per_run
from sweepkit.sweep_config.stopping_section import STOPPING_TYPES, read_early_terminate
from sweepkit.sweep_config.sweep import Extensions, FailureAction, FailureRule, Scheduler
from sweepkit.sweep_config.wandb_section import read_wandb_naming
from sweepkit.text.yaml import KeyPath

METRIC: Mapping[str, Field] = {
    "name": Field(meaning="The name that the program logs."),
    "goal": Field(choices=tuple(Goal), meaning="The direction; minimize by default."),
    "target": Field(kind="float"),
    "impute": Field(choices=tuple(Impute), meaning="What a run without a value counts as."),
    "impute_while_running": chosen((*Impute, "false")),
}
SCHEDULER: Mapping[str, Field] = {
    "engine": chosen(("optuna", "ax", "wandb")),
    "source": TEXT,
    "optimizer": TEXT,
    "search_space": TEXT,
}
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def _unless(sound: Callable[[Any], object], rule: str) -> Callable[[Any], str]:
    """Return what says `rule` of a value that is not sound."""
    return lambda value: "" if sound(value) else rule


def _pattern_fault(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        return f"must be a regular expression, {error}"
    return ""


_LONGER_THAN_0 = Field(kind="float", above=0)
# Each key of `sweepkit:`; what it means and its default stand with `Extensions`.
EXTENSIONS: Mapping[str, Field] = {
    "seed": whole(0),
    "sampler": ELSEWHERE,
    "cost": chosen(("time",)),
    "retries": whole(0),
    "timeout_s": _LONGER_THAN_0,
    "time_budget_s": _LONGER_THAN_0,
    "kill_delay_s": Field(kind="float", at_least=0),
    "gpus_per_run": whole(0),
    "cpus_per_run": whole(1),
    "runs_per_gpu": Field(kind="integer", at_least=1, words=("auto",), noun="a whole number of at least 1, or auto"),
    "min_free_gpu_memory_gb": Field(kind="float", at_least=0),
    "audit_stopped": Field(kind="float", above=0, at_most=1, hint="0.05 is one run of twenty"),
    "base_config": TEXT,
    "search_space": Field(
        fault=_unless(_FUNCTION.fullmatch, "must name a function of a Python module, as module:function"),
        hint="my_space:space is `def space(trial)` in my_space.py",
    ),
    "preload": Field(kind="strings", fault=_unless(_MODULE.fullmatch, "must be the dotted name of a Python module")),
    "prior_runs": TEXTS,
    "early_terminate": ELSEWHERE,
    "first_points": ELSEWHERE,
    "on_failure": ELSEWHERE,
    "wandb": ELSEWHERE,
    "seed_parameter": Field(fault=_unless(bool, "must be a parameter's name"), hint="write null for none"),
    "holdout": Field(
        kind="mapping",
        fault=_unless(bool, "must name at least one parameter"),
        hint="write the parameters that name the set, as {data.val_file: data/test.csv}",
    ),
    "value": Field(
        fault=_unless(lambda text: mean_of_last(text) is not None, 'must be best, last or "mean_of_last N"'),
        hint="write mean_of_last 3 for the last three reports",
    ),
    "seeds_per_run": ELSEWHERE,
    "conditions": ELSEWHERE,  # they become part of the space: `sweep_config.conditions` reads them
}
CONTROLLER: Mapping[str, Field] = {"type": chosen(("local", "cloud"))}
FAILURE_RULE: Mapping[str, Field] = {
    "match": Field(fault=_pattern_fault, meaning="A regular expression for the reason or the log."),
    "do": chosen(FailureAction),
    "times": whole(1),
}


def read_metric(check: Checker, node: Any, path: KeyPath) -> Metric | None:
    """Read one metric; None after refusing it."""
    if not isinstance(node, dict):
        hint = f"write {{name: {node}, goal: minimize}}" if isinstance(node, str) else ""
        check.refuse(path, "a metric must be a mapping with a name", got=node, hint=hint)
        return None
    if node.get("impute_while_running") is False:  # W&B wants the string "false", people write the boolean
        node = {key: value for key, value in node.items() if key != "impute_while_running"}
    found = check.section(node, path, METRIC, "a metric")
    if "name" not in node:
        check.refuse(path, "a metric needs a name", got=node, hint="write the name that the program logs")
    if "name" not in found:
        return None
    for key, kind in (("goal", Goal), ("impute", Impute), ("impute_while_running", Impute)):
        if found.get(key) == "false":
            del found[key]
        elif key in found:
            found[key] = kind(found[key])
    return Metric(**found)


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
    if "engine" not in node:
        check.refuse(path, f"scheduler needs an engine: {', '.join(map(str, SCHEDULER['engine'].choices))}", got=node)
    found = check.section(node, path, SCHEDULER, "scheduler")
    for key in ("optimizer", "search_space"):
        if key in node and "source" not in node:
            check.refuse((*path, key), f"{key} needs source, the file that defines it", got=node[key])
    return Scheduler(**found) if "engine" in found else None


def read_controller(check: Checker, node: Any, path: KeyPath) -> str | None:
    """Read `controller.type`; other keys there are ignored, as W&B does."""
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping with a type", got=node, hint="write {type: local}")
        return None
    if "type" not in node:
        check.refuse(path, "controller needs a type: local or cloud", got=node)
    found: str | None = check.value(node, path, "type", CONTROLLER["type"])
    return found


def read_extensions(check: Checker, node: Any, path: KeyPath) -> Extensions:
    """Read our own `sweepkit:` key. An empty section is allowed."""
    if node is None:
        return Extensions()
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping of keys to values", got=node)
        return Extensions()
    # A null stands for the default, so that a YAML can name a setting and leave it unset.
    found = check.section(node, path, EXTENSIONS, "sweepkit", null_is_default=True)
    found.pop("conditions", None)
    readers: Mapping[str, Callable[[Checker, Any, KeyPath], Any]] = {
        "sampler": read_sampler,
        "early_terminate": partial(read_early_terminate, types=STOPPING_TYPES),
        "first_points": read_first_points,
        "on_failure": _read_failure_rules,
        "wandb": read_wandb_naming,
        "seeds_per_run": read_seeds_per_run,
    }
    for key, read in readers.items():
        if key in found and (section := read(check, found.pop(key), (*path, key))) is not None:
            found[key] = section
    if node.get("seed_parameter", "") is None:  # the one null that is not the default: no parameter has the seed
        found["seed_parameter"] = None
    return Extensions(**found)


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
    found = check.section(node, path, FAILURE_RULE, "a rule for failures")
    for key in ("match", "do"):
        if key not in node:
            check.refuse(path, f"a rule for failures needs {key}", got=node)
    if "match" not in found or "do" not in found:
        return None
    return FailureRule(match=found.pop("match"), action=FailureAction(found.pop("do")), **found)
