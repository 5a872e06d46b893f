import json
import os
from pathlib import Path

import pytest
import yaml
from bad_sweeps import BAD_SWEEPS
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SpecError, SweepKitError
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Goal, Impute
from sweepkit.sweep_config.read import find_sweep, from_config, read_sweep, read_sweep_text
from sweepkit.sweep_config.sweep import DEFAULT_COMMAND, FailureAction, FailureRule, Method, Sampler, Scheduler, Seeds

WORDS = words_of(__file__)

FULL = """\
# a sweep with every key
method: bayes
name: korean
description: all keys
program: trainer.py
entity: team
project: dialogue
apiVersion: "0.0.1"
kind: sweep
job: a/b/c:latest
image_uri: registry/image
run_cap: 20.0
controller: {type: cloud, extra: 1}
command: ["${env}", "${interpreter}", "${program}", --workers, 2, "${args}"]
metric:
  name: eval/rouge_combined_f1
  goal: maximize
  target: 1
  impute: best
  impute_while_running: latest
early_terminate: {type: hyperband, max_iter: 27, s: 2.0, eta: 2.5, strict: false}
parameters:
  z: {value: null}
  b.c: {values: [1, a, [1, 2], {k: v}, null, true]}
  optimizer:
    parameters:
      lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
      inner: {parameters: {x: {min: 1, max: 8}}}
  dropout: {min: 0.0, max: 0.5}
  batch: {distribution: q_uniform, min: 8, max: 64, q: 8}
  choice: {values: [a, b], probabilities: [0.25, 0.75]}
sweepkit:
  seed: 7
  retries: 2
  timeout_s: 60
  time_budget_s: 3600
  min_free_gpu_memory_gb: 10
  kill_delay_s: 5
  preload: [torch, sweepkit.sweep_config]
  gpus_per_run: 1
  runs_per_gpu: auto
  cpus_per_run: 2
  sampler: tpe
  prior_runs: [other]
  base_config: kobart
  on_failure:
    - {match: "ECC error", do: quarantine}
    - {match: "^Timeout: .*host", do: retry, times: 5}
"""


def _problems(text, **kwargs):
    with pytest.raises(SpecError) as caught:
        read_sweep_text(text, source="config/sweep/bad.yaml", **kwargs)
    return caught.value.problems


def test_bad_sweeps_are_many_and_distinct():
    assert len(BAD_SWEEPS) >= 30
    assert len({row[0] for row in BAD_SWEEPS}) == len(BAD_SWEEPS)
    assert len({row[1] for row in BAD_SWEEPS}) >= len(BAD_SWEEPS) - 1


@pytest.mark.parametrize(
    ("text", "expected", "line"), [row[1:] for row in BAD_SWEEPS], ids=[row[0] for row in BAD_SWEEPS]
)
def test_bad_sweep_tells_place_key_and_rule(text, expected, line):
    problems = _problems(text)
    said = [str(problem) for problem in problems]
    assert any(item.startswith(f"config/sweep/bad.yaml:{line}: ") and expected in item for item in said), said
    assert len(problems) == 1, said  # one mistake, one message: no follow-up errors


def test_all_problems_are_told_at_once_in_order_of_lines():
    text = (
        "method: bayez\nmetric: {nme: loss}\nparameters:\n"
        "  lr: {min: 2, max: 1}\n  day: {value: 2024-01-01}\nrun_cap: 0\n"
    )
    problems = _problems(text)
    assert [problem.line for problem in problems] == [1, 2, 2, 4, 5, 6]
    assert str(SpecError(problems)).count("\n") == 5
    assert issubclass(SpecError, SweepKitError) and SpecError.exit_code == 2


