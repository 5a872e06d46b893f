"""Tables of other tools: the same runs give the same table, however their columns, states and numbers are written."""

import json
import math
import random
import re

import pandas as pd
import pytest
from depth import examples
from foreign_tables import EMPTY, FORMATS, TOOLS, WORDS, as_file
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


@settings(max_examples=examples(60), deadline=None)
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
    folder = tmp_path_factory.mktemp("tables")
    file = as_file(folder, columns, draw, mark=mark, bom=bom, crlf=crlf)
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
    "grad_norm best_val_f1 정확도 metrics.f1 summary.loss values_1 peak_memory "
    "word_error_rate neg_mean_squared_error win_rate 재현율".split(),
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
        (["1.234,5", "1.200", "12", "0,5"], ";", [1234.5, 1200, 12, 0.5]),
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
    found, said = column_values("x", texts, mark)
    assert found == values
    assert bool(said) == any("%" in text or "," in text for text in texts if found != texts)


def test_a_score_that_is_no_number_is_named_with_its_row():
    rows = [{"params.lr": 0.1, "score": "0.4"}, {"params.lr": 0.2, "score": "about 0.5"}]
    with pytest.raises(DataError, match="score must hold numbers, got 'about 0.5' in row 2"):
        from_frame(pd.DataFrame(rows), metric="score")


def test_a_share_beside_percent_is_named_and_not_read():
    frame = pd.DataFrame({"params.lr": [0.1, 0.2, 0.3], "score": ["41.2%", "39.5", "0%"]})
    with pytest.raises(DataError, match="score must hold numbers, got '41.2%' in row 1"):
        from_frame(frame, metric="score")
    assert column_values("score", ["41.2%", "0", ""])[0] == [0.412, 0, None]


def test_a_state_that_nobody_knows_is_named():
    with pytest.raises(DataError, match="row 3.*got 'weird'"):
        state_of("weird", "row 3")
    assert state_of(None) is RunState.FINISHED


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        *[("valLoss", "minimize"), ("eval_rouge", "maximize"), ("ROUGE-2", "maximize"), ("오류율", "minimize")],
        *[("neg_mean_squared_error", "maximize"), ("test_neg_log_loss", "maximize"), ("neg_rmse", "maximize")],
        *[("negative_log_likelihood", "minimize"), ("log_likelihood", "maximize"), ("word_error_rate", "minimize")],
    ],
)
def test_the_name_of_a_metric_says_its_direction(name, goal):
    assert direction_of(name).value == goal and is_result(name)


@pytest.mark.parametrize("name", ["value", "accuracy_drop", "train_loss_std", "score_gap", "true_negative_rate", "neg"])
def test_a_name_that_does_not_say_a_direction_says_none(name):
    assert direction_of(name) is None


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


# -- what other tools leave


def study_frame(multi_index=False):
    """A real study of every kind of end, as Optuna's frame."""
    import optuna

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(1))
    for place in range(12):
        trial = study.ask()
        rate, layers = trial.suggest_float("lr", 1e-5, 1e-2, log=True), trial.suggest_int("layers", 1, 4)
        if place % 4 == 1:
            trial.report(0.9, 1)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif place % 4 == 2:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, rate * layers)
    study.ask()
    study.enqueue_trial({"lr": 1e-3})
    return study, study.trials_dataframe(multi_index=multi_index)


@pytest.mark.parametrize("how", ["csv", "two rows of header", "xlsx", "parquet", "frame", "frame of two levels"])
def test_a_study_is_the_same_from_every_export(tmp_path, how):
    study, frame = study_frame("two" in how)
    file = tmp_path / f"trials.{how if how in ('csv', 'xlsx', 'parquet') else 'csv'}"
    if how == "xlsx":
        frame.to_excel(file, index=False)
    elif how == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False)
    table = from_frame(frame if "frame" in how else read_table(file), goal=Goal.MAXIMIZE)
    ends = [row.state.value for row in table.rows]
    assert ends == ["finished", "stopped", "failed", "finished"] * 3 + ["running", "pending"]
    assert [column.name for column in table.columns] == ["layers", "lr"] and table.method == "custom"
    best = next(row for row in table.ranked() if row.state is RunState.FINISHED)
    assert best.params == pytest.approx(study.best_params) and best.value == pytest.approx(study.best_value)
    assert all(0 <= row.duration_s < 60 for row in table.rows if row.state is RunState.FINISHED)


