"""What W&B gets of a sweep, what is refused, what is told; and the runs that come from there."""

import dataclasses
import types
from pathlib import Path

import pytest

from sweepkit.agents.slots import Slot
from sweepkit.errors import ConflictError, SpecError, StoreError, TrackingError
from sweepkit.model.events import Notice, RunEnded, RunReported, RunStarted
from sweepkit.model.records import RunRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.model.watched import PollResult
from sweepkit.paths import SweepPaths
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import Plan
from sweepkit.store.open import open_store
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.wandb.agent_process import Order
from sweepkit.wandb.backend_plan import agents_folder, check_options, check_sweep, notes_of, sent_config
from sweepkit.wandb.client import sweep_path
from sweepkit.wandb.importer import Collector, Importer, ImportTarget

BASE = """
program: p.py
method: random
metric: {name: loss}
parameters:
  lr: {min: 1e-3, max: 1}
  opt: {parameters: {wd: {min: 0, max: 0.5}, n: {min: 1, max: 4}}}
"""


def spec_of(more="", base=BASE):
    return read_sweep_text(base + more, source="s.yaml", default_name="s")


def plan_of(spec, folder, program="p.py"):
    file = Path(folder, program)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return Plan(
        spec=spec, program=str(file), trains=False, base_config=Path(), output_dir=folder, storage="", cwd=Path(folder)
    )


def test_what_is_sent_means_the_same_there(tmp_path):
    sent = sent_config(plan_of(spec_of("sweepkit: {seed: 1}\n"), tmp_path), sampler=None)
    assert "sweepkit" not in sent and sent["name"] == "s" and sent["method"] == "random" and sent["program"] == "p.py"
    lr, opt = sent["parameters"]["lr"], sent["parameters"]["opt"]["parameters"]
    assert lr == {"min": 0.001, "max": 1, "distribution": "uniform"}
    assert opt == {"wd": {"min": 0, "max": 0.5, "distribution": "uniform"}, "n": {"min": 1, "max": 4}}


@pytest.mark.parametrize(("more", "option"), [("", "tpe"), ("sweepkit: {sampler: tpe}\n", None)])
def test_tpe_becomes_w_and_bs_scheduler(tmp_path, more, option):
    spec = spec_of(more)
    check_sweep(spec, sampler=option)
    sent = sent_config(plan_of(spec, tmp_path), sampler=option)
    assert (sent["method"], sent["scheduler"]) == ("custom", {"engine": "optuna"})