def test_every_key_is_read():
    spec = read_sweep_text(FULL, source="full.yaml", directory="/somewhere")
    assert (spec.name, spec.method, spec.program, spec.run_cap) == ("korean", Method.BAYES, "trainer.py", 20)
    assert isinstance(spec.run_cap, int)
    assert (spec.description, spec.entity, spec.project, spec.controller) == ("all keys", "team", "dialogue", "cloud")
    assert spec.command == ("${env}", "${interpreter}", "${program}", "--workers", "2", "${args}")
    metric = spec.metric
    assert (metric.name, metric.goal, metric.target) == ("eval/rouge_combined_f1", Goal.MAXIMIZE, 1.0)
    assert (metric.impute, metric.impute_while_running) == (Impute.BEST, Impute.LATEST)
    rule = spec.early_terminate
    assert (rule.type, rule.max_iter, rule.s, rule.eta, rule.strict, rule.min_iter) == (
        "hyperband",
        27,
        2,
        2.5,
        False,
        None,
    )
    own = spec.extensions
    assert (own.seed, own.retries, own.timeout_s, own.kill_delay_s) == (7, 2, 60.0, 5.0)
    assert (own.time_budget_s, own.min_free_gpu_memory_gb) == (3600.0, 10.0)
    assert (own.preload, own.gpus_per_run, own.cpus_per_run) == (("torch", "sweepkit.sweep_config"), 1, 2)
    assert own.runs_per_gpu == "auto"
    assert (own.sampler, own.prior_runs, own.base_config) == (Sampler(name="tpe"), ("other",), "kobart")
    assert own.on_failure == (
        FailureRule(match="ECC error", action=FailureAction.QUARANTINE),
        FailureRule(match="^Timeout: .*host", action=FailureAction.RETRY, times=5),
    )
    assert own.on_failure[1].matches("Traceback\nTimeout: no host") and not own.on_failure[1].matches("a Timeout: host")
    assert (spec.source, spec.directory, spec.text) == ("full.yaml", "/somewhere", FULL)
    assert "sweepkit" not in spec.wandb_config
    assert spec.wandb_config["metric"]["impute_while_running"] == "latest"
    assert spec.warnings == ()


def test_parameters_are_flattened_and_sorted_as_wandb_sorts_them():
    space = read_sweep_text(FULL).space
    paths = [parameter.path for parameter in space.parameters]
    assert paths == [
        ("b.c",), ("batch",), ("choice",), ("dropout",), ("optimizer", "inner", "x"), ("optimizer", "lr"), ("z",),
    ]  # fmt: skip
    by_path = {parameter.path: parameter.distribution for parameter in space.parameters}
    assert by_path[("z",)].kind is Kind.CONSTANT and by_path[("z",)].values == (None,)
    assert by_path[("b.c",)].values == (1, "a", [1, 2], {"k": "v"}, None, True)
    assert by_path[("optimizer", "lr")].min == 1e-5
    assert by_path[("optimizer", "inner", "x")].kind is Kind.INT_UNIFORM
    assert by_path[("dropout",)].kind is Kind.UNIFORM
    assert by_path[("batch",)].q == 8 and isinstance(by_path[("batch",)].q, int)
    assert by_path[("choice",)].probabilities == (0.25, 0.75)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_distribution_is_read_with_wandbs_defaults(kind):
    body = {
        Kind.CONSTANT: {"value": 3},
        Kind.CATEGORICAL: {"values": [1, 2]},
        Kind.CATEGORICAL_W_PROBABILITIES: {"values": [1, 2], "probabilities": [0.5, 0.5]},
    }.get(kind, {} if "normal" in kind or "beta" in kind else {"min": 1, "max": 2})
    spec = from_config({"method": "random", "parameters": {"x": {"distribution": str(kind), **body}}})
    drawn = spec.space.parameters[0].distribution
    assert drawn.kind is kind
    if kind.startswith("q_"):
        assert drawn.q == 1.0 and isinstance(drawn.q, float)
    if "normal" in kind:
        assert (drawn.mu, drawn.sigma) == (0, 1)
    if "beta" in kind:
        assert (drawn.a, drawn.b) == (1, 1)


def test_defaults():
    spec = read_sweep_text(
        "method: grid\ncommand: []\nparameters: {a: {values: [0, false, '', null]}}\nsweepkit:\n", default_name="mine"
    )
    assert spec.name == "mine"
    assert spec.command == DEFAULT_COMMAND
    assert spec.space.parameters[0].distribution.values == (0, False, "", None)
    assert spec.metric is None and spec.early_terminate is None and spec.extensions.seed is None
    assert spec.warnings == ()


