"""The sections of an Optuna YAML beside its search space: optuna, sampler, pruning, quick_validation, wandb."""

from collections.abc import Mapping
from typing import Any

from sweepkit.model.metric import Goal
from sweepkit.model.objectives import RUNTIME
from sweepkit.studies.yaml.optuna_values import Objective
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import ELSEWHERE, TEXT, TEXTS, TRUTH, Field, chosen, whole
from sweepkit.text.yaml import KeyPath
from sweepkit.training.metric_names import REPORTED, against_nature, likely

_STUDY: Mapping[str, Field] = {
    "enabled": TRUTH,
    "n_trials": whole(1),
    "timeout": Field(kind="float", above=0),
    "study_name": Field(fault=lambda name: "" if name.strip() else "must not be empty"),
    "direction": chosen(Goal),
    "directions": ELSEWHERE,
    "metric": TEXT,
    "metrics": TEXTS,
    "sampler": ELSEWHERE,
    "seed": whole(0),
    "storage": TEXT,
    "n_jobs": Field(kind="integer", at_least=-1, fault=lambda n: "" if n else _NO_JOBS),
    "load_if_exists": TRUTH,
}
_NO_JOBS = "must be at least 1, or -1 for as many as fit"
_SAMPLERS_OF_OLD: Mapping[str, str] = {
    "TPESampler": "tpe",
    "GPSampler": "gp",
    "CmaEsSampler": "cmaes",
    "NSGAIISampler": "nsga",
    "NSGAIIISampler": "nsga",
    "RandomSampler": "random",
    "GridSampler": "grid",
    "BruteForceSampler": "grid",
    "QMCSampler": "qmc",
    "nsgaii": "nsga",
    "cma-es": "cmaes",
    "bayes": "gp",
}
_PRUNERS_OF_OLD: Mapping[str, str] = {
    "MedianPruner": "median",
    "PercentilePruner": "percentile",
    "SuccessiveHalvingPruner": "successive_halving",
    "HyperbandPruner": "optuna_hyperband",
    "hyperband": "optuna_hyperband",
    "PatientPruner": "patient",
    "WilcoxonPruner": "wilcoxon",
    "ThresholdPruner": "threshold",
    "NopPruner": "none",
    "nop": "none",
}
# Optuna's words for settings of a pruner, and the stopping rules'.
_RULE_KEYS: Mapping[str, str] = {
    "n_startup_trials": "n_startup_runs",
    "n_warmup_steps": "n_warmup_reports",
    "interval_steps": "interval_reports",
    "n_min_trials": "n_min_runs",
}
OLD_RULE_KEYS: Mapping[str, str] = {now: old for old, now in _RULE_KEYS.items()}
_OWN_PATIENCE = ("patience", "patient")  # types whose `patience` is their own; with any other they wait for it
_QUICK: Mapping[str, Field] = {
    "enabled": TRUTH,
    "epochs": Field(kind="number", above=0),
    "folds": whole(1),
    "batch_size_override": whole(1),
    "max_train_samples": whole(1),
    "max_val_samples": whole(1),
    "max_steps": whole(1),
}
# The trainer's own fields for them. Images have a section of the same name, which goes before the fields it replaces.
_QUICK_FIELDS: Mapping[str, Mapping[str, str]] = {
    "summarization": {
        "epochs": "training.num_train_epochs",
        "batch_size_override": "training.per_device_train_batch_size",
        "max_train_samples": "data.max_train_samples",
        "max_val_samples": "data.max_val_samples",
        "max_steps": "training.max_steps",
    },
    "images": {
        "epochs": "quick_validation.epochs",
        "folds": "quick_validation.folds",
        "batch_size_override": "quick_validation.batch_size_override",
        "max_train_samples": "data.max_samples",
    },
}
QUICK_KEY_OF: Mapping[str, str] = {field: key for fields in _QUICK_FIELDS.values() for key, field in fields.items()}
# What those of images go before: searching that as well would search nothing.
OVERRIDES: Mapping[str, str] = {
    "quick_validation.epochs": "training.num_train_epochs",
    "quick_validation.folds": "validation.folds",
    "quick_validation.batch_size_override": "training.per_device_train_batch_size",
}


