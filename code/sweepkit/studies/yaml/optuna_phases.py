"""The section `phases` of an Optuna YAML: stages of parameters, or explore → focus → confirm."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.studies.yaml.optuna_sections import read_sampler
from sweepkit.studies.yaml.optuna_values import DEFAULT_TRIALS, Phase, PhaseKind
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import ELSEWHERE, TEXTS, TRUTH, Field, nearest, whole
from sweepkit.text.yaml import KeyPath

_REST = "rest"  # a stage of all parameters that no stage before has searched
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NAMED: Mapping[str, Field] = {"name": ELSEWHERE, "kind": ELSEWHERE}
_SEARCH: Mapping[str, Field] = {**_NAMED, "n_trials": whole(1), "sampler": ELSEWHERE}
_SECTIONS: Mapping[PhaseKind, Mapping[str, Field]] = {
    PhaseKind.EXPLORE: _SEARCH,
    PhaseKind.FOCUS: {
        **_SEARCH,
        "top": whole(1),
        "margin": Field(
            kind="number", at_least=0, fault=lambda share: "must be at most 1, the whole range" if share > 1 else ""
        ),
    },
    PhaseKind.STAGE: {**_SEARCH, "parameters": ELSEWHERE},
    PhaseKind.CONFIRM: {**_NAMED, "top": whole(1), "seeds": ELSEWHERE, "full": TRUTH},
}


def read_phases(
    check: Checker, data: Mapping[str, Any], names: Sequence[str], *, n_trials: int | None, several: bool
) -> tuple[Phase, ...]:
    """Read the phases; () without the section, or after refusing it.

    Args:
        check: Takes the problems.
        data: The document.
        names: Of the parameters of the search space.
        n_trials: Of the study; the phases that do not say their own share it evenly.
        several: The study has several objectives, of which no single run is the best.
    """
    given = data.get("phases")
    if given is None:
        return ()
    path: KeyPath = ("phases",)
    if not isinstance(given, list) or not given:
        check.refuse(path, "must be a list of phases", got=given, hint="write [explore, focus, confirm]")
        return ()
    if several:
        check.refuse(path, "phases need one objective: which runs would be the best?", hint="use metric, not metrics")
    share = -(-(n_trials or DEFAULT_TRIALS) // len(given))
    found: list[Phase] = []
    searched: list[str] = []
    for index, node in enumerate(given):
        rest = [name for name in names if name not in searched]
        phase = _phase(check, node, (*path, index), (names, rest, share))
        if phase is None:
            continue
        if any(phase.name == other.name for other in found):
            check.refuse((*path, index), "each phase has a name of its own", got=phase.name)
        if not found and phase.kind in (PhaseKind.FOCUS, PhaseKind.CONFIRM):
            check.refuse((*path, index), f"a phase to {phase.kind} needs one before it", got=phase.name)
        if found and found[-1].kind is PhaseKind.CONFIRM:
            check.refuse((*path, index), "nothing comes after a phase to confirm", got=phase.name)
        searched += phase.parameters
        found.append(phase)
    return tuple(found)


def _phase(check: Checker, node: Any, path: KeyPath, around: tuple[Sequence[str], Sequence[str], int]) -> Phase | None:
    """Read one phase; None after refusing it. A bare word is a phase of that kind and name."""
    names, rest, share = around
    node = {"name": node} if isinstance(node, str) else node
    if not isinstance(node, dict):
        check.refuse(path, "a phase must be a mapping with a name", got=node, hint="write - name: explore")
        return None
    before = check.count
    name, kind = check.string(node, path, "name"), _kind(check, node, path)
    if "name" not in node:
        check.refuse(path, "a phase needs a name", got=node, hint="write name: explore")
    elif name is not None and not _NAME.fullmatch(name):
        check.refuse((*path, "name"), "letters, digits, _ and - make the name of a phase", got=name)
    if name is None or kind is None or check.count > before:
        return None
    found = check.section(node, path, _SECTIONS[kind], f"a phase to {kind}", null_is_default=True)
    settings: dict[str, Any] = {
        "n_trials": found.get("n_trials", share),
        **{key: found.get(key) for key in ("top", "margin", "full")},
        "sampler": read_sampler(check, found, path, "sampler"),
        "parameters": _parameters(check, found, path, names, rest) if kind is PhaseKind.STAGE else None,
        **_seeds(check, found, path),
    }
    phase = Phase(name=name, kind=kind, **{key: value for key, value in settings.items() if value is not None})
    return phase if check.count == before else None


def _kind(check: Checker, node: Mapping[str, Any], path: KeyPath) -> PhaseKind | None:
    """Return the kind that is said, or the one that the name or the keys imply."""
    kinds = tuple(PhaseKind)
    if "kind" in node:
        word = check.choice(node, path, "kind", kinds)
        return None if word is None else PhaseKind(word)
    if "parameters" in node:
        return PhaseKind.STAGE
    if node.get("name") in kinds:
        return PhaseKind(node["name"])
    hint = f"add parameters: […], or kind: {', '.join(kind for kind in kinds if kind != PhaseKind.STAGE)}"
    check.refuse(path, "a phase needs a kind, or the parameters that it searches", got=node, hint=hint)
    return None


def _parameters(
    check: Checker, node: Mapping[str, Any], path: KeyPath, names: Sequence[str], rest: Sequence[str]
) -> tuple[str, ...]:
    """Return the names that a stage searches: those listed, or the rest."""
    here = (*path, "parameters")
    if node.get("parameters") == _REST:
        if not rest:
            check.refuse(here, "no parameter is left: the stages before search them all", got=_REST)
        return tuple(rest)
    listed: tuple[str, ...] = check.value(node, path, "parameters", TEXTS) or ()
    if not listed and isinstance(node.get("parameters", []), list):
        check.refuse(here, "a stage searches at least one parameter", got=[], hint=f"or write parameters: {_REST}")
    for index, name in enumerate(listed):
        if name not in names:
            check.refuse((*here, index), f"{name} is not in the search_space", got=name, hint=nearest(name, names))
        elif name in listed[:index]:
            check.refuse((*here, index), "a parameter stands once in a stage", got=name)
    return listed


def _seeds(check: Checker, node: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    """Read `seeds`: how many, or which."""
    given = node.get("seeds")
    if not isinstance(given, list):
        return {"n_seeds": check.value(node, path, "seeds", whole(1))}
    here = (*path, "seeds")
    if not given:
        check.refuse(here, "at least one seed is needed", got=given)
    for index, seed in enumerate(given):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            check.refuse((*here, index), "a seed is a whole number from 0 to 4294967295", got=seed)
        elif seed in given[:index]:
            check.refuse((*here, index), "a seed stands once: the same one gives the same run", got=seed)
    return {"seeds": tuple(seed for seed in given if isinstance(seed, int))}
