"""What a call says of a sweep at its end: the object of `--json`, and the lines for people."""

from snapshots import words_of

from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.paths import SweepPaths
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
    return SweepEnd(name="s-2", spec=spec, paths=SweepPaths(tmp_path, "s-2"), runs=runs, **fields)


def test_the_object_names_the_best_and_counts_the_states(tmp_path):
    runs = [run(0, 2.0), run(1, 1.0), run(2, None, RunState.FAILED)]
    told = ended(tmp_path, runs, report=tmp_path / "report.html").plain()
    assert (told["sweep"], told["complete"], told["counts"]) == ("s-2", True, {"finished": 2, "failed": 1})
    assert (told["best"]["run_id"], told["best"]["params"]) == ("r1", {"x": 1})
    assert [row["run_id"] for row in told["runs"]] == ["r1", "r0", "r2"]
    assert told["report"] == str(tmp_path / "report.html") and "front" not in told


def test_without_a_value_there_is_no_best_and_several_objectives_have_a_front(tmp_path):
    assert ended(tmp_path, [run(0, None, RunState.FAILED)]).plain()["best"] is None
    told = ended(tmp_path, [], metrics=(LOSS, SIZE)).plain()
    assert (told["front"], told["hypervolume"], told["reference"]) == ([], None, None)


def test_people_read_how_it_ended_and_how_to_go_on(tmp_path, capsys):
    show_end(ended(tmp_path, [run(0, 2.0)], best_file=tmp_path / "best_config.yaml"))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("best: ") for line in lines) and WORDS["complete-all-runs"] in lines
    assert any(line.startswith("best configuration: ") for line in lines) and WORDS["the-same-command"] not in lines
    for joined, last in ((False, "the same command continues"), (True, "others may go on")):
        show_end(ended(tmp_path, [run(0, 2.0)], complete=False, reason="interrupted", joined=joined))
        assert capsys.readouterr().out.splitlines()[-1] == last