def test_deprecated_exponents_are_accepted_with_a_warning_d2():
    spec = read_sweep_text(
        "method: random\nparameters:\n  lr: {distribution: log_uniform, min: -5, max: -1}\n", source="f.yaml"
    )
    assert len(spec.warnings) == 1
    assert spec.warnings[0].startswith("f.yaml:3: parameters.lr: log_uniform is deprecated")
    assert "exp(-5) to exp(-1); write log_uniform_values" in spec.warnings[0]


@pytest.mark.parametrize(("low", "high"), [("1", "2.5"), ("1.5", "3")])
def test_mixed_bounds_are_uniform_with_a_warning_d3(low, high):
    spec = read_sweep_text(f"method: random\nparameters:\n  lr: {{min: {low}, max: {high}}}\n")
    assert spec.space.parameters[0].distribution.kind is Kind.UNIFORM
    assert "drawn as uniform" in spec.warnings[0]


def test_plain_false_means_not_imputed_while_running_d10():
    spec = read_sweep_text(
        "method: bayes\nmetric: {name: a, impute_while_running: false}\nparameters: {a: {min: 1, max: 3}}\n"
    )
    assert spec.metric.impute_while_running is None
    assert spec.wandb_config["metric"] == {"name": "a", "impute_while_running": "false"}
    quoted = read_sweep_text(
        'method: bayes\nmetric: {name: a, impute_while_running: "false"}\nparameters: {a: {min: 1, max: 3}}\n'
    )
    assert quoted.metric == spec.metric


def test_values_that_look_like_numbers_or_read_otherwise_on_wandb_are_warned_of_d1():
    text = 'method: grid\nparameters:\n  a:\n    values: ["1e-4", yes, "yes", 010, 12:30, nan, model-7, {deep: "3"}]\n'
    spec = read_sweep_text(text, source="f.yaml")
    assert spec.space.parameters[0].distribution.values == (
        "1e-4",
        "yes",
        "yes",
        10,
        "12:30",
        "nan",
        "model-7",
        {"deep": "3"},
    )
    places = [warning.split(": ")[1] for warning in spec.warnings]
    assert places == [f"parameters.a.values[{index}]" for index in (0, 1, 3, 4)] + ["parameters.a.values[7].deep"]
    assert WORDS["takes-it-for"] in spec.warnings[1]


@pytest.mark.parametrize("name", ["081125_38", "08", "08_15", "0o17", "12e03", "1e5", "2024-1-1", "1_0e5"])
def test_a_text_that_only_looks_like_a_number_is_the_text_that_wandb_reads(name):
    spec = read_sweep_text(f"method: random\nproject: {name}\nname: {name}\nparameters: {{a: {{value: 1}}}}\n")
    assert (spec.project, spec.name, spec.warnings, spec.reader_note) == (name, name, (), "")
    assert spec.wandb_config == yaml.safe_load(spec.text)


@pytest.mark.parametrize(
    ("written", "items"), [("1e-5, 010, 1_000, 08", ["1e-5", "8", "1000", "08"]), ("yes", ["True"])]
)
def test_items_of_the_command_are_what_wandb_hands_over(written, items):
    text = f"method: random\ncommand: [a, {written}]\nparameters: {{x: {{value: 1}}}}\n"
    spec = read_sweep_text(text)
    assert list(spec.command) == ["a", *items] == ["a", *map(str, yaml.safe_load(text)["command"][1:])]
    assert len(spec.warnings) == ("True" in items)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("project: on", "project"),
        ("metric: {name: 12:30}", "metric.name"),
        ("run_cap: 010", "run_cap"),
        ("parameters: {x: {min: 010, max: 20}}", "parameters.x.min"),
        ("parameters: {x: {values: [08, 1]}}", "parameters.x.values[0]"),
        ("parameters: {x: {value: 0o17}}", "parameters.x.value"),
        ("parameters: {on: {value: 1}}", "parameters.on"),
        ("parameters: {x: {value: {no: 1}}}", "parameters.x.value.no"),
    ],
)
def test_whatever_reads_otherwise_on_wandb_is_warned_of_once_d1(line, place):
    rest = "" if line.startswith("parameters") else "\nparameters: {x: {value: 1}}"
    spec = read_sweep_text(f"method: random\n{line}{rest}\n", source="f")
    assert [warning.split(": ")[1] for warning in spec.warnings] == [place]


