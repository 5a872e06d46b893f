"""`--confirm NAME`: run the best of a sweep again with fresh seeds as a race, then look at the hold-out set once.

Both are sweeps of their own in the record, `NAME-confirm` and `NAME-holdout`, run by the agents like any other. The
race's state is their run table, so the same command continues after a kill at any line, and comes to the same end.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sweepkit.agents.control import find_sweep_record
from sweepkit.agents.slots import Slot
from sweepkit.confirm.options import ConfirmOptions
from sweepkit.confirm.plan import (
    RacePlan,
    Setup,
    confirmation_name,
    holdout_name,
    holdout_parameters,
    keep_base_config,
    new_setup,
    plan_of_parent,
    race_plan,
    setup_of,
    used_seeds,
)
from sweepkit.confirm.plan import fresh_seeds as fresh
from sweepkit.confirm.result import describe, holdout_result, score_of, scores_of, standing_of
from sweepkit.errors import ConflictError
from sweepkit.model.objectives import has_result
from sweepkit.model.records import SweepRecord
from sweepkit.model.runs import RunView, none_worked
from sweepkit.model.seeds import RUN_SEED
from sweepkit.paths import SweepPaths
from sweepkit.reports.confirmation import confirmation_text, write_confirmation
from sweepkit.reports.files import relative, write_config
from sweepkit.reports.holdout import HoldoutResult
from sweepkit.runner.call import Call, MakeUploads
from sweepkit.runner.exit_codes import NO_RESULT
from sweepkit.runner.leader import Leader
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import changed_files
from sweepkit.runner.plan import Plan, open_recorded, storage_of
from sweepkit.runner.sweep_report import REPORT_NAME, report_at_end
from sweepkit.search.race import Pair, RaceEngine
from sweepkit.store.open import open_store
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.stats.race import End
    from sweepkit.store.base import Store

SlotsFor = Callable[[Plan], tuple[tuple[Slot, ...], Sequence[str]]]
_Run = Callable[[RunOptions, RacePlan], "tuple[int, SweepRecord, End | None]"]
_FINALISTS = 2


def confirm(
    options: RunOptions, asked: ConfirmOptions, *, slots_for: SlotsFor, uploads: MakeUploads | None = None
) -> int:
    """Run or continue the confirmation of a sweep; print what came of it; return the exit code.

    Args:
        options: How its runs are made.
        asked: Which sweep, and how it is confirmed.
        slots_for: What the runs of a plan may occupy, and what to say of it.
        uploads: Makes what sends runs elsewhere while they log; None sends nothing.

    Raises:
        SweepKitError: There is no such sweep, or nothing to confirm; another budget than recorded.
    """
    with open_recorded(storage_of(options)) as store:
        parent = find_sweep_record(store, asked.sweep)
        own = plan_of_parent(options, parent)
        record = _recorded(store, confirmation_name(parent.name), parent, options)
        setup = new_setup(asked, store, parent, own) if record is None else _agreed(record, asked)
        holdout = {} if asked.no_holdout else holdout_parameters(asked, own)
    plan = race_plan(own, setup, text=record.text if record else None)
    if options.dry_run:
        return _show(options, plan, setup, holdout)
    keep_base_config(own, parent)
    run = partial(_run, slots_for=slots_for, uploads=uploads, notes=_changed(own, parent))
    code, record, end = run(options, plan)
    look: HoldoutResult | str = "the race is not over" if end is None else _holdout_reason(asked, holdout)
    if end is not None and not look:
        code, look = _look(options, own, record, run, holdout, again=asked.again)
    _conclude(options, own, parent, record, look)
    return code


def _recorded(store: "Store", name: str, parent: SweepRecord, options: RunOptions) -> SweepRecord | None:
    """Return the confirmation that is recorded and gone on with; None to begin one."""
    family = store.sweeps(family=name)
    if not family or options.fresh:
        return None
    if setup_of(family[-1]) is None:
        raise ConflictError(
            f"--confirm {parent.name}: its sweep would be {name!r}, which is recorded as another one; "
            "name another --output-dir or --storage"
        )
    return family[-1]


def _agreed(record: SweepRecord, asked: ConfirmOptions) -> Setup:
    """Return the recorded race; refuse options that would have made another one."""
    setup = setup_of(record)
    assert setup is not None
    differences = [
        f"--{name}: {before} → {now}"
        for name, before, now in (
            ("budget", setup.budget, asked.budget),
            ("rope", setup.rope, asked.rope),
            ("seeds-from", setup.seeds[0], asked.seeds_from),
        )
        if now is not None and now != before
    ]
    if differences:
        raise ConflictError(
            f"{record.name}: is recorded with other options:\n  "
            + "\n  ".join(differences)
            + "\nleave them out to go on with it, or add --fresh to race anew (what there is stays)"
        )
    return setup


# -- running it -------------------------------------------------------------------------------------------------------


def _race_engine(plan: RacePlan, seed: int) -> RaceEngine:
    """Return the engine of a race, told nothing yet."""
    setup, spec = plan.setup, plan.spec
    race, metric = setup.race(seed), spec.metric

    def decide(ended: Mapping[Pair, RunView]) -> tuple[Sequence[Pair], str]:
        from sweepkit.stats.race import End

        step = race.next({pair: score_of(view, metric, setup.sign) for pair, view in ended.items()})
        if isinstance(step, End):
            return (), step.reason
        keep, each = setup.rounds[step.round]
        said = f"round {step.round + 1} of {len(setup.rounds)}: {keep} configurations, {each} fresh seeds each"
        return step.runs, said

    def notes(candidate: int, repeat: int) -> Mapping[str, Any]:
        return {RUN_SEED: setup.seeds[repeat]}

    return RaceEngine(decide, lambda *pair: setup.params(spec, *pair), total=setup.total(), notes=notes)


def _changed(own: Plan, parent: SweepRecord) -> list[str]:
    """Return what to say when the program is another one than the sweep's runs were made by."""
    files = changed_files(own, parent)
    said = f"the program has changed since {parent.name} ran ({', '.join(files)}): the race runs it as it is now"
    return [said] if files else []


