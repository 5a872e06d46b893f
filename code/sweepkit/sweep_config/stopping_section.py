"""The `early_terminate` section of a sweep: which settings each type of stopping rule has, and their bounds."""

from collections.abc import Mapping
from math import inf
from typing import Any

from sweepkit.sweep_config.checker import Checker, suggestion
from sweepkit.sweep_config.sweep import EarlyTerminate
from sweepkit.text.yaml import KeyPath

_BANDS = ("min_iter", "max_iter", "s", "eta")
_HALVING = ("min_resource", "reduction_factor", "bootstrap_count")
_COMPARED = ("n_startup_runs", "n_warmup_reports", "interval_reports", "n_min_runs")
STOPPING_KEYS: Mapping[str, tuple[str, ...]] = {
    "hyperband": (*_BANDS, "strict"),
    "asha": _BANDS,
    "median": _COMPARED,
    "patience": ("patience", "min_delta", "n_warmup_reports"),
    "percentile": ("percentile", *_COMPARED, "called"),
    "successive_halving": (*_HALVING, "min_early_stopping_rate"),
    "optuna_hyperband": (*_HALVING, "max_resource"),
    "patient": ("rule", "patience", "min_delta"),
    "threshold": ("lower", "upper", "n_warmup_reports", "interval_reports"),
    "wilcoxon": ("p_threshold", "n_startup_steps", "instances"),
    "auto": (),
    "none": (),
}
STOPPING_TYPES = tuple(STOPPING_KEYS)
# The least value of each whole number; of some the type decides.
WHOLE = {
    "min_iter": 1,
    "max_iter": 1,
    "s": 1,
    "n_startup_runs": 0,
    "n_warmup_reports": 0,
    "interval_reports": 1,
    "n_min_runs": 1,
    "patience": 0,
    "min_resource": 1,
    "max_resource": 1,
    "reduction_factor": 2,
    "min_early_stopping_rate": 0,
    "bootstrap_count": 0,
    "n_startup_steps": 0,
}
WHOLE_OF_TYPE = {("median", "n_startup_runs"): 1, ("patience", "patience"): 1}
# Least and largest value of each other number.
NUMBERS = {
    "min_delta": (0.0, inf),
    "percentile": (0.0, 100.0),
    "lower": (-inf, inf),
    "upper": (-inf, inf),
    "p_threshold": (0.0, 1.0),
}
AUTO = ("min_resource", "max_resource")  # may be "auto", which is None


def read_early_terminate(check: Checker, node: Any, path: KeyPath, types: tuple[str, ...]) -> EarlyTerminate | None:
    """Read a stopping rule of one of `types`; None after refusing it. The word auto is a rule, too."""
    if node == "auto" and "auto" in types:
        return EarlyTerminate(type="auto")
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping with a type", got=node)
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
    settings_given = {key: value for key, value in node.items() if key != "type"}
    check.known_keys(settings_given, path, known, f"early_terminate {kind}")
    settings = {key: _setting(check, node, path, key) for key in known if key in node}
    rule = EarlyTerminate(type=kind, **{key: value for key, value in settings.items() if value is not None})
    _check_together(
        check, node, path, rule, sound=all(settings[key] is not None or node[key] == "auto" for key in settings)
    )
    return rule


def _setting(check: Checker, node: Mapping[str, Any], path: KeyPath, key: str) -> Any:
    """Return one setting; None when it is refused, or `auto`."""
    if key in WHOLE:
        if key in AUTO and node[key] == "auto":
            return None
        least = WHOLE_OF_TYPE.get((node["type"], key), WHOLE[key])
        return check.integer(node, path, key, at_least=least)
    if key in NUMBERS:
        least_number, most = NUMBERS[key]
        value = check.number(node, path, key, at_least=least_number)
        if value is not None and value > most:
            check.refuse((*path, key), f"must be at most {most:g}", got=value)
            return None
        return None if value is None else float(value)
    if key == "eta":
        return check.number(node, path, key, above=1)
    if key == "strict":
        return check.boolean(node, path, key)
    if key == "rule":
        return read_early_terminate(check, node[key], (*path, key), STOPPING_TYPES)
    return check.string(node, path, key)


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
    for key in STOPPING_KEYS[rule.type]:
        value = getattr(rule, key)
        if value is None or key in ("rule", "instances", "called", "strict", "eta", "min_iter", "max_iter", "s"):
            continue
        least, most = NUMBERS.get(key, (WHOLE_OF_TYPE.get((rule.type, key), WHOLE.get(key, 0)), inf))
        if value < least:
            return f"{key}: must be at least {least:g}, got {value}"
        if value > most:
            return f"{key}: must be at most {most:g}, got {value}"
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