def test_what_wandb_never_sees_is_not_compared_with_its_reader():
    text = "method: random\nparameters: {x: {value: 1}}\nsweepkit: {seed: 010}\n"
    spec = read_sweep_text(text)
    assert (spec.warnings, spec.extensions.seed) == ((), 10)


@pytest.mark.parametrize(
    ("written", "better"),
    [("1e-5", "1.0e-5"), ("1e5", "1.0e+5"), ("1.5E3", "1.5e+3"), ("-.5", "-0.5"), ("-.5e3", "-0.5e+3")],
)
def test_a_number_that_wandb_reads_as_a_string_has_a_form_for_both(written, better):
    text = "method: random\nparameters:\n  x: {values: [%s, 7]}\n"
    spec = read_sweep_text(text % written)
    assert spec.warnings == () and f" {better} " in spec.reader_note and "line 3" in spec.reader_note
    both = read_sweep_text(text % better)
    assert both.reader_note == "" and both.space == spec.space
    assert yaml.safe_load(text % better)["parameters"]["x"]["values"] == [float(written), 7]


def test_unknown_macros_are_warned_of_d19():
    text = (
        "method: random\ncommand: ['${program}', '${agrs}', '--x=${lr}', '--y=${args}']\nparameters: {lr: {value: 1}}\n"
    )
    spec = read_sweep_text(text)
    assert len(spec.warnings) == 2
    assert WORDS["is-neither-a"] in spec.warnings[0]
    assert WORDS["is-replaced-only"] in spec.warnings[1]


def test_schedulers_are_parsed():
    spec = from_config(
        {
            "method": "custom",
            "metrics": [{"name": "a"}, {"name": "b", "goal": "maximize"}],
            "scheduler": {"engine": "optuna", "source": "s.py", "optimizer": "make", "search_space": "space"},
        }
    )
    assert spec.scheduler == Scheduler(engine="optuna", source="s.py", optimizer="make", search_space="space")
    assert [metric.goal for metric in spec.metrics] == [Goal.MINIMIZE, Goal.MAXIMIZE]
    assert spec.space.parameters == ()
    ax = from_config(
        {"method": "custom", "metric": {"name": "a"}, "scheduler": {"engine": "ax"}, "parameters": {"a": {"value": 1}}}
    )
    assert ax.scheduler.engine == "ax"
    own = from_config({"method": "random", "scheduler": {"engine": "wandb"}, "parameters": {"a": {"value": 1}}})
    assert own.scheduler.engine == "wandb"


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        ({"type": "asha", "min_iter": 2, "eta": 4}, {"min_iter": 2, "eta": 4}),
        ({"type": "median", "n_startup_runs": 3, "n_warmup_reports": 2}, {"n_startup_runs": 3, "n_warmup_reports": 2}),
        ({"type": "patience", "patience": 4, "min_delta": 0.1}, {"patience": 4, "min_delta": 0.1}),
        ({"type": "hyperband", "min_iter": 3, "strict": False}, {"min_iter": 3, "strict": False}),
    ],
)
def test_own_stopping_rules(settings_, expected):
    config = {"method": "random", "metric": {"name": "a"}, "parameters": {"a": {"value": 1}}}
    spec = from_config({**config, "sweepkit": {"early_terminate": settings_}})
    assert spec.early_terminate == spec.extensions.early_terminate
    assert spec.early_terminate.type == settings_["type"]
    assert {key: getattr(spec.early_terminate, key) for key in expected} == expected
    assert spec.wandb_config == config


def test_from_config_reads_back_from_its_text():
    config = {
        "method": "random",
        "name": "한국어",
        "parameters": {"lr": {"min": 1e-5, "max": 0.1}, "x": {"values": (1, 2.0, "a")}},
    }
    spec = from_config(config)
    again = read_sweep_text(spec.text)
    assert again.space == spec.space and again.name == "한국어"
    assert json.loads(spec.text) == json.loads(json.dumps(config))
    assert config["parameters"]["x"]["values"] == (1, 2.0, "a")  # the caller's dictionary is untouched


