"""That a parameter is called unread only where no line of the program can have read it."""

import sys

import pytest

from sweepkit.runner.program_source import read_program
from sweepkit.runner.unread import unread

COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
PARAMS = {"lr": 0.1, "opt.beta": 0.9, "rate": 3}
ALL = list(PARAMS)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Ask which parameters a program of some files leaves unread."""
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))

    def ask(files, params=PARAMS, command=COMMAND):
        files = {"train.py": files} if isinstance(files, str) else files
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n", encoding="utf-8")
        return unread(params, read_program(tmp_path / "train.py"), command)

    return ask


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("import wandb\nwandb.init()\nwandb.log({'x': 1})", ALL),
        ("import wandb\nrun = wandb.init()\nc = run.config\nprint(c.lr, c['opt']['beta'], c.get('rate', 1))", []),
        ("import wandb\nwandb.init()\nprint(wandb.config)\nx = wandb.config.lr", ["opt.beta", "rate"]),
        (
            "import argparse, wandb\np = argparse.ArgumentParser()\np.add_argument('--lr')\n"
            "args, rest = p.parse_known_args()\nwandb.init(config=args)\nwandb.config.update(args)\nprint(args.lr)",
            ["opt.beta", "rate"],
        ),
        (
            "import wandb, torch\ndef build(cfg):\n    return torch.nn.Linear(cfg.lr, 1)\n"
            "def main():\n    with wandb.init() as run:\n        config = run.config\n        build(config)\n"
            "        model.eval()\nmain()",
            ["opt.beta", "rate"],
        ),
        (
            "import wandb\nclass Trainer:\n    def __init__(self, cfg):\n        self.cfg = cfg\n"
            "    def fit(self):\n        return self.step(self.cfg)\n    def step(self, c):\n        return c.lr\n"
            "Trainer(wandb.config).fit()",
            ["opt.beta", "rate"],
        ),
        ("lr = 1  # rate, beta", []),
        (
            "import sys\nd = dict(w.lstrip('-').split('=', 1) for w in sys.argv[1:])\nx = d.get('lr', 1)",
            ["opt.beta", "rate"],
        ),
        ("import os\nseed = os.environ['RATE']; lr = beta = 0", []),
    ],
)
def test_what_is_plainly_read_or_not_is_told(asked, text, left):
    assert asked(text) == left


WAYS = {
    "vars": "import argparse\nargs = argparse.ArgumentParser().parse_args()\nprint(vars(args))",
    "kwargs": "import wandb\ndef f(**k): pass\nf(**wandb.config)",
    "kwargs of a copy": "import wandb\nconfig = dict(wandb.config)\nmodel = Model(**config)",
    "getattr": "import wandb\nfor name in ('l' + 'r',): getattr(wandb.config, name)",
    "subscript": "import wandb\nc = wandb.config\nkey = 'l' + 'r'\nc[key]",
    "get": "import wandb\nc = wandb.config\nkey = 'l' + 'r'\nc.get(key)",
    "items": "import wandb\nfor k, v in wandb.config.items(): print(k)",
    "iteration": "import wandb\nfor k in wandb.config: print(k)",
    "comprehension": "import wandb\nx = {k: 1 for k in wandb.config.keys()}",
    "json": "import json, wandb\njson.dump(dict(wandb.config), open('c.json', 'w'))",
    "as_dict": "import wandb\nx = wandb.config.as_dict()",
    "str": "import random, wandb\nrandom.seed(str(wandb.config))",
    "f-string": "import random, wandb\nrandom.seed(f'{wandb.config}')",
    "format": "import wandb\nname = '{0}'.format(wandb.config)",
    "dunder dict": "import argparse\na = argparse.ArgumentParser().parse_args()\nx = a.__dict__",
    "update of another": "import wandb\nd = {}\nd.update(wandb.config)\nModel(**d)",
    "merge": "import wandb\nd = {**wandb.config}",
    "or": "import wandb\nd = {} | dict(wandb.config)",
    "in a list": "import wandb\nx = [wandb.config]",
    "lambda": "import wandb\nf = lambda: wandb.config\nf()",
    "default": "import wandb\ndef f(c=wandb.config): pass",
    "library call": "import wandb, torch\ntorch.anything(wandb.config)",
    "method of a library": "import wandb, torch\ndef fit(c): return c.x\nm = torch.nn.Linear()\nm.fit(wandb.config)",
    "attribute of self": "import wandb\nclass T:\n  def __init__(s):\n    s.c = wandb.config\n  def f(s): vars(s.c)",
    "returned": "import argparse\ndef get(): return argparse.ArgumentParser().parse_args()\nx = get()\nprint(vars(x))",
    "function handed on": "import argparse\ndef get(): return argparse.ArgumentParser().parse_args()\nx = call(get)",
    "alias of a method": "import argparse\nparse = argparse.ArgumentParser().parse_args\nx = parse()\nvars(x)",
    "partial": "import functools, wandb\ndef f(c): return c.x\ng = functools.partial(f, wandb.config)",
    "walrus": "import wandb\nif (c := wandb.config): vars(c)",
    "group": "import torch, wandb\nwandb.init()\ntorch.optim.Adam([], **wandb.config.opt)",
    "argv": "import sys\nfor word in sys.argv[1:]: print(word.split('='))",
    "from sys": "from sys import argv\nfor word in argv: f(word)",
    "words handed on": "import sys\nx = [f(word) for word in sys.argv]",
    "kwargs of words": "import sys\nd = dict(w.split('=') for w in sys.argv[1:])\nf(**d)",
    "computed name of words": "import sys\nd = {k: v for k, v in (w.split('=') for w in sys.argv)}\nd['l' + 'r']",
    "by place": "import sys\nx = float(sys.argv[1])",
    "main of argv": "import sys\ndef main(argv):\n    for word in argv: print(word)\nmain(sys.argv[1:])",
    "fire": "import fire\nfire.Fire(main)",
    "click": "import click\n@click.command()\ndef main(): pass",
    "hydra": "import hydra\n@hydra.main()\ndef main(cfg): pass",
    "typer in a try": "try:\n    import typer\nexcept ImportError:\n    pass",
    "hf": "from transformers import HfArgumentParser, TrainingArguments\nHfArgumentParser(TrainingArguments)",
    "absl": "from absl import flags",
    "parameter file": "import os, yaml\nyaml.safe_load(open(os.environ['WANDB_SWEEP_PARAM_PATH']))",
    "subprocess": "import subprocess\nsubprocess.run(['python', 'other'])",
    "system": "import os\nos.system('python other.py')",
    "exec": "exec(open('other.py').read())",
    "runpy": "import runpy\nrunpy.run_path('other')",
    "importlib": "import importlib\nimportlib.import_module('x')",
    "agent": "import wandb\nwandb.agent('s', function=f)",
    "unknown import": "import a_module_of_nobody",
    "not Python 3": "print 'hello'",
    "global names": "x = globals()",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_that_may_read_any_name_is_called_unread(asked, way):
    assert asked(WAYS[way]) == []


READS = "import wandb\ndef main():\n    c = wandb.config\n    print(c.lr, c.opt.beta, c.rate)\n"


@pytest.mark.parametrize(
    "files",
    [
        {"train.py": "from pkg.train import main\nmain()", "pkg/__init__.py": "", "pkg/train.py": READS},
        {"train.py": "from pkg import main\nmain()", "pkg/__init__.py": "from .deep.inner import main",
         "pkg/deep/__init__.py": "", "pkg/deep/inner.py": "from ..other import main", "pkg/other.py": READS},
        {"train.py": "import pkg.train as t\nt.main()", "pkg/train.py": READS},
        {"train.py": "from pkg import train\ntrain.main()", "pkg/__init__.py": "", "pkg/train.py": READS},
        {"train.py": "def main():\n    from pkg.train import main as m\n    m()\nmain()", "pkg/train.py": READS},
        {"train.py": "from mylib import main\nmain()", "elsewhere/mylib/__init__.py": "from mylib.cli import *",
         "elsewhere/mylib/cli.py": READS},
        {"train.py": "import helper", "helper.py": READS},
        {"train.py": "import settings\nvars(settings.args)",
         "settings.py": "import argparse\nargs = argparse.ArgumentParser().parse_args()"},
        {"train.py": "from settings import args as a\nvars(a)",
         "settings.py": "import argparse\nargs = argparse.ArgumentParser().parse_args()"},
        {"train.py": "from settings import get as g\nx = g()\nvars(x)",
         "settings.py": "import argparse\ndef get(): return argparse.ArgumentParser().parse_args()"},
    ],
)  # fmt: skip
def test_the_local_modules_that_it_imports_belong_to_the_program(asked, files):
    assert asked(files) == []


def test_what_a_package_reads_not_is_told_all_the_same(asked):
    files = {
        "train.py": "from pkg.train import main\nmain()",
        "pkg/train.py": "import wandb\ndef main(): wandb.config.lr",
    }
    assert asked(files) == ["opt.beta", "rate"]


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (("${program}", "--speed=${lr}", "${rate}"), ["opt.beta"]),
        (("${program}", "--o=${opt}"), ["lr", "rate"]),
        (("${program}", "--o=${opt.beta}"), ["lr", "rate"]),
        (("${program}", "${args_json}"), []),
        (("${program}", "${args_json_file}"), []),
        (("${program}",), ALL),
    ],
)
def test_what_the_command_hands_over_under_another_name_is_not_called_unread(asked, command, left):
    assert asked("import wandb\nwandb.init()", command=command) == left


def test_an_option_that_a_parameter_abbreviates_reads_it(asked):
    text = (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate-of-learning')\np.add_argument('--l_r')"
    )
    assert asked(text, params={"rate": 1, "rate_of": 2, "l-r": 3, "lear": 4}) == ["lear"]


def test_sys_path_of_the_program_is_its_own(asked, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/nowhere"])
    assert asked("import json\n") == ALL