def read_study(check: Checker, data: Mapping[str, Any], task: str | None) -> dict[str, Any]:
    """Read the section `optuna` and the sampler: fields of an OptunaConfig, None for what is not given."""
    path: KeyPath = ("optuna",)
    node = (check.mapping(data, (), "optuna") or {}) if data.get("optuna") is not None else {}
    # A null stands for the default, as in the guides.
    given = {key: value for key, value in node.items() if value is not None}
    found = check.section(node, path, _STUDY, "optuna", null_is_default=True)
    if found.get("enabled") is False:
        hint = "set it to true; or train once: trainer.py --config …"
        check.refuse((*path, "enabled"), "must be true, the search is switched off", got=False, hint=hint)
    if found.get("load_if_exists") is False:
        hint = "leave it out, and start anew with --fresh"
        check.refuse((*path, "load_if_exists"), "a study that exists is always continued", got=False, hint=hint)
    name = found.get("study_name")
    if name is not None and ("$(" in name or "${" in name):
        hint = 'write --study-name "…$(date +%Y%m%d)" on the command line, or --fresh'
        check.warn((*path, "study_name"), f"a YAML runs no command: the study is called {name}; {hint}")
    timeout = found.get("timeout")
    return {
        # As in Optuna, no number of trials is no limit where there is one of time.
        "unlimited": "n_trials" in node and node["n_trials"] is None and timeout is not None,
        "timeout_s": timeout,
        "objectives": _objectives(check, given, path, task, found),
        "sampler": _sampler(check, data, given),
        **{key: found.get(key) for key in ("n_trials", "study_name", "seed", "storage", "n_jobs")},
    }


def _objectives(
    check: Checker, node: Mapping[str, Any], path: KeyPath, task: str | None, found: Mapping[str, Any]
) -> tuple[Objective, ...]:
    """Return the objectives of metric(s) and direction(s), as written and as read; () after refusing them."""
    several = "metrics" in node or "directions" in node
    for one, many in (("metric", "metrics"), ("direction", "directions"), ("direction", "metrics")):
        if one in node and many in node:
            hint = "metrics and directions are for several objectives"
            check.refuse((*path, one), f"{one} and {many} cannot both be given", got=node[one], hint=hint)
    known = REPORTED.get(task or "", {})
    if not several:
        goal = Goal(found["direction"]) if "direction" in found else None
        name = found.get("metric", next(iter(known), "eval/loss"))
        return _objective(check, name, goal, (*path, "metric"), known)
    metrics, directions = found.get("metrics", ()), node.get("directions")
    if "metrics" not in node:
        check.refuse((*path, "directions"), "directions need metrics", got=directions, hint="write metrics: [a, b]")
        return ()
    if not isinstance(directions, list) or len(directions) != len(metrics):
        rule = f"directions must be a list as long as metrics ({len(metrics)})"
        check.refuse((*path, "directions" if "directions" in node else "metrics"), rule, got=directions)
        return ()
    objectives: tuple[Objective, ...] = ()
    for index, name in enumerate(metrics):
        here = (*path, "directions")
        if directions[index] not in tuple(Goal):
            check.refuse((*here, index), f"must be one of {', '.join(Goal)}", got=directions[index])
            continue
        objectives += _objective(check, name, Goal(directions[index]), (*path, "metrics", index), known)
    if len({item.metric for item in objectives}) < len(objectives):
        check.refuse((*path, "metrics"), "each metric stands once", got=list(metrics))
    return objectives


def _objective(
    check: Checker, name: str, goal: Goal | None, path: KeyPath, known: Mapping[str, Goal]
) -> tuple[Objective, ...]:
    """Return one objective; `eval/` may be left out, and the trainer's own metrics know their direction."""
    if name not in known and f"eval/{name}" in known:
        name = f"eval/{name}"
    if known and name not in known and name != RUNTIME:
        check.warn(path, f"{name} is not among what the trainer reports: {likely(name, known) or ', '.join(known)}")
        if goal is None:
            check.refuse(path, "a metric of your own needs a direction", got=name, hint="add direction: minimize")
            return ()
    natural = known.get(name)
    if goal is not None and (said := against_nature(name, goal, known)):
        check.warn(path, said)
    return (Objective(metric=name, goal=goal or natural or Goal.MAXIMIZE),)


