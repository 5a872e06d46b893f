"""A run of a search space function as the mirror shows it: each trial with the distributions it was suggested from."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SUGGESTIONS = "suggestions"  # `search.define_by_run` notes them in the proposal


def suggested(proposal: Mapping[str, Any]) -> "tuple[dict[str, Any], dict[str, BaseDistribution]]":
    """Return the suggested values of a run and their distributions by name, {} twice when a space proposed it."""
    noted = proposal.get(_SUGGESTIONS)
    if not isinstance(noted, Mapping):
        return {}, {}
    from optuna.distributions import json_to_distribution

    values = {name: item["value"] for name, item in noted.items()}
    return values, {name: json_to_distribution(json.dumps(item["distribution"])) for name, item in noted.items()}


def without_suggested(attrs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user attributes of a run without the parameters that are shown as suggestions with the same value."""
    shown = {f"param:{name}": value for name, value in values.items()}
    return {
        name: value
        for name, value in attrs.items()
        if not (name in shown and type(shown[name]) is type(value) and shown[name] == value)
    }
