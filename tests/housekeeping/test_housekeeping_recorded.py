"""What is recorded, listed, shown, exported, cleaned and removed, by `sweepkit` as a user calls it."""

import contextlib
import csv
import io
import json
import os
import re
import shutil

import pytest
from paged import record_several
from sweeping import Sweeper, in_this_process

from sweepkit.agents.control import ASKED
from sweepkit.cli import app
from sweepkit.housekeeping.show import shown_text
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import make_plan
from sweepkit.store.open import open_store
from sweepkit.text.yaml import parse

PROGRAM = """\
import json, os, pathlib, sys
x = float(sys.argv[1].split("=")[1])
here = pathlib.Path(os.environ["SWEEPKIT_RUN_DIR"])
here.mkdir(parents=True, exist_ok=True)
(here / "checkpoint-3").mkdir(exist_ok=True)
(here / "checkpoint-3" / "weights.bin").write_bytes(bytes(5000))
(here / "last.PT").write_bytes(bytes(1000))
(here / "predictions.npy").write_bytes(bytes(10))
print("사용한 값", x)
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    for step, value in enumerate([3 * x, 2 * x, x]):
        file.write(json.dumps({"loss": value, "lr_now": 0.5, "_step": step}) + "\\n")
sys.exit("가득 찼다" if x == 4 else 0)
"""
SWEEP = """\
program: p.py
method: grid
metric: {name: loss, goal: minimize}
parameters: {x: {values: [2.0, 1.0, 3.0, 4.0]}}
sweepkit: {retries: 0}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sweeper = Sweeper(tmp_path_factory.mktemp("recorded"))
    sweeper.write(PROGRAM, "p.py")
    sweeper.write(SWEEP)
    done = sweeper.ran()
    assert done.returncode in (0, 1), done.stderr
    return sweeper.folder


@pytest.fixture
def swept(made, tmp_path):
    """A folder of one's own with a finished sweep, and how to ask about it."""
    shutil.copytree(made / "out", tmp_path / "out")

    def ask(*words, rc=0):
        done = in_this_process(app.main, [*words, "--output-dir", "out"], tmp_path)
        assert done.returncode == rc, done.stdout + done.stderr
        return done.stdout if rc == 0 else done.stderr

    ask.folder = tmp_path
    ask.root = tmp_path / "out" / "sweep_s"
    return ask


def runs_of(swept):
    return {row["params.x"]: row for row in json.loads(swept("export", "s", "--json"))}


@pytest.mark.slow
def test_a_sweep_and_a_run_are_tagged_and_noted(swept):
    assert swept("tag", "s", "baseline", "한국어") == "s: baseline, 한국어\n"
    assert swept("tag", "s:1", "keep") == "s:1: keep\n"
    assert swept("tag", "s", "한국어", "--remove") == "s: baseline\n"
    assert swept("note", "s:1", "급등") == swept("note", "s:1") == "s:1: 급등\n"
    assert swept("note", "s").startswith("s: no note")
    (row,) = json.loads(swept("list", "--tag", "baseline", "--json"))
    assert (row["tags"], row["note"]) == (["baseline"], "")
    assert json.loads(swept("list", "--tag", "other", "--json")) == []
    assert "baseline" in swept("list")
    shown = json.loads(swept("show", "s:1", "--json"))
    assert (shown["tags"], shown["note"]) == (["keep"], "급등") and "급등" in swept("show", "s:1")
    assert [row["tags"] for row in runs_of(swept).values() if row["number"] == 1] == ["keep"]
    assert "commas" in swept("tag", "s", "a,b", rc=2)


def test_what_the_yaml_and_the_runs_say_of_themselves_are_tags_and_notes_too(swept):
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        sweep = store.sweep("s")
        text = f"description: the data of May\n{sweep.text.replace('retries: 0', 'wandb: {tags: [night]}')}"
        store.update_sweep(sweep.sweep_id, text=text)
    (row,) = json.loads(swept("list", "--json"))
    assert (row["tags"], row["note"]) == (["night"], "the data of May")
    swept("tag", "s", "day")
    assert json.loads(swept("list", "--json"))[0]["tags"] == ["night", "day"]