def _run(
    options: RunOptions, plan: RacePlan, *, slots_for: SlotsFor, uploads: MakeUploads | None, notes: Sequence[str] = ()
) -> tuple[int, SweepRecord, "End | None"]:
    """Run what is left of a race; return the exit code, its record, and how it ended (None: it has not)."""
    if not options.fresh and not options.retry_failed:
        with open_store(plan.storage) as store:
            family = store.sweeps(family=plan.spec.name)
            runs = store.runs(family[-1].sweep_id) if family else []
            end = _end_of(store, family[-1], plan) if family else None
            if end is not None and not none_worked(run.state for run in runs):  # nothing is left to run
                return 0 if has_result(runs, plan.spec.objectives) else NO_RESULT, family[-1], end
    slots, more = slots_for(plan)
    # Nothing of it is a winner until the race says so; and the sweep's own first run was looked at.
    leader = Leader(make_engine=lambda sweep: _race_engine(plan, sweep.seed), ranks=False)
    with Call(options, [plan], slots=slots, notes=[*notes, *more], uploads=uploads, leader=leader) as call:
        code = call.run()
        record, finish = call.sessions[0].sweep, call.finishes[0]
        if not options.json and not finish.complete:
            say(f"{record.name}: not complete, {finish.reason}")
        for step in () if options.json else call.sessions[0].next_steps(finish).lines():
            say(step)
        return code, record, _end_of(call.store, record, plan)


def _end_of(store: "Store", record: SweepRecord, plan: RacePlan) -> "End | None":
    from sweepkit.stats.race import End

    runs = store.runs(record.sweep_id)
    if not all(run.state.done for run in runs):
        return None
    step = plan.setup.race(record.seed).next(scores_of(runs, plan.spec.metric, plan.setup))
    return step if isinstance(step, End) else None


def _show(options: RunOptions, plan: RacePlan, setup: Setup, holdout: Mapping[str, Any]) -> int:
    """Print what would be run; return the exit code."""
    from sweepkit.reports.table import short
    from sweepkit.text.nested_tables import flattened

    rounds = ", ".join(f"{keep} x {each}" for keep, each in setup.rounds)
    if options.json:
        said = {"event": "plan", **setup.plain(), "holdout": dict(holdout)}
        say(json_text(said))
        return 0
    say(f"{plan.spec.name}: at most {setup.total()} runs ({rounds}), seeds {setup.seeds[0]} to {setup.seeds[-1]}")
    for place, item in enumerate(setup.candidates, 1):
        values = "  ".join(f"{name}={short(value)}" for name, value in flattened(item.params).items())
        why = f"by {setup.model.split(',')[0]}" if item.by_model else "by score"
        mean, over = ("mean ", f" over {len(item.scores)} seeds") if len(item.scores) > 1 else ("", "")
        worth = f"{mean}{setup.metric} = {item.sweep_score:.5g}{over}"
        say(f"  {place}. run {item.number} ({item.run_id}), {worth}, {why}: {values}")
    chosen = ", ".join(f"{name}={short(value)}" for name, value in holdout.items())
    say(f"then one look at the hold-out set: {chosen}" if chosen else "no hold-out set is named (sweepkit.holdout)")
    return 0


