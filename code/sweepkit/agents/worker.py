"""Execute one attempt on a slot: start it, follow its reports, end it when it must end, record what came of it.

The life of an attempt, from a claimed run to its recorded end (`Execution.run`):

1. `_resume`: does its run go on where an earlier attempt stood, which W&B's client marked as preempting?
2. `prepare` writes its parameters and composes its environment and command; the launcher starts it.
3. `_until_exit` waits for the launcher: `_on_start` records the process and its device, then `_watch` polls.
4. Each poll reads what it reported (`_collect`), records that (`_send`), and lets the stopping rule judge (`_judge`).
5. It also checks the lease, the time limit, Ctrl-C and a cancelled sweep; whoever must end gets SIGTERM, after its
   grace SIGKILL. An attempt whose lease was lost is killed at once and records nothing more (`_fence`).
6. When the process has ended, the rest of its reports is read and recorded first: an ended attempt takes none.
7. `_outcome` gathers how it ended, `scheduling.outcome.judge` says what that means: finished, stopped, failed, retried.
8. `_record` writes state, reason and facts in one transaction, then the result file of a run that is done.
9. The agent is called (`AttemptListener.ended`), the user notified; the worker asks for the next run.
"""

import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from sweepkit.agents.context import AgentContext, AttemptListener
from sweepkit.agents.descent import hears
from sweepkit.agents.exit_file import write_end
from sweepkit.agents.gpu_memory import MemoryGate
from sweepkit.agents.gpu_packer import GpuPacker
from sweepkit.agents.isolation import give_back_temp_dir, remove_temp_dir
from sweepkit.agents.kept_end import KeptEnd, kept_end
from sweepkit.agents.launcher import Event, Exited, NotStarted, Started, kill_leftovers
from sweepkit.agents.prepare import name_of_run, prepare, seed_of_attempt, wandb_tail
from sweepkit.agents.results import log_tail
from sweepkit.agents.resumption import Resumption, preempted_attempt
from sweepkit.agents.run_cache import view_of
from sweepkit.agents.slots import Slot
from sweepkit.errors import FencedError, LaunchError, StoreError
from sweepkit.model.audit import AUDIT, is_audited
from sweepkit.model.course import Course
from sweepkit.model.events import Notice, RunEnded, RunReported, RunStarted
from sweepkit.model.metric import Goal, rule_of_summary
from sweepkit.model.objectives import OUTCOME, RUNTIME, objectives_of
from sweepkit.model.records import MEAN_OVER_FACT, VALUE_FACT, RunRecord, Unsent
from sweepkit.model.runs import Decision, RunView
from sweepkit.scheduling.outcome import AttemptOutcome, Ending, PastFailure, judge
from sweepkit.store.base import Attempt, Report
from sweepkit.tracking.reports import ReportTail

_KEPT_LOG_CHARS = 2_000
_UNHEARD = "nothing hears SIGTERM\n"  # in the file that asks an attempt to save
# Until its first look at a new attempt that no rule may end: one that is over by then costs the record a transaction.
_FIRST_LOOK_S = 0.1
_AGAIN_S = 1.0  # between two tries to record what a running attempt reports while the database is away


