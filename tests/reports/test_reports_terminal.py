"""Tables of runs on terminals of any width: no cell is cut or folded but a sentence."""

import pytest

from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.reports.table import as_rich
from sweepkit.reports.terminal import make_console, print_table
from sweepkit.sweep_config.sweep import Method, SweepSpec

SPEC = SweepSpec(
    name="s", method=Method.RANDOM, space=Space(parameters=()), metric=Metric(name="eval/rougeL_f1", goal=Goal.MAXIMIZE)
)
REASON = "ValueError: the program has met a value that it does not like at all, which takes many words to say"


def runs(count):
    names = ["training.learning_rate", "training.per_device_train_batch_size", "scheduler", "모델"][:count]
    return [
        RunRecord(
            run_id=f"run{number}abcd",
            sweep_id="s",
            number=number,
            params={name: f"value-{place}-{number}" for place, name in enumerate(names)},
            state=RunState.FAILED if number == 2 else RunState.FINISHED,
            reason=REASON if number == 2 else "exit code 0",
            history=() if number == 2 else (0.25 + number,),
            outcome={"duration_s": 1.5, "name": f"flowing-darkness-{number}"},
        )
        for number in range(3)
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("parameters", [1, 2, 4])
def test_every_name_and_value_is_whole_at_any_width(width, parameters):
    console = make_console(width=width, highlight=False)
    with console.capture() as drawn:
        print_table(console, as_rich(SPEC, runs(parameters)))
    shown = drawn.get()
    assert all(len(line.rstrip()) <= width for line in shown.splitlines())
    words = set(shown.replace(",", " ").split())
    for run in runs(parameters):
        assert {run.run_id, run.name, run.state.value, *run.params.values(), *run.params} <= words
    assert " ".join(shown.split()).count("1.5") == 3
    assert set(REASON.split()) <= set(shown.split()) | {"at", "all,"}
