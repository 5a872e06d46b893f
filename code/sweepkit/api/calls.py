"""Run a plan in this process, as the commands do, and end as Python code expects it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweepkit.agents.slots import Slot
    from sweepkit.runner.options import RunOptions, SlotOptions
    from sweepkit.runner.plan import Plan

_TERMINATED = 128 + 15


def slots_for(plan: "Plan", workers: int | None, gpus: tuple[str, ...] | None) -> "tuple[tuple[Slot, ...], list[str]]":
    """Return what runs may occupy, and what to say of it: one slot unless more is asked for.

    Args:
        plan: The sweep.
        workers: Runs at once; None for one, or for all of `gpus`.
        gpus: Use these only; None for all that are visible.

    Raises:
        SweepKitError: A GPU cannot be seen, or there are more workers than the GPUs have room for.
    """
    from sweepkit.runner.call import one_slot, slots_of

    if workers is None and gpus is None:
        return one_slot(plan), []
    return slots_of(slot_options(workers, gpus), [plan])


def slot_options(workers: int | None, gpus: tuple[str, ...] | None) -> "SlotOptions":
    """Return what runs may occupy, as the commands take it; they share GPUs where those are fewer. One by default."""
    import os

    from sweepkit.agents.slots import choose_gpus
    from sweepkit.runner.options import SlotOptions

    workers = 1 if workers is None and gpus is None else workers
    n_gpus = len(choose_gpus(gpus, os.environ))
    shared = None if workers is None or workers <= n_gpus or not n_gpus else -(-workers // n_gpus)
    return SlotOptions(num_workers=workers, gpus=gpus, runs_per_gpu=shared)


def run_plan(
    options: "RunOptions",
    plan: "Plan",
    slots: "tuple[Slot, ...]",
    *,
    notes: Sequence[str] = (),
) -> str:
    """Run a sweep until it ends; return its name in the record.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it; what was done is recorded.
        SystemExit: SIGTERM did.
        SweepKitError: It is recorded as another one, or the database cannot be used.
    """
    from sweepkit.runner.call import Call
    from sweepkit.wandb.upload_client import Online

    with Call(options, [plan], slots=slots, notes=notes, uploads=Online) as call:
        code = call.run()
        name = call.sessions[0].sweep.name
    end_as_asked(code, preempted=call.interrupts.preempted)
    return name


def end_as_asked(code: int, *, preempted: bool) -> None:
    """Raise what a call's end is in Python: KeyboardInterrupt after Ctrl-C, SystemExit after SIGTERM; else nothing.

    Args:
        code: The call's exit code.
        preempted: SIGTERM ended it.
    """
    from sweepkit.runner.exit_codes import INTERRUPTED

    if preempted:
        raise SystemExit(_TERMINATED)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
