"""Agents that put several runs on one GPU: real agents, a real record, programs that hold memory on paper."""

import pytest
from pools import Bench

from sweepkit.agents.gpu_memory import Memory
from sweepkit.agents.gpu_packer import GpuPacker, make_packer
from sweepkit.agents.identity import host_name
from sweepkit.agents.slots import Slot, make_slots
from sweepkit.errors import SweepKitError
from sweepkit.model.runs import RunState
from sweepkit.scheduling.packing import Placement

GIB = 1024**3
# Holds its memory by a file named by its process; ends once its agent has measured that. The last two wait for each
# other, and the last one finds no memory the first time.
PROGRAM = """
import json, os, sys, time
from pathlib import Path

number, held = int(sys.argv[1].partition("=")[2]), Path("held")
mine = held / str(os.getpid())
mine.write_text("1024")
def wait(condition):
    while not condition():
        time.sleep(0.01)
try:
    wait(lambda: (held / (os.environ["SWEEPKIT_ATTEMPT_ID"] + ".measured")).exists())
    if number == 3:
        Path("third").touch()
        wait(lambda: Path("crowded").exists())
    if number == 4 and not Path("crowded").exists():
        wait(lambda: Path("third").exists())
        Path("crowded").touch()
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        file.write(json.dumps({"loss": number}) + "\\n")
finally:
    mine.unlink()
"""


class Driver:
    """A GPU of 10 GiB whose processes hold what they wrote down."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def uuid(self, gpu):
        return f"GPU-{gpu}"

    def held(self, gpu):
        return {int(path.name): 1024**3 for path in self.folder.iterdir() if path.suffix != ".measured"}

    def read(self, gpu):
        return Memory(10 * GIB - sum(self.held(gpu).values()), 10 * GIB)


class Measuring(GpuPacker):
    """Tells a program that what it holds was measured."""

    def sample(self, store, attempt_id, reports):
        super().sample(store, attempt_id, reports)
        if attempt_id in self._watched and self._watched[attempt_id].most_mb:
            (self._reader.folder / f"{attempt_id}.measured").touch()


def slots(number):
    return tuple(Slot(index=index, gpus=("0",), cpus=1, shares=number, packs=True) for index in range(number))


def packer(folder, places):
    return Measuring(Driver(folder / "held"), places, host=host_name(), sample_every_s=0.02)


@pytest.mark.slow
def test_runs_share_a_gpu_once_they_are_known_and_no_memory_beside_others_is_never_judged(tmp_path):
    places = slots(2)
    with Bench(tmp_path) as bench:
        pool = bench.start(PROGRAM, numbers=range(5), slots=places, packer=packer(tmp_path, places))
        (finish,) = pool.join()
        assert finish.complete, (finish, pool.error)
        runs = bench.runs()
        meta = bench.store.sweep("s").meta
        crowded = bench.store.attempts(runs[4].run_id)[0]
    assert [run.state for run in runs] == [RunState.FINISHED] * 5
    assert [run.outcome["packing"]["most_at_once"] for run in runs] == [1, 1, 1, 2, 1]
    assert [run.outcome["peak_gpu_memory_mb"] for run in runs] == [1024.0] * 5
    assert (runs[4].attempts, runs[4].failures) == (2, 0)
    assert crowded.outcome["failed"]["kind"] == "crowded out" and "tried again alone" in crowded.reason
    assert crowded.outcome["packing"]["reason"].startswith("2 runs on gpu 0: ")
    assert meta[f"packing {host_name()} gpu 0"].startswith("0 runs on gpu 0: 0 of 10 GiB")


def test_of_two_agents_that_claim_at_once_the_later_gives_way(tmp_path):
    places = slots(2)
    with Bench(tmp_path) as bench:
        store = bench.store
        sweep, _ = store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        for number in range(2):
            store.add_run(sweep.sweep_id, number, {"batch_size": 1})
        agents = [packer(tmp_path, places), packer(tmp_path, places)]
        chosen = [agent.choose(store, sweep.sweep_id, places[0], but=()) for agent in agents]
        assert chosen[0].run_id == chosen[1].run_id  # both see an empty GPU
        who = {"agent_id": "a", "host": host_name(), "lease_s": 60.0}
        claims = [store.claim(sweep.sweep_id, gpus=agent.gpus(places[0]), **who) for agent in agents]
        kept = [
            agent.keeps(store, claim, places[0], placement)
            for agent, claim, placement in zip(agents, claims, chosen, strict=True)
        ]
        assert kept == [True, False]
        store.release(claims[1], reason="")
        assert agents[1].choose(store, sweep.sweep_id, places[1], but=()).run_id is None
        assert "to itself" in agents[1].choose(store, sweep.sweep_id, places[1], but=()).reason


def test_a_gpu_named_otherwise_is_the_same_one(tmp_path):
    class Named(Driver):
        def uuid(self, gpu):
            return "GPU-a"

    places = [Slot(index=0, gpus=(name,), cpus=1) for name in ("0", "GPU-a")]
    named = [GpuPacker(Named(tmp_path / "held"), [place], host="h").gpus(place) for place in places]
    assert named[0] == named[1] == ("GPU-a",)


def test_auto_makes_slots_that_pack_and_nothing_without_a_driver():
    made = make_slots(None, gpus=("0", "1"), gpus_per_run=None, cpus_per_run=1, runs_per_gpu="auto")
    assert all(slot.packs and 2 <= slot.shares <= 8 for slot in made)
    assert {slot.gpus for slot in made} == {("0",), ("1",)}
    asked = make_slots(6, gpus=("0", "1"), gpus_per_run=None, cpus_per_run=1, runs_per_gpu="auto")
    assert [slot.shares for slot in asked] == [3] * 6
    with pytest.raises(SweepKitError, match="at most 16"):
        make_slots(17, gpus=("0", "1"), gpus_per_run=None, cpus_per_run=1, runs_per_gpu="auto")
    assert make_packer(made, host="h", reader=None) is None
    without = make_slots(2, gpus=(), gpus_per_run=None, cpus_per_run=1, runs_per_gpu="auto")
    assert not any(slot.packs or slot.shares > 1 for slot in without)


def test_a_run_that_was_claimed_before_it_was_chosen_is_told_so(tmp_path):
    places = slots(1)
    with Bench(tmp_path) as bench:
        sweep, _ = bench.store.create_sweep("s", text="", seed=0, metric=None, goal=None)
        bench.store.add_run(sweep.sweep_id, 0, {})
        one = packer(tmp_path, places)
        claim = bench.store.claim(
            sweep.sweep_id, agent_id="a", host=host_name(), lease_s=60.0, gpus=one.gpus(places[0])
        )
        assert one.keeps(bench.store, claim, places[0], Placement(run_id="another", reason=""))
        facts = one.facts(bench.store, claim.attempt_id, 1.0, 0)["packing"]
        assert facts["reason"] == "it fits on gpu 0" and facts["total_mb"] == 10 * 1024
        one.left(bench.store, claim)
        assert one.facts(bench.store, claim.attempt_id, 1.0, 0) == {}
