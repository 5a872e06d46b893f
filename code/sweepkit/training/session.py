"""One training from its configuration to its result file: opens what it reports to, trains, writes what came of it."""

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweepkit.environ import ASKED_ENV, RUN_DIR_ENV, RUNS_DIR_ENV
from sweepkit.errors import DataError
from sweepkit.model.records import SEED_FACT
from sweepkit.paths import default_output_dir, slug
from sweepkit.text.shown import say
from sweepkit.tracking.reports import ReportWriter
from sweepkit.training import environment
from sweepkit.training.config.reproduction import Reproduction, Row, compare, differences, digest, section_of
from sweepkit.training.config.training import AnyConfig, as_dict, route
from sweepkit.training.preemption import EXIT_CODE, Preempted, Preemption
from sweepkit.training.results import Evaluation, write_json, write_text
from sweepkit.training.tasks.base import Listeners, Outcome, Reporter, task
from sweepkit.training.usage import RecordedConfig

_FACTS = "_sweepkit_facts"
_RESULT_NAME = "training_results.json"
_SURROUNDINGS_NAME = "surroundings.json"  # for a run that a stopping rule ends, which has no result


class _RecordingReporter:
    """Hears the rows of a training, to compare them at its end, and passes everything on.

    Args:
        reporter: Where everything goes, or None.
        begun: Called before the first row: by then data and checkpoint have proved to be sound.
        seed: That it trains with.
    """

    def __init__(self, reporter: Reporter | None, begun: Callable[[], None], *, seed: int) -> None:
        self.rows: list[Row] = []
        # What stands under `facts` in the run's result: a later message replaces it.
        self._facts: dict[str, Any] = {SEED_FACT: seed}
        self._reporter, self._begun = reporter, begun

    def report(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Keep one row of metrics."""
        if not self.rows:
            self._begun()
        self.rows.append((step, dict(values)))
        if self._reporter is not None:
            self._reporter.report(values, step)

    def message(self, **message: Any) -> None:
        """Pass one message on; facts are added to those before."""
        if _FACTS in message:
            self._facts |= message[_FACTS]
            message = {**message, _FACTS: self._facts}
        if self._reporter is not None:
            self._reporter.message(**message)


def _output_directory(config: AnyConfig, environ: Mapping[str, str], model: str) -> Path:
    """Return where the training writes: as configured, else its run's folder in a sweep, else by model and seed."""
    if config.output.directory:
        return Path(config.output.directory).expanduser()
    if environ.get(RUN_DIR_ENV):
        return Path(environ[RUN_DIR_ENV])
    if environ.get(RUNS_DIR_ENV) and environ.get("WANDB_RUN_ID"):  # a W&B agent of ours started it
        return Path(environ[RUNS_DIR_ENV], environ["WANDB_RUN_ID"])
    return default_output_dir(environ) / f"{slug(model or Path(config.model.name).name)}_seed{config.training.seed}"


def run(
    config: AnyConfig,
    *,
    names: Sequence[str],
    environ: Mapping[str, str],
    written: AnyConfig | None = None,
    model: str = "",
) -> int:
    """Train and write `results/training_results.json`; say whether it is what the configuration must reproduce.

    Args:
        config: Complete and valid.
        names: Names of the parameters given on the command line; those that the training uses are reported.
        environ: The environment.
        written: The configuration as its file has it, when the call has changed any of it.
        model: What the folder of its results is called, before the seed; "" for the checkpoint's name.

    Returns:
        0. A training that diverged returns 0 too: its reports and its result say so, and trying again would not help.
        143 when it was preempted and has saved where it stands.

    Raises:
        SweepKitError: Data, checkpoint, report file or output directory stand in the way.
    """
    started, clock = time.time(), time.monotonic()
    recorded = RecordedConfig(config)
    directory = _output_directory(recorded.config, environ, model)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"output.directory: must be a folder that can be written, got {directory}: {error.strerror}"
        ) from None
    _use_threads(config, environ)
    tracker = _tracker(recorded, directory, environ)
    file = directory / "results" / _RESULT_NAME
    surroundings: dict[str, Any] = {}
    aside = file.with_name(_SURROUNDINGS_NAME)
    writer = ReportWriter.from_env(environ)
    reporter = _RecordingReporter(writer, lambda: write_json(aside, surroundings), seed=config.training.seed)
    exit_code = 1
    try:
        train = task(config.task)
        surroundings |= environment.surroundings(config)
        preemption = _preemption(config, surroundings, environ)
        listeners = Listeners(
            say=_say,
            used=lambda: _used(names, recorded),
            reporter=reporter,
            tracker=tracker,
            preemption=preemption,
        )
        outcome = train(recorded, directory, listeners)
        reporter.message(**{_FACTS: _resources(outcome)})
        result = {**_result(config, outcome, started, time.monotonic() - clock), **surroundings}
        result["device"] = outcome.device
        again = None if RUN_DIR_ENV in environ else _reproduction(config, written, reporter.rows, result)
        if again is not None:
            result["reproduction"] = again.as_dict()
        for name, text in outcome.files.items():
            write_text(file.with_name(name), text)
        write_json(file, result)
        exit_code = 0
    except Preempted:
        return EXIT_CODE
    finally:
        if tracker is not None:
            tracker.finish(exit_code)
    if preemption is not None:
        preemption.discard()
        reporter.message(finished=True)
    _say(_last_line(outcome, result["duration_s"], file))
    if again is not None:
        _say(again.line)
    return 0


