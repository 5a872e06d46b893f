"""A sweep is opened into a value; the call that runs it tells what it hears before anything is shown."""

from dataclasses import replace

import pytest

from sweepkit.agents.control import find_sweep_record
from sweepkit.agents.slots import make_slots
from sweepkit.errors import ConflictError
from sweepkit.housekeeping.find import SweepPlace, find_sweep
from sweepkit.runner.call import Call
from sweepkit.runner.leader import Leader
from sweepkit.runner.opening import SweepOpener
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_join_plan, make_plan
from sweepkit.store.open import open_store

SWEEP = "name: 연습\nprogram: p.py\nmethod: random\nparameters: {x: {min: 0.0, max: 1.0}}\n"


@pytest.fixture
def opener_of(tmp_path, monkeypatch):
    """Return a function that makes the opener of the same sweep, with other options or another leader."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text("")
    (tmp_path / "s.yaml").write_text(SWEEP, encoding="utf-8")
    (tmp_path / "out").mkdir()
    with open_store(str(tmp_path / "out" / "sweepkit.db")) as store:

        def opener(leader=None, **options):
            given = RunOptions(output_dir=tmp_path / "out", **options)
            slots = make_slots(1, gpus=(), gpus_per_run=0, cpus_per_run=1)
            return SweepOpener(given, make_plan(given, "s.yaml"), store, slots=slots, leader=leader)

        yield opener


def test_an_open_sweep_has_its_record_its_folder_and_the_recorded_sampler(opener_of):
    first = opener_of(sampler="qmc", seed=7).open()
    assert (first.sampler, first.sweep.seed, first.notes) == ("qmc", 7, ())
    assert first.paths.logs.is_dir()
    first.write_inputs()
    assert (first.paths.root / "sweep.yaml").is_file()
    again = opener_of().open()
    assert (again.sampler, again.sweep.sweep_id) == ("qmc", first.sweep.sweep_id)
    anew = opener_of(fresh=True).open()
    assert anew.sampler is None and anew.sweep.sweep_id != first.sweep.sweep_id and anew.notes


def test_every_command_means_the_very_sweep_of_a_name_and_its_yaml_the_newest_of_the_family(opener_of):
    """`retry NAME` and whatever goes on by a name; analysis, `show` and `watch`; the YAML, which goes on with s-2."""
    first, second = opener_of().open().sweep, opener_of(fresh=True).open().sweep
    opener = opener_of()
    assert opener.recorded().sweep_id == second.sweep_id
    for sweep in (first, second):
        assert find_sweep_record(opener.store, sweep.name).sweep_id == sweep.sweep_id
        options = opener.options
        plan = replace(make_join_plan(options, sweep), joins=None)
        again = SweepOpener(options, plan, opener.store, slots=opener.slots)
        assert again.recorded().sweep_id == again.open().sweep.sweep_id == sweep.sweep_id
        place = SweepPlace(output_dir=options.output_dir)
        assert find_sweep(place, sweep.name).sweep.sweep_id == sweep.sweep_id
    assert find_sweep(place, "s.yaml").sweep.sweep_id == second.sweep_id
    opener.store.remove_sweep(first.sweep_id)
    assert find_sweep(place, first.name).sweep.sweep_id == second.sweep_id
    assert find_sweep_record(opener.store, first.name).sweep_id == second.sweep_id


class Overtaken:
    """A store before whose call number `at`, from 0, somebody else does something."""

    def __init__(self, store, at, act):
        self.store, self.left, self.act = store, at, act

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.left -= 1
            if self.left == -1:
                self.act()
            return getattr(self.store, name)(*args, **kwargs)

        return call


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("fresh", [False, True])
def test_two_that_begin_a_sweep_at_once_begin_one(opener_of, at, fresh):
    """The second one looked twice, and began a sweep of its own when the first came between: all ran twice."""
    if fresh:
        opener_of().open()

    def other():
        made.append(opener_of(fresh=fresh).open())

    made = []
    opener = opener_of(fresh=fresh)
    recorded = opener.store
    opener.store = Overtaken(recorded, at, other)
    mine = opener.open()
    assert made, "fewer calls than that: shorten the range"
    one_after_the_other = at == 0 or at > 2  # the later one found that of the other, and was asked for a fresh one
    assert len(recorded.sweeps()) == 1 + fresh + (fresh and one_after_the_other)
    assert (made[0].sweep.sweep_id == mine.sweep.sweep_id) is not (fresh and one_after_the_other)


@pytest.mark.parametrize("first", [True, False])
def test_a_sweep_keeps_its_leader(opener_of, first):
    opened = opener_of(Leader(at_wandb=first)).open()
    assert ("wandb" in opened.sweep.meta) == first
    with pytest.raises(ConflictError, match="--backend wandb"):
        opener_of(Leader(at_wandb=not first)).open()


def test_what_the_uploads_tell_before_anything_is_shown_is_told_with_the_first_notes(opener_of):
    opener = opener_of()
    warned = []

    def uploads(options, plans, warn):
        warned.append(warn)

    with Call(opener.options, [opener.plan], slots=opener.slots, notes=["first"], uploads=uploads) as call:
        warned[0]("W&B is away")
        assert call.notes == ["first", "W&B is away"]
        assert call.sessions == [] and call.finishes == []