def test_a_program_elsewhere_is_named_as_agents_find_it(tmp_path):
    inside = plan_of(spec_of(), tmp_path, "deep/p.py")
    assert sent_config(inside, sampler=None)["program"] == "deep/p.py"
    outside = dataclasses.replace(inside, cwd=tmp_path / "elsewhere")
    assert sent_config(outside, sampler=None)["program"] == inside.program
    assert agents_folder(outside) == tmp_path / "deep" and agents_folder(plan_of(spec_of(), tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("more", "sampler", "words"),
    [
        (
            "sweepkit: {conditions: {lr: {when: {opt.n: 2}}}}\n",
            None,
            "sweepkit.conditions: conditions are not known at W&B",
        ),
        ("sweepkit: {search_space: 'm:f'}\n", None, "as search space is not known at W&B"),
        ("controller: {type: local}\n", None, "controller: W&B's local controller"),
        ("command: [python, '--lr=${lr}']\n", None, "command: --lr=${lr} stands for a parameter here only"),
        ("", "cmaes", "--sampler: W&B's scheduler searches with Optuna's TPE, not with cmaes"),
        ("sweepkit: {sampler: gp}\n", None, "sweepkit.sampler: W&B's scheduler searches"),
        ("early_terminate: {type: hyperband, min_iter: 2}\n", "tpe", "does not take it beside a scheduler"),
    ],
)
def test_what_would_be_another_sweep_there_is_refused(more, sampler, words):
    base = f"{BASE.partition('parameters')[0]}parameters: {{lr: {{value: 1}}}}\n" if "search_space" in more else BASE
    with pytest.raises(SpecError) as caught:
        check_sweep(spec_of(more, base), sampler=sampler)
    assert words in str(caught.value)


@pytest.mark.parametrize(("more", "sampler"), [("", None), ("", "random"), ("sweepkit: {retries: 1}\n", None)])
def test_what_w_and_b_can_do_is_not_refused(more, sampler):
    check_sweep(spec_of(more), sampler=sampler)


def test_settings_that_do_not_hold_there_are_told():
    notes = notes_of(spec_of("sweepkit: {retries: 1, timeout_s: 3, kill_delay_s: 4, wandb: {name: 'a'}}\n"))
    assert [note.split(" ")[0] for note in notes] == ["sweepkit.retries", "sweepkit.timeout_s", "sweepkit.wandb.name"]
    assert notes_of(spec_of()) == []


@pytest.mark.parametrize(
    ("options", "beside", "named"),
    [
        ({"seed": 0}, {}, "--seed"),
        ({"cold": True}, {}, "--cold"),
        ({"retry_failed": True}, {}, "--retry-failed"),
        ({"wandb": "offline"}, {}, "--wandb"),
        ({}, {"sweeps": True}, "--sweeps"),
        ({}, {"join": True}, "--join"),
        ({}, {"delay": True}, "--delay"),
    ],
)
def test_options_that_mean_nothing_there_are_refused(options, beside, named):
    with pytest.raises(ConflictError, match=f"^{named}: cannot be with --backend wandb"):
        check_options(RunOptions(output_dir=Path(), **options), **beside)
    check_options(RunOptions(output_dir=Path()))


def test_a_sweep_at_w_and_b_is_named_by_path_address_or_id():
    for text in ("t/p/ab", "https://wandb.ai/t/p/sweeps/ab?nw=1", "t/p/sweeps/ab"):
        assert sweep_path(text) == "t/p/ab"
    assert sweep_path("ab", entity="t", project="p") == "t/p/ab"
    assert sweep_path("q/ab", entity="t", project="p") == "t/q/ab"
    for text in ("ab", "", "a/b/c/d/e", "p/"):
        with pytest.raises(TrackingError, match="ENTITY/PROJECT/ID"):
            sweep_path(text)


# --- what comes back


def run_of(run_id, state=RunState.RUNNING, history=(), **more):
    best = {"loss": min(history)} if history else {}
    return RunRecord(
        run_id=run_id, sweep_id="t/p/ab", number=0, params={"lr": 0.1}, state=state, history=tuple(history),
        best_metrics=best, last_metrics=best, attempts=1, created_at=5.0, started_at=5.0, **more,
    )  # fmt: skip


class Server:
    """W&B as a list of runs; `fails` is raised by the next poll."""

    def __init__(self, record):
        self.record, self.runs, self.fails = record, [], None

    def poll(self, sweep_id, since=0):
        if self.fails is not None:
            raise self.fails
        assert sweep_id == "t/p/ab"
        return PollResult(sweep=self.record, changed=self.runs, live=(), now=0.0, idle_since=None, change=since + 1)


@pytest.fixture
def here(tmp_path):
    with open_store(tmp_path / "db") as store:
        sweep, _ = store.create_sweep("s", text=BASE, seed=0, metric="loss", goal="minimize")
        sweep = store.update_sweep(sweep.sweep_id, meta={"wandb": {"path": "t/p/ab"}})
        paths = SweepPaths(tmp_path, "s")
        paths.root.mkdir()
        server = Server(sweep)
        slot = Slot(index=1, gpus=("3",), cpus=1)
        target = ImportTarget(
            store=store, sweep=sweep, paths=paths, surroundings={"host": "h"}, placements=lambda: {"a": slot}
        )
        yield types.SimpleNamespace(store=store, sweep=sweep, paths=paths, server=server, target=target)


def kinds(events):
    return [type(event) for event in events]


def test_runs_come_into_record_and_files_once(here):
    importer = Importer(here.server, here.target)
    here.server.runs = [run_of("a", history=(3.0, float("nan"))), run_of("b", RunState.FINISHED, (2.0,))]
    assert kinds(importer.poll()) == [RunStarted, RunReported, RunStarted, RunEnded]
    assert importer.poll() == [] and importer.running() == ["a"]
    a, b = here.store.runs(here.sweep.sweep_id)
    assert (a.run_id, a.number, b.number, a.state, b.history) == ("a", 0, 1, RunState.RUNNING, (2.0,))
    assert a.outcome["device"] == "gpu 3" and b.outcome["host"] is None
    assert not here.paths.result("a").exists() and here.paths.result("b").exists()
    here.server.runs = [run_of("a", RunState.FAILED, (3.0,), reason="its program failed")]
    assert kinds(importer.poll()) == [RunEnded] and importer.running() == []
    assert here.paths.result("a").exists()


def test_a_second_reader_finds_nothing_to_do_but_mends_a_missing_file(here):
    here.server.runs = [run_of("a", RunState.FINISHED, (1.0,))]
    Importer(here.server, here.target).poll()
    content = here.paths.result("a").read_bytes()
    here.paths.result("a").unlink()
    second = Importer(here.server, here.target)
    assert second.missing_results() == 1 and second.poll() == [] and here.paths.result("a").read_bytes() == content


def test_a_missing_metric_stays_missing(here):
    here.server.runs = [run_of("a", RunState.FINISHED)]
    Importer(here.server, here.target).poll()
    (run,) = here.store.runs(here.sweep.sweep_id)
    assert run.history == () and run.summary is None and run.best_metrics == {}


def test_runs_of_another_sweep_or_of_ours_are_never_overwritten(here):
    other, _ = here.store.create_sweep("o", text=BASE, seed=0, metric=None, goal=None)
    attempt = here.store.add_and_claim(other.sweep_id, 0, {"lr": 1}, agent_id="x", host="h", lease_s=9)
    assert attempt is not None
    mine = attempt.run.run_id
    for sweep in (here.sweep, other):
        with pytest.raises(StoreError):
            here.store.put_runs(sweep.sweep_id, [run_of("new"), run_of(mine)])
        assert "new" not in [run.run_id for run in here.store.runs(sweep.sweep_id)]


def test_the_collector_endures_a_server_that_is_away_and_says_so_once(here):
    said = []
    collector = Collector(Importer(here.server, here.target), said.append)
    here.server.fails = TrackingError("away")
    assert not collector.poll() and not collector.poll() and collector.order(0.0) is None
    here.server.fails = None
    here.server.runs = [run_of("a")]
    assert collector.poll()
    assert [event.text for event in said if isinstance(event, Notice)] == ["away; trying again", "W&B answers again"]
    assert collector.order(0.0) is Order.WORK
    here.server.record = dataclasses.replace(here.server.record, state=SweepState.CANCELLED)
    collector.poll()
    assert collector.order(0.0) is Order.END and collector.order(float("inf")) is None


def test_a_defect_of_the_collector_reaches_its_owner(here):
    here.server.fails = ZeroDivisionError("x")
    collector = Collector(Importer(here.server, here.target), lambda _: None)
    collector.start()
    with pytest.raises(ZeroDivisionError):
        collector.stop()
