"""What a call says of a sweep at its end: the object of `--json`, and the lines for people."""

from dataclasses import replace

import pytest
from snapshots import words_of

from sweepkit.analysis.looks import looks_sentences
from sweepkit.analysis.table import from_runs
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.paths import SweepPaths
from sweepkit.reports.next_steps import NextSteps
from sweepkit.reports.sweep_end import SweepEnd, show_end
from sweepkit.sweep_config.sweep import Method, SweepSpec

WORDS = words_of(__file__)

LOSS = Metric(name="loss", goal=Goal.MINIMIZE)
SIZE = Metric(name="size", goal=Goal.MINIMIZE)


def run(number, value, state=RunState.FINISHED):
    history = () if value is None else (value,)
    return RunRecord(
        run_id=f"r{number}", sweep_id="s", number=number, params={"x": number}, state=state, history=history
    )


def ended(tmp_path, runs, *, metrics=(LOSS,), **fields):
    more = {"metric": metrics[0]} if len(metrics) == 1 else {"metrics": tuple(metrics)}
    spec = SweepSpec(name="s", method=Method.GRID, space=Space(parameters=()), **more)
    fields = {"complete": True, "reason": "all runs are done", **fields}
    how = {name: fields.pop(name) for name in ("joined", "fresh", "command") if name in fields}
    steps = NextSteps(name="s-2", spec=spec, runs=runs, complete=fields["complete"], **how)
    return SweepEnd(name="s-2", spec=spec, paths=SweepPaths(tmp_path, "s-2"), runs=runs, steps=steps, **fields)


def test_the_object_names_the_best_and_counts_the_states(tmp_path):
    runs = [run(0, 2.0), run(1, 1.0), run(2, None, RunState.FAILED)]
    said = ended(tmp_path, runs, report=tmp_path / "report.html").plain()
    assert (said["sweep"], said["complete"], said["counts"]) == ("s-2", False, {"finished": 2, "failed": 1})
    assert (said["best"]["run_id"], said["best"]["params"]) == ("r1", {"x": 1})
    assert [row["run_id"] for row in said["runs"]] == ["r1", "r0", "r2"]
    assert said["report"] == str(tmp_path / "report.html") and "front" not in said


def test_without_a_value_there_is_no_best_and_several_objectives_have_a_front(tmp_path):
    assert ended(tmp_path, [run(0, None, RunState.FAILED)]).plain()["best"] is None
    said = ended(tmp_path, [], metrics=(LOSS, SIZE)).plain()
    assert (said["front"], said["hypervolume"], said["reference"]) == ([], None, None)


def test_people_read_how_it_ended_and_how_to_go_on(tmp_path, capsys):
    show_end(ended(tmp_path, [run(0, 2.0)], best_file=tmp_path / "best_config.yaml"))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("best: ") for line in lines) and WORDS["complete-all-runs"] in lines
    assert any(line.startswith("best configuration: ") for line in lines) and WORDS["the-same-command"] not in lines
    for joined, last in ((False, "the same command continues"), (True, "others may go on")):
        show_end(ended(tmp_path, [run(0, 2.0)], complete=False, reason="interrupted", joined=joined))
        assert capsys.readouterr().out.splitlines()[-1] == last


@pytest.mark.parametrize(("rule", "warned"), [("best", True), ("last", False)])
def test_the_end_warns_of_unequal_looks_where_the_best_report_counts(tmp_path, capsys, rule, warned):
    long = RunRecord(
        run_id="r1", sweep_id="s", number=1, params={"x": 1}, state=RunState.FINISHED, history=(2.0, 0.5, 3.0)
    )
    show_end(ended(tmp_path, [run(0, 1.0), long], metrics=(replace(LOSS, value=rule),)))
    assert (looks_sentences(from_runs(ended(tmp_path, []).spec, [run(0, 1.0), long]))[0] in said(capsys)) == warned


def said(capsys):
    """Return what was printed, its line breaks taken out."""
    return " ".join(capsys.readouterr().out.split())


def test_a_long_command_stays_on_its_line(tmp_path, capsys):
    command = f"python sweep_runner.py --sweep-config {'long-name' * 40}.yaml"
    show_end(ended(tmp_path, [run(0, 2.0)], complete=False, command=command))
    assert any(line.endswith(command) for line in capsys.readouterr().out.splitlines())


SAME = "python sweep_runner.py --sweep-config s.yaml"
FAILED = RunState.FAILED


@pytest.mark.parametrize(
    ("runs", "fields", "whole", "steps"),
    [
        ([run(0, 2.0)], {}, True, []),
        ([run(0, 2.0)], {"complete": False}, False, [SAME]),
        # what failed is left to do, so the sweep is not complete, and the option that makes it again is named
        ([run(0, 2.0), run(1, None, FAILED)], {}, False, [f"{SAME} --retry-failed"]),
        ([run(0, 2.0), run(1, None, FAILED)], {"complete": False}, False, [SAME, f"{SAME} --retry-failed"]),
        # when nothing has worked the same command tries those again by itself
        ([run(0, None, FAILED), run(1, None, FAILED)], {}, False, [SAME]),
        ([run(0, None)], {}, True, [f"{SAME} --fresh"]),
        ([run(0, 2.0), run(1, None, FAILED)], {"joined": True}, False, []),
    ],
)
def test_each_next_step_is_a_command_that_takes_it(tmp_path, runs, fields, whole, steps):
    said = ended(tmp_path, runs, command=SAME, **fields).plain()
    assert said["complete"] is whole
    assert [line.partition(": ")[2] for line in said["next"]] == steps


def test_without_a_command_to_paste_the_words_name_the_options(tmp_path):
    (line,) = ended(tmp_path, [run(0, 2.0), run(1, None, FAILED)]).plain()["next"]
    assert line.endswith(": add --retry-failed")
    (line,) = ended(tmp_path, [run(0, 2.0)], complete=False, fresh=True).plain()["next"]
    assert line.startswith("without --fresh s-2 ")
