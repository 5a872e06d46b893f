"""The files that a sweep leaves: table, specification, best configuration."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweepkit.analysis.ranking import best_configuration, recorded_front
from sweepkit.files import write_atomically
from sweepkit.model.objectives import report_of, values_of
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.paths import SweepPaths
from sweepkit.reports.seeds_table import best_in_words
from sweepkit.reports.table import as_csv, worth_text
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.json_text import json_text, read_object
from sweepkit.text.yaml_text import comment


def write_spec(paths: SweepPaths, spec: SweepSpec) -> None:
    """Write the sweep's YAML as it is run."""
    paths.root.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.spec, spec.text)


def write_identity(paths: SweepPaths, sweep: SweepRecord) -> None:
    """Write what only the record knows of a sweep, and its YAML, so that a record can be made again from its files."""
    fields = ("sweep_id", "name", "family", "generation", "seed", "metric", "goal", "created_at", "meta", "text")
    write_atomically(paths.identity, json_text({name: getattr(sweep, name) for name in fields}, indent=2) + "\n")


def write_table(paths: SweepPaths, spec: SweepSpec, runs: Sequence[RunRecord]) -> None:
    """Write `runs.csv`, best run first."""
    write_atomically(paths.table, as_csv(spec, runs))


def write_best_config(
    paths: SweepPaths, spec: SweepSpec, runs: Sequence[RunRecord], *, base_config: Path | None
) -> Path | None:
    """Write the best run's configuration; return its path, None when no run has a value.

    With several objectives each run of the front gets a file in `best_configs/`, whose path is returned.

    Args:
        paths: The sweep's files.
        spec: The sweep.
        runs: Its runs.
        base_config: The training configuration that the trainer used; its file is then complete and `trainer.py
            --config` takes it. None for any other program: the file then holds the parameters alone.
    """
    if spec.metrics:
        return _write_best_configs(paths, spec, runs, base_config)
    best = best_configuration(runs, spec.metric, seed_parameter=spec.extensions.seed_parameter)
    if best is None:
        return None
    text = _config_text(paths, spec, best.first, base_config)
    words = best_in_words(spec, runs, best)
    of = f"{words}; here with the seed of its run {best.first.run_id}" if best.several else f"run {best.first.run_id}"
    head = f"Best of sweep {paths.root.name}: {of}.\n{_moment(best.first, spec)}"
    write_atomically(paths.best_config, comment(head) + text)
    return paths.best_config


def _moment(run: RunRecord, spec: SweepSpec) -> str:
    """Return what says of which report the run's value is; "" where there was one report, or none counts."""
    at, reports = report_of(run, spec.metric), len(run.history)
    if at is None or reports < 2 or spec.metric is None:
        return ""
    said = f"Its {spec.metric.name} is that of report {at} of {reports}"
    if at == reports:
        return f"{said}, the last."
    return f"{said}; the last was {run.history[-1]:.5g}, so keep the checkpoint of the best or train as long only."


def write_config(paths: SweepPaths, spec: SweepSpec, run: RunRecord, *, base_config: Path | None, head: str) -> None:
    """Write `confirmed_config.yaml`: the configuration of the run that a confirmation chose, as the best one's.

    Args:
        paths: The sweep's files.
        spec: The sweep.
        run: The run.
        base_config: As in `write_best_config`.
        head: What the file says at first, as a comment.
    """
    write_atomically(paths.confirmed_config, comment(head) + _config_text(paths, spec, run, base_config))


def _write_best_configs(
    paths: SweepPaths, spec: SweepSpec, runs: Sequence[RunRecord], base_config: Path | None
) -> Path | None:
    """Write one file for each run of the front, and take away those of runs that left it; return their folder."""
    members = recorded_front(runs, spec.metrics, seed_parameter=spec.extensions.seed_parameter)
    if not members:
        return None
    paths.best_configs.mkdir(parents=True, exist_ok=True)
    kept = set()
    for item in members:
        run = item.first
        file = paths.best_configs / f"run_{run.run_id}.yaml"
        kept.add(file)
        head = f"On the front of sweep {paths.root.name}: run {run.run_id}, {worth_text(item, spec)}."
        write_atomically(file, comment(head) + _config_text(paths, spec, run, base_config))
    for file in set(paths.best_configs.glob("run_*.yaml")) - kept:
        file.unlink(missing_ok=True)
    return paths.best_configs


def _config_text(paths: SweepPaths, spec: SweepSpec, best: RunRecord, base_config: Path | None) -> str:
    """Return a run's configuration as YAML."""
    if base_config is None:
        return dump_yaml(dict(best.params))
    from sweepkit.training.config.training import apply, read_training_config, route, to_yaml

    config = read_training_config(base_config)
    seed = best.outcome.get("seed")
    if seed is not None and not any(route(name, type(config)) == "training.seed" for name in best.params):
        config = apply(config, {"seed": seed})  # the variable SEED that the run had: without it the file lies
    return to_yaml(_with_expectation(apply(config, best.params), paths, spec, best))


def _with_expectation(config: Any, paths: SweepPaths, spec: SweepSpec, best: RunRecord) -> Any:
    """Return the configuration with what its run came to, and where, so that a training of it can compare."""
    from sweepkit.training.config.reproduction import SECTION, expectation
    from sweepkit.training.config.training_schema import section_types

    values = values_of(best, spec.objectives)
    if SECTION not in section_types(type(config)) or values is None:
        return config
    metric, value = spec.objectives[0].name, values[0]  # of several the first: the section names one
    section = expectation(
        config,
        _surroundings(paths, best),
        sweep=paths.root.name.removeprefix("sweep_"),
        run_id=best.run_id,
        metric=metric,
        value=value,
        step=_step_of(paths, best, metric, value),
        state=best.state.value,
    )
    return dataclasses.replace(config, **{SECTION: section})


def _surroundings(paths: SweepPaths, run: RunRecord) -> Mapping[str, Any]:
    """Return where a run was trained as its program wrote it; {} when its files are not on this machine."""
    for name in ("surroundings.json", "training_results.json"):
        if (content := read_object(paths.run_dir(run.run_id) / "results" / name)) is not None:
            return content
    return {}


def _step_of(paths: SweepPaths, run: RunRecord, metric: str, value: float) -> int | None:
    """Return the step of the first report in which a run's metric had its value; None when it cannot be said."""
    try:
        lines = paths.reports(f"{run.run_id}-{run.attempts}").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.endswith("}")]
    except (OSError, ValueError):
        return None
    return next((row.get("_step") for row in rows if row.get(metric) == value), None)


def dump_yaml(data: Any) -> str:
    """Return data as YAML 1.2 text, Unicode as it is."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def relative(path: Path) -> str:
    """Return a path as short as it can be for a person in the working directory."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("../..") else short
