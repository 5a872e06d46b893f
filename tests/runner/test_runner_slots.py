"""What runs may occupy, as a call and its sweeps say it together."""

from types import SimpleNamespace

import pytest

from sweepkit.errors import SweepKitError
from sweepkit.runner import call
from sweepkit.runner.options import SlotOptions
from sweepkit.sweep_config.read import read_sweep_text

SWEEP = "method: random\nparameters: {x: {value: 1}}\nsweepkit: {runs_per_gpu: %s}\n"


def plan(runs_per_gpu):
    return SimpleNamespace(spec=read_sweep_text(SWEEP % runs_per_gpu))


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(call, "open_nvml", object)


def test_the_sweep_says_how_runs_share_a_gpu_and_the_call_before_it(gpu):
    slots, _ = call.slots_of(SlotOptions(), [plan("auto")])
    assert len(slots) == slots[0].shares > 1 and all(slot.packs for slot in slots)
    slots, _ = call.slots_of(SlotOptions(), [plan(3)])
    assert len(slots) == 3 and not any(slot.packs for slot in slots)
    slots, _ = call.slots_of(SlotOptions(runs_per_gpu=1), [plan("auto")])
    assert len(slots) == 1 and not slots[0].packs
    slots, _ = call.slots_of(SlotOptions(runs_per_gpu="auto"), [plan("null")])
    assert slots[0].packs
    with pytest.raises(SweepKitError, match="runs_per_gpu: sweeps that share workers must agree"):
        call.slots_of(SlotOptions(), [plan("auto"), plan(2)])


@pytest.mark.parametrize("packs", [True, False])
def test_where_nothing_can_be_measured_each_gpu_has_one_run_and_it_is_said(gpu, monkeypatch, packs):
    monkeypatch.setattr(call, "open_nvml", (lambda: None) if packs else object)
    slots, notes = call.slots_of(SlotOptions(), [plan("auto")], packs=packs)
    assert len(slots) == 1 and not slots[0].packs
    assert notes and "runs_per_gpu: auto" in notes[0]


@pytest.mark.parametrize("value", ["0", "-1", "some", "1.5", "true"])
def test_what_is_no_number_of_runs_is_refused_with_its_place(value):
    with pytest.raises(SweepKitError, match="sweepkit.runs_per_gpu"):
        plan(value)
