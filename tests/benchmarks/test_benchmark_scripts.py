import dataclasses
import importlib
import json
import os
import sys

import pytest
import warm
from snapshots import words_of

from sweepkit import paths

WORDS = words_of(__file__)

BENCHMARKS = paths.ROOT_DIR / "benchmarks"
FACTS = {
    "cores": 2,
    "cpu": "a CPU",
    "memory_gib": 8.0,
    "system": "Linux 6",
    "python": "3.11",
    "load_average_before": [0.0, 0.0, 0.0],
    "busy_before": 0.0,
    "busy_by_others": 0.0,
    "measured_at": "2026-01-01T00:00+00:00",
}
NAMES = ("measuring", "peers", "run_agent", "overhead", "warm_start", "startup", "rouge", "idle", "comparison")


@pytest.fixture
def script(monkeypatch):
    """Import a benchmark as its script does; the next test gets its own."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def forked_agent(script, monkeypatch):
    """Return a function from a benchmark to itself, its agents forked with their imports: half the CPU of so few runs.

    `test_an_agent_that_fails_is_told_with_its_last_lines` and the heavy ones start agents as a benchmark does.
    """

    def run_agent(sweep, *options, workers, env):
        command = [sys.executable, str(script("measuring").RUN_AGENT), str(workers), "--sweep-config", str(sweep)]
        command += ["--output-dir", str(sweep.parent / "out"), *options]
        env = {**os.environ, "PYTHONWARNINGS": "default", **env}
        done = warm.run(command, timeout=120, cwd=sweep.parent, env=env)
        assert done.returncode == 0, done.stderr

    def patched(name):
        monkeypatch.setattr(script(name), "run_agent", run_agent)
        return script(name)

    return patched


def saved(folder, name):
    text = (folder / f"{name}.md").read_text(encoding="utf-8")
    return text, json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


# -- what they share --------------------------------------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_range(script):
    found = script("measuring").spread([4.0, 1.0, 2.0])
    assert (found.median, found.least, found.most, found.count) == (2.0, 1.0, 4.0, 3)
    assert found.text(1) == "2.0 (1.0 … 4.0)"


def test_a_target_is_met_at_its_bound(script):
    verdict = script("measuring").verdict
    assert verdict(0.3, at_most=0.3) == "target at most 0.3: met"
    assert verdict(0.31, at_most=0.3) == "target at most 0.3: missed"
    assert verdict(20.0, at_least=20.0) == "target at least 20: met"
    assert verdict(19.9, at_least=20.0) == "target at least 20: missed"


def test_the_machine_is_described_with_its_load(script):
    measuring = script("measuring")
    facts = measuring.machine(quiet_s=0)
    assert facts["cores"] >= 1 and 0 <= facts["busy_before"] <= 1 and len(facts["load_average_before"]) == 3
    others = measuring.Others()
    sum(range(10**6))  # ours, not theirs
    others.finish(facts)
    assert 0 <= facts["busy_by_others"] <= 1
    assert f"{facts['cores']} cores" in measuring.machine_text(facts)


def test_an_agent_that_fails_is_told_with_its_last_lines(tmp_path, script):
    sweep = tmp_path / "s.yaml"
    sweep.write_text("program: nowhere.py\nmethod: grid\nparameters: {x: {values: [1]}}\n")
    with pytest.raises(RuntimeError, match=r"(?s)ended with 2.*nowhere\.py"):
        script("measuring").run_agent(sweep, workers=1, env={})


# -- overhead ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer_runs", [0, pytest.param(4, marks=pytest.mark.heavy)])
def test_the_overhead_of_ours_and_of_optuna_in_one_table(tmp_path, forked_agent, peer_runs):
    options = ["--runs", "4", "--peer-runs", str(peer_runs), "--wandb-runs", "0", "--repetitions", "1"]
    assert forked_agent("overhead").main([*options, "--quiet-s", "0", "--output", str(tmp_path)]) == 0
    text, data = saved(tmp_path, "overhead")
    names = [found["name"] for found in data["timings"]]
    assert [name.split()[0] for name in names] == ["sweepkit", "sweepkit"] + ["Optuna"] * bool(peer_runs)
    assert all(found["runs"] == 4 and found["seconds_per_run"] > 0 for found in data["timings"])
    assert all(f"| {name} |" in text for name in names)


def test_the_ratio_is_to_the_median_of_ours(script):
    overhead = script("overhead")
    timing = script("peers").Timing
    seconds = [(overhead.WARM, 200, 0.01), (overhead.WARM, 400, 0.02), (overhead.WARM, 400, 0.04), ("peer", 9, 0.5)]
    found = [
        timing(name=name, runs=runs, workers=2, seconds_per_run=value, startup_s=1.0) for name, runs, value in seconds
    ]
    text = overhead.report(found, FACTS)
    assert "| peer | 9 | 1 | 0.5000 (0.5000 … 0.5000) | 1.0 | 25.0 |" in text
    assert "| sweepkit | 400 | 2 | 0.0300 (0.0200 … 0.0400) | 1.0 | 1.5 |" in text
    assert WORDS["s-per-run"] in text


# -- warm start -------------------------------------------------------------------------------------------------------


@pytest.fixture
def starts(script):
    module = script("warm_start")
    warm = module.Start(warm=True, first_step_s=0.2, forked_s=0.01, total_s=5.0, history=({"eval/loss": (0.1).hex()},))
    return module, warm, dataclasses.replace(warm, warm=False, first_step_s=6.0, total_s=11.0)


def test_trainings_that_agree_in_every_bit_pass(starts):
    module, warm, fresh = starts
    module.check(warm, [warm], [fresh])
    text = module.report(warm, [warm], [fresh], FACTS)
    assert WORDS["s-target-at"] in text and "30 times faster" in text


def test_one_wrong_bit_fails_loudly(starts):
    module, warm, fresh = starts
    other = dataclasses.replace(warm, history=({"eval/loss": (0.1 + 2**-56).hex()},))
    with pytest.raises(RuntimeError, match="training 1 .warm. computed other bits"):
        module.check(warm, [other], [fresh])
    with pytest.raises(RuntimeError, match="computed other bits"):
        module.check(warm, [dataclasses.replace(warm, history=warm.history * 2)], [fresh])


def test_a_start_of_the_wrong_kind_or_without_evaluations_fails_loudly(starts):
    module, warm, fresh = starts
    with pytest.raises(RuntimeError, match=WORDS["starts-were-warm"]):
        module.check(warm, [fresh], [fresh])
    with pytest.raises(RuntimeError, match=WORDS["starts-were-warm"]):
        module.check(warm, [warm], [warm])
    with pytest.raises(RuntimeError, match="no evaluation"):
        module.check(warm, [warm], [dataclasses.replace(fresh, history=())])


@pytest.mark.slow
@pytest.mark.heavy
def test_a_pair_of_trainings_is_measured(tmp_path, script):
    options = ["--pairs", "1", "--max-steps", "2", "--quiet-s", "0", "--output", str(tmp_path)]
    assert script("warm_start").main(options) == 0
    text, data = saved(tmp_path, "warm_start")
    (warm,), (fresh,) = data["warm"], data["fresh"]
    assert warm["warm"] and not fresh["warm"] and warm["history"] == fresh["history"] != []
    assert warm["forked_s"] < warm["first_step_s"] < fresh["first_step_s"] < fresh["total_s"]
    assert "bit-identical" in text


# -- start-up and memory ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_memory_of_agent_and_fork_server(script):
    startup = script("startup")
    agent = startup.agent_memory(4)
    assert 0 < agent["planned_mib"] <= agent["ended_mib"] <= agent["largest_mib"]
    server = startup.fork_server_memory("unittest.mock")
    assert 0 < server["before_mib"] < server["after_mib"]


def test_every_entry_script_is_timed(script):
    names = script("startup").commands()
    assert {f"{file.name} --help" for file in paths.CODE_DIR.glob("*.py")} < set(names)


def test_a_command_that_fails_has_no_time(script):
    with pytest.raises(RuntimeError, match="ended with 3"):
        script("startup").seconds([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.slow
@pytest.mark.heavy
def test_start_up_and_memory_are_tabled(tmp_path, script):
    options = ["--repetitions", "1", "--runs", "4", "--quiet-s", "0", "--output", str(tmp_path)]
    assert script("startup").main(options) == 0
    text, data = saved(tmp_path, "startup")
    assert set(data["seconds"]) == set(script("startup").commands()) and "MiB" in text
    assert data["mib"][WORDS["fork-server-warm"]][0] > 100


# -- ROUGE ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rouge_is_measured_beside_rouge_score(tmp_path, script):
    options = ["--pairs", "3", "--length", "12", "--turns", "2", "--quiet-s", "0", "--output", str(tmp_path)]
    assert script("rouge").main(options) == 0
    text, data = saved(tmp_path, "rouge")
    ways = [(found["tokenizer"], found["name"]) for found in data["measured"]]
    names = ("rouge_pairs", "Scorer", "rouge_score")
    assert ways == [(tokenizer, name) for tokenizer in ("whitespace", "rouge_score") for name in names]
    assert all(len(found["seconds"]) == 2 and min(found["seconds"]) > 0 for found in data["measured"])
    assert "# ROUGE-1, 2 and L of 3 pairs of 12 words" in text and "bit-identical" in text


def test_the_least_ratio_of_the_medians_is_held_against_the_target(script):
    rouge = script("rouge")
    seconds = {"Korean": (0.01, 0.005, 0.2), "English": (0.02, 0.01, 0.1)}
    names = ("rouge_pairs", "Scorer", "rouge_score")
    found = [
        rouge.Measured(text=text, tokenizer="t", name=name, seconds=(value, value, 9.0))
        for text, values in seconds.items()
        for name, value in zip(names, values, strict=True)
    ]
    text = rouge.report(found, 500, 100, FACTS)
    assert "| Korean, `t`: rouge_pairs | 3 | 10.0 (10.0 … 9000.0) | 20 | 20.0 |" in text
    assert WORDS["times-faster-than"] in text
    assert "by a Scorer: 10.0 times" in text


def test_a_wrong_bit_of_rouge_fails_loudly(script):
    rouge = script("rouge")
    right = rouge.Rouge(rouge1_f1=0.1, rouge2_f1=0.1, rougeL_f1=0.1)
    wrong = dataclasses.replace(right, rouge2_f1=0.1 + 2**-56)
    columns = {name: [value] for name, value in right.as_dict().items()}
    rouge.check([right], columns, [right])
    for ours, kept, theirs in (
        ([wrong], columns, [right]),
        ([right], columns | {"rouge2_f1": [wrong.rouge2_f1]}, [right]),
        ([right], columns, [wrong]),
    ):
        with pytest.raises(RuntimeError, match="pair 0 has other bits"):
            rouge.check(ours, kept, theirs)


# -- idle slots -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_how_busy_slots_are_kept_and_what_a_further_worker_takes(tmp_path, forked_agent):
    options = ["--workers", "1", "3", "--rounds", "2", "--sleep-s", "0.2", "--preload", "csv", "--quiet-s", "0"]
    assert forked_agent("idle").main([*options, "--output", str(tmp_path)]) == 0
    text, data = saved(tmp_path, "idle")
    assert [item["runs"] for item in data["measured"]] == [2, 6, 6]
    assert [len(item["gaps_s"]) for item in data["measured"]] == [1, 3, 3]
    assert all(0 < item["busy"] < 1 and min(item["private_mib"]) > 0 for item in data["measured"])
    assert "3 workers are busy" in text and "target at least 0.97" in text


# -- comparing models -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_few_simulated_comparisons_are_rarely_wrong_and_see_what_is_large(script):
    comparison = script("comparison")
    null = comparison.over_seeds("none", (3, 3, 3), means=(0, 0, 0), sds=(1, 1, 1), repetitions=300)
    assert null.null and null.ours <= 0.05 + 1.5 * null.error() < null.plain
    large = comparison.over_seeds("5 sd", (3, 3, 3), means=(5, 0, 2.5), sds=(1, 1, 1), repetitions=60)
    assert not large.null and large.ours > 0.85 > large.welch + 0.01
    equal = comparison.over_examples("none", 3, difference=0.0, repetitions=60, examples=60)
    assert equal.null and equal.ours <= 0.05 + 1.5 * equal.error()


def test_the_table_of_error_rates_is_saved(tmp_path, script):
    options = ["--repetitions", "2", "--examples-repetitions", "2", "--quiet-s", "0", "--output", str(tmp_path)]
    assert script("comparison").main(options) == 0
    text, data = saved(tmp_path, "comparison")
    assert len(data["rates"]) == 28 and "## Power" in text and "False positives" in text


def test_error_rates_above_the_level_are_told(script):
    comparison = script("comparison")
    rates = [
        comparison.Rates(
            setting="s",
            null=True,
            seeds="3",
            repetitions=100,
            ours=ours,
            firm=0.01,
            welch=0.0,
            plain=0.1,
            test="pooled",
        )
        for ours in (0.05, 0.2)
    ]
    assert "at most .05" in comparison.conclusion(rates[:1])
    assert "exceed .05" in comparison.conclusion(rates) and "0.200" in comparison.conclusion(rates)
