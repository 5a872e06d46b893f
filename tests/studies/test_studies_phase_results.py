from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.studies.phase_results import ConfirmedConfiguration, best_first, by_mean

LOSS = Metric(name="loss", goal=Goal.MINIMIZE)


def run(sweep, number, value, state=RunState.FINISHED):
    return RunRecord(
        run_id=f"{sweep}{number}", sweep_id=sweep, number=number, params={"x": value}, state=state, summary=value
    )


def test_runs_of_several_sweeps_are_ranked_by_value_whatever_their_numbers():
    explore = [run("a", 0, 0.9), run("a", 1, 0.2), run("a", 2, None), run("a", 3, 0.1, RunState.FAILED)]
    focus = [run("b", 0, 0.1), run("b", 1, 0.8), run("b", 2, 0.2, RunState.STOPPED)]
    found = best_first([*explore, *focus], LOSS)
    assert [(item.run_id, value) for item, value in found] == [
        ("b0", 0.1),
        ("a1", 0.2),
        ("b2", 0.2),
        ("b1", 0.8),
        ("a0", 0.9),
    ]
    up = Metric(name="score", goal=Goal.MAXIMIZE)
    assert [item.run_id for item, _ in best_first(focus, up)] == ["b1", "b2", "b0"]


def test_confirmed_configurations_stand_by_their_mean_and_last_without_values():
    items = [
        ConfirmedConfiguration(sweep=name, params={}, values=values)
        for name, values in (("none", ()), ("high", (1.0, 3.0)), ("low", (1.5,)))
    ]
    assert [item.sweep for item in by_mean(items, LOSS)] == ["low", "high", "none"]
