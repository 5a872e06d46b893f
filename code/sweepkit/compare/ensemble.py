"""The best configurations of a sweep predict together, against the single best, on the hold-out set.

Each is trained once more as `trainer.py` trains it, its results beside the sweep's, in a folder that is named by its
configuration; the same command continues where it was interrupted, for what is trained already is not trained again.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweepkit.agents.control import find_sweep_record
from sweepkit.analysis.ranking import recorded_configurations
from sweepkit.compare.read import RESULT
from sweepkit.errors import DataError, SweepKitError
from sweepkit.files import write_atomically
from sweepkit.metrics.consensus import consensus, soft_vote
from sweepkit.metrics.scorer import Scorer
from sweepkit.model.records import SweepRecord
from sweepkit.paths import SweepPaths, python
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import TRAINER, open_recorded, storage_of
from sweepkit.store.base import Store
from sweepkit.sweep_config.read import read_recorded
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.csv_text import read_rows
from sweepkit.text.json_text import json_text
from sweepkit.text.nested_tables import flattened
from sweepkit.training.config.training import read_training_config, route
from sweepkit.training.images.scores import scores

_CONFIRMED = "-confirm"  # of a sweep's name: its best again with fresh seeds
_CHANCE = "p_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """What came of it.

    Args:
        sweep: Whose best configurations.
        confirmed: They are those of --confirm.
        metric: The score: rouge_combined_f1, or macro_f1.
        members: Each member's score, the best of the search first.
        together: The ensemble's.
        rows: Examples scored.
        holdout: The examples are those of the hold-out set; else the search has seen them.
        folder: Where the trainings are.
    """

    sweep: str
    confirmed: bool
    metric: str
    members: tuple[float, ...]
    together: float
    rows: int
    holdout: bool
    folder: Path

    def sentences(self) -> list[str]:
        """Return it in words."""
        single, difference = self.members[0], self.together - self.members[0]
        source = "confirmed configurations" if self.confirmed else "configurations of the search"
        where = "hold-out examples" if self.holdout else "validation examples, which the search has seen"
        shown = ", ".join(f"{value:.4f}" for value in self.members)
        return [
            f"{self.sweep}: the {len(self.members)} best {source}, {self.metric} on {self.rows} {where}: {shown}",
            f"together {self.together:.4f}, {difference:+.4f} against the single best ({single:.4f})",
        ]


def ensemble(options: RunOptions, sweep: str, *, top: int) -> Ensemble:
    """Train the best configurations of a recorded sweep and score them together.

    Args:
        options: Where the record is.
        sweep: Its name.
        top: How many configurations, >= 2.

    Raises:
        SweepKitError: There is no such sweep of our trainer, it has fewer configurations, or a training failed.
    """
    with open_recorded(storage_of(options)) as store:
        record = find_sweep_record(store, sweep)
        spec = read_recorded(record)
        confirmed = store.sweep(f"{record.name}{_CONFIRMED}")
        chosen = _best(store, confirmed or record, spec, top)
    if record.meta.get("base_config_text") is None:
        raise SweepKitError(f"{record.name}: must be a sweep of trainer.py, whose predictions are known; got another")
    folder = SweepPaths(options.output_dir, record.name).root / "ensemble"
    holdout = dict(spec.extensions.holdout or {})
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base_config.yaml"
    write_atomically(base, record.meta["base_config_text"])
    laid = [_with_holdout(params, holdout, base) for params in chosen]
    results = [_trained(folder / _member(params, record.meta["base_config_text"]), base, params) for params in laid]
    metric, members, together, rows = _together(results)
    found = Ensemble(
        sweep=record.name,
        confirmed=confirmed is not None,
        metric=metric,
        members=tuple(members),
        together=together,
        rows=rows,
        holdout=bool(holdout),
        folder=folder,
    )
    plain = {"members": members, "together": together, "metric": metric, "rows": rows, "parameters": chosen}
    write_atomically(folder / "ensemble.json", json_text({**plain, "holdout": bool(holdout)}, indent=2) + "\n")
    return found


def _best(store: Store, record: SweepRecord, spec: SweepSpec, top: int) -> list[dict[str, Any]]:
    """Return the parameters of the best configurations, best first, without what differs by seed alone."""
    if spec.metric is None:
        raise SweepKitError(f"{record.name}: must have one metric, so that there is a best")
    own = read_recorded(record)
    seed = own.extensions.seed_parameter
    found = recorded_configurations(store.runs(record.sweep_id), spec.metric, seed_parameter=seed)
    ranked = sorted(found, key=lambda item: spec.metric.goal.sign * item.value if spec.metric else 0.0)
    if len(ranked) < top:
        raise SweepKitError(f"{record.name}: must have {top} configurations with a value, got {len(ranked)}")
    return [flattened(item.first.params) for item in ranked[:top]]


def _with_holdout(params: Mapping[str, Any], holdout: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return parameters with those of the hold-out set in their place, whatever they are called."""
    kind = type(read_training_config(base))
    replaced = {route(name, kind) for name in holdout}
    return {**{name: value for name, value in params.items() if route(name, kind) not in replaced}, **holdout}


