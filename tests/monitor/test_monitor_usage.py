"""What attempts and GPUs use: measured on real processes, and with a stand-in for NVIDIA's library."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from watching_support import attempt, run

from sweepkit.agents.identity import agent_identity
from sweepkit.model.runs import RunState
from sweepkit.model.watched import GpuUse
from sweepkit.monitor.usage import GpuUsage, ProcessUsage

# A parent that waits, and a child that holds 64 MiB and computes without end.
BUSY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "x = b'x' * 2**26; print('ready', flush=True)\\nwhile True: pass"])
child.wait()
"""


@pytest.fixture
def busy():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def live_on(pid, agent_id):
    return attempt(run(0, RunState.RUNNING), pid=pid, agent_id=agent_id)


def test_the_whole_tree_of_a_local_attempt_counts(busy):
    usage = ProcessUsage()
    live = live_on(busy.pid, agent_identity())
    first = usage.of([live])["r0"]
    assert first.memory_mb > 64
    percent, looks = 0.0, 0
    while percent < 1 and looks < 1000:  # the child gets a share of the CPU, however busy the machine is
        use = usage.of([live])["r0"]
        percent, looks = use.cpu_percent or percent, looks + 1
        time.sleep(0.06)  # CPU time is measured over a stretch of time
    assert percent >= 1


def test_what_runs_elsewhere_or_no_more_is_absent(busy):
    here = agent_identity()
    host, boot, namespace, pid, start = here.split("|")
    usage = ProcessUsage()
    elsewhere = [f"other|{boot}|{namespace}|{pid}|{start}", f"{host}|{boot}|pid:[1]|{pid}|{start}", "", "W&B"]
    assert usage.of([live_on(busy.pid, agent) for agent in elsewhere]) == {}
    assert usage.of([live_on(None, here), live_on(2**22 + 1, here)]) == {}


class Nvml(types.ModuleType):
    """The five calls that are made of NVIDIA's library, for a machine with two GPUs."""

    broken = divided = False

    class NVMLError(Exception):
        pass

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        if self.broken:
            raise RuntimeError("GPU is lost")
        return types.SimpleNamespace(used=handle * 2**30, total=8 * 2**30)

    def nvmlDeviceGetName(self, handle):
        return f"GPU {handle}".encode() if handle else "GPU 0"

    def nvmlDeviceGetUtilizationRates(self, handle):
        if self.divided:
            raise self.NVMLError("Not Supported")
        return types.SimpleNamespace(gpu=50 * handle)


def test_gpus_are_told_and_a_lost_one_ends_nothing(monkeypatch):
    nvml = Nvml("pynvml")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    usage = GpuUsage()
    second = GpuUse(index=1, name="GPU 1", percent=50.0, memory_mb=1024.0, total_mb=8192.0)
    first = dataclasses.replace(second, index=0, name="GPU 0", percent=0.0, memory_mb=0.0)
    assert usage.read() == [first, second]
    nvml.divided = True
    assert usage.read() == [dataclasses.replace(use, percent=None) for use in (first, second)]
    nvml.broken = True
    assert usage.read() == []


def test_a_machine_without_the_library_has_no_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuUsage().read() == []
