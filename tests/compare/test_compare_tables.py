"""Tables of other tools compared, and as prior runs: what is said of one is what is said of the clean table."""

import contextlib
import io
import json
import random

import pytest
from depth import examples
from foreign_tables import EMPTY, FORMATS, TOOLS, WORDS, as_file
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.cli import compare_models, seed_ttest
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.runner.prior import prior_views

ENDS = ["finished", "finished", "finished", "stopped", "failed", "running"]
# Of a table: what tool wrote it, how numbers and cells are written.
WRITTEN = {
    "seed": st.integers(0, 10_000),
    "tool": st.sampled_from(sorted(TOOLS)),
    "number": st.sampled_from(sorted(FORMATS)),
    "mark": st.sampled_from([",", ";", "\t"]),
    "bom": st.booleans(),
    "crlf": st.booleans(),
}


def trainings(seed):
    """Three models with five seeds each, as plain rows."""
    draw = random.Random(seed)
    rows = []
    for model, level in zip(("kobart", "t5", "kogpt2"), draw.sample([0.3, 0.32, 0.36], 3), strict=True):
        for number in range(5):
            state = draw.choice(ENDS)
            score = round(level + draw.gauss(0, 0.004), 4) if state in ("finished", "stopped") else None
            rows.append({"model": model, "seed": number, "lr": draw.choice([1e-4, 3e-4]), "state": state})
            rows[-1]["score"] = score if state == "finished" or draw.random() < 0.5 else None
    return rows


def as_columns(rows, tool, number, draw):
    """Return the columns that a tool makes of rows, the name of the score's, and one for the state's."""
    prefix, state, score, beside = TOOLS[tool]
    columns = {prefix.format(key): [row[key] for row in rows] for key in rows[0] if key not in ("state", "score")}
    columns[state] = [draw.choice(WORDS[row["state"]]) for row in rows]
    columns[score] = [draw.choice(EMPTY) if row["score"] is None else FORMATS[number](row["score"]) for row in rows]
    columns |= {key: [text.format(place) for place in range(len(rows))] for key, text in beside.items()}
    return columns, score


def line(main, *options):
    """Return what a script answers with --json."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*map(str, options), "--json"]) == 0
    return json.loads(out.getvalue())


def verdict(answer):
    models = {model["name"]: (model["n"], model["mean"]) for model in answer["models"] if model["n"]}
    pairs = {(pair["first"], pair["second"]): (pair["conclusion"], pair["p_holm"]) for pair in answer["pairs"]}
    numbers = {key: (kind, pytest.approx(p, abs=1e-9)) for key, (kind, p) in pairs.items()}
    return {key: (n, pytest.approx(mean, abs=1e-9)) for key, (n, mean) in models.items()}, numbers


@settings(max_examples=12, deadline=None)
@given(goal=st.sampled_from(["maximize", "minimize", ""]), **WRITTEN)
def test_models_are_compared_as_on_the_clean_table(tmp_path_factory, goal, seed, tool, number, mark, bom, crlf):
    rows, draw = trainings(seed), random.Random(seed)
    folder = tmp_path_factory.mktemp("models")
    clean = as_file(folder, {key: ["" if row[key] is None else row[key] for row in rows] for key in rows[0]}, draw)
    clean = clean.rename(folder / "clean.csv")
    columns, score = as_columns(rows, tool, number, draw)
    file = as_file(folder, columns, draw, mark=mark, bom=bom, crlf=crlf)
    said = goal or ("maximize" if score.lower() == "value" else "")  # the other names say it
    asked = ["--goal", said] if said else []
    wanted = verdict(line(seed_ttest.main, "--csv", clean, "--by", "model", "--metric", "score", *asked))
    assert verdict(line(seed_ttest.main, "--csv", file, "--by", "model", "--metric", score, *asked)) == wanted
    models = ("--analyze-only", file, "--metric", score, "--output-dir", folder)
    assert verdict(line(compare_models.main, *models, *asked)) == wanted


@settings(max_examples=examples(25), deadline=None)
@given(**WRITTEN)
def test_prior_runs_are_those_of_the_clean_table(tmp_path_factory, seed, tool, number, mark, bom, crlf):
    rows, draw = trainings(seed), random.Random(seed)
    folder = tmp_path_factory.mktemp("prior")
    columns, score = as_columns(rows, tool, number, draw)
    file = as_file(folder, columns, draw, mark=mark, bom=bom, crlf=crlf)
    (folder / "p.py").touch()
    space = {
        "model": {"values": ["kobart", "t5", "kogpt2"]},
        "seed": {"min": 0, "max": 9},
        "lr": {"min": 0, "max": 1.0},
    }
    config = {"method": "bayes", "program": "p.py", "metric": {"name": score, "goal": "maximize"}, "parameters": space}
    config["sweepkit"] = {"prior_runs": [file.name]}
    (folder / "later.yaml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    views = prior_views(make_plan(RunOptions(output_dir=folder), str(folder / "later.yaml")), None)
    done = [row for row in rows if row["state"] != "running"]
    assert [view.state.value for view in views] == [row["state"] for row in done]
    assert [view.params for view in views] == [{key: row[key] for key in space} for row in done]
    assert [view.summary for view in views] == [
        None if row["score"] is None else pytest.approx(row["score"], abs=1e-12) for row in done
    ]
