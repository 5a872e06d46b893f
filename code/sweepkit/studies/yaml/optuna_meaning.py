"""What an Optuna YAML means where it does not say so: whose search it is, and what is searched when no space is given.

The users' guides show their configuration in pieces: a section alone, a parameter at the top of a file, a search of
images without a word that it is one. Each piece is read as what it can only mean, and said.
"""

from collections.abc import Mapping
from typing import Any

from sweepkit.studies.yaml.guide_space import guide_parameters
from sweepkit.studies.yaml.optuna_values import ParameterKind, SearchParameter
from sweepkit.sweep_config.checker import Checker
from sweepkit.training.config.image_sections import ImageConfig
from sweepkit.training.config.training_schema import schema_of
from sweepkit.training.config.training_sections import TrainingConfig

IMAGES = "image_classification"
SUMMARIES = "models/tiny_bart_lora"  # has adapters, which the fifteen parameters want
_PARAMETER_KEYS = ("type", "choices", "low")
_GROUP_SUFFIX = "_params"
# What the guide for images searches first; its ranges are for models that are loaded.
_IMAGE_SPACE = (
    SearchParameter(name="learning_rate", kind="float", low=1e-5, high=5e-3, log=True),
    SearchParameter(name="batch_size", kind="categorical", choices=(16, 32, 48, 64)),
    SearchParameter(name="weight_decay", kind="float", low=0.01, high=0.1),
    SearchParameter(name="dropout", kind="float", low=0.01, high=0.15),
    SearchParameter(name="drop_path", kind="float", low=0.0, high=0.3),
)


def gather_parameters(check: Checker, known: tuple[str, ...]) -> None:
    """Put parameters that stand at the top of the file under `search_space`, and say so; the document is changed.

    Args:
        check: Of the document.
        known: The sections of such a file.
    """
    document = check.document
    stray = [name for name, node in document.data.items() if name not in known and _is_parameter(name, node)]
    if not stray:
        return
    space = document.data.setdefault("search_space", {})
    if not isinstance(space, dict):
        return
    for name in stray:
        if name in space:
            continue
        check.warn((name,), "read as a parameter of search_space")
        space[name] = document.data.pop(name)
        moved = {path: line for path, line in document.lines.items() if path and path[0] == name}
        document.lines.update({("search_space", *path): line for path, line in moved.items()})


def _is_parameter(name: str, node: Any) -> bool:
    if not isinstance(node, dict) or not node:
        return False
    if any(key in node for key in _PARAMETER_KEYS):
        return True
    return name.endswith(_GROUP_SUFFIX) and all(isinstance(inner, dict) for inner in node.values())


def means_images(data: Mapping[str, Any]) -> str:
    """Return the first word of a file that only a search of image classifiers has; "" when there is none.

    >>> means_images({"search_space": {"img_size": {"type": "categorical", "choices": [8, 16]}}})
    'search_space.img_size'
    """
    images, texts = schema_of(ImageConfig), schema_of(TrainingConfig)
    space = data.get("search_space")
    for name in _names(space) if isinstance(space, Mapping) else ():
        if images.route(name) is not None and texts.route(name) is None:
            return f"search_space.{name}"
    quick = data.get("quick_validation")
    folds = quick.get("folds") if isinstance(quick, Mapping) and quick.get("enabled") is not False else None
    return "quick_validation.folds" if isinstance(folds, int) and folds > 1 else ""


def _names(space: Mapping[str, Any]) -> list[str]:
    """Return the names in a search space, those in groups with the headings left out."""
    found = []
    for name, node in space.items():
        if name.endswith(_GROUP_SUFFIX) and isinstance(node, Mapping):
            found += [] if node.get("enabled") is False else _names(node)
        else:
            found.append(name)
    return found


def default_space(task: str, checkpoint: str) -> list[SearchParameter]:
    """Return what is searched when a file has no `search_space`: the guide's own parameters for the task.

    Args:
        task: Of the training configuration.
        checkpoint: Its `model.name`.

    Returns:
        The parameters; [] for a task of which the guides have none.
    """
    if task == IMAGES:
        return list(_IMAGE_SPACE)
    if task != TrainingConfig.task:
        return []
    return [_parameter(name, form) for name, form in guide_parameters(checkpoint).items()]


def _parameter(name: str, form: Mapping[str, Any]) -> SearchParameter:
    """Return one parameter from W&B's words for it."""
    if "values" in form:
        return SearchParameter(name=name, kind="categorical", choices=tuple(form["values"]))
    kind: ParameterKind = "int" if form["distribution"] == "int_uniform" else "float"
    log = form["distribution"].startswith("log")
    return SearchParameter(name=name, kind=kind, low=form["min"], high=form["max"], log=log)
