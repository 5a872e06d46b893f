"""Tables of other tools: the same runs give the same table, however their columns, states and numbers are written."""

import csv
import io
import json
import random
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.analysis.cells import column_values, state_of
from sweepkit.analysis.columns import direction_of, is_bookkeeping, is_result
from sweepkit.analysis.foreign import from_frame
from sweepkit.errors import DataError
from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState
from sweepkit.text.table_files import read_table


def runs(seed, count=14):
    """Runs as plain rows; the score hangs on the learning rate and on luck, so no column follows it perfectly."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        rate, size = round(10 ** draw.uniform(-5, -3), 8), draw.choice([8, 16, 32])
        score = round(0.3 + 0.05 * draw.random() - abs(rate - 2e-4) * 20, 4)
        state = draw.choice(["finished", "finished", "finished", "stopped", "failed", "running"])
        kept = draw.random() > 0.1 and state in ("finished", "stopped")
        rows.append({"lr": rate, "batch_size": size, "opt": draw.choice(["adamw", "none"]), "state": state})
        rows[-1]["score"] = score if kept else None
    return rows


# How tools name columns and states, beside what they write of a run.
TOOLS = {
    "wandb export": ("{}", "State", "eval/rougeL_f1", {"Name": "run-{}", "Runtime": "3{}", "eval/loss": "1.{}"}),
    "wandb api": ("config.{}", "state", "summary.eval/rougeL_f1", {"name": "run-{}", "summary.loss": "1.{}"}),
    "mlflow export": ("{}", "Status", "rougeL", {"Run ID": "a{}", "Duration": "1.{}min", "train_loss": "2.{}"}),
    "mlflow search_runs": ("params.{}", "status", "metrics.rougeL", {"run_id": "a{}", "metrics.loss": "2.{}"}),
    "optuna": ("params_{}", "state", "value", {"number": "{}", "duration": "0 days 00:00:1{}", "user_attrs_x": "{}"}),
    "optuna-dashboard": ("Param {}", "State", "Value", {"Number": "{}", "UserAttribute gpu": "A1{}"}),
    "ray": ("config/{}", "trial_status", "mean_accuracy", {"trial_id": "t{}", "time_total_s": "4{}", "pid": "9{}"}),
    "sheet": ("{}", "상태", "ROUGE-L", {"메모 이름": "실험 {}", "학습 손실": "2.{}"}),
}
WORDS = {
    "finished": ["finished", "FINISHED", "TrialState.COMPLETE", "Complete", "TERMINATED", "완료"],
    "stopped": ["stopped", "pruned", "PRUNED", "TrialState.PRUNED", "중단"],
    "failed": ["failed", "crashed", "Crashed", "FAIL", "killed", "ERROR", "실패"],
    "running": ["running", "RUNNING", "Running", "실행 중"],
}
FORMATS = {
    "plain": lambda number: repr(number),
    "percent": lambda number: f"{100 * number:.2f}%",
    "percent with a space": lambda number: f"{100 * number:.2f} %",
    "decimal comma": lambda number: repr(number).replace(".", ","),
    "upper exponent": lambda number: f"{number:E}",
}
EMPTY = ["", "NaN", "nan", "N/A", "-"]


def clean(rows, name="clean"):
    frame = pd.DataFrame([{f"params.{key}": row[key] for key in ("lr", "batch_size", "opt")} for row in rows])
    frame["state"], frame["value"] = [row["state"] for row in rows], [row["score"] for row in rows]
    return from_frame(frame, goal=Goal.MAXIMIZE, name=name)


def verdict(table):
    """What an analysis goes by: the parameters, the states, the values, the best first."""
    rows = sorted(table.rows, key=lambda row: row.order)
    return {
        "parameters": {column.name: column.numeric for column in table.columns},
        "rows": [(row.state, row.value, dict(sorted(row.params.items()))) for row in rows],
        "ranked": [row.order for row in table.ranked()],
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tool=st.sampled_from(sorted(TOOLS)),
    number=st.sampled_from(sorted(FORMATS)),
    mark=st.sampled_from([",", ";", "\t"]),
    bom=st.booleans(),
    crlf=st.booleans(),
)
def test_the_verdict_equals_the_one_on_the_clean_table(tmp_path_factory, seed, tool, number, mark, bom, crlf):
    rows, draw = runs(seed), random.Random(seed)
    prefix, state, score, beside = TOOLS[tool]
    columns = {prefix.format(key): [row[key] for row in rows] for key in ("lr", "batch_size", "opt")}
    columns[state] = [draw.choice(WORDS[row["state"]]) for row in rows]
    written = FORMATS[number]
    columns[score] = [draw.choice(EMPTY) if row["score"] is None else written(row["score"]) for row in rows]
    columns |= {key: [text.format(place) for place in range(len(rows))] for key, text in beside.items()}
    names = draw.sample(list(columns), len(columns))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator="\r\n" if crlf else "\n")
    writer.writerows([names, *zip(*(columns[name] for name in names), strict=True)])
    file = tmp_path_factory.mktemp("tables") / ("t.tsv" if mark == "\t" else "t.csv")
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode())
    notes = []
    goal = Goal.MAXIMIZE if score in ("value", "Value") else None
    table = from_frame(read_table(file), metric=score, goal=goal, notes=notes)
    expected, found = verdict(clean(rows)), verdict(table)
    assert found["parameters"] == expected["parameters"]
    assert [row[::2] for row in found["rows"]] == [row[::2] for row in expected["rows"]]
    for (_, value, _), (_, wanted, _) in zip(found["rows"], expected["rows"], strict=True):
        assert (value is None) == (wanted is None) and (value is None or value == pytest.approx(wanted, abs=1e-12))
    assert found["ranked"] == expected["ranked"]
    assert table.metrics[0].goal is Goal.MAXIMIZE
    assert any(note.startswith("columns: ") for note in notes)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".jsonl", ".json", ".csv"])
def test_every_format_of_file_gives_the_same_table(tmp_path, suffix):
    frame = pd.DataFrame([{**row, "epoch": 3} for row in runs(5)]).rename(columns={"score": "eval/accuracy"})
    file = tmp_path / f"runs{suffix}"
    if suffix == ".xlsx":
        frame.to_excel(file, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(file)
    elif suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=suffix == ".jsonl")
    assert verdict(from_frame(read_table(file), metric="eval/accuracy")) == verdict(clean(runs(5)))


def test_nested_json_is_flattened(tmp_path):
    rows = [{"config": {"lr": row["lr"]}, "summary": {"score": row["score"]}} for row in runs(2)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    table = from_frame(read_table(tmp_path / "t.jsonl"), metric="score")
    assert [column.name for column in table.columns] == ["lr"]


@pytest.mark.parametrize(
    "name",
    "train_loss eval/loss eval_rougeL global_step epoch train_samples_per_second eval/runtime val_top1 test_acc "
    "grad_norm best_val_f1 정확도 metrics.f1 summary.loss values_1 peak_memory".split(),
)
def test_results_are_known_by_their_names(name):
    assert is_result(name) and not is_bookkeeping(name)


@pytest.mark.parametrize(
    "name",
    "learning_rate loss_type label_smoothing num_epochs max_steps eval_steps val_ratio max_grad_norm dropout seed "
    "warmup_steps eval_batch_size train_batch_size length_penalty num_beams 학습률 loss_weight test_size".split(),
)
def test_parameters_are_not_taken_for_results(name):
    assert not is_result(name) and not is_bookkeeping(name)


def test_a_column_that_follows_the_metric_must_be_named():
    draw = random.Random(3)
    rows = [{"lr": row["lr"], "value": draw.random()} for row in runs(3)]
    rows = [{**row, "q": 2 * row["value"] + 0.001 * draw.random()} for row in rows]
    with pytest.raises(DataError, match="q must be known"):
        from_frame(pd.DataFrame(rows))
    table = from_frame(pd.DataFrame(rows), parameters=["lr"])
    assert [column.name for column in table.columns] == ["lr"]


def test_a_direction_that_the_name_does_not_say_is_asked_for():
    rows = [{"params.lr": 0.1, "value": 1.0}, {"params.lr": 0.2, "value": 2.0}]
    with pytest.raises(DataError, match="--goal must say"):
        from_frame(pd.DataFrame(rows), notes=[])
    notes = []
    table = from_frame(pd.DataFrame(rows).rename(columns={"value": "eval/loss"}), metric="eval/loss", notes=notes)
    assert table.metrics[0].goal is Goal.MINIMIZE and any("--goal" in note for note in notes)


@pytest.mark.parametrize(
    ("texts", "mark", "values"),
    [
        (["41.2%", "39.0%"], ",", [0.412, 0.39]),
        (["41,2 %", "39,0 %"], ";", [0.412, 0.39]),
        (["1.234,5", "999,5"], ",", [1234.5, 999.5]),
        (["1,234.5", "2,000.25"], ",", [1234.5, 2000.25]),
        (["1,200", "1,500"], ",", [1200, 1500]),
        (["1,200", "1,500"], ";", [1.2, 1.5]),
        (["0,45", "0,5"], ",", [0.45, 0.5]),
        (["1e-5", ".5", "1."], ",", [1e-5, 0.5, 1.0]),
        (["NaN", "", "3"], ",", [None, None, 3]),
        (["adamw", "20%"], ",", ["adamw", "20%"]),
        (["none", "linear"], ",", ["none", "linear"]),
    ],
)
def test_numbers_are_read_in_the_format_of_their_column(texts, mark, values):
    found, told = column_values("x", texts, mark)
    assert found == values
    assert bool(told) == any("%" in text or "," in text for text in texts if found != texts)


def test_a_score_that_is_no_number_is_named_with_its_row():
    rows = [{"params.lr": 0.1, "score": "0.4"}, {"params.lr": 0.2, "score": "about 0.5"}]
    with pytest.raises(DataError, match="score must hold numbers, got 'about 0.5' in row 2"):
        from_frame(pd.DataFrame(rows), metric="score")


def test_a_state_that_nobody_knows_is_named():
    with pytest.raises(DataError, match="row 3.*got 'weird'"):
        state_of("weird", "row 3")
    assert state_of(None) is RunState.FINISHED


@pytest.mark.parametrize(
    ("name", "goal"), [("valLoss", "minimize"), ("eval_rouge", "maximize"), ("ROUGE-2", "maximize")]
)
def test_the_name_of_a_metric_says_its_direction(name, goal):
    assert direction_of(name).value == goal


def test_a_file_of_another_encoding_says_how_to_convert_it(tmp_path):
    (tmp_path / "k.csv").write_bytes("실험;값\na;1\n".encode("cp949"))
    with pytest.raises(DataError, match="iconv -f cp949 -t utf-8 k.csv"):
        read_table(tmp_path / "k.csv")
    (tmp_path / "u.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(DataError, match="iconv -f utf-16"):
        read_table(tmp_path / "u.csv")


def test_an_unquoted_decimal_comma_in_a_file_of_commas_is_told(tmp_path):
    (tmp_path / "c.csv").write_text("model,score\na,0,41\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 1 must have 2 cells, got 3"):
        read_table(tmp_path / "c.csv")


def test_ids_stay_as_they_are_written(tmp_path):
    rows = ["Run ID,Name,params.lr,score", "0010,1e5,0.1,0.5", "00a1,007,0.2,0.6"]
    (tmp_path / "m.csv").write_text("\n".join(rows), encoding="utf-8")
    found = from_frame(read_table(tmp_path / "m.csv"), metric="score")
    assert [(row.run_id, row.name) for row in found.rows] == [("0010", "1e5"), ("00a1", "007")]


def test_a_word_in_the_place_of_a_score_does_not_change_how_the_others_are_read():
    assert column_values("score", ["41.2%", "crashed", ""])[0] == [0.412, "crashed", None]
    rows = [{"params.lr": 0.1, "score": "41.2%"}, {"params.lr": 0.2, "score": "crashed"}]
    assert [row.state for row in from_frame(pd.DataFrame(rows), metric="score").rows] == [
        RunState.FINISHED,
        RunState.FAILED,
    ]


@pytest.mark.parametrize("format", sorted(FORMATS))
@settings(max_examples=10, deadline=None)
@given(place=st.integers(0, 5), word=st.sampled_from(["abc", "0.4?", "about 40%", "1,2,3"]))
def test_the_cell_that_is_no_number_is_the_one_that_is_named(format, place, word):
    cells = [FORMATS[format](0.25 + 0.03125 * row) for row in range(6)]
    cells[place] = word
    frame = pd.DataFrame({"params.lr": [0.1 * row for row in range(6)], "score": cells})
    with pytest.raises(DataError, match=re.escape(f"got {word!r} in row {place + 1};")):
        from_frame(frame, metric="score")
