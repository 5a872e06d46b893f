"""The samplers that `sweepkit.sampler` names, their options, and how the key is read."""

from collections.abc import Mapping
from typing import Any

from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import Field, nearest
from sweepkit.sweep_config.sweep import Sampler
from sweepkit.text.yaml import KeyPath

_STARTUP = Field(kind="integer", at_least=0, meaning="runs before it acts; random or quasi-random until then")


def _share(meaning: str) -> Field:
    return Field(kind="number", at_least=0, at_most=1, meaning=meaning)


OPTIONS: Mapping[str, Mapping[str, Field]] = {
    "tpe": {
        "multivariate": Field(kind="boolean", meaning="look at parameters together (true)"),
        "group": Field(kind="boolean", meaning="by groups that occur together, for conditional spaces (false)"),
        "constant_liar": Field(kind="boolean", meaning="keep away from pending runs (true)"),
        "n_startup_trials": _STARTUP,
        "n_ei_candidates": Field(kind="integer", at_least=1, meaning="candidates drawn for each proposal (24)"),
    },
    "gp": {
        "n_startup_trials": _STARTUP,
        "deterministic_objective": Field(kind="boolean", meaning="runs repeat to the last bit: no noise (false)"),
    },
    "cmaes": {
        "n_startup_trials": _STARTUP,
        "sigma0": Field(kind="number", above=0, at_most=1, meaning="first step, as a share of each range (1/6)"),
        "with_margin": Field(kind="boolean", meaning="keep integers from freezing at one value (false)"),
        "lr_adapt": Field(kind="boolean", meaning="adapt the learning rate, for noisy metrics (false)"),
    },
    "nsga": {
        "variant": Field(choices=(2, 3), meaning="NSGA-II or NSGA-III (2; 3 for four metrics or more)"),
        "population_size": Field(kind="integer", at_least=2, meaning="runs of a generation (20)"),
        "mutation_prob": _share("chance of each parameter to be drawn anew (1 / parameters)"),
        "crossover_prob": _share("chance that two parents are mixed (0.9)"),
        "swapping_prob": _share("chance of each parameter to come from the second parent (0.5)"),
    },
    "random": {},
    "grid": {},
    "qmc": {
        "qmc_type": Field(choices=("sobol", "halton"), meaning="the sequence (sobol)"),
        "scramble": Field(kind="boolean", meaning="randomize it by the seed (true)"),
    },
    "auto": {},
}
SAMPLERS = tuple(OPTIONS)
NEED_A_METRIC = ("tpe", "gp", "cmaes", "nsga", "auto")
LEARN_COST = ("gp", "auto")
ONE_METRIC = ("cmaes",)  # cannot optimize several
NEED_ALL = ("cmaes", "qmc")  # their model is a vector of all parameters: Optuna draws what a run lacks by itself, badly
NEED_TO_KNOW = ("gp", "auto")  # which parameters there are, beforehand
WITHOUT_ALL = "use sampler tpe"
# Options that cannot both be true, and why.
_NOT_TOGETHER = (
    ("cmaes", "lr_adapt", "with_margin", "Optuna's CMA-ES adapts its learning rate only without a margin"),
)


def read_sampler(check: Checker, node: Any, path: KeyPath) -> Sampler | None:
    """Read a sampler: its name, or a mapping of `name` and options; None after refusing it."""
    name: str | None
    if isinstance(node, str):
        key = str(path[-1])
        name = check.choice({key: node}, path[:-1], key, SAMPLERS)
        node = {}
    elif isinstance(node, dict):
        if "name" not in node:
            check.refuse(path, f"a sampler needs a name: {', '.join(SAMPLERS)}", got=node)
        name = check.choice(node, path, "name", SAMPLERS)
    else:
        check.refuse(path, "must be a name or a mapping with a name", got=node, hint="write sampler: tpe")
        return None
    if name is None:
        return None
    known = OPTIONS[name]
    for key, value in node.items():
        if key != "name" and key not in known and value is not None:
            rule = f"{key} is not an option of sampler {name}"
            hint = nearest(str(key), tuple(known)) if known else f"{name} has no options"
            check.refuse((*path, key), rule, got=value, hint=hint)
    given = {key: value for key, value in node.items() if key in known}
    options = check.section(given, path, known, f"sampler {name}", null_is_default=True)
    _check_together(check, path, name, options)
    return Sampler(name=name, options=options)


def _check_together(check: Checker, path: KeyPath, name: str, options: Mapping[str, Any]) -> None:
    if options.get("group") and options.get("multivariate") is False:
        check.refuse((*path, "group"), "group needs multivariate", got=True, hint="remove multivariate: false")
    for sampler, first, second, why in _NOT_TOGETHER:
        if name == sampler and options.get(first) and options.get(second):
            check.refuse((*path, second), f"{first} and {second} cannot both be true", got=True, hint=why)
