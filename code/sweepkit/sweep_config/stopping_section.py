"""The `early_terminate` section of a sweep: which settings each type of stopping rule has, and their bounds."""

from collections.abc import Mapping
from typing import Any

from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import ELSEWHERE, TEXT, TRUTH, Field, suggestion, whole
from sweepkit.sweep_config.sweep import EarlyTerminate
from sweepkit.text.yaml import KeyPath

_AUTO = "auto"  # of a resource: None, which the rule works out
_ETA = Field(kind="number", above=1)
_BANDS: Mapping[str, Field] = {"min_iter": whole(1), "max_iter": whole(1), "s": whole(1), "eta": _ETA}
_RUNG = Field(kind="integer", at_least=1, words=(_AUTO,))
_HALVING: Mapping[str, Field] = {"min_resource": _RUNG, "reduction_factor": whole(2), "bootstrap_count": whole(0)}
_COMPARED: Mapping[str, Field] = {
    "n_startup_runs": whole(0),
    "n_warmup_reports": whole(0),
    "interval_reports": whole(1),
    "n_min_runs": whole(1),
}
_IMPROVED = Field(kind="float", at_least=0)
_BOUND = Field(kind="float")
STOPPING_KEYS: Mapping[str, Mapping[str, Field]] = {
    "hyperband": {**_BANDS, "strict": TRUTH},
    "asha": _BANDS,
    "median": {**_COMPARED, "n_startup_runs": whole(1)},
    "patience": {"patience": whole(1), "min_delta": _IMPROVED, "n_warmup_reports": whole(0)},
    "percentile": {"percentile": Field(kind="float", at_least=0, at_most=100), **_COMPARED, "called": TEXT},
    "successive_halving": {**_HALVING, "min_early_stopping_rate": whole(0)},
    "optuna_hyperband": {**_HALVING, "max_resource": _RUNG},
    "patient": {"rule": ELSEWHERE, "patience": whole(0), "min_delta": _IMPROVED},
    "threshold": {"lower": _BOUND, "upper": _BOUND, "n_warmup_reports": whole(0), "interval_reports": whole(1)},
    "wilcoxon": {
        "p_threshold": Field(kind="float", at_least=0, at_most=1),
        "n_startup_steps": whole(0),
        "instances": TEXT,
    },
    "auto": {},
    "none": {},
}
STOPPING_TYPES = tuple(STOPPING_KEYS)


def read_early_terminate(check: Checker, node: Any, path: KeyPath, types: tuple[str, ...]) -> EarlyTerminate | None:
    """Read a stopping rule of one of `types`; None after refusing it. The word auto is a rule, too."""
    if node == "auto" and "auto" in types:
        return EarlyTerminate(type="auto")
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping with a type", got=node, hint=_mapping_hint(node, types))
        return None
    if "type" not in node:
        check.refuse(path, f"early_terminate needs a type: {', '.join(types)}", got=node)
        return None
    kind = node["type"]
    if kind not in types:
        ours = isinstance(kind, str) and kind in STOPPING_KEYS
        hint = "put it under `sweepkit:`, W&B knows hyperband only" if ours else suggestion(str(kind), types)
        if kind is None:
            hint = "YAML 1.2 reads null; write none"
        check.refuse((*path, "type"), f"must be one of {', '.join(types)}", got=kind, hint=hint)
        return None
    known = STOPPING_KEYS[kind]
    given = {key: value for key, value in node.items() if key != "type"}
    settings = check.section(given, path, known, f"early_terminate {kind}")
    if "rule" in settings:
        settings["rule"] = read_early_terminate(check, settings["rule"], (*path, "rule"), STOPPING_TYPES)
    sound = all(settings.get(key) is not None for key in given if key in known)
    given = {key: value for key, value in settings.items() if value is not None and value not in known[key].words}
    rule = EarlyTerminate(type=kind, **given)
    _check_together(check, node, path, rule, sound=sound)
    return rule


def _mapping_hint(node: Any, types: tuple[str, ...]) -> str:
    """Return what to write in place of a rule that is no mapping."""
    if node == "auto":
        return "put it under `sweepkit:`, W&B knows hyperband only"
    if isinstance(node, str) and node in types and "type" not in STOPPING_KEYS[node]:
        return f"write {{type: {node}}}"
    word = ", or the word auto" if "auto" in types else ""
    return f"write {{type: hyperband, min_iter: 3}}{word}"


def _check_together(check: Checker, node: Mapping[str, Any], path: KeyPath, rule: EarlyTerminate, sound: bool) -> None:
    """Refuse settings that do not go together; `sound`: each by itself was accepted."""
    if rule.type in ("hyperband", "asha"):
        _check_bands(check, node, path, rule)
    elif sound and (fault := conflict(rule)):
        check.refuse(path, fault, got=dict(node))


def conflict(rule: EarlyTerminate) -> str:
    """Return which settings of one of Optuna's rules do not go together, in words; "" when all do."""
    if rule.type == "threshold":
        if rule.lower is None and rule.upper is None:
            return "threshold needs lower, upper or both"
        if rule.lower is not None and rule.upper is not None and rule.lower > rule.upper:
            return f"lower must not be above upper, got lower={rule.lower:g} and upper={rule.upper:g}"
    if rule.type == "successive_halving" and rule.bootstrap_count and rule.min_resource is None:
        return "bootstrap_count needs a min_resource other than auto"
    if rule.type == "optuna_hyperband":
        if rule.bootstrap_count and rule.max_resource is None:
            return "bootstrap_count needs a max_resource other than auto"
        if rule.max_resource is not None and rule.max_resource < (rule.min_resource or 1):
            return f"max_resource must be at least min_resource ({rule.min_resource or 1})"
    return ""


def bounds_kept(rule: EarlyTerminate) -> str:
    """Return which setting of a rule made in Python is out of its bounds, in words; "" when none is."""
    for key, field in STOPPING_KEYS[rule.type].items():
        value = getattr(rule, key)
        if value is None or field.kind not in ("integer", "float") or key in _BANDS:
            continue
        if fault := field.out_of_range(value):
            return f"{key}: {fault}, got {value}"
    return ""


def _check_bands(check: Checker, node: Mapping[str, Any], path: KeyPath, rule: EarlyTerminate) -> None:
    """Refuse bands that are not given, or that are none: W&B's engine raises there."""
    if not ("min_iter" in node or ("max_iter" in node and "s" in node)):
        check.refuse(path, f"{rule.type} needs min_iter, or max_iter and s", got=dict(node))
    elif "max_iter" in node and rule.max_iter is not None:
        if "s" not in node:
            check.refuse(path, "max_iter needs s, the number of bands below it", got=dict(node), hint="or remove it")
        elif rule.max_iter < rule.eta:
            rule_text = f"max_iter must be at least eta ({rule.eta:g}), else there is no band"
            check.refuse((*path, "max_iter"), rule_text, got=rule.max_iter)
        elif "min_iter" in node:
            check.warn((*path, "min_iter"), "does not count, as at W&B, where max_iter and s are given; leave it out")
    elif "s" in node:
        check.warn((*path, "s"), "does not count, as at W&B, without max_iter; leave it out, or give max_iter")
