"""From a free slot to the first training step: warm starts and fresh processes of the same trainer, pair by pair.

    python benchmarks/warm_start.py            5 pairs, about 3 minutes; writes benchmarks/results/warm_start.{md,json}
    python benchmarks/warm_start.py --pairs 1 --max-steps 4

Each start does what a worker of the agent does with a free slot: it claims a run in the record, prepares its files, and
hands it to the launcher; a warm one is forked by the real fork server, a fresh one (`--cold`) is a new interpreter. The
clock runs from before the claim to the beginning of the first optimizer step, which the trainer itself reports. Both
run `code/trainer.py` with config/base_config.yaml on the embedded data and model, with the same parameters and the
same seed; every metric of every evaluation must be the same float, bit for bit, or the benchmark fails.
"""

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import CODE, Others, folder, machine, machine_text, parser, save, spread, table, verdict

from sweepkit.agents.launcher import Exited, LocalLauncher, Started
from sweepkit.agents.prepare import Workplace, prepare
from sweepkit.agents.slots import Slot, make_slots
from sweepkit.agents.worker import log_tail
from sweepkit.paths import BASE_CONFIG, SweepPaths
from sweepkit.store.base import Store
from sweepkit.store.open import open_store
from sweepkit.sweep_config.read import read_sweep
from sweepkit.tracking.reports import ReportTail

TARGET_S = 0.3
TARGET_RATIO = 20.0
PARAMETERS = {"learning_rate": 3e-3, "per_device_train_batch_size": 16}
_SWEEP = """\
name: warm_start
program: {program}
method: grid
metric: {{name: eval/rouge_combined_f1, goal: maximize}}
parameters: {{learning_rate: {{value: 3.0e-3}}, per_device_train_batch_size: {{value: 16}}}}
sweepkit: {{preload: [sweepkit.training.preload]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One training.

    Args:
        warm: Whether it was forked from a warm process, as the fork server tells.
        first_step_s: From before its claim to the beginning of its first step.
        forked_s: From before its claim to the arrival of the news that its process exists.
        total_s: From before its claim to its recorded exit.
        history: Every evaluation: name to value as `float.hex()`, which is exact.
    """

    warm: bool
    first_step_s: float
    forked_s: float
    total_s: float
    history: tuple[dict[str, str], ...]


class Bench:
    """A record, a sweep of trainings in it, and the one slot that they run on."""

    def __init__(self, place: Path, *, parameters: dict[str, Any]) -> None:
        self.file = place / "warm_start.yaml"
        self.file.write_text(_SWEEP.format(program=CODE / "trainer.py"), encoding="utf-8")
        self.spec = read_sweep(self.file)
        self.parameters = parameters
        self.paths = SweepPaths(place, self.spec.name)
        self.paths.logs.mkdir(parents=True)
        self.slot: Slot = make_slots(1, gpus=(), gpus_per_run=None, cpus_per_run=None)[0]
        self.store: Store = open_store(place / "record.db")
        self.sweep, _ = self.store.create_sweep(self.spec.name, text=self.spec.text, seed=0, metric=None, goal=None)
        self.place = Workplace(
            spec=self.spec,
            paths=self.paths,
            program=str(CODE / "trainer.py"),
            cwd=str(place),
            base_config=str(BASE_CONFIG),
            inherited=dict(os.environ),
        )
        self.started = 0

    def launcher(self, *, cold: bool) -> LocalLauncher:
        """Return a launcher as the agent makes it."""
        return LocalLauncher(
            log=self.paths.logs / "forkserver.log",
            preload=self.spec.extensions.preload,
            cold=cold,
            env=self.slot.threads(os.environ),
        )

    def start(self, launcher: LocalLauncher) -> Start:
        """Run one training to its end; raises RuntimeError with the end of its log when it failed."""
        began = time.time()
        attempt = self.store.add_and_claim(
            self.sweep.sweep_id, self.started, self.parameters, agent_id="benchmark", host="here", lease_s=600
        )
        if attempt is None:
            raise RuntimeError("the record gave no run")
        self.started += 1
        queue = launcher.submit(prepare(self.place, attempt, self.slot))
        started = queue.get()
        forked_s = time.time() - began
        ended = queue.get()
        if not isinstance(started, Started) or not isinstance(ended, Exited) or ended.status != 0:
            raise RuntimeError(f"the training failed: {ended}\n{log_tail(self.paths.log(attempt.attempt_id))}")
        tail = ReportTail(self.paths.reports(attempt.attempt_id))
        reports = tail.read(final=True)
        first = next(message["_sweepkit_first_step"] for message in tail.messages if "_sweepkit_first_step" in message)
        return Start(
            warm=started.warm,
            first_step_s=first - began,
            forked_s=forked_s,
            total_s=time.time() - began,
            history=tuple({name: value.hex() for name, value in report.values.items()} for report in reports),
        )