def _member(params: Mapping[str, Any], base: str) -> str:
    """Return the name of a training's folder: the sweep may go on, and another configuration be the best then."""
    return f"member_{hashlib.sha256(json_text([base, sorted(params.items())]).encode()).hexdigest()[:8]}"


def _trained(folder: Path, base: Path, params: Mapping[str, Any]) -> Path:
    """Train one configuration unless that is done; return the folder of its results."""
    results = folder / "results"
    if not (results / RESULT).is_file():
        values = [f"--{name}={value if isinstance(value, str) else json_text(value)}" for name, value in params.items()]
        command = [python(), str(TRAINER), "--config", str(base), "--output-dir", str(folder), *values]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise SweepKitError(f"{folder.name}: its training must end well, got exit code {done.returncode}: {last}")
    return results


def _together(results: Sequence[Path]) -> tuple[str, list[float], float, int]:
    """Return the metric, each member's score, the score of all together, and how many examples were scored."""
    if all((folder / "examples.jsonl").is_file() for folder in results):
        return _summaries(results)
    if all((folder / "predictions.csv").is_file() for folder in results):
        return _classes(results)
    raise DataError(f"{results[0]}: must hold examples.jsonl or predictions.csv, got neither; is it a training?")


def _summaries(results: Sequence[Path]) -> tuple[str, list[float], float, int]:
    examples = [_lines(folder / "examples.jsonl") for folder in results]
    config = json.loads((results[0] / RESULT).read_text(encoding="utf-8"))["config"]["metrics"]
    references = [row["references"] for row in examples[0]]
    candidates = [[row["prediction"] for row in rows] for rows in examples]
    scorer = Scorer(references, tokenizer=config["rouge_tokenizer"], multi_reference=config["multi_reference"])
    members = [scorer.score(texts).rouge.rouge_combined_f1 for texts in candidates]
    chosen = consensus(candidates, config["rouge_tokenizer"])
    return "rouge_combined_f1", members, scorer.score(chosen).rouge.rouge_combined_f1, len(references)


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def _classes(results: Sequence[Path]) -> tuple[str, list[float], float, int]:
    tables = []
    for folder in results:
        tables.append({row["image"]: row for row in read_rows(folder / "predictions.csv")})
    images = [image for image in tables[0] if all(image in table for table in tables)]
    labels = [tables[0][image]["label"] for image in images]
    members = [_macro_f1(labels, [table[image]["predicted"] for image in images]) for table in tables]
    voted = [soft_vote([_chances(table[image]) for table in tables]) for image in images]
    return "macro_f1", members, _macro_f1(labels, voted), len(images)


def _chances(row: Mapping[str, str]) -> dict[str, float]:
    return {name.removeprefix(_CHANCE): float(text) for name, text in row.items() if name.startswith(_CHANCE)}


def _macro_f1(labels: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the mean over the classes of the F1 score, as a training has it."""
    codes = {name: code for code, name in enumerate(sorted({*labels, *predicted}))}
    right, guessed = (np.array([codes[name] for name in names]) for names in (labels, predicted))
    return scores(right, guessed)["macro_f1"]
