"""Which GPUs are seen, and what a slot tells its process."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.slots import THREAD_VARIABLES, Slot, make_slots, visible_gpus
from sweepkit.errors import SweepKitError


@pytest.fixture
def machine(tmp_path):
    """Return an environment whose nvidia-smi is a script of ours."""

    def make(script):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        tool.chmod(0o755)
        return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    return make


def test_gpus_are_those_that_the_driver_lists(machine):
    env = machine('test "$*" = "--query-gpu=index --format=csv,noheader" && printf "0\\n1\\n 2\\n"')
    assert visible_gpus(env) == ("0", "1", "2")


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


@given(st.integers(1, 9), st.integers(0, 4), st.integers(1, 4) | st.none(), st.integers(1, 9) | st.none())
def test_slots_share_what_there_is_evenly(workers, count, gpus_per_run, cpus_per_run):
    gpus = tuple(f"{index}" for index in range(count))
    wanted = gpus_per_run or 1
    if 0 < count < wanted:
        with pytest.raises(SweepKitError, match=f"gpus_per_run: must be at most {count}.*got {wanted}"):
            make_slots(workers, gpus=gpus, gpus_per_run=gpus_per_run, cpus_per_run=cpus_per_run)
        return
    slots = make_slots(workers, gpus=gpus, gpus_per_run=gpus_per_run, cpus_per_run=cpus_per_run)
    assert [slot.index for slot in slots] == list(range(workers))
    assert all(slot.cpus == (cpus_per_run or max(1, len(os.sched_getaffinity(0)) // workers)) for slot in slots)
    assert all(len(set(slot.gpus)) == len(slot.gpus) == (wanted if gpus else 0) for slot in slots)
    uses = [sum(gpu in slot.gpus for slot in slots) for gpu in gpus]
    assert not uses or max(uses) - min(uses) <= 1


@pytest.mark.parametrize(("gpus", "cpus", "device"), [(("0", "1"), 4, "gpu 0,1"), ((), 1, "1 cpu"), ((), 3, "3 cpus")])
def test_a_slot_in_words(gpus, cpus, device):
    assert Slot(index=0, gpus=gpus, cpus=cpus).device == device


def test_the_environment_confines_and_keeps_what_the_user_set():
    slot = Slot(index=0, gpus=("3", "5"), cpus=2)
    assert slot.environment({}) == {
        **dict.fromkeys(THREAD_VARIABLES, "2"),
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "3,5",
    }
    own = {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE", "CUDA_VISIBLE_DEVICES": "3,5,6"}
    assert slot.environment(own) == {
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "3,5",
    }
    assert "CUDA_VISIBLE_DEVICES" not in Slot(index=0, gpus=(), cpus=1).environment({})


def test_no_gpus_per_run_hides_those_of_the_machine():
    (slot,) = make_slots(1, gpus=("0", "1"), gpus_per_run=0, cpus_per_run=2)
    assert (slot.gpus, slot.device) == ((), "2 cpus")
    assert slot.environment({})["CUDA_VISIBLE_DEVICES"] == ""
