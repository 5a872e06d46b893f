"""What makes the groups of a sweep no fair comparison is said with them."""

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.sources.ttest_groups import _warnings


def ran(*lengths):
    return [
        RunRecord(
            run_id=f"r{k}", sweep_id="s", number=k, params={}, state=RunState.FINISHED, history=tuple([0.5] * length)
        )
        for k, length in enumerate(lengths)
    ]


def test_many_parameters_are_many_tests_and_an_engines_sweep_has_no_verdict():
    plain = _warnings("lr", ran(3, 3), led=False)
    assert len(plain) == 1 and "pairs of lr alone" in plain[0]
    led = _warnings("lr", ran(3, 3), led=True)
    assert led[1:] == plain and led[0].startswith("no verdict holds")


def test_unequal_looks_are_said_with_what_to_do():
    assert "2 to 40 reports" in _warnings("epochs", ran(2, 40), led=False)[-1]
    assert "--evaluation last" in _warnings("epochs", ran(2, 40), led=False)[-1]
