"""The examples of CONTRIBUTING.md are complete: each runs, and keeps the contract that it is an example of."""

import json
import os
import re
import signal
import sys

import pytest

from sweepkit.agents.launcher import AttemptSpec, Exited, Started
from sweepkit.model.runs import RunState, RunView
from sweepkit.paths import ROOT_DIR
from sweepkit.sweep_config.read import from_config

TEXT = (ROOT_DIR / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```python (\w+)\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def example(request):
    names = {"__name__": request.param}
    exec(compile(EXAMPLES[request.param], f"CONTRIBUTING.md: {request.param}", "exec"), names)
    return names


def test_there_is_an_example_of_each():
    assert set(EXAMPLES) == {"engine", "rule", "launcher", "task"}


@pytest.mark.parametrize("example", ["engine"], indirect=True)
def test_the_engine_proposes_what_the_space_holds_and_again_the_same(example):
    space = from_config(
        {"method": "random", "parameters": {"lr": {"min": 0.0, "max": 1.0}, "kind": {"values": ["a", "b"]}}}
    ).space
    asked = [[example["OneByOneEngine"](space, seed=3).ask(n).params for n in range(6)] for _ in range(2)]
    assert asked[0] == asked[1]
    for params in asked[0]:
        assert all(p.distribution.contains(params[p.name]) for p in space.parameters)
        assert sum(params[name] != asked[0][0][name] for name in params) <= 1


@pytest.mark.parametrize("example", ["rule"], indirect=True)
def test_the_rule_decides_with_a_reason(example):
    rule = example["WorseThanFirst"]()
    for history, stop in (((1.0,), False), ((1.0, 0.5), False), ((1.0, 2.0), True)):
        run = RunView(number=0, run_id="r", params={}, state=RunState.RUNNING, history=history)
        decision = rule.decide(run, [run])
        assert decision.stop is stop and decision.reason


@pytest.mark.parametrize("example", ["launcher"], indirect=True)
def test_the_launcher_starts_signals_and_tells_of_the_end(example, tmp_path):
    launcher = example["PlainLauncher"]()

    def spec(name, program):
        return AttemptSpec(
            attempt_id=name, argv=(sys.executable, "-c", program), env=dict(os.environ), cwd=str(tmp_path),
            log=tmp_path / f"{name}.log", exit_file=tmp_path / f"{name}.json",
        )  # fmt: skip

    done = launcher.submit(spec("a", "print('hello'); raise SystemExit(3)"))
    assert isinstance(done.get(timeout=60), Started) and done.get(timeout=60) == Exited(status=3)
    assert (tmp_path / "a.log").read_text() == "hello\n"
    assert launcher.signal("a", signal.SIGTERM) is False
    held = launcher.submit(spec("b", "import time; time.sleep(600)"))
    assert isinstance(held.get(timeout=60), Started)
    launcher.close()
    assert held.get(timeout=60) == Exited(status=-signal.SIGKILL)


@pytest.mark.parametrize("example", ["task"], indirect=True)
def test_the_task_trains_and_reports(example, tmp_path):
    from sweepkit.tracking.reports import ReportWriter
    from sweepkit.training.config.training import TrainingConfig, apply
    from sweepkit.training.tasks.base import Listeners
    from sweepkit.training.usage import RecordedConfig

    config = apply(TrainingConfig(), {"training.max_steps": 3, "training.learning_rate": 0.5}, from_text=False)
    reporter = ReportWriter(tmp_path / "reports.jsonl")
    listeners = Listeners(say=lambda _: None, used=list, reporter=reporter)
    outcome = example["train"](RecordedConfig(config), tmp_path, listeners)
    reporter.close()
    assert [item.metrics["loss"] for item in outcome.history] == [1.5, 0.75, 0.375]
    lines = [json.loads(line) for line in (tmp_path / "reports.jsonl").read_text().splitlines()]
    assert [line["eval/loss"] for line in lines] == [1.5, 0.75, 0.375]