# -- the hold-out set -------------------------------------------------------------------------------------------------


def _holdout_reason(asked: ConfirmOptions, holdout: Mapping[str, Any]) -> str:
    """Return why the hold-out set is not opened; "" when it is."""
    if asked.no_holdout:
        return "not opened (--no-holdout)"
    return "" if holdout else "none is named; sweepkit.holdout or --holdout names the parameters that choose it"


def _look(
    options: RunOptions, own: Plan, record: SweepRecord, run: _Run, holdout: Mapping[str, Any], *, again: bool
) -> tuple[int, HoldoutResult | str]:
    """Score the finalists on the hold-out set, once; return the exit code and what was seen, or why nothing was.

    The look is a sweep in the record, made before its first run: that it was opened is known whatever comes then.
    """
    with open_store(own.storage) as store:
        setup = setup_of(record)
        assert setup is not None
        family = store.sweeps(family=holdout_name(setup.sweep))
        last = setup_of(family[-1]) if family else None
        again = again and not (family and _unfinished(store, family[-1]))
        if last is None or again:
            chosen = _look_setup(store, own, record, setup, holdout)
        elif last.of == record.name:
            chosen = last
        else:
            when = time.strftime("%Y-%m-%d", time.gmtime(family[-1].created_at))
            return 0, (
                f"was opened on {when} by {last.of}; a choice made after a further look would be made by it, too: "
                "--again opens it nevertheless"
            )
        text = family[-1].text if family and chosen is last else None
    plan = race_plan(own, chosen, text=text)
    code, seen, _ = run(replace(options, fresh=again and bool(family), count=None, retry_failed=False), plan)
    with open_store(own.storage) as store:
        opened = len(store.sweeps(family=plan.spec.name))
        return code, holdout_result(store, seen, record, plan, opened, own.output_dir)


def _unfinished(store: "Store", record: SweepRecord) -> bool:
    """Return whether a look was begun and cut short: it is continued, not opened again."""
    setup = setup_of(record)
    runs = store.runs(record.sweep_id)
    return setup is not None and (len(runs) < setup.total() or not all(run.state.done for run in runs))


def _look_setup(store: "Store", own: Plan, record: SweepRecord, setup: Setup, holdout: Mapping[str, Any]) -> Setup:
    """Return the look at the hold-out set: leader and runner-up, a few fresh seeds each."""
    standing = standing_of(store, record, setup, own.spec.metric)
    leaders = [place.candidate for place in standing.places if place.fresh][:_FINALISTS]
    used = used_seeds(store, find_sweep_record(store, setup.sweep), (), own)
    return replace(
        setup,
        candidates=tuple(setup.candidates[candidate] for candidate in leaders),
        rounds=((len(leaders), _FINALISTS),),
        seeds=fresh(used | set(setup.seeds), _FINALISTS, first=setup.seeds[0]),
        fixed=dict(holdout),
        of=record.name,
    )


# -- what came of it --------------------------------------------------------------------------------------------------


def _conclude(
    options: RunOptions, own: Plan, parent: SweepRecord, record: SweepRecord, look: HoldoutResult | str
) -> None:
    """Write what came of the race into the sweep's folder, and print it."""
    paths = SweepPaths(own.output_dir, parent.name)
    paths.root.mkdir(parents=True, exist_ok=True)
    with open_store(own.storage) as store:
        said = describe(store, own.spec, record, look)
        runs = {run.run_id: run for run in store.runs(parent.sweep_id)}
    write_confirmation(paths.root, said)
    winner = runs.get(said.winner or "")
    files = ["confirmation.json"]
    if winner is not None and said.finished:
        head = f"Confirmed best of sweep {parent.name}: run {winner.run_id}; confirmation.json says how sure that is."
        write_config(paths, own.spec, winner, base_config=own.base_config if own.trains else None, head=head)
        files.append("confirmed_config.yaml")
    if report_at_end(paths, own.spec, parent, list(runs.values())) is not None:
        files.append(REPORT_NAME)
    if options.json:
        say(json_text({"event": "confirmation", **said.plain()}))
        return
    say("\n" + confirmation_text(said))
    say(f"files: {relative(paths.root)}/ ({', '.join(files)}), runs in {relative(own.output_dir)}/sweep_{record.name}/")
