"""What the first run tells about a metric that is never logged and parameters that nothing reads."""

import pytest

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.runner.preflight import first_run_warnings
from sweepkit.runner.program_source import ProgramSource, read_program
from sweepkit.sweep_config.read import from_config


def spec(metric="val/loss"):
    config = {"method": "random", "parameters": {"lr": {"value": 1}}}
    return from_config({**config, **({"metric": {"name": metric}} if metric else {})})


def run(history=(0.5,), params=None, **fields):
    params = {"lr": 0.1, "opt": {"beta": 0.9}} if params is None else params
    return RunRecord(
        run_id="r1", sweep_id="s", number=0, params=params, state=RunState.FINISHED, history=history, **fields
    )


READ = {"_sweepkit_read": ["lr", "opt.beta"]}


@pytest.mark.parametrize(
    ("metric", "fields", "warning"),
    [
        ("val/loss", {}, None),
        ("val/loss", {"history": (), "summary": 0.5}, None),
        (None, {"history": ()}, None),
        ("val/loss", {"history": ()}, "metric 'val/loss' was never logged by run r1: it logged nothing"),
        (
            "val/loss",
            {"history": (), "last_metrics": {"val_loss": 1.0, "epoch": 2}},
            "metric 'val/loss' was never logged by run r1: it logged epoch, val_loss; did you mean 'val_loss'?",
        ),
        (
            "val/loss",
            {"history": (), "last_metrics": {"epoch": 2}},
            "metric 'val/loss' was never logged by run r1: it logged epoch",
        ),
    ],
)
def test_a_metric_that_is_never_logged_is_told_with_what_was(metric, fields, warning):
    assert first_run_warnings(spec(metric), run(**fields), READ, ProgramSource) == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("read", "unread"),
    [(["lr", "opt.beta"], None), (["lr"], "opt.beta"), ([], "lr, opt.beta"), (["x"], "lr, opt.beta")],
)
def test_a_program_that_says_what_it_read_is_believed(tmp_path, read, unread):
    program = tmp_path / "p.py"
    program.write_text("lr, beta = 1, 2\n")
    said = first_run_warnings(spec(), run(), {"_sweepkit_read": read}, lambda: read_program(program))
    assert said == ([f"the program never read {unread}: every value of it gives the same run"] if unread else [])


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("config.lr; config.beta", None),
        ("parser.add_argument('--lr')", "opt.beta"),
        ("lrs = 1; beta_ = 2", "lr, opt.beta"),  # only whole words count
        ("train(**vars(parser.parse_args()))", None),
        ("import helper", None),  # the file beside it names both
    ],
)
def test_else_its_source_is_searched_for_the_names(tmp_path, text, unread):
    (tmp_path / "p.py").write_text(text + "\n")
    if "helper" in text:
        (tmp_path / "helper.py").write_text("lr = beta = '한글'\n", encoding="utf-8")
    said = first_run_warnings(spec(), run(), {}, lambda: read_program(tmp_path / "p.py"))
    assert said == ([f"the program never read {unread}: every value of it gives the same run"] if unread else [])


def test_programs_that_are_not_python_are_not_suspected(tmp_path):
    (tmp_path / "p.sh").write_text("echo\n")
    assert first_run_warnings(spec(), run(), {}, lambda: read_program(tmp_path / "p.sh")) == []
    assert first_run_warnings(spec(), run(), {}, ProgramSource) == []


def test_source_that_is_not_utf_8_is_searched_all_the_same(tmp_path):
    (tmp_path / "p.py").write_bytes("# 한글\nlr = beta = 1\n".encode("cp949"))
    assert first_run_warnings(spec(), run(), {}, lambda: read_program(tmp_path / "p.py")) == []