def project_frame(rows):
    """W&B's documented export of a project: a column of summaries, one of configurations, one of names."""
    frame = pd.DataFrame(
        {
            "summary": [{"eval/accuracy": row["score"], "_step": 3, "_wandb": {"runtime": 5}} for row in rows],
            "config": [{"lr": row["lr"], "batch_size": row["batch_size"], "opt": row["opt"]} for row in rows],
            "name": [f"run-{place}" for place in range(len(rows))],
        }
    )
    frame["state"] = [row["state"] for row in rows]
    return frame


@pytest.mark.parametrize("how", ["csv", "csv with its index", "json", "jsonl", "parquet", "frame"])
def test_the_documented_export_of_a_project_is_read(tmp_path, how):
    rows = [{**row, "score": math.nan if row["score"] is None else row["score"]} for row in runs(7)]
    frame, file = project_frame(rows), tmp_path / f"project.{how.split()[0]}"
    if how.startswith("csv"):
        frame.to_csv(file, index="index" in how)
    elif how == "parquet":
        frame.to_parquet(file)
    elif how.startswith("json"):
        frame.to_json(file, orient="records", lines=how == "jsonl")
    table = from_frame(frame if how == "frame" else read_table(file), metric="eval/accuracy")
    found, wanted = verdict(table), verdict(clean(runs(7)))
    assert found == {**wanted, "rows": [(state, pytest.approx(v), params) for state, v, params in wanted["rows"]]}
    assert [row.name for row in table.rows][:2] == ["run-0", "run-1"]


def test_a_mapping_that_is_a_value_stays_one(tmp_path):
    rows = [{"params.layers": '{"a": 1}', "value": 0.5}, {"params.layers": '{"a": 2}', "value": 0.6}]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    assert [column.name for column in from_frame(read_table(tmp_path / "t.csv")).columns] == ["layers"]


def test_the_sheet_with_a_table_is_read_and_told(tmp_path):
    frame = pd.DataFrame([{key: row[key] for key in ("lr", "state", "score")} for row in runs(4)])
    with pd.ExcelWriter(tmp_path / "book.xlsx") as book:
        pd.DataFrame({"about": ["these runs"]}).to_excel(book, sheet_name="readme", index=False)
        frame.to_excel(book, sheet_name="runs", index=False)
        frame.head(2).to_excel(book, sheet_name="old", index=False)
    notes = []
    table = from_frame(read_table(tmp_path / "book.xlsx"), metric="score", notes=notes)
    assert len(table.rows) == 14 and [note for note in notes if "'runs'" in note and "'old'" in note]


def test_ray_says_of_no_run_that_a_scheduler_ended_it():
    rows = [
        {"mean_accuracy": 0.1 * place, "done": True, "training_iteration": steps, "config/lr": 0.1 * place}
        for place, steps in enumerate((9, 9, 1, 3, 9))
    ]
    notes = []
    table = from_frame(pd.DataFrame(rows), metric="mean_accuracy", notes=notes)
    assert [row.state.value for row in table.rows] == ["finished", "finished", "stopped", "stopped", "finished"]
    assert any("training_iteration" in note and "2 of 5" in note for note in notes)
    free = pd.DataFrame([{**row, "config/epochs": row["training_iteration"]} for row in rows])
    assert {row.state.value for row in from_frame(free, metric="mean_accuracy").rows} == {"finished"}


def test_two_columns_of_one_name_are_refused_unless_they_are_the_same(tmp_path):
    (tmp_path / "same.csv").write_text("params.lr,value,value,,\n1,2,2,,\n3,4,4,,\n", encoding="utf-8")
    assert list(read_table(tmp_path / "same.csv").columns) == ["params.lr", "value"]
    (tmp_path / "other.csv").write_text("params.lr,value,value\n1,2,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="'value' must stand once"):
        read_table(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("진행중", "running"),
        ("진행 중", "running"),
        ("완료됨", "finished"),
        ("조기 종료", "stopped"),
        ("에러", "failed"),
    ],
)
def test_korean_states_are_known_however_they_are_spaced(word, state):
    assert state_of(word).value == state


def test_a_column_is_found_without_its_unit():
    frame = pd.DataFrame({"params.lr": [0.1, 0.2], "정확도 (%)": ["41.2%", "40%"], "소요시간": ["1:00:00", "2:00:00"]})
    assert [row.value for row in from_frame(frame, metric="정확도").rows] == [0.412, 0.4]
    assert is_bookkeeping("소요시간")