@pytest.mark.parametrize(
    ("value", "key", "got"),
    [
        (object, "parameters.a.value", "type"),
        ({1: 2}, "parameters.a.value", "1"),
        ([float("nan")], "parameters.a.value[0]", "nan"),
        ([10**5000], "parameters.a.value[0]", "int"),
        ("\ud800", "parameters.a.value", "str"),
    ],
)
def test_from_config_refuses_what_json_has_not_d11(value, key, got):
    with pytest.raises(SpecError) as caught:
        from_config({"method": "random", "parameters": {"a": {"value": value}}})
    assert caught.value.problems[0].key == key
    assert got in caught.value.problems[0].got


def test_read_sweep_names_the_sweep_and_its_folder(tmp_path):
    file = tmp_path / "first_sweep.yaml"
    file.write_bytes(b"\xef\xbb\xbfmethod: random\r\nparameters:\r\n  lr: {min: 1e-5, max: 1e-1}\r\n")
    spec = read_sweep(file, shown_as="first_sweep")
    assert (spec.name, spec.source, spec.directory) == ("first_sweep", "first_sweep", str(tmp_path.resolve()))
    assert spec.space.parameters[0].distribution.min == 1e-5


@pytest.mark.parametrize("content", ["latin", "utf16"])
def test_only_utf8_is_read(tmp_path, content):
    file = tmp_path / "a.yaml"
    text = "method: random\nname: café\n"
    file.write_bytes(text.encode("latin-1" if content == "latin" else "utf-16"))
    with pytest.raises(SpecError, match=WORDS["d-the-file"]) as caught:
        read_sweep(file)
    assert caught.value.problems[0].line == (2 if content == "latin" else 1)


def test_unreadable_files_are_spec_errors(tmp_path):
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(SpecError, match=WORDS["the-file-cannot"]):
            read_sweep(path)


def _config_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "config" / "sweep"
    folder.mkdir(parents=True)
    for name in ("first_sweep.yaml", "grid_search.yml", "readme.txt"):
        (folder / name).write_text("method: random\n")
    return tmp_path / "config"


def test_find_sweep_by_path_and_by_name(tmp_path):
    config = _config_dir(tmp_path)
    cwd = tmp_path / "elsewhere"
    cwd.mkdir()
    first = config / "sweep" / "first_sweep.yaml"
    assert find_sweep("first_sweep", cwd=cwd, config_dir=config) == first
    assert find_sweep("first_sweep.yaml", cwd=cwd, config_dir=config) == first
    assert find_sweep("grid_search", cwd=cwd, config_dir=config) == config / "sweep" / "grid_search.yml"
    assert find_sweep(str(first), cwd=cwd, config_dir=config) == first
    assert find_sweep("../config/sweep/first_sweep.yaml", cwd=cwd, config_dir=config).resolve() == first.resolve()
    mine = cwd / "first_sweep.yaml"
    mine.write_text("")
    assert find_sweep("first_sweep.yaml", cwd=cwd, config_dir=config) == mine  # a path as given comes first


def test_a_named_pipe_is_called_one(tmp_path):
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(SpecError) as caught:
        find_sweep("s.yaml", cwd=tmp_path, config_dir=_config_dir(tmp_path))
    assert caught.value.problems[0].got == "a named pipe"


@pytest.mark.parametrize("name", ["frist_sweep", "sub/first_sweep", "first_sweep.yml", "grid_serch"])
def test_a_miss_names_the_nearest(tmp_path, name):
    config = _config_dir(tmp_path)
    with pytest.raises(SpecError) as caught:
        find_sweep(name, cwd=tmp_path, config_dir=config)
    assert caught.value.problems[0].where == name
    assert caught.value.problems[0].hint == f"did you mean {'grid_search' if 'grid' in name else 'first_sweep'}?"


def test_a_miss_without_anything_near_lists_all(tmp_path):
    config = _config_dir(tmp_path)
    with pytest.raises(SpecError, match="known sweeps: first_sweep, grid_search"):
        find_sweep("zzz", cwd=tmp_path, config_dir=config)
    with pytest.raises(SpecError, match=WORDS["there-is-no"]):
        find_sweep("zzz", cwd=tmp_path, config_dir=tmp_path / "nothing")