class Execution:
    """One attempt from its start to its recorded end. Used by one worker thread only."""

    def __init__(
        self,
        context: AgentContext,
        slot: Slot,
        attempt: Attempt,
        *,
        listener: AttemptListener,
        gate: MemoryGate | None = None,
        packer: GpuPacker | None = None,
    ) -> None:
        self.context = context
        self.listener = listener
        self.gate = gate
        self.packer = packer
        self.slot = slot
        self.attempt = attempt
        self.metric = context.spec.metric.name if context.spec.metric else None
        self.took_s: float | None = None  # known at its end
        self.objectives = {metric.name: Course() for metric in context.spec.metrics}
        paths, name = context.place.paths, attempt.attempt_id
        self.tail = ReportTail(paths.reports(name))
        self.wandb = wandb_tail(context.place, attempt.run, name)
        self.histories = 0  # of W&B's, as far as their rows are known here
        self.begins_anew = False
        self.resumption: Resumption | None = None
        self.direct = False
        self.seq = 0
        self.unsent: list[Report] = []
        self.suggested: dict[str, Any] = {}  # to an objective, by parameter: value and distribution
        self.heard = 0  # messages of the program that were looked through for them
        self.unsent_suggestions = False
        self.count = 0
        self.newest: float | None = None
        self.audit: Mapping[str, Any] = attempt.run.proposal.get(AUDIT, {})  # what the rule said of a run that goes on
        self.unsent_audit = False
        self.said_of_value: Mapping[str, str] = {}  # what the program said that its value is
        self.unsent_value = False
        self.ended_well = False  # its process has ended with exit code 0
        self.verdict: Decision | None = None
        self.timed_out = False
        self.interrupted = False
        self.unheard = False  # the process could do nothing on SIGTERM: if it ends well, it ended by itself
        self.fenced = False
        self.kill_at: float | None = None
        self.began = self.submitted = time.monotonic()
        self.process: Started | None = None
        self.unsent_start: Started | None = None  # the process, until the record knows it
        self.send_at = 0.0
        self.kept: KeptEnd | None = None
        self.program_version = ""
        self.interpreter = ""

    def run(self) -> None:
        """Execute the attempt and record its end."""
        all_ended = False  # its processes
        try:
            self._resume()
            self.program_version = self.context.program_version()
            spec = prepare(self.context.place, self.attempt, self.slot, resumed=self.resumption is not None)
            self._ask_environment(spec.interpreter)
            lease_end = self.context.lease_ends.get(self.attempt.attempt_id)
            queue = self.context.launcher.submit(replace(spec, lease_end=lease_end))
            ended = self._until_exit(queue)
            all_ended = not self.fenced
        finally:
            (give_back_temp_dir if all_ended else remove_temp_dir)(self.attempt.attempt_id)
        self.ended_well = ended.status == 0
        self._read_reports(final=True)
        if self.fenced:
            kill_leftovers(self.attempt.attempt_id)
            return
        self._conclude(self._by_its_words(ended))

    def _ask_environment(self, interpreter: str) -> None:
        """Have the interpreter that runs the attempt say what its environment has, while the attempt runs."""
        if interpreter and self.context.packages is not None:
            self.interpreter = interpreter
            self.context.packages.ask(interpreter)

    def _resume(self) -> None:
        """Go on where an attempt stood whose W&B run was marked as preempting."""
        earlier = preempted_attempt(self.context.place, self.attempt)
        if earlier is not None:
            run, store = self.attempt.run, self.context.store
            reports = self.context.retry_while_unavailable(lambda: store.reports(run.run_id, attempt_id=earlier))
            self.resumption = Resumption(reports)

    def _until_exit(self, queue: "SimpleQueue[Event]") -> Exited:
        poll_s = self.context.settings.poll_s
        first_look_at = time.monotonic() + (_FIRST_LOOK_S if self.context.rule is None else 0)
        while True:
            try:
                event = queue.get(timeout=max(poll_s, first_look_at - time.monotonic()))
            except Empty:
                self._watch()
                continue
            if isinstance(event, NotStarted):
                raise LaunchError(event.reason)
            if isinstance(event, Exited):
                return event
            self._on_start(event)

    def _on_start(self, event: Started) -> None:
        # The record hears of it at the next look, or together with the end of an attempt that is over by then.
        self.process = self.unsent_start = event
        self.began = time.monotonic()
        self.context.emit(
            RunStarted(
                run=self.attempt.run,
                slot=self.slot.index,
                device=self.slot.device,
                warm=event.warm,
                ordinal=self.attempt.ordinal,
            )
        )

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Watch a running attempt: its reports, its limits, what the agent asks of it."""
        self._read_reports()
        if self.gate is not None:
            self.gate.sample(self.slot)
        if self.packer is not None:
            self.packer.sample(self.context.store, self.attempt.attempt_id, self.count)
        orders = self.context.orders
        now = time.monotonic()
        if self.attempt.attempt_id in orders.lost_leases:
            self._fence()
        limit = self.context.spec.extensions.timeout_s
        if limit is not None and self.process and now - self.began > limit and not self.timed_out:
            self.timed_out = self._end(signal.SIGTERM)
        if self.process and self.verdict is None and (why := orders.stopped.get(self.attempt.attempt_id)):
            self.verdict = Decision(stop=True, reason=why)
            self._end(signal.SIGTERM)
        if orders.terminates and not self.interrupted and self.process:
            self.interrupted = self._end(signal.SIGTERM, preempts=True)
        if self.process and (orders.interrupt_level >= 3 or (self.kill_at is not None and now > self.kill_at)):
            self.context.launcher.signal(self.attempt.attempt_id, signal.SIGKILL)

    def _end(self, number: int, *, preempts: bool = False) -> bool:
        """Ask the process to end; it is killed when it has not done so after the grace. False: it had ended before.

        Args:
            number: The signal.
            preempts: It is asked to save before; not one that was asked to end for good.
        """
        if self.kill_at is None and self.process:
            self.unheard = not hears(self.process.pid, number)
            if preempts:
                self._mark_preempted()
        still_ran = self.context.launcher.signal(self.attempt.attempt_id, number)
        if self.kill_at is None:
            self.kill_at = time.monotonic() + self.context.spec.extensions.kill_delay_s
        return still_ran

    def _mark_preempted(self) -> None:
        """Let the process know that SIGTERM asks it to save where it stands, for its run's next attempt.

        Whoever judges its end when this agent is gone finds there whether the process would hear it.
        """
        line = _UNHEARD if self.unheard else ""
        with contextlib.suppress(OSError):  # a full disk: nothing could be saved either
            self.context.place.paths.preempt_file(self.attempt.attempt_id).write_text(line)

    def _fence(self) -> None:
        """Another agent owns the run now: nothing of this attempt may go on."""
        self.context.launcher.signal(self.attempt.attempt_id, signal.SIGKILL)
        if not self.fenced:
            kill_leftovers(self.attempt.attempt_id)  # at once: the fork server may be frozen
        self.fenced = True

    def _read_reports(self, *, final: bool = False) -> None:
        """Take in what was newly reported, record it, and let the stopping rule judge it.

        What comes last (`final`) is recorded together with the end.
        """
        fresh = self._collect(final=final)
        waits = self.unsent or self.begins_anew or self.unsent_start or self.unsent_suggestions
        if waits and not (self.fenced or final):
            self._send()
        for report in fresh:
            self._judge(report)
        if self.unsent_audit and not (self.fenced or final):
            self._send()

    def _collect(self, *, final: bool) -> list[Report]:
        """Return what was reported since the last call, numbered; it waits in `unsent` for the record."""
        fresh = self.tail.read(final=final)
        self.direct = self.direct or bool(fresh)
        self._hear_suggestions()
        logged = self.wandb.read(final=final)
        if final:
            self._warn_of_texts()
        if final and self.wandb.shared:
            self.context.warn_once("several processes wrote one W&B run; only the first's, or rank 0's, counts")
        if not self.direct:  # a program that reports to us and logs to W&B as well says everything twice
            self._begin_anew()
            fresh = logged
        if self.resumption is not None:
            fresh = self.resumption.follow(fresh)
        numbered = [replace(report, seq=self.seq + i) for i, report in enumerate(fresh)]
        self.seq += len(numbered)
        self.unsent.extend(numbered)
        if numbered and not final:
            self._note_value()
        if self.metric is not None:
            values = [report.values[self.metric] for report in numbered if self.metric in report.values]
            self.newest = values[-1] if values else self.newest
        for report in numbered:
            self._note_objectives(report)
        return numbered

    def _hear_suggestions(self) -> None:
        """Take in the parameters that an objective was suggested since the last call; the record has them next."""
        new, self.heard = self.tail.messages[self.heard :], len(self.tail.messages)
        for noted in [message["_sweepkit_suggested"] for message in new if "_sweepkit_suggested" in message]:
            self.suggested[noted["name"]] = {"value": noted["value"], "distribution": noted["distribution"]}
            self.unsent_suggestions = True

    def _note_value(self) -> None:
        """Take in what the program says that its value is of its reports: whoever looks before it ends goes by that."""
        facts = self._given_facts()
        said = {name: str(facts[name]) for name in (VALUE_FACT, MEAN_OVER_FACT) if facts.get(name)}
        if said != self.said_of_value:
            self.said_of_value, self.unsent_value = said, True
            self.context.runs.note_value(self.attempt.run.number, said)

    def _warn_of_texts(self) -> None:
        """Warn once of a metric of the sweep that comes as text: it looks logged, and no run has a value of it."""
        for objective in self.context.spec.objectives:
            if objective.name in self.tail.dropped | self.wandb.dropped:
                rule = "must be reported as a number, got a text in some reports, which do not count"
                self.context.warn_once(f"{objective.name}: {rule}; convert it: float(…)")

    def _begin_anew(self) -> None:
        """Forget what was reported when the program began a further W&B run: its history is the run's, as at W&B."""
        if self.wandb.histories == self.histories:
            return
        if self.histories and self.seq and not self.direct:
            self.unsent, self.seq, self.begins_anew, self.newest = [], 0, True, None
            self.objectives = {name: Course() for name in self.objectives}
            self.context.runs.begin(self.attempt.run)
        self.histories = self.wandb.histories

    def _note_objectives(self, report: Report) -> None:
        """Take in what a report says of several objectives; their newest value is a bad one when there is one."""
        for name, history in self.objectives.items():
            if name in report.values:
                self.objectives[name] = history.extended((report.values[name],))
        if self.objectives:
            newest = [history[-1] for history in self.objectives.values() if history]
            self.newest = next((value for value in newest if not math.isfinite(value)), None)

    def _send(self) -> None:
        """Record what is unsent; while the store is away it is kept, and sent later in order."""
        if time.monotonic() < self.send_at:
            return
        try:
            self._deliver()
        except FencedError:
            self._fence()
        except StoreError as error:
            self.context.away(error)
            self.send_at = time.monotonic() + _AGAIN_S

    def _deliver(self) -> None:
        """Record what is unsent. Raises FencedError, StoreError."""
        store, unsent = self.context.store, self._unsent()
        if unsent.pid is not None:
            store.started(self.attempt, pid=unsent.pid, device=unsent.device, age_s=unsent.age_s)
            self.unsent_start = None
        self._deliver_changes()
        if unsent.reports:
            store.report(self.attempt, unsent.reports, metric=unsent.metric, goal=unsent.goal)
            self.unsent = []
        self.context.back()

    def _unsent(self) -> Unsent:
        """Return what is still to be recorded of the process and of its reports."""
        metric = self.context.spec.metric
        return Unsent(
            pid=None if self.unsent_start is None else self.unsent_start.pid,
            device=self.slot.device,
            age_s=time.monotonic() - self.began,
            reports=tuple(self.unsent),
            metric=self.metric,
            goal=metric.goal if metric else None,
        )

    def _deliver_changes(self) -> None:
        """Record what changes the run beside its reports. Raises FencedError, StoreError."""
        store = self.context.store
        if self.unsent_suggestions or self.unsent_audit or self.unsent_value:
            suggested = {name: item["value"] for name, item in self.suggested.items()}
            noted: dict[str, Any] = {"suggestions": self.suggested} if self.suggested else {}
            noted |= {AUDIT: dict(self.audit)} if self.audit else {}
            noted |= self.said_of_value
            params = suggested if self.suggested else self.attempt.run.params
            store.suggested(self.attempt, params, {**self.attempt.run.proposal, **noted})
            self.unsent_suggestions = self.unsent_audit = self.unsent_value = False
        if self.begins_anew:
            store.begin_anew(self.attempt)
            self.begins_anew = False

    def _judge(self, report: Report) -> None:
        """Judge the run after one report, and end it if the rule says so."""
        self.count += 1
        value = report.values.get(self.metric) if self.metric else None
        margin = None
        view: RunView | None = None
        if value is not None:
            instances = self.context.runs.instances((report,))
            view = self.context.runs.extend(self.attempt.run.number, (value,), instances)
        elif any(name in report.values for name in self.objectives):
            view = self._view_of_objectives()
        if view is not None:
            if any(metric.target is not None for metric in self.context.spec.objectives):  # a vector is of all reports
                self.listener.check_target(self._vector().get(OUTCOME, {}) if self.objectives else report.values)
            if self.verdict is None and self.context.rule is not None:
                decision = self.context.runs.judge(self.context.rule, view)
                margin = decision.margin
                if decision.stop and not self._goes_on(decision, view):
                    self.verdict = decision
                    self._end(signal.SIGTERM)
        self.context.emit(
            RunReported(
                run_id=self.attempt.run.run_id,
                number=self.attempt.run.number,
                slot=self.slot.index,
                values=report.values,
                value=value,
                reports=self.count,
                margin=margin,
            )
        )

    def _goes_on(self, decision: Decision, view: RunView) -> bool:
        """Return whether a run is not ended though a rule says so: it has made its last report, or is audited."""
        if decision.diverged:
            return False
        if self.audit or (self.ended_well and self.kill_at is None) or self.context.runs.has_made_all(view):
            return True
        share, seed = self.context.spec.extensions.audit_stopped, self.context.sweep.seed
        if share is None or not is_audited(self.context.runs.stops(), share, seed):
            return False
        self.audit = {"report": len(view.history), "reason": decision.reason}
        self.unsent_audit = True
        self.context.runs.note_audit(self.attempt.run.number, self.audit)
        line = f"run {self.attempt.run.number} goes on to audit the stopping rule, which says: {decision.reason}"
        self.context.emit(Notice(text=line))
        return True

    def _view_of_objectives(self) -> RunView:
        """Return the run with all that this attempt reported of several objectives, and its summaries."""
        return replace(
            view_of(self.attempt.run),
            objectives=tuple(self.objectives.values()),
            summaries=tuple(map(self._summary_of, self.objectives)),
        )

    def recover(self, ended: Exited) -> bool:
        """Record an attempt that ended by itself while nobody listened: its agent was killed, or ended, before.

        Args:
            ended: How its process ended, as somebody wrote it down; its status is None when nobody did.

        Returns:
            Whether anything shows that it had ended; False when it was killed with its agent, or nobody knows.
        """
        self._resume()
        self._collect(final=True)
        self.kept = kept_end(self.context.place.paths.exit_file(self.attempt.attempt_id))
        ended = self._by_its_words(ended)
        if self.kept is None and (ended.status is None or ended.status < 0):
            return False
        with contextlib.suppress(FileNotFoundError):
            heard = self.context.place.paths.preempt_file(self.attempt.attempt_id).read_text()
            self.interrupted, self.unheard = True, heard == _UNHEARD
        self._conclude(ended)
        return True

    # -- its end ------------------------------------------------------------------------------------------------------

    def _by_its_words(self, ended: Exited) -> Exited:
        """Return how the attempt ended by its own words, where nobody saw its process end: W&B's last record, or ours.

        W&B's client writes the exit code when the run is finished, at the latest as the interpreter ends: after that
        nothing is left to do. A process that is killed before leaves none.
        """
        if ended.status is not None:
            return ended
        if self._messages().get("_sweepkit_finished") is True:
            return replace(ended, status=0)
        return replace(ended, status=self.wandb.exit_code)

    def _conclude(self, ended: Exited) -> None:
        """Record the end; once Ctrl-C ends the waiting for a database that is away, keep it for the next agent."""
        duration_s = ended.duration_s or time.monotonic() - self.began
        self.took_s = round(duration_s, 4)
        try:
            self._record(ended)
        except FencedError:
            self._fence()
        except StoreError as error:
            self._keep(ended, error)

    def _record(self, ended: Exited) -> None:
        """Write what came of the attempt into the record and the result file. Raises FencedError, StoreError."""
        outcome = self.kept.outcome if self.kept else self._outcome(ended)
        facts = self._facts(ended, outcome)
        # What the store could not take while it was away comes first: an ended attempt takes no reports any more.
        self.context.retry_while_unavailable(self._deliver_changes, ended=True)
        self.context.note_unsent(self.attempt.attempt_id)
        run = self.context.retry_while_unavailable(
            lambda: self.context.store.finish(
                self.attempt,
                outcome.state,
                reason=outcome.reason,
                outcome=facts,
                summary=self._summary(),
                failure=outcome.failure,
                unsent=self._unsent(),
            ),
            ended=True,
        )
        self.context.back()
        self._clear_preemption(run)
        if run.state.done:
            self._write_result(run)
        self.listener.ended(run, self.slot, outcome)
        # The record keeps the reason of a run that is done; of one that is retried it goes to the user here.
        run = run if run.state.done else replace(run, reason=outcome.reason)
        self.context.emit(
            RunEnded(run=run, slot=self.slot.index, duration_s=self.took_s or 0.0, messages=dict(self._messages()))
        )

    def _write_result(self, run: RunRecord) -> None:
        """Write the result file; where that fails it is written at the end of the call, or by the next one."""
        try:
            self.context.write_result(run)
            self.context.carry_files(run, self.attempt.attempt_id)
        except OSError as error:
            self.context.disk.full()
            self.context.warn_once(f"result files cannot be written, tried again at the end: {error}")
        except StoreError as error:
            self.context.warn_once(f"the files of some runs stay on {self.context.host}: {error}")

    def _keep(self, ended: Exited, error: StoreError) -> None:
        """Keep the end beside the sweep's files, in room that was taken before the attempt began."""
        outcome = self.kept.outcome if self.kept else self._judged(ended, past=())
        file = self.context.place.paths.exit_file(self.attempt.attempt_id)
        kept = KeptEnd(outcome=outcome, facts=self._place_facts())
        line = f"run {self.attempt.run.run_id} has ended ({outcome.state.value}), and the database does not take it"
        if write_end(file, {**ended.facts(), "outcome": kept.plain()}):
            self.context.emit(Notice(text=f"{line}: it is kept in {file}, and recorded by the next call", warning=True))
        else:
            self.context.emit(Notice(text=f"{line}: it is NOT kept, {file} cannot be written: {error}", warning=True))

    def _clear_preemption(self, run: RunRecord) -> None:
        """Remove what only the attempt needed, and what only a further one would."""
        paths = self.context.place.paths
        with contextlib.suppress(OSError):
            paths.preempt_file(self.attempt.attempt_id).unlink()
        if run.state.done:
            shutil.rmtree(paths.checkpoint(run.run_id), ignore_errors=True)

    def _outcome(self, ended: Exited) -> AttemptOutcome:
        """Judge the attempt by its end and by the run's earlier attempts. Raises StoreError."""
        return self._judged(ended, past=self._past_failures() if ended.status or self.wandb.exit_code else ())

    def _judged(self, ended: Exited, *, past: Sequence[PastFailure]) -> AttemptOutcome:
        run_status = self.wandb.exit_code
        interrupted = self.interrupted or (self.context.orders.terminates and ended.status != 0)
        timed_out = self.timed_out
        if ended.status == 0 and self.unheard:
            interrupted = timed_out = False  # it ended by itself as it was asked to
        if interrupted and self._messages().get("_sweepkit_finished") is True:
            # All its work was done when it was asked to end, and it says so.
            interrupted, run_status, ended = False, 0, replace(ended, status=0)
        failed = bool(ended.status or (ended.status == 0 and run_status))
        tail = log_tail(self.context.place.paths.log(self.attempt.attempt_id)) if failed else ""
        ending = Ending(
            status=ended.status,
            verdict=self.verdict or self._pruned(),
            interrupted=interrupted,
            timeout_s=self.context.spec.extensions.timeout_s if timed_out else None,
            newest=self.newest,
            log_tail=tail,
            elsewhere=self.context.slots.has_other(self.slot),
            disk_full=failed and self._wanted_room(tail),
            run_status=run_status,
            preempting=self.wandb.preempting,
            beside=failed and self._had_others(),
        )
        extensions = self.context.spec.extensions
        return judge(ending, past=past, retries=extensions.retries, rules=extensions.on_failure)

    def _had_others(self) -> bool:
        """Return whether others were put beside it on its GPU; False where the database that knows is away."""
        if self.packer is None:
            return False
        with contextlib.suppress(StoreError):
            return self.packer.beside(self.context.store, self.attempt.attempt_id)
        return False

    def _pruned(self) -> Decision | None:
        """Return that the program ended itself as a study's pruner wanted; None when it did not."""
        reason = self._messages().get("_sweepkit_pruned")
        return None if reason is None else Decision(stop=True, reason=f"pruned {reason}")

    def _wanted_room(self, tail: str) -> bool:
        """Return whether a failed attempt may have failed for want of room on its disk: full now, or then and mute."""
        disk = self.context.disk
        return disk.full() or (not tail.strip() and disk.full_since(self.submitted))

    def _past_failures(self) -> list[PastFailure]:
        """Return how the run's earlier attempts failed since it was last given up; [] for a first attempt."""
        past: list[PastFailure] = []
        if self.attempt.ordinal == 1:
            return past
        for attempt in self.context.retry_while_unavailable(
            lambda: self.context.store.attempts(self.attempt.run.run_id), ended=True
        ):
            failed = attempt.outcome.get("failed")
            if failed and failed["final"]:
                past = []  # --retry-failed gives a run a new start
            elif failed:
                past.append(PastFailure(kind=failed["kind"], signature=failed["signature"]))
        return past

    def _facts(self, ended: Exited, outcome: AttemptOutcome) -> dict[str, Any]:
        facts = self._measures(ended)
        if outcome.failed is not None:
            facts["failed"] = {
                "kind": outcome.failed.kind.value,
                "signature": outcome.failed.signature,
                "final": outcome.state.done,
            }
            facts["log_tail"] = log_tail(self.context.place.paths.log(self.attempt.attempt_id))[-_KEPT_LOG_CHARS:]
        return facts

    def _measures(self, ended: Exited) -> dict[str, Any]:
        return {
            **self._name(),
            **self._history_file(),
            "exit_code": ended.status if ended.status is None or ended.status >= 0 else None,
            "signal": -ended.status if ended.status is not None and ended.status < 0 else None,
            "duration_s": self.took_s,
            "host": self.context.host,
            **(self.kept.facts if self.kept else self._place_facts()),
            "peak_memory_mb": ended.peak_memory_mb,
            **({"peak_gpu_memory_mb": mb} if self.gate and (mb := self.gate.taken_mb(self.slot)) is not None else {}),
            **self._packing(),
            "cpu_s": ended.cpu_s,
            "reports": self.seq,
            **({AUDIT: dict(self.audit)} if self.audit else {}),
            **({"summary_metrics": summary} if (summary := self._summary_metrics()) else {}),
            **self._vector(),
            **self._labels(),
            **({"facts": facts} if (facts := self._given_facts()) else {}),
        }

    def _given_facts(self) -> Any:
        """Return the facts that the program reported; what it said to W&B of its value goes after that."""
        line = self._messages().get("_sweepkit_facts", {})
        return {**self._declared(), **line} if isinstance(line, dict) else line

    def _declared(self) -> dict[str, str]:
        """Return what `define_metric` says that the run's value is, as a fact; {} where the YAML says it."""
        metric = self.context.spec.metric
        said = None if metric is None or self.context.spec.extensions.value else self.wandb.definition(metric.name)
        if metric is None or said is None:
            return {}
        rule = rule_of_summary(said.kinds, metric.goal, Goal(said.goal) if said.goal else None)
        return {VALUE_FACT: rule} if rule else {}

    def _packing(self) -> dict[str, Any]:
        """Return what was measured of it for the runs that share its GPU; {} when it was not placed by that."""
        if self.packer is None:
            return {}
        return self.packer.facts(self.context.store, self.attempt.attempt_id, self.took_s or 0.0, self.count)

    def _history_file(self) -> dict[str, str]:
        """Return where the rows of its W&B run are, when they are the run's history; relative to the sweep's folder."""
        path, root = self.wandb.path, os.path.realpath(self.context.place.paths.root)
        if self.direct or path is None or not os.path.realpath(path).startswith(root + os.sep):
            return {}
        return {"history_file": os.path.relpath(os.path.realpath(path), root)}

    def _labels(self) -> dict[str, Any]:
        """Return the tags and the notes of its own W&B run; {} without any."""
        own = self.wandb.run
        labels = {} if own is None else {"tags": list(own.tags), "notes": own.notes}
        return {name: value for name, value in labels.items() if value}

    def _name(self) -> dict[str, Any]:
        """Return the run's name when it is not the one that follows from its id: the program's own, or a template's."""
        run, own = self.attempt.run, self.wandb.run
        name = (own.name if own else "") or name_of_run(self.context.place, run)
        return {} if name == run.name and "name" not in run.outcome else {"name": name}

    def _place_facts(self) -> dict[str, Any]:
        """Return what the record keeps of where and how the attempt ran."""
        return {
            "device": self.slot.device,
            "slot": self.slot.index,
            "seed": seed_of_attempt(self.context.place, self.attempt),
            "warm": bool(self.process and self.process.warm),
            **({"program_version": self.program_version} if self.program_version else {}),
            **self._environment(),
        }

    def _environment(self) -> dict[str, Any]:
        """Return which interpreter ran the attempt, and which packages of its environment the program imports."""
        if not self.interpreter or self.context.packages is None:
            return {}
        return {"interpreter": self.interpreter, "package_versions": dict(self.context.packages.of(self.interpreter))}

    def _messages(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for message in self.tail.messages:
            merged.update(message)
        return merged

    def _vector(self) -> dict[str, Any]:
        """Return what the record keeps of several objectives: the run's value of each, once all are known."""
        if not self.objectives:
            return {}
        metrics = self.context.spec.metrics
        values = objectives_of(self._view_of_objectives(), metrics)
        if values is None:
            return {}
        return {OUTCOME: {metric.name: value for metric, value in zip(metrics, values, strict=True)}}

    def _summary(self) -> float | None:
        """Return the metric's value in a summary: ours, or W&B's."""
        return None if self.metric is None else self._summary_of(self.metric)

    def _summary_metrics(self) -> dict[str, Any]:
        return {**self.wandb.summary, **self._messages().get("_sweepkit_summary", {})}

    def _summary_of(self, name: str) -> float | None:
        value = self._summary_metrics().get(name, self.took_s if name == RUNTIME else None)
        return float(value) if isinstance(value, int | float) else None
