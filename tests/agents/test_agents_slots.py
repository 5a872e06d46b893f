"""GPUs as the environment shows them, and their division into slots."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.slots import Slot, make_slots, visible_gpus


@pytest.fixture
def path_with_smi(tmp_path):
    """A PATH with a stand-in for nvidia-smi that lists three GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    tool.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        (None, ("0", "1", "2")),
        ("1,0", ("1", "0")),
        ("GPU-8932f937, MIG-41b3", ("GPU-8932f937", "MIG-41b3")),
        ("", ()),
        ("-1", ()),
    ],
)
def test_the_parents_restriction_is_respected(path_with_smi, restriction, expected):
    env = {"PATH": path_with_smi}
    if restriction is not None:
        env["CUDA_VISIBLE_DEVICES"] = restriction
    assert visible_gpus(env) == expected


def test_no_tool_or_a_broken_one_means_no_gpu(tmp_path):
    assert visible_gpus({"PATH": str(tmp_path)}) == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    tool.chmod(0o755)
    assert visible_gpus({"PATH": f"{tmp_path}:{os.environ['PATH']}"}) == ()


def test_a_run_sees_its_own_gpus_and_threads():
    slot = Slot(index=0, gpus=("3", "1"), cpus=2)
    assert slot.environment({}) == {
        "CUDA_VISIBLE_DEVICES": "3,1",
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    assert slot.device == "gpu 3,1"


def test_what_the_user_set_is_kept_and_a_machine_without_gpus_hides_none():
    variables = Slot(index=0, gpus=(), cpus=1).environment({"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE"})
    assert variables == {"MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@given(st.integers(1, 9), st.integers(0, 8), st.none() | st.integers(0, 4), st.none() | st.integers(1, 4))
def test_slots_have_what_they_ask_for_and_share_only_when_they_must(workers, gpus, gpus_per_run, cpus_per_run):
    names = tuple(map(str, range(gpus)))
    slots = make_slots(workers, gpus=names, gpus_per_run=gpus_per_run, cpus_per_run=cpus_per_run)
    wanted = 0 if not gpus else 1 if gpus_per_run is None else gpus_per_run
    assert [slot.index for slot in slots] == list(range(workers))
    assert all(len(slot.gpus) == wanted and slot.cpus == (cpus_per_run or slot.cpus) >= 1 for slot in slots)
    used = [gpu for slot in slots for gpu in slot.gpus]
    if workers * wanted <= gpus:
        assert len(set(used)) == len(used)
