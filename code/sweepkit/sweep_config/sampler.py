"""The samplers that `sweepkit.sampler` names, their options, and how the key is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sweepkit.sweep_config.checker import Checker, nearest
from sweepkit.sweep_config.sweep import Sampler
from sweepkit.text.yaml import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a sampler.

    Args:
        kind: What it is.
        at_least: integer, number: least value.
        at_most: integer, number: greatest value; None for no limit.
        above: number: it must be greater than this; None for no such limit.
        choices: choice: what it may be.
        meaning: In words, with its default.
    """

    kind: Literal["boolean", "integer", "number", "choice"]
    at_least: float = float("-inf")
    at_most: float | None = None
    above: float | None = None
    choices: tuple[str | int, ...] = ()
    meaning: str = ""


_STARTUP = Option(kind="integer", at_least=0, meaning="runs before it acts; random or quasi-random until then")


def _share(meaning: str) -> Option:
    return Option(kind="number", at_least=0, at_most=1, meaning=meaning)


OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "tpe": {
        "multivariate": Option(kind="boolean", meaning="look at parameters together (true)"),
        "group": Option(kind="boolean", meaning="by groups that occur together, for conditional spaces (false)"),
        "constant_liar": Option(kind="boolean", meaning="keep away from pending runs (true)"),
        "n_startup_trials": _STARTUP,
        "n_ei_candidates": Option(kind="integer", at_least=1, meaning="candidates drawn for each proposal (24)"),
    },
    "gp": {
        "n_startup_trials": _STARTUP,
        "deterministic_objective": Option(kind="boolean", meaning="runs repeat to the last bit: no noise (false)"),
    },
    "cmaes": {
        "n_startup_trials": _STARTUP,
        "sigma0": Option(kind="number", above=0, at_most=1, meaning="first step, as a share of each range (1/6)"),
        "with_margin": Option(kind="boolean", meaning="keep integers from freezing at one value (false)"),
        "lr_adapt": Option(kind="boolean", meaning="adapt the learning rate, for noisy metrics (false)"),
    },
    "nsga": {
        "variant": Option(kind="choice", choices=(2, 3), meaning="NSGA-II or NSGA-III (2; 3 for four metrics or more)"),
        "population_size": Option(kind="integer", at_least=2, meaning="runs of a generation (20)"),
        "mutation_prob": _share("chance of each parameter to be drawn anew (1 / parameters)"),
        "crossover_prob": _share("chance that two parents are mixed (0.9)"),
        "swapping_prob": _share("chance of each parameter to come from the second parent (0.5)"),
    },
    "random": {},
    "grid": {},
    "qmc": {
        "qmc_type": Option(kind="choice", choices=("sobol", "halton"), meaning="the sequence (sobol)"),
        "scramble": Option(kind="boolean", meaning="randomize it by the seed (true)"),
    },
    "auto": {},
}
SAMPLERS = tuple(OPTIONS)
NEED_A_METRIC = ("tpe", "gp", "cmaes", "nsga", "auto")
ONE_METRIC = ("cmaes",)  # cannot optimize several
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
    options: dict[str, Any] = {}
    for key, value in node.items():
        if key == "name" or value is None:  # a null stands for the default
            continue
        if key not in known:
            rule = f"{key} is not an option of sampler {name}"
            hint = nearest(str(key), tuple(known)) if known else f"{name} has no options"
            check.refuse((*path, key), rule, got=value, hint=hint)
        elif (read := _read_option(check, node, path, key, known[key])) is not None:
            options[key] = read
    _check_together(check, path, name, options)
    return Sampler(name=name, options=options)


def _read_option(check: Checker, node: Mapping[str, Any], path: KeyPath, key: str, option: Option) -> Any:
    """Return an option's value, None after refusing it."""
    if option.kind == "boolean":
        return check.boolean(node, path, key)
    if option.kind == "choice":
        if node[key] in option.choices and not isinstance(node[key], bool):
            return node[key]
        check.refuse((*path, key), f"must be one of {', '.join(map(str, option.choices))}", got=node[key])
        return None
    number: float | int | None
    if option.kind == "integer":
        number = check.integer(node, path, key, at_least=option.at_least)
    elif option.above is not None:
        number = check.number(node, path, key, above=option.above)
    else:
        number = check.number(node, path, key, at_least=option.at_least)
    if number is not None and option.at_most is not None and number > option.at_most:
        check.refuse((*path, key), f"must be at most {option.at_most:g}", got=number)
        return None
    return number


def _check_together(check: Checker, path: KeyPath, name: str, options: Mapping[str, Any]) -> None:
    if options.get("group") and options.get("multivariate") is False:
        check.refuse((*path, "group"), "group needs multivariate", got=True, hint="remove multivariate: false")
    for sampler, first, second, why in _NOT_TOGETHER:
        if name == sampler and options.get(first) and options.get(second):
            check.refuse((*path, second), f"{first} and {second} cannot both be true", got=True, hint=why)
