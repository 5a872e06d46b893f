"""Reading `sweepkit.early_terminate`: every type with its settings, and every wrong one with file and line."""

from pathlib import Path

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.cli.sweep_runner import parse
from sweepkit.errors import SpecError
from sweepkit.stopping.make import make_rule
from sweepkit.sweep_config.read import from_config, read_sweep_text
from sweepkit.sweep_config.stopping_section import STOPPING_KEYS, STOPPING_TYPES, bounds_kept
from sweepkit.sweep_config.sweep import EarlyTerminate

CONFIG = {"method": "random", "metric": {"name": "eval/f1", "goal": "maximize"}, "parameters": {"a": {"value": 1}}}
HEAD = "method: random\nmetric: {name: m}\nparameters: {a: {value: 1}}\nsweepkit:\n  early_terminate: "
# A sound value of every setting, other than its default.
SOUND = {
    "min_iter": 2,
    "max_iter": 81,
    "s": 3,
    "eta": 4,
    "strict": False,
    "n_startup_runs": 3,
    "n_warmup_reports": 2,
    "interval_reports": 4,
    "n_min_runs": 2,
    "patience": 3,
    "min_delta": 0.5,
    "percentile": 40.0,
    "min_resource": 2,
    "max_resource": 50,
    "reduction_factor": 5,
    "min_early_stopping_rate": 1,
    "bootstrap_count": 3,
    "rule": {"type": "median"},
    "lower": 0.25,
    "upper": 0.75,
    "p_threshold": 0.2,
    "n_startup_steps": 3,
    "instances": "eval/fold_f1",
    "called": "median",
}


@pytest.mark.parametrize("kind", STOPPING_TYPES)
def test_each_type_takes_all_of_its_settings_and_makes_a_rule(kind):
    node = {"type": kind, **{key: SOUND[key] for key in STOPPING_KEYS[kind]}}
    spec = from_config({**CONFIG, "sweepkit": {"early_terminate": node}})
    rule = spec.early_terminate
    expected = {**node, **({"rule": EarlyTerminate(type="median")} if "rule" in node else {})}
    assert {key: getattr(rule, key) for key in node} == expected
    assert make_rule(spec) and bounds_kept(rule) == ""
    assert "sweepkit" not in spec.wandb_config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{type: percentil}", ["must be one of hyperband", "did you mean percentile?"]),
        ("{type: null}", ["write none"]),
        ("{type: percentile, percentile: 101}", ["percentile: must be at most 100, got 101"]),
        ("{type: percentile, n_startup_trials: 3}", ["did you mean n_startup_runs?"]),
        ("{type: percentile, n_warmup_steps: 3}", ["did you mean n_warmup_reports?"]),
        ("{type: percentile, interval_reports: 0}", ["interval_reports: must be at least 1, got 0"]),
        ("{type: percentile, n_min_runs: 1.5}", ["n_min_runs: must be a whole number"]),
        ("{type: median, n_startup_runs: 0}", ["n_startup_runs: must be at least 1"]),
        ("{type: successive_halving, reduction_factor: 1}", ["reduction_factor: must be at least 2"]),
        ("{type: successive_halving, min_resource: soon}", ["min_resource: must be a whole number"]),
        (
            "{type: successive_halving, min_resource: auto, bootstrap_count: 2}",
            ["needs a min_resource other than auto"],
        ),
        ("{type: optuna_hyperband, bootstrap_count: 2}", ["needs a max_resource other than auto"]),
        ("{type: optuna_hyperband, min_resource: 9, max_resource: 3}", ["at least min_resource (9)"]),
        ("{type: threshold}", ["threshold needs lower, upper or both"]),
        ("{type: threshold, lower: 1, upper: 0}", ["lower must not be above upper"]),
        ("{type: threshold, lower: .nan}", ["lower: a number must be finite"]),
        ("{type: wilcoxon, p_threshold: 1.5}", ["p_threshold: must be at most 1"]),
        ("{type: wilcoxon, instances: 3}", ["instances: must be a string"]),
        ("{type: none, patience: 3}", ["patience is not a key of early_terminate none"]),
        ("{type: patient, rule: median}", ["rule: must be a mapping with a type"]),
        ("automatic", ["or the word auto"]),
        ("median", ["write {type: median}"]),
        ("{type: auto, min_iter: 3}", ["none is known here"]),
        (
            "{type: patient, patience: -1, rule: {type: threshold}}",
            ["early_terminate.patience: must be at least 0", "early_terminate.rule: threshold needs lower"],
        ),
    ],
)
def test_wrong_settings_are_told_with_file_and_line(text, said):
    with pytest.raises(SpecError) as caught:
        read_sweep_text(HEAD + text, source="my.yaml")
    stated = [str(problem) for problem in caught.value.problems]
    assert all(line.startswith("my.yaml:5: sweepkit.early_terminate") for line in stated)
    assert all(sentence in "".join(stated) for sentence in said)
    assert len(stated) == (len(said) if "patience: -1" in text else 1)


def test_the_word_auto_at_wandbs_own_key_is_sent_to_ours():
    with pytest.raises(SpecError) as caught:
        read_sweep_text(HEAD.partition("sweepkit:")[0] + "early_terminate: auto")
    (problem,) = caught.value.problems
    assert "sweepkit:" in problem.hint


