import subprocess
import sys
import time

import pytest
from snapshots import words_of

from sweepkit.cli.trainer import main
from sweepkit.errors import SpecError, SweepKitError
from sweepkit.paths import BASE_CONFIG, CODE_DIR, CONFIG_DIR
from sweepkit.training import command
from sweepkit.training.command import parse_parameters
from sweepkit.training.config.files import config_file

WORDS = words_of(__file__)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning_rate=1e-4", "--num_beams=2"], {"learning_rate": "1e-4", "num_beams": "2"}),
        (["learning_rate=1e-4"], {"learning_rate": "1e-4"}),
        (["--fp16", "--num_beams", "2"], {"fp16": "true", "num_beams": "2"}),
        (["--fp16", "num_beams=2"], {"fp16": "true", "num_beams": "2"}),
        (["--training={'seed': 3, 'fp16': False}"], {"training.seed": 3, "training.fp16": False}),
        (['{"training": {"seed": 3}, "num_beams": null}'], {"training.seed": 3, "num_beams": None}),
        (["--model.name=a=b"], {"model.name": "a=b"}),
        (["--train_file="], {"train_file": ""}),
        ([], {}),
    ],
)
def test_parameters_are_understood_in_every_form_of_the_command_macros(words, expected):
    assert parse_parameters(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seven"], "must be --NAME=VALUE, got 'seven'"),
        (["--=3"], "must be --NAME=VALUE, got '--=3'"),
        (["--training={seed: 3"], "must be a Python or JSON dictionary, got '{seed: 3'"),
        (["--x=1", "--x=2"], "--x must be given once"),
    ],
)
def test_other_words_are_refused(words, message):
    with pytest.raises(SweepKitError) as caught:
        parse_parameters(words)
    assert message in str(caught.value)


def test_the_configuration_file_is_the_argument_the_sweeps_or_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.yaml"
    own.write_text("")
    assert config_file(None, {}) == BASE_CONFIG
    assert config_file(None, {"SWEEPKIT_BASE_CONFIG": str(own)}) == own
    assert config_file("quick_test", {"SWEEPKIT_BASE_CONFIG": str(own)}) == CONFIG_DIR / "quick_test.yaml"
    with pytest.raises(SpecError, match=WORDS["nothing-must-be"]):
        config_file("nothing", {})


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        (["--lerning_rate=3"], {}, "did you mean learning_rate?"),
        (["--set", "training.lerning_rate=3"], {}, "did you mean training.learning_rate?"),
        (["--set", "seed"], {}, "--set must be NAME=VALUE, got 'seed'"),
        (["--config", "none.yaml"], {}, "none.yaml: must be a configuration file"),
        (["--set"], {}, "expected one argument; see --help"),
        (["--seed", "1", "--training.seed=2"], {}, "training.seed must be given once"),
        ([], {"SEED": "seven"}, "environment variable SEED: training.seed: must be a whole number, got 'seven'"),
        (["--learning_rate=0"], {}, "training.learning_rate: must be above 0"),
        (["--fp16=1", "--training.fp16=0"], {}, "training.fp16 must be given once, got --fp16 and --training.fp16"),
        (["--batch_size=1", "--per_device_train_batch_size=2"], {}, "must be given once, got --batch_size and"),
        (["--preset", "balance"], {}, "--preset: must be one of "),
    ],
)
def test_a_wrong_command_ends_with_2_before_torch_and_before_anything_is_written(
    argv, environ, message, tmp_path, monkeypatch, capsys
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SWEEPKIT_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("SWEEPKIT_REPORT_FILE", str(tmp_path / "reports.jsonl"))
    monkeypatch.setitem(sys.modules, "sweepkit.training.session", None)  # importing it now raises
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_arguments_go_before_the_environment_and_the_file(monkeypatch, tmp_path):
    seen = {}

    class Session:
        @staticmethod
        def run(config, *, names, environ, **_):
            seen.update(config=config, names=names)
            return 0

    config = tmp_path / "config.yaml"
    config.write_text("training:\n  seed: 1\n  num_train_epochs: 5\n  weight_decay: 0.5\n")
    monkeypatch.setitem(sys.modules, "sweepkit.training.session", Session)
    monkeypatch.setenv("SEED", "2")
    argv = ["--config", str(config), "--train-data", "t.csv", "--val-data", "v.csv", "--set", "num_train_epochs=3"]
    assert main([*argv, "--num_beams=4"]) == 0
    got = seen["config"]
    assert (got.training.seed, got.training.num_train_epochs, got.training.weight_decay) == (2, 3.0, 0.5)
    assert (got.data.train_file, got.data.val_file, got.generation.num_beams) == ("t.csv", "v.csv", 4)
    assert seen["names"] == ["num_beams"]
    assert main([*argv, "--seed=3"]) == 0
    assert seen["config"].training.seed == 3
    assert seen["names"] == ["seed"]


def test_help_needs_no_heavy_library_and_is_the_scripts_docstring():
    command = [sys.executable, "-X", "importtime", str(CODE_DIR / "trainer.py"), "--help"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"--help took {time.monotonic() - started:.2f} s")
    assert "--learning_rate=1e-5 --num_beams=4" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "numpy", "wandb", "ruamel.yaml", "optuna"}


def test_ctrl_c_is_130(monkeypatch):
    monkeypatch.setattr(command, "train", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([]) == 130