def test_an_archived_sweep_is_left_out_until_it_is_asked_for_and_who_did_it_is_known(swept):
    assert swept("archive", "s") == "s: archived\n"
    assert json.loads(swept("list", "--json")) == []
    (row,) = json.loads(swept("list", "--archived", "--json"))
    assert row["name"] == "s" and row["archived"] is True
    assert ", archived" in swept("list", "--archived")
    assert "must be a sweep" in swept("archive", "s:1", rc=2)
    swept("tag", "s:1", "keep")
    swept("archive", "s", "--undo")
    assert json.loads(swept("list", "--json"))[0]["archived"] is False
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        asked = store.sweep("s").meta[ASKED]
    assert [item["what"].split(" of ")[0] for item in asked[-3:]] == ["archive", "tags", "take from the archive"]
    assert all("@" in item["who"] and item["at"] > 1e9 for item in asked)


def test_tags_of_runs_as_earlier_versions_wrote_them_are_read(swept):
    run = next(row["run_id"] for row in runs_of(swept).values() if row["number"] == 1)
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        store.update_sweep(store.sweep("s").sweep_id, meta={f"tags of {run}": ["old"]})
    assert json.loads(swept("show", "s:1", "--json"))["tags"] == ["old"]
    assert swept("tag", "s:1", "new") == "s:1: old, new\n"


@pytest.mark.parametrize(
    "text",
    [SWEEP + "warp: 9\n", SWEEP.replace("method: grid", "method: grit"), "\tdamaged"],
    ids=["key", "method", "all"],
)
def test_a_sweep_whose_yaml_this_version_refuses_can_be_looked_at_and_removed(swept, text):
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        store.update_sweep(store.sweep("s").sweep_id, text=text)
    (row,) = json.loads(swept("list", "--json"))
    assert (row["name"], row["runs"], row["best"]["value"]) == ("s", 4, 1.0)
    assert json.loads(swept("show", "s", "--json"))["value"] == 1.0
    assert len(json.loads(swept("export", "s", "--json"))) == 4
    assert "refused now" in swept("analyze", "s")
    if not text.startswith("\t"):
        swept("rename", "s", "t")
    swept("rm", json.loads(swept("list", "--json"))[0]["name"], "--yes")
    assert json.loads(swept("list", "--json")) == []


def test_a_renamed_sweep_keeps_all_it_has_under_the_new_name(swept):
    before = runs_of(swept)
    assert 'name: "새 이름"' in swept("rename", "s", "새 이름")
    assert not swept.root.exists() and (swept.folder / "out" / "sweep_새-이름" / "runs.csv").is_file()
    (row,) = json.loads(swept("list", "--json"))
    assert row["name"] == "새 이름" and row["runs"] == len(before)
    assert json.loads(swept("show", "새 이름:0", "--json"))["log_tail"]
    assert json.loads((swept.folder / "out/sweep_새-이름/sweep.json").read_text())["name"] == "새 이름"
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        store.create_sweep("other", text="method: random", seed=0, metric=None, goal=None)
    assert "no other sweep has" in swept("rename", "새 이름", "other", rc=2)