def _resources(outcome: Outcome) -> dict[str, Any]:
    """Return what the run's own result says of memory, beside what the training reported as facts."""
    full = outcome.facts.get("out_of_memory")
    folds = outcome.facts.get("folds")
    if full is None and isinstance(folds, list):
        full = next((fold["out_of_memory"] for fold in folds if fold.get("out_of_memory")), None)
    more = {} if full is None else {"out_of_memory": full}
    return {"peak_memory_bytes": environment.peak_memory_bytes(), **more}


def _preemption(config: AnyConfig, surroundings: Mapping[str, Any], environ: Mapping[str, str]) -> Preemption | None:
    """Return what answers the agent that gives this run back, ready for its signal; None outside a sweep."""
    key = {"settings": digest(config), "data": surroundings["data"], "versions": surroundings["versions"]}
    preemption = Preemption.from_env(environ, key=key, say=_say)
    if preemption is not None:
        preemption.install()
    return preemption


def _use_threads(config: AnyConfig, environ: Mapping[str, str]) -> None:
    """Use as many threads as the run that is to be reproduced did, unless the user says how many.

    Sums are added in another order with other threads, which shows in the seventh digit.
    """
    section = section_of(config)
    if section is not None and section.threads and "OMP_NUM_THREADS" not in environ:
        os.environ["OMP_NUM_THREADS"] = str(section.threads)


def _reproduction(
    config: AnyConfig, written: AnyConfig | None, rows: Sequence[Row], result: Mapping[str, Any]
) -> Reproduction | None:
    """Return whether the training came to what its configuration must reproduce; None when that says nothing."""
    section = section_of(config)
    if section is None:
        return None
    differs = differences(section, config, result, written)
    if result.get("out_of_memory"):
        differs = (*differs, "memory was full, so batches were cut")
    return compare(section, rows, differs)


def _say(line: str) -> None:
    """Print a line for the user, at once even into a pipe."""
    say(line, flush=True)


def _used(names: Sequence[str], recorded: RecordedConfig[Any]) -> list[str]:
    """Return the given names whose field was read."""
    return [name for name in names if route(name, type(recorded.raw)) in recorded.read]


def _tracker(recorded: RecordedConfig[Any], directory: Path, environ: Mapping[str, str]) -> Any:
    """Return a W&B run when the configuration or the sweep wants one; W&B is imported only then."""
    wandb = recorded.config.wandb
    wanted = wandb.enabled and wandb.mode != "disabled"
    if environ.get("WANDB_MODE") == "disabled" or not (wanted or environ.get(ASKED_ENV) in ("offline", "online")):
        return None
    from sweepkit.tracking.wandb_run import start_run  # type: ignore[import-not-found,unused-ignore]

    return start_run(as_dict(recorded.raw), project=wandb.project, directory=directory)


def _metrics(evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Return an evaluation as it stands in the result file."""
    if evaluation is None:
        return None
    return {**evaluation.metrics, "step": evaluation.step, "epoch": evaluation.epoch}


def _result(config: AnyConfig, outcome: Outcome, started: float, duration_s: float) -> dict[str, Any]:
    """Return the content of the result file. Values that are not finite become null there."""
    begun = datetime.datetime.fromtimestamp(started, datetime.UTC)
    return {
        "state": "diverged" if outcome.diverged else "finished",
        "best_metrics": _metrics(outcome.best),
        "last_metrics": _metrics(outcome.history[-1] if outcome.history else None),
        "history": [_metrics(evaluation) for evaluation in outcome.history],
        "config": as_dict(config),
        "seed": config.training.seed,
        "started_at": begun.isoformat(timespec="seconds"),
        "duration_s": round(duration_s, 3),
        "steps": outcome.steps,
        "train_rows": outcome.train_rows,
        "val_rows": outcome.val_rows,
        "peak_memory_bytes": environment.peak_memory_bytes(),
        **outcome.facts,
        "pid": os.getpid(),
    }


def _last_line(outcome: Outcome, duration_s: float, file: Path) -> str:
    """Return the closing line."""
    if outcome.diverged:
        return f"diverged: the loss is not finite at step {outcome.history[-1].step}, {duration_s:.1f} s; {file}"
    best = outcome.best
    best_words = "nothing was evaluated"
    if best is not None:
        name = outcome.metric if outcome.metric in best.metrics else "loss"
        which = f"mean over {best.metrics.get('fold', 0):.0f} folds" if outcome.cumulative else f"at step {best.step}"
        best_words = f"{'' if outcome.cumulative else 'best '}eval/{name} {best.metrics[name]:.4f}, {which}"
    return f"trained in {duration_s:.1f} s, {outcome.steps} steps: {best_words}; {file}"