def test_several_metrics_are_not_sent_for_one_metric():
    head = "program: p.py\nmethod: custom\nscheduler: {engine: optuna}\nparameters: {a: {values: [1, 2]}}\n"
    with pytest.raises(SpecError) as caught:
        read_sweep_text(head + "metrics: [{name: a}, {name: b}]\nsweepkit: {early_terminate: auto}")
    (problem,) = caught.value.problems
    assert "leave it out" in problem.hint


def test_auto_is_optunas_default():
    for key in ("min_resource", "max_resource"):
        spec = from_config({**CONFIG, "sweepkit": {"early_terminate": {"type": "optuna_hyperband", key: "auto"}}})
        assert spec.early_terminate == EarlyTerminate(type="optuna_hyperband")


def test_the_name_of_a_folds_own_value():
    def names(**node):
        return from_config({**CONFIG, "sweepkit": {"early_terminate": node}}).instance_names

    assert names(type="wilcoxon") == ("eval/f1", "eval/fold_f1")
    assert names(type="wilcoxon", instances="mine") == ("eval/f1", "mine")
    assert names(type="patient", rule={"type": "wilcoxon"}) == ("eval/f1", "eval/fold_f1")
    assert names(type="median") is None and from_config(CONFIG).instance_names is None


values = st.one_of(st.none(), st.booleans(), st.integers(-3, 200), st.floats(), st.text(max_size=4), st.just("auto"))
nodes = st.one_of(
    values,
    st.recursive(
        st.fixed_dictionaries({"type": st.sampled_from(STOPPING_TYPES)}, optional=dict.fromkeys(SOUND, values)),
        lambda inner: st.fixed_dictionaries({"type": st.just("patient"), "rule": inner}, optional={"patience": values}),
        max_leaves=3,
    ),
)


@settings(max_examples=examples(150), deadline=None)
@given(nodes)
def test_what_is_accepted_makes_a_rule_that_judges(node):
    try:
        spec = from_config({**CONFIG, "sweepkit": {"early_terminate": node}})
    except SpecError as error:
        assert all(problem.key.startswith("sweepkit.early_terminate") for problem in error.problems)
        return
    make_rule(spec)


def test_the_table_of_the_docs_has_every_type_setting_and_default():
    text = (Path(__file__).parents[2] / "docs" / "stopping.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}
    assert tuple(name for name in rows if name in STOPPING_TYPES) == STOPPING_TYPES
    assert all(f"`{key}`" in text or f"`{key}:" in text for keys in STOPPING_KEYS.values() for key in keys)
    for kind in ("patience", "percentile", "patient", "wilcoxon"):
        for key in STOPPING_KEYS[kind]:
            default = getattr(EarlyTerminate(type=kind), key)
            stated = f"`{key}` {default:g}" if isinstance(default, int | float) else key
            assert stated in rows[kind] or stated in rows["median"], stated


def test_the_help_names_every_type_that_is_ours(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"], output_dir=Path())
    stated = capsys.readouterr().out.replace("\n", "")
    assert all(f"{kind}" in stated for kind in STOPPING_TYPES if kind != "hyperband")


def warned(name, node, rule):
    spec = from_config({**CONFIG, "parameters": {name: node}, "sweepkit": {"early_terminate": rule}})
    return [warning for warning in spec.warnings if f"parameters.{name}: " in warning]


@pytest.mark.parametrize("rule", ["median", "percentile", "asha", "hyperband", "successive_halving"])
@pytest.mark.parametrize("name", ["epochs", "training.num_train_epochs", "max_steps"])
def test_a_searched_length_of_runs_is_told_under_rules_that_compare_them(name, rule):
    node = {"type": rule} | ({"min_iter": 2} if rule in ("asha", "hyperband") else {})
    assert len(warned(name, {"values": [3, 10]}, node)) == 1
    assert len(warned(name, {"min": 3, "max": 10}, {"type": "patient", "rule": node})) == 1


@pytest.mark.parametrize("rule", ["patience", "none", "wilcoxon"])
def test_no_word_of_length_where_runs_are_not_compared_report_by_report(rule):
    assert warned("epochs", {"values": [3, 10]}, {"type": rule}) == []
    assert warned("epochs", {"value": 3}, {"type": "median"}) == []
    assert warned("warmup_steps", {"values": [3, 10]}, {"type": "median"}) == []


@pytest.mark.parametrize(
    ("bands", "unused"),
    [
        ("{type: hyperband, min_iter: 3, max_iter: 27, s: 2}", "min_iter"),
        ("{type: asha, min_iter: 3, max_iter: 27, s: 2}", "min_iter"),
        ("{type: hyperband, min_iter: 3, s: 2}", "s"),
        ("{type: hyperband, min_iter: 3}", None),
        ("{type: hyperband, max_iter: 27, s: 2}", None),
    ],
)
def test_bands_given_both_ways_say_which_way_counts(bands, unused):
    spec = read_sweep_text(HEAD + bands, source="f.yaml")
    places = [warning.split(": ")[:2] for warning in spec.warnings]
    assert places == ([["f.yaml:5", f"sweepkit.early_terminate.{unused}"]] if unused else [])


@pytest.mark.parametrize(
    ("each", "shared", "said"), [(0, "auto", True), (2, "auto", True), (2, 3, True), (2, 1, False), (1, "auto", False)]
)
def test_sharing_gpus_where_a_run_has_none_or_several_is_said(each, shared, said):
    spec = from_config({**CONFIG, "sweepkit": {"gpus_per_run": each, "runs_per_gpu": shared}})
    assert [warning.split(": ")[0] for warning in spec.warnings] == ["sweepkit.runs_per_gpu"] * said
