import re

from sweepkit.model.records import RunRecord
from sweepkit.model.run_names import run_name
from sweepkit.model.runs import RunState


def test_a_name_is_two_words_and_the_number_and_follows_from_the_id():
    names = [run_name(f"id{number}", number) for number in range(500)]
    assert all(re.fullmatch(rf"[a-z]+-[a-z]+-{number}", name) for number, name in enumerate(names))
    assert names == [run_name(f"id{number}", number) for number in range(500)]
    assert len({name.rpartition("-")[0] for name in names}) > 450


def test_a_run_is_called_as_its_program_called_it():
    run = RunRecord(run_id="ab", sweep_id="s", number=3, params={}, state=RunState.FINISHED)
    assert run.name == run_name("ab", 3)
    assert RunRecord(**{**_fields(run), "outcome": {"name": "bert lr=0.1"}}).name == "bert lr=0.1"


def _fields(run):
    return {name: getattr(run, name) for name in run.__dataclass_fields__}