@settings(max_examples=examples(200), deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_breaks_the_reader(data):
    """Whatever lines are lost, doubled, moved or changed: a sweep or a list of problems with lines, nothing else."""
    lines = FULL.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(["drop", "double", "indent", "dedent", "cut", "word"]))
        if action == "drop":
            lines[index : index + 1] = []
        elif action == "double":
            lines.insert(data.draw(st.integers(0, len(lines))), lines[index])
        elif action == "indent":
            lines[index] = "  " + lines[index]
        elif action == "dedent":
            lines[index] = lines[index].removeprefix("  ")
        elif action == "cut":
            lines[index] = lines[index][: data.draw(st.integers(0, len(lines[index])))]
        else:
            word = data.draw(st.sampled_from(["null", "[]", "{}", "-1", "2.5", "yes", "x: y", "{a: 1}", "log_uniform"]))
            lines[index] = f"{lines[index].split(':')[0]}: {word}"
        lines = lines or [""]
    try:
        spec = read_sweep_text("\n".join(lines), source="f.yaml")
    except SpecError as error:
        assert all(problem.line is not None and problem.where == "f.yaml" for problem in error.problems)
    else:
        assert spec.space.parameters and spec.method


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,4}", fullmatch=True)
leaves = st.sampled_from([{"value": 1}, {"values": [1, "a", None]}, {"min": 1, "max": 3}])
trees = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, st.builds(lambda tree: {"parameters": tree}, inner), min_size=1, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(100), deadline=None)
@given(tree=trees, data=st.data())
def test_nest_and_flatten_are_inverse(tree, data):
    space = from_config({"method": "random", "parameters": tree}).space
    flat = {
        parameter.path: data.draw(st.integers() | st.none() | st.text(max_size=3)) for parameter in space.parameters
    }
    nested = space.nest(flat)
    assert space.flatten(nested) == flat
    assert list(nested) == sorted(nested)
    assert space.flatten({**nested, "not-in-the-space!": 1}) == flat


@pytest.mark.parametrize(
    ("written", "seeds"),
    [
        ("3", Seeds(seeds=(1, 2, 3))),
        ("3.0", Seeds(seeds=(1, 2, 3))),
        ("[42, 7]", Seeds(seeds=(42, 7))),
        ("{seeds: 2}", Seeds(seeds=(1, 2), stop_worse=True, min_seeds=2)),
        ("{seeds: [5, 4, 3], stop_worse: false, min_seeds: 1}", Seeds(seeds=(5, 4, 3), stop_worse=False, min_seeds=1)),
        ("null", None),
    ],
)
def test_seeds_per_run_is_a_number_a_list_or_a_mapping(written, seeds):
    own = read_sweep_text(f"method: random\nparameters: {{x: {{value: 1}}}}\nsweepkit: {{seeds_per_run: {written}}}\n")
    assert own.extensions.seeds_per_run == seeds


@pytest.mark.parametrize(
    ("own", "name"),
    [({}, "seed"), ({"seed_parameter": "training.seed"}, "training.seed"), ({"seed_parameter": None}, None)],
)
def test_the_seeds_parameter_is_called_seed_unless_it_has_another_name_or_none(own, name):
    read = from_config({"method": "random", "parameters": {"x": {"value": 1}}, "sweepkit": own})
    assert read.extensions.seed_parameter == name and read.extensions.seeds_per_run is None


def test_the_holdout_is_a_mapping_of_parameters():
    config = {"method": "random", "parameters": {"x": {"value": 1}, "data.val_file": {"value": "dev.csv"}}}
    own = {"holdout": {"data.val_file": "test.csv", "limit": None}}
    assert from_config({**config, "sweepkit": own}).extensions.holdout == own["holdout"]
    assert from_config(config).extensions.holdout == {}


def test_a_command_may_name_the_seed_of_seeds_per_run():
    config = {"method": "random", "parameters": {"x": {"value": 1}}, "command": ["train", "--seed=${seed}"]}
    assert from_config({**config, "sweepkit": {"seeds_per_run": 2}}).warnings == ()
    assert len(from_config(config).warnings) == 1