def test_a_renamed_sweep_is_called_so_in_all_that_is_written_of_it(swept):
    """Its report and its configuration; its confirmation and a study's results go along, whatever form its YAML has."""
    swept("report", "s")
    study = swept.folder / "out" / "s"
    study.mkdir()
    (study / "study_stats.json").write_text("{}")
    (swept.root / "confirmation.json").write_text('{"sweep": "s", "confirmation": "s-confirm"}')
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        sweep = store.sweep("s")
        data = {"name": "s", **{key: value for key, value in parse(sweep.text).data.items() if key != "name"}}
        store.update_sweep(sweep.sweep_id, text=json.dumps(data, indent=2))
        meta = {"confirmation": {"sweep": "s"}}
        store.create_sweep("s-confirm", text=sweep.text, seed=0, metric=None, goal=None, meta=meta)
    swept("rename", "s", "마지막")
    root = swept.folder / "out" / "sweep_마지막"
    report = (root / "report.html").read_text(encoding="utf-8")
    assert "마지막" in report and "<code>s</code>" not in report and "sweep s<" not in report
    assert "sweep_마지막" in (root / "best_config.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads((root / "confirmation.json").read_text())["confirmation"] == "마지막-confirm"
    assert not study.exists() and (study.with_name("마지막") / "study_stats.json").is_file()
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        assert parse(store.sweep("마지막").text).data == data | {"name": "마지막"}
        assert store.sweep("마지막-confirm").meta["confirmation"]["sweep"] == "마지막"
    assert json.loads(swept("show", "마지막", "--json"))["sweep"] == "마지막"


def test_the_yaml_of_a_renamed_sweep_goes_on_with_it_and_says_why(swept, made):
    swept("rename", "s", "t")
    with contextlib.chdir(made), open_store(swept.folder / "out" / "sweepkit.db") as store:
        plan = settled(make_plan(RunOptions(output_dir=swept.folder / "out"), "s.yaml"), store)
    assert plan.spec.name == "t" and "renamed" in plan.spec.warnings[-1]


def test_list_has_every_sweep_with_its_best(swept):
    (row,) = json.loads(swept("list", "--json", "--sizes"))
    assert (row["name"], row["state"], row["runs"], row["running"]) == ("s", "finished", 4, 0)
    assert row["counts"] == {"finished": 3, "failed": 1}
    assert (row["metric"], row["goal"], row["best"]["value"], row["best"]["params"]) == (
        "loss",
        "minimize",
        1,
        {"x": 1},
    )
    assert row["bytes"] > 4 * 6000
    heads, line = swept("list").splitlines()
    assert heads.split()[:3] == ["sweep", "state", "runs"] and line.split()[:3] == ["s", "finished", "4"]


def test_list_of_no_database_says_so(tmp_path):
    done = in_this_process(app.main, ["list", "--output-dir", "nowhere"], tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["id", "beginning", "number", "sweep"])
def test_show_finds_a_run_by_its_names(how, swept):
    best = runs_of(swept)[1.0]["run_id"]
    named = {"id": best, "beginning": best[:6], "number": "s:1", "sweep": "s"}[how]
    run = json.loads(swept("show", named, "--json"))
    assert (run["run_id"], run["params"], run["history"]) == (best, {"x": 1.0}, [3.0, 2.0, 1.0])
    assert run["last_metrics"]["lr_now"] == 0.5 and run["log_tail"] == ["사용한 값 1.0"]


def test_show_tells_every_metric_of_several_and_the_curve_of_the_first(tmp_path):
    record_several(tmp_path / "out")
    best = in_this_process(app.main, ["show", "several", "--json", "--output-dir", "out"], tmp_path)
    assert json.loads(best.stdout)["number"] == 6  # the greatest quality
    one = json.loads(in_this_process(app.main, ["show", "several:1", "--json", "--output-dir", "out"], tmp_path).stdout)
    assert [(item["metric"], item["value"]) for item in one["values"]] == [("quality", 0.1), ("latency_ms", 30.0)]
    assert one["history"] == pytest.approx([0.025, 0.05, 0.075, 0.1]) and len(one["best"]["history"]) == 4
    assert "latency_ms (minimize): 30" in shown_text(one)


@pytest.mark.slow
def test_a_report_has_the_curves_of_each_of_several_metrics(tmp_path):
    record_several(tmp_path / "out")
    in_this_process(app.main, ["analyze", "several", "--output-dir", "out"], tmp_path)
    page = (tmp_path / "out" / "sweep_several" / "report.html").read_text(encoding="utf-8")
    figures = json.loads(re.search(r'id="plotted">(.*?)</script>', page, re.DOTALL)[1])["figures"]
    for name, first in (("learning_curves", 0.05), ("learning_curves_2", 20.0)):
        curve = figures[name]["data"][0]["meta"]  # of run 0
        assert curve["y"][0] == pytest.approx(first) and curve["step"] == [0, 100, 200, 300]


def test_show_tells_a_failure_by_its_attempts_and_its_log(swept):
    text = swept("show", "s:3", "--lines", "1")
    assert "x: 4.0" in text and "█▅▁" in text and "12 → 4 in 3 reports" in text
    assert text.rstrip().endswith("가득 찼다")
    (attempt,) = json.loads(swept("show", "s:3", "--json"))["attempts"]
    assert attempt["reason"] and attempt["duration_s"] >= 0


def test_what_a_program_wrote_does_not_steer_the_terminal_of_show(swept):
    run = json.loads(swept("show", "s:3", "--json"))
    run |= {"reason": "it said \x1b[2Jnothing", "log_tail": ["\x1b[31mred", "a\tb"]}
    text = shown_text(run)
    assert "\x1b" not in text and r"\x1b[2Jnothing" in text and "a\tb" in text


@pytest.mark.parametrize("history", [[1e308, -1e308], [-1.7e308, 1.7e308, 0.0], [2.0, 2.0]])
def test_show_draws_a_curve_of_any_finite_values(swept, history):
    run = json.loads(swept("show", "s:3", "--json")) | {"history": history}
    assert f" in {len(history)} reports" in shown_text(run)


@pytest.mark.parametrize("named", ["s:9", "zzz", ""])
def test_show_says_what_there_is_in_place_of_a_run_that_is_not(named, swept):
    assert "must be" in swept("show", named, rc=2)


def test_export_has_the_rows_of_the_table_best_first(swept):
    table = list(csv.DictReader(io.StringIO(swept("export", "s", "--csv"))))
    assert [row["params.x"] for row in table] == ["1.0", "2.0", "3.0", "4.0"]
    assert table[0]["best.loss"] == "1.0" and table[0]["last.lr_now"] == "0.5" and float(table[0]["ended_at"]) > 1e9
    kept = list(csv.DictReader(io.StringIO((swept.root / "runs.csv").read_text())))
    assert [{name: row[name] for name in kept[0]} for row in table] == kept


def test_export_as_it_is_is_for_csv(swept):
    assert swept("export", "s", "--csv", "--raw") == swept("export", "s", "--csv")  # nothing there is a formula
    assert "--raw" in swept("export", "s", "--json", "--raw", rc=2)


def test_the_database_is_looked_after_by_a_command(swept):
    assert json.loads(swept("db", "check", "--json"))["faults"] == []


def test_export_has_every_report_in_order(swept):
    table = json.loads(swept("export", "s", "--history", "--json"))
    assert [(row["number"], row["report"], row["step"], row["loss"]) for row in table[:4]] == [
        *((0, n, n, 2.0 * (3 - n)) for n in range(3)),
        (1, 0, 0, 3.0),
    ]
    assert len(table) == 12


def test_export_writes_parquet_that_reads_as_the_csv(swept):
    import pyarrow.parquet

    swept("export", "s", "--parquet", "t.parquet")
    table = pyarrow.parquet.read_table(swept.folder / "t.parquet").to_pylist()
    assert table == json.loads(swept("export", "s", "--json"))


def test_clean_takes_the_checkpoints_of_all_but_the_best(swept):
    rows = runs_of(swept)
    folders = {x: swept.root / "runs" / row["run_id"] for x, row in rows.items()}
    before = sorted(path for path in swept.root.rglob("*") if path.is_file())
    said = json.loads(swept("clean", "--keep-best", "1", "--dry-run", "--json"))
    assert (said["bytes"], said["sweeps"][0]["runs"], said["sweeps"][0]["kept"]) == (3 * 6000, 3, 1)
    assert sorted(path for path in swept.root.rglob("*") if path.is_file()) == before
    assert "18.0 kB" in swept("clean", "s", "--keep-best", "1", "--yes")
    gone = {*before} - {path for path in swept.root.rglob("*") if path.is_file()}
    assert gone == {folders[x] / name for x in (2.0, 3.0, 4.0) for name in ("checkpoint-3/weights.bin", "last.PT")}
    assert json.loads(swept("clean", "--keep-best", "1", "--yes", "--json"))["bytes"] == 0


def test_clean_leaves_runs_that_are_not_over_and_what_links_lead_to(swept, tmp_path):
    rows = runs_of(swept)
    outside = tmp_path / "mine.pt"
    outside.write_bytes(bytes(100))
    os.symlink(outside, swept.root / "runs" / rows[3.0]["run_id"] / "link.pt")
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        sweep = store.sweep("s")
        store.retry(sweep.sweep_id, ["failed"])
    said = json.loads(swept("clean", "--keep-best", "0", "--yes", "--json"))
    assert (said["sweeps"][0]["kept"], said["bytes"]) == (1, 3 * 6000)
    assert outside.exists() and (swept.root / "runs" / rows[4.0]["run_id"] / "last.PT").exists()


def test_rm_takes_the_files_and_the_record(swept):
    assert "s: 4 runs" in swept("rm", "s", "--dry-run") and swept.root.is_dir()
    swept("rm", "s", "--yes")
    assert not swept.root.exists() and json.loads(swept("list", "--json")) == []
    assert "must be in the database" in swept("rm", "s", "--yes", rc=2)


def test_rm_asks_and_does_nothing_without_an_answer(swept, monkeypatch):
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr("sys.stdin", stack.enter_context(open(os.devnull)))
        assert "--yes" in swept("rm", "s", rc=2)
    assert swept.root.is_dir() and len(json.loads(swept("list", "--json"))) == 1


def test_rm_refuses_all_when_one_name_is_wrong(swept):
    assert "did you mean" in swept("rm", "s", "ss", "--yes", rc=2)
    assert swept.root.is_dir() and len(json.loads(swept("list", "--json"))) == 1


def test_rm_refuses_a_sweep_with_a_run_under_way(swept, tmp_path):
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        sweep = store.sweep("s").sweep_id
        store.retry(sweep, ["failed"])
        store.update_sweep(sweep, state="running")
        assert store.claim(sweep, agent_id="a", host="h", lease_s=600.0) is not None
    assert "--force" in swept("rm", "s", "--yes", rc=2) and swept.root.is_dir()
    swept("rm", "s", "--yes", "--force")
    assert not swept.root.exists()


def test_rm_goes_on_where_a_removal_was_cut_short(swept, tmp_path):
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        store.remove_sweep(store.sweep("s").sweep_id)
    swept("rm", "s", "--yes")
    assert not swept.root.exists()


def test_a_function_and_what_wandb_was_told_go_with_their_sweep_and_others_stay(tmp_path):
    out = tmp_path / "out"
    places = {}
    with open_store(out / "sweepkit.db") as store:
        for name, digests in (("f", ("0" * 12, "1" * 12)), ("f-x", ("2" * 12,)), ("w-ab12cd34", ("3" * 12,))):
            places[name] = [out / "functions" / f"{name}-{digest}" for digest in digests]
            for place in places[name]:
                place.mkdir(parents=True)
                (place / "function.py").write_text("")
            meta = {"program": str(places[name][-1] / "function.py")}
            store.create_sweep(name, text=SWEEP, seed=0, metric="loss", goal="minimize", meta=meta)
    said = out / "wandb_sweeps" / "ab12cd34.json"
    said.parent.mkdir()
    said.write_text("{}")
    (out / "f").mkdir()
    (out / "f" / "study_stats.json").write_text("{}")
    done = in_this_process(app.main, ["rm", "f", "--yes", "--output-dir", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert not any(place.exists() for place in [*places["f"], out / "f"])
    assert said.exists() and all(place.exists() for place in places["f-x"] + places["w-ab12cd34"])
    done = in_this_process(app.main, ["rm", "w-ab12cd34", "--yes", "--output-dir", "out"], tmp_path)
    assert done.returncode == 0 and not said.exists() and not places["w-ab12cd34"][0].exists()
    assert places["f-x"][0].exists()


def test_list_says_whose_a_sweep_is_where_there_are_several_projects(tmp_path):
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        for name, folder in (("a", "/home/kim/exp"), ("b", "/home/lee/exp")):
            meta = {"identity": {"name": name, "folder": folder}}
            store.create_sweep(name, text=SWEEP, seed=0, metric="loss", goal="minimize", meta=meta)
    words = ["list", "--output-dir", "out"]
    listed = json.loads(in_this_process(app.main, [*words, "--json"], tmp_path).stdout)
    assert {row["name"]: row["project"] for row in listed} == {"a": "/home/kim/exp", "b": "/home/lee/exp"}
    shown = in_this_process(app.main, words, tmp_path).stdout
    assert "kim/exp" in shown and "lee/exp" in shown
