"""When a run is let on a GPU: by the memory that is free, told once, and measured where a run has its GPU to itself."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.agents.gpu_memory import Memory, MemoryGate, Nvml, make_gate, open_nvml
from sweepkit.agents.slots import Slot
from sweepkit.paths import CODE_DIR

WORDS = words_of(__file__)

GIB = 1024**3


class Machine:
    """GPUs whose free memory a test sets, in GiB of 80, and a clock."""

    def __init__(self, **free):
        self.free = free
        self.now = 0.0
        self.asked = 0

    def read(self, gpu):
        self.asked += 1
        free = self.free.get(gpu)
        return None if free is None else Memory(int(free * GIB), 80 * GIB)

    def clock(self):
        return self.now

    def gate(self, least_gb=None):
        return MemoryGate(self, least_gb=least_gb, clock=self.clock)


def slot(*gpus, index=0, shares=1):
    return Slot(index=index, gpus=gpus, cpus=1, shares=shares)


def test_a_full_gpu_is_waited_for_and_told_once():
    machine, said = Machine(a=80, b=30), []
    gate = machine.gate()
    assert gate.admits(slot("a"), said.append) and not said
    full = slot("a", "b", index=1)
    for _ in range(5):
        assert not gate.admits(full, said.append)
        machine.now += 1.0
    assert [event.text for event in said] == [WORDS["waits-gpu-b"]]
    machine.free["b"] = 64
    assert gate.admits(full, said.append)
    assert said[1].text == "slot 1 (gpu a,b) has room now" and not said[1].warning


def test_a_slot_that_waits_asks_the_driver_once_a_second():
    machine = Machine(a=1)
    gate = machine.gate()
    for _ in range(10):
        assert not gate.admits(slot("a"), lambda _: None)
        machine.now += 0.25
    assert machine.asked == 3


@given(st.floats(0, 80), st.integers(1, 4), st.none() | st.floats(0, 80))
def test_the_threshold_is_the_sweeps_else_four_fifths_of_the_share(free, shares, least):
    gate = Machine(a=free).gate(least)
    needed = 80 * 0.8 / shares if least is None else least
    if abs(free - needed) > 1e-6:
        assert gate.admits(slot("a", shares=shares), lambda _: None) == (free > needed)


def test_what_runs_were_seen_to_take_and_a_tenth_more_is_asked_for():
    machine, said = Machine(a=80), []
    gate = machine.gate()
    assert gate.admits(slot("a"), said.append)
    for free in (75, 60, 70):
        machine.now += 1.0
        machine.free["a"] = free
        gate.sample(slot("a"))
    assert gate.taken_mb(slot("a")) == 20 * 1024
    machine.free["a"] = 23
    assert gate.admits(slot("a"), said.append)
    machine.free["a"] = 21
    assert not gate.admits(slot("a"), said.append)
    assert "a run needs 22.0" in said[0].text


def test_nothing_is_measured_where_runs_share_a_gpu():
    machine = Machine(a=80)
    gate = machine.gate()
    assert gate.admits(slot("a", shares=2), lambda _: None)
    machine.now, machine.free["a"] = 5.0, 10
    gate.sample(slot("a", shares=2))
    assert gate.taken_mb(slot("a", shares=2)) is None


def test_cores_and_gpus_that_cannot_be_asked_are_let_pass():
    machine = Machine()
    assert machine.gate().admits(slot(), lambda _: None) and machine.asked == 0
    assert machine.gate().admits(slot("unknown"), lambda _: None)
    assert make_gate((slot(),), least_gb=None) is None


class FakeNvml:
    """The few calls of the driver's library that are used, with its own errors."""

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if index > 1:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return {b"GPU-ab": 0, b"MIG-cd": 1}[uuid]

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return Memory(10 + handle, 100)


def test_the_drivers_library_is_asked_by_index_or_uuid():
    nvml = Nvml(FakeNvml())
    assert nvml.read("1") == nvml.read("MIG-cd") == Memory(11, 100)
    assert nvml.read("GPU-ab") == Memory(10, 100)
    assert nvml.read("7") is None


def test_a_machine_without_a_driver_has_no_gate():
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert open_nvml() is None
    else:
        assert isinstance(open_nvml(), Nvml)


@pytest.mark.slow
def test_the_library_is_imported_by_nobody_before_a_slot_has_a_gpu():
    probe = "import sys; import sweepkit.runner.call; print('pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=CODE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
