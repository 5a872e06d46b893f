"""Which GPUs are seen, and what a slot tells its process."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.agents.slots import THREAD_VARIABLES, Slot, choose_gpus, make_slots, slot_notes, visible_gpus
from sweepkit.errors import SweepKitError

WORDS = words_of(__file__)


@pytest.fixture
def machine(tmp_path):
    """Return an environment whose nvidia-smi is a script of ours."""

    def make(script):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        tool.chmod(0o755)
        return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    return make


LIST = r"""cat <<'END'
GPU 0: NVIDIA H200 (UUID: GPU-aa00)
GPU 1: NVIDIA H200 (UUID: GPU-ab11)
  MIG 3g.71gb     Device  0: (UUID: MIG-1111)
  MIG 3g.71gb     Device  1: (UUID: MIG-2222)
GPU 2: Tesla V100-SXM2-32GB (UUID: GPU-cc22)
END"""


def test_gpus_are_those_that_the_driver_lists_and_a_divided_one_is_its_parts(machine):
    assert visible_gpus(machine(f'test "$*" = "-L" && {LIST}')) == ("0", "MIG-1111", "MIG-2222", "2")


@pytest.mark.parametrize(
    ("restriction", "wanted", "chosen"),
    [
        (None, None, ("0", "MIG-1111", "MIG-2222", "2")),
        (None, ("2", "0"), ("2", "0")),
        (None, ("GPU-cc",), ("2",)),
        (None, ("MIG-2222", "GPU-aa00"), ("MIG-2222", "0")),
        ("2,0", ("0",), ("0",)),
        ("2,0", ("GPU-cc22",), ("2",)),
        ("GPU-cc22", ("GPU-c",), ("GPU-cc22",)),
    ],
)
def test_gpus_are_chosen_by_index_or_uuid_of_those_that_are_seen(machine, restriction, wanted, chosen):
    env = machine(LIST) | ({} if restriction is None else {"CUDA_VISIBLE_DEVICES": restriction})
    assert choose_gpus(wanted, env) == chosen


@pytest.mark.parametrize(
    ("restriction", "wanted", "message"),
    [
        (None, "7", "each must be one of 0, MIG-1111, MIG-2222, 2, got '7'; see nvidia-smi -L"),
        ("2,0", "1", "each must be one of 2, 0, got '1'; CUDA_VISIBLE_DEVICES restricts them"),
        ("2,0", "GPU-ab11", "each must be one of 2, 0, got 'GPU-ab11'"),
        (None, "GPU-a", "got 'GPU-a'"),  # two begin like that, one of them divided
        ("", "0", "left out, for no GPU can be seen here, got '0'"),
    ],
)
def test_a_gpu_that_is_not_seen_is_refused_with_those_that_are(machine, restriction, wanted, message):
    env = machine(LIST) | ({} if restriction is None else {"CUDA_VISIBLE_DEVICES": restriction})
    if wanted == "GPU-a":
        env = machine("printf 'GPU 0: A (UUID: GPU-aa00)\nGPU 1: A (UUID: GPU-ab11)\n'")
    with pytest.raises(SweepKitError) as caught:
        choose_gpus((wanted,), env)
    assert message in str(caught.value)


def test_a_gpu_named_twice_is_refused(machine):
    with pytest.raises(SweepKitError, match=WORDS["each-gpu-once"]):
        choose_gpus(("0", "GPU-aa"), machine(LIST))


@pytest.mark.parametrize(
    "script", ["echo 'NVIDIA-SMI has failed'; exit 9", "echo 'No devices were found'", "exit 0", "kill -9 $$"]
)
def test_a_driver_that_fails_has_no_gpus(machine, script):
    assert visible_gpus(machine(script)) == ()


def test_without_a_driver_there_are_none(tmp_path):
    assert visible_gpus({"PATH": str(tmp_path)}) == ()


@pytest.mark.parametrize(
    ("restriction", "seen"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1", ("1",)),
        ("2,0", ("2", "0")),
        (" 2 , 0 ", ("2", "0")),
        ("GPU-8932f937-d72c,GPU-1", ("GPU-8932f937-d72c", "GPU-1")),
        ("MIG-GPU-8932f937/1/2", ("MIG-GPU-8932f937/1/2",)),
        ("0,-1,1", ("0",)),  # CUDA stops at the first item that names no device
        ("0,,1", ("0",)),
    ],
)
def test_cuda_visible_devices_goes_before_the_driver(machine, restriction, seen):
    assert visible_gpus(machine("echo 7") | {"CUDA_VISIBLE_DEVICES": restriction}) == seen


@given(
    st.integers(1, 9) | st.none(),
    st.integers(0, 5),
    st.integers(0, 4) | st.none(),
    st.integers(1, 9) | st.none(),
    st.integers(1, 3),
)
def test_slots_share_what_there_is_evenly(workers, count, gpus_per_run, cpus_per_run, runs_per_gpu):
    gpus = tuple(f"{index}" for index in range(count))
    wanted = 1 if gpus_per_run is None else gpus_per_run
    given = {"gpus": gpus, "gpus_per_run": gpus_per_run, "cpus_per_run": cpus_per_run, "runs_per_gpu": runs_per_gpu}
    if 0 < count < wanted:
        with pytest.raises(SweepKitError, match=f"gpus_per_run: must be at most {count}.*got {wanted}"):
            make_slots(workers, **given)
        return
    room = count // wanted * runs_per_gpu if count and wanted else None
    if room is not None and workers is not None and workers > room:
        with pytest.raises(SweepKitError, match=f"--num-workers: must be at most {room} .*got {workers}"):
            make_slots(workers, **given)
        return
    slots = make_slots(workers, **given)
    cores = len(os.sched_getaffinity(0))
    assert len(slots) == (workers or room or max(1, cores // (cpus_per_run or 2)))
    assert [slot.index for slot in slots] == list(range(len(slots)))
    assert all(slot.cpus == (cpus_per_run or max(1, cores // len(slots))) for slot in slots)
    assert all(len(set(slot.gpus)) == len(slot.gpus) == (wanted if gpus else 0) for slot in slots)
    assert all(slot.hides_gpus == (gpus_per_run == 0) for slot in slots)
    uses = [sum(gpu in slot.gpus for slot in slots) for gpu in gpus[: count // wanted * wanted if wanted else 0]]
    assert not uses or (max(uses) - min(uses) <= 1 and max(uses) <= runs_per_gpu)
    groups = {slot.gpus for slot in slots}
    assert sum(len(group) for group in groups) == len({gpu for group in groups for gpu in group})  # none overlap


def test_what_is_odd_about_slots_is_told():
    cores = len(os.sched_getaffinity(0))
    (note,) = slot_notes(make_slots(cores + 1, gpus=(), gpus_per_run=None, cpus_per_run=None), ())
    assert note.startswith(f"{cores + 1} workers with 1 core each share the {cores} cores")
    gpus = ("0", "1", "2")
    (note,) = slot_notes(make_slots(None, gpus=gpus, gpus_per_run=2, cpus_per_run=None), gpus)
    assert note == WORDS["stays-idle-no"]
    assert slot_notes(make_slots(1, gpus=(), gpus_per_run=None, cpus_per_run=None), ()) == []


@pytest.mark.parametrize(("gpus", "cpus", "device"), [(("0", "1"), 4, "gpu 0,1"), ((), 1, "1 cpu"), ((), 3, "3 cpus")])
def test_a_slot_in_words(gpus, cpus, device):
    assert Slot(index=0, gpus=gpus, cpus=cpus).device == device


def test_the_environment_confines_and_keeps_what_the_user_set():
    slot = Slot(index=0, gpus=("3", "5"), cpus=2)
    assert slot.environment({}) == {
        **dict.fromkeys(THREAD_VARIABLES, "2"),
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "3,5",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    own = {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE", "CUDA_VISIBLE_DEVICES": "3,5,6"}
    assert slot.environment(own) == {
        "CUDA_VISIBLE_DEVICES": "3,5",
    }
    assert "CUDA_VISIBLE_DEVICES" not in Slot(index=0, gpus=(), cpus=1).environment({})


def test_no_gpus_per_run_hides_those_of_the_machine():
    (slot,) = make_slots(1, gpus=("0", "1"), gpus_per_run=0, cpus_per_run=2)
    assert (slot.gpus, slot.device) == ((), "2 cpus")
    assert slot.environment({})["CUDA_VISIBLE_DEVICES"] == ""
