"""The schema for editors and the reader agree: on every YAML of the repository, on W&B's forms, on mistakes."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import pytest
from bad_sweeps import BAD_SWEEPS

from sweepkit.errors import SpecError
from sweepkit.model.metric import Metric
from sweepkit.paths import ROOT_DIR
from sweepkit.sweep_config.parameters import DISTRIBUTION_KEYS
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.sweep_config.schema import argument_texts, sweep_schema
from sweepkit.sweep_config.sections import EXTENSIONS, METRIC, SCHEDULER
from sweepkit.sweep_config.seeds_section import SEEDS
from sweepkit.sweep_config.stopping_section import STOPPING_KEYS
from sweepkit.sweep_config.sweep import EarlyTerminate, Extensions, Scheduler, Seeds, WandbNaming
from sweepkit.sweep_config.wandb_section import WANDB_NAMING
from sweepkit.text.yaml import parse

SCHEMA = sweep_schema()
CHECKER = jsonschema.Draft7Validator(SCHEMA)
FILES = sorted(
    path
    for folder in ("config/sweep", "examples", "tests")
    for path in (ROOT_DIR / folder).rglob("*.yaml")
    if "method:" in path.read_text(encoding="utf-8")
)
PAGES = [ROOT_DIR / "README.md", *sorted((ROOT_DIR / "docs").glob("*.md"))]
SHOWN = [
    (page.name, block)
    for page in PAGES
    for block in re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if re.search(r"^method:", block, re.MULTILINE)
]
# What hangs on several values at once, on the text of the YAML, or on more than a type: only the reader sees it.
LEAST_SEEN = 0.6

OURS = """\
method: bayes
metric: {name: loss, goal: minimize, impute: worst, impute_while_running: false}
parameters: {x: {min: 0.0, max: 1.0}, opt: {parameters: {lr: {distribution: log_uniform_values, min: 1e-5, max: 1}}}}
command: ["${env}", python, 3]
sweepkit:
  seed: 3
  sampler: {name: tpe, multivariate: true, n_startup_trials: null}
  early_terminate: {type: patient, patience: 2, rule: {type: optuna_hyperband, min_resource: auto}}
  on_failure: [{match: "CUDA", do: elsewhere, times: 2}]
  seeds_per_run: {seeds: [1, 2, 3], stop_worse: false}
  conditions: {x: {when: {opt.lr: {min: 0.1}}}}
  wandb: {name: "run_{number}", tags: [a], mode: offline}
  holdout: {data.val_file: test.csv}
  timeout_s: 10
  retries: null
  seed_parameter: null
"""


def faults(text):
    return [error.message for error in CHECKER.iter_errors(parse(text).data)]


def refused_by_the_reader(text):
    try:
        read_sweep_text(text)
    except SpecError:
        return True
    return False


def test_it_is_a_schema_and_plain_json():
    jsonschema.Draft7Validator.check_schema(json.loads(json.dumps(SCHEMA)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT_DIR)))
def test_every_sweep_of_the_repository_is_valid(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[page for page, _ in SHOWN])
def test_every_sweep_that_a_page_shows_is_valid(page, text):
    assert faults(text) == []


def test_the_repository_has_sweeps():
    assert len(FILES) > 10 and "README.md" in {page for page, _ in SHOWN}


@pytest.mark.parametrize("text", [OURS, "method: grid\nparameters: {a: {values: [1, null]}}\nsweepkit:\n"])
def test_what_the_reader_takes_is_valid(text):
    assert not refused_by_the_reader(text) and faults(text) == []


@pytest.mark.parametrize("kind", list(DISTRIBUTION_KEYS), ids=str)
def test_every_distribution_is_valid_with_its_keys_and_no_other(kind):
    values = {"value": 1, "values": [1, 2], "probabilities": [0.5, 0.5], "min": 1, "max": 2}
    keys = {key: values.get(key, 0.5) for key in DISTRIBUTION_KEYS[kind]}
    parameter = {"distribution": kind.value, **keys}

    def sweep(node):
        return json.dumps({"method": "random", "parameters": {"p": node}})

    assert not refused_by_the_reader(sweep(parameter)) and faults(sweep(parameter)) == []
    other = next(key for key in ("q", "value", "a") if key not in keys)
    assert refused_by_the_reader(sweep({**parameter, other: 1})) and faults(sweep({**parameter, other: 1}))
    for key in set(keys) & set(values):
        less = {name: value for name, value in parameter.items() if name != key}
        assert refused_by_the_reader(sweep(less)) and faults(sweep(less))


def test_what_wandbs_own_schema_takes_is_valid():
    package = importlib.util.find_spec("sweeps").submodule_search_locations[0]  # importing it warns
    theirs = json.loads(Path(package, "config", "schema.json").read_text())
    checker = jsonschema.Draft7Validator(theirs)
    for text in (path.read_text(encoding="utf-8") for path in FILES):
        data = {key: value for key, value in parse(text).data.items() if key != "sweepkit"}
        if not list(checker.iter_errors(data)):
            assert list(CHECKER.iter_errors(data)) == []


def test_most_mistakes_are_seen_while_one_types():
    readable = []
    for name, text, *_ in BAD_SWEEPS:
        try:
            readable.append((name, list(CHECKER.iter_errors(parse(text).data))))
        except SpecError:
            continue  # no YAML at all: the editor itself says so
    seen = [name for name, found in readable if found]
    assert len(seen) / len(readable) >= LEAST_SEEN, sorted(name for name, found in readable if not found)


@pytest.mark.parametrize(
    ("section", "kind", "elsewhere"),
    [
        (METRIC, Metric, {"value"}),
        (SCHEDULER, Scheduler, set()),
        (EXTENSIONS, Extensions, set()),
        (WANDB_NAMING, WandbNaming, set()),
        (SEEDS, Seeds, set()),
        *((fields, EarlyTerminate, None) for fields in STOPPING_KEYS.values()),
    ],
)
def test_a_section_declares_what_its_value_has(section, kind, elsewhere):
    known = {item.name for item in dataclasses.fields(kind)}
    assert set(section) - {"conditions"} <= known
    if elsewhere is not None:
        assert known - set(section) == elsewhere


def test_every_key_of_ours_has_a_schema_and_a_meaning():
    properties = SCHEMA["properties"]["sweepkit"]["properties"]
    assert set(properties) == set(EXTENSIONS)
    assert [key for key, schema in properties.items() if set(schema) <= {"description"}] == []
    meanings = argument_texts(Extensions)
    assert {key for key in EXTENSIONS if key != "conditions"} == set(meanings)