def measure(pairs: int, parameters: dict[str, Any]) -> tuple[Start, list[Start], list[Start]]:
    """Return the first start of an agent (it pays for the warm-up), the warm starts and the fresh ones, interleaved."""
    with folder() as place:
        bench = Bench(place, parameters=parameters)
        warm_launcher, cold_launcher = bench.launcher(cold=False), bench.launcher(cold=True)
        try:
            first = bench.start(warm_launcher)
            warm, fresh = [], []
            for _ in range(pairs):
                warm.append(bench.start(warm_launcher))
                fresh.append(bench.start(cold_launcher))
        finally:
            warm_launcher.close()
            cold_launcher.close()
            bench.store.close()
    check(first, warm, fresh)
    return first, warm, fresh


def check(first: Start, warm: list[Start], fresh: list[Start]) -> None:
    """Raise RuntimeError unless all starts were what they should be and computed the same bits."""
    # The first one may teach: a fork of a server that has imported nothing, which counts as fresh.
    wrong = [start for start in warm if not start.warm] + [start for start in fresh if start.warm]
    if wrong:
        raise RuntimeError(f"{len(wrong)} starts were warm that should be fresh, or fresh that should be warm")
    reference = fresh[0].history
    if not reference:
        raise RuntimeError("the trainings reported no evaluation")
    for number, start in enumerate([first, *warm, *fresh]):
        if start.history != reference:
            kind = "warm" if start.warm else "fresh"
            raise RuntimeError(
                f"training {number} ({kind}) computed other bits than the first fresh one:\n"
                f"  {start.history}\n  {reference}"
            )


def report(first: Start, warm: list[Start], fresh: list[Start], facts: dict[str, Any]) -> str:
    """Return the table and its conclusions."""
    warm_s = spread([start.first_step_s for start in warm])
    fresh_s = spread([start.first_step_s for start in fresh])
    ratio = fresh_s.median / warm_s.median
    rows = [
        _row("warm (forked)", warm, ratio),
        _row("fresh process (`--cold`)", fresh, 1.0),
        _row("first run of an agent: waits for the warm-up", [first], fresh_s.median / first.first_step_s),
    ]
    values = sum(len(row) for row in fresh[0].history)
    return "\n".join(
        [
            "# From a free slot to the first training step",
            "",
            "`python benchmarks/warm_start.py`; what is measured stands in [README.md](../README.md).",
            "",
            table(["start", "trainings", "s to the first step: median (range)", "whole training s", "faster"], rows),
            "",
            f"Warm: {warm_s.median:.3f} s; {verdict(warm_s.median, at_most=TARGET_S)}. {ratio:.0f} times faster than a "
            f"fresh process; {verdict(ratio, at_least=TARGET_RATIO)}.",
            f"All {values} metric values of all {len(warm) + len(fresh) + 1} trainings are bit-identical.",
            "",
            machine_text(facts),
        ]
    )


def _row(name: str, starts: list[Start], ratio: float) -> list[str]:
    steps = spread([start.first_step_s for start in starts])
    total = spread([start.total_s for start in starts])
    return [name, str(len(starts)), steps.text(3), f"{total.median:.1f}", f"{ratio:.1f}×"]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--pairs", type=int, default=5, help="warm and fresh trainings, in turn (5)")
    options_parser.add_argument("--max-steps", type=int, help="shorter trainings, for a try")
    options = options_parser.parse_args(argv)
    parameters = PARAMETERS | ({} if options.max_steps is None else {"training.max_steps": options.max_steps})
    facts, others = machine(quiet_s=options.quiet_s), Others()
    first, warm, fresh = measure(options.pairs, parameters)
    others.finish(facts)
    starts = {"first": [first], "warm": warm, "fresh": fresh}
    data = {
        "machine": facts,
        "parameters": parameters,
        **{k: [dataclasses.asdict(s) for s in v] for k, v in starts.items()},
    }
    save(options.output, "warm_start", text=report(first, warm, fresh, facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