def _sampler(check: Checker, data: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the sampler at the top or under optuna: its name and its options."""
    if data.get("sampler") is not None and "sampler" in study:
        check.refuse(("sampler",), "stands under optuna, too", got=data["sampler"], hint="remove one of the two")
    if data.get("sampler") is not None:
        return read_sampler(check, data, (), "sampler")
    return read_sampler(check, study, ("optuna",), "sampler")


def read_sampler(check: Checker, node: Mapping[str, Any], path: KeyPath, key: str) -> dict[str, Any] | None:
    """Return a sampler as `name` and options; None when absent or refused. The sweep's reader judges the options."""
    if key not in node:
        return None
    given, here = node[key], (*path, key)
    if isinstance(given, str):
        return {"name": _today(check, given, here, _SAMPLERS_OF_OLD)}
    if not isinstance(given, dict):
        check.refuse(here, "must be a name or a mapping with a name", got=given, hint="write sampler: tpe")
        return None
    if "name" in given and "type" in given:
        check.refuse((*here, "type"), "name says it already", got=given["type"])
    word = given.get("name", given.get("type"))
    if not isinstance(word, str):
        check.refuse(here, "a sampler needs a name", got=given, hint="write name: tpe")
        return None
    options = {name: value for name, value in given.items() if name not in ("name", "type")}
    return {"name": _today(check, word, here, _SAMPLERS_OF_OLD), **options}


def _today(check: Checker, word: str, path: KeyPath, old: Mapping[str, str]) -> str:
    """Return today's word, saying when another was written."""
    if word not in old:
        return word
    check.warn(path, f"{word} is read as {old[word]}")
    return old[word]


def read_pruning(check: Checker, data: Mapping[str, Any], *, several: bool) -> dict[str, Any]:
    """Return the stopping rule as `sweepkit.early_terminate` takes it, {} for none. The sweep's reader judges it.

    `patience` with a type that has none of its own is Optuna's PatientPruner around that type.
    """
    node = check.mapping(data, (), "pruning") if data.get("pruning") is not None else None
    if node is None:
        return {}
    path: KeyPath = ("pruning",)
    enabled = check.boolean(node, path, "enabled")
    if "type" in node and "pruner" in node:
        check.refuse((*path, "pruner"), "type says it already", got=node["pruner"])
    key = "pruner" if "pruner" in node else "type"
    kind = check.string(node, path, key) if key in node else "median"
    if enabled is False or kind is None:
        return {}
    kind = _today(check, kind, (*path, key), _PRUNERS_OF_OLD) if kind != "hyperband" else "optuna_hyperband"
    settings = {
        _RULE_KEYS.get(name, name): value
        for name, value in node.items()
        if name not in ("enabled", "type", "pruner") and value is not None
    }
    if kind == "median":  # Optuna's; the rule of that name is Vizier's, over averages
        kind, settings = "percentile", {"percentile": 50, **settings, "called": "median"}
    if kind == "none":
        return {}
    if several:
        rule = "a run with several objectives cannot be pruned: which of them would decide?"
        check.refuse(path, rule, got=kind, hint="set enabled: false")
        return {}
    if "patience" in settings and kind not in _OWN_PATIENCE:
        outer: dict[str, Any] = {name: settings.pop(name) for name in ("patience", "min_delta") if name in settings}
        return {"type": "patient", **outer, "rule": {"type": kind, **settings}}
    return {"type": kind, **settings}


def read_quick_validation(check: Checker, data: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the trainer's parameters that make a run quick, {} when switched off.

    Of images, what is not given here is what the training configuration's own section of that name has.
    """
    node = check.mapping(data, (), "quick_validation") if data.get("quick_validation") is not None else None
    if node is None:
        return {}
    path: KeyPath = ("quick_validation",)
    fields = _QUICK_FIELDS.get(task, _QUICK_FIELDS["images"])
    read = check.section(node, path, _QUICK, "quick_validation", null_is_default=True)
    if read.pop("enabled", None) is False:
        return {}
    if task == "summarization" and read.get("folds") == 1:
        del read["folds"]  # it is validated once, as asked
    for key, value in read.items():
        if key not in fields:
            check.refuse(
                (*path, key), f"training for {task} has no {key}", got=value, hint=f"it has {', '.join(fields)}"
            )
    quick = {fields[key]: value for key, value in read.items() if key in fields}
    return quick if task == "summarization" else {"quick_validation.enabled": True, **quick}


_WANDB: Mapping[str, Field] = {
    "enabled": TRUTH,
    "project": TEXT,
    "group": TEXT,
    "name": TEXT,
    "mode": chosen(("offline", "disabled")),
    "tags": TEXTS,
    "job_type": TEXT,
}


def read_wandb(check: Checker, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `wandb`, `project` and `tracked` (trainer parameters) of an OptunaConfig; empty when W&B is off."""
    off: dict[str, Any] = {"wandb": {}, "project": None, "tracked": {}}
    node = check.mapping(data, (), "wandb") if data.get("wandb") is not None else None
    if node is None:
        return off
    path: KeyPath = ("wandb",)
    found = check.section(node, path, _WANDB, "wandb", null_is_default=True)
    if found.get("enabled") is not True or found.get("mode") == "disabled":
        return off
    project, tags = found.get("project"), found.get("tags", ())
    texts = {key: found[key] for key in ("group", "name", "job_type") if key in found}
    naming = {"group": "optuna_search", "name": "trial_{number}", **texts}
    tracked = {"wandb.enabled": True, **({} if project is None else {"wandb.project": project})}
    return {"wandb": {**naming, **({"tags": list(tags)} if tags else {})}, "project": project, "tracked": tracked}
