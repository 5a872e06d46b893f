"""The command line of `optimize.py`. Imports argparse and nothing heavy: `--help` must answer at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sweepkit.cli.options import add_end, add_places, gpu_names, natural, positive, seconds
from sweepkit.cli.overview import SUMMARIES
from sweepkit.cli.parsing import Parser, make_parser
from sweepkit.studies.options import StudyOptions
from sweepkit.studies.yaml.study_sweep import DEFAULT_EXPERIMENT, PRUNERS, SAMPLERS

EPILOG = """\
examples:
  {call}                          50 trials of the embedded model
  {call} --experiment tiny_t5 --n_trials 20 --n-jobs 2
  {call} --config my_optuna.yaml  a space of your own
  {call} my_file.py:objective --direction minimize --n-trials 30

The same command continues; a greater --n-trials adds trials.
exit codes: 0 there is a value of the metric; 3 none; 1 given up; 2 bad input.
{more}

Without --config fifteen parameters are searched: lora_r, lora_alpha, lora_dropout, learning_rate,
batch_size, num_epochs, warmup_ratio, weight_decay, scheduler_type, temperature, top_p, num_beams,
length_penalty, hidden_dropout, attention_dropout. Each trial reports after every epoch, a poor one ends there.

Started twice, both work on one study. Ctrl-C waits for the running trials, again
terminates them, again kills them. 1 is also the code of a study that was paused or
cancelled; 130 Ctrl-C.
"""


def _jobs(text: str) -> int:
    """Return how many trials run at once: a positive whole number, or -1 for as many as the machine has room for."""
    if text.strip() == "-1":
        return -1
    try:
        return positive(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, or -1 for all, got {text!r}") from None


def parse(argv: Sequence[str] | None, *, output_dir: Path | None) -> StudyOptions:
    """Return the options of `optimize.py`; argparse exits with code 2 on a wrong one.

    `n_trials`, `timeout`, `sampler`, `pruner`, `seed` and `direction` are None when they are not given, so that a
    --config may say them.
    """
    parser = make_parser("optimize.py", SUMMARIES["optimize"], EPILOG)
    add_optimize(parser, output_dir)
    return StudyOptions(**vars(parser.parse_args(argv)))


def add_optimize(parser: Parser, output_dir: Path | None) -> None:
    """Add what is searched, where and how."""
    _add_study(parser)
    _add_machine(parser, output_dir)


def _add_study(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the study").add_argument
    add(
        "objective",
        nargs="?",
        metavar="FILE.py:FUNCTION",
        help="an objective of your own, as study.optimize takes it",
    )
    add(
        "--experiment",
        metavar="NAME",
        help="a training configuration in config/ or config/models/, else a name of yours for the study "
        f"(default: {DEFAULT_EXPERIMENT})",
    )
    add("--config", metavar="FILE|NAME", help="a YAML with a search space of your own, or its name in config/")
    add("--base-config", metavar="FILE|NAME", help="what every trial starts from, in place of the experiment's")
    add("--study-name", metavar="NAME", help="default: optuna_<experiment>")
    add("--n-trials", type=positive, metavar="N", help="trials in all, over all calls (default: 50)")
    add("--timeout", type=seconds, metavar="SECONDS", help="start no trial after so long in this call")
    add(
        "--direction",
        choices=["maximize", "minimize"],
        help="default: maximize ROUGE-L F1; minimize one's own objective",
    )
    add("--metric", metavar="NAME", help="another name that the trainer reports, e.g. eval/rouge1_f1")
    add("--sampler", choices=SAMPLERS, help="default: tpe")
    pruners = sorted(PRUNERS)
    said = f"what ends poor trials early (default: median): {', '.join(pruners)}"
    add("--pruner", choices=pruners, metavar="NAME", help=said)
    add("--seed", type=natural, metavar="S", help="seed of the search (default: 42)")
    add("--wandb", action="store_true", help="record each trial with W&B, too (offline)")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="refuse to begin: the study must be there already")
    begin.add_argument("--fresh", action="store_true", help="start anew under a new name; what there is stays")


def _add_machine(parser: argparse.ArgumentParser, output_dir: Path | None) -> None:
    group = parser.add_argument_group("where and how")
    add_places(group, output_dir)
    add = group.add_argument
    add("--record", dest="storage", help=argparse.SUPPRESS)  # what --storage was called once
    add(
        "--optuna-storage",
        metavar="URL",
        help="for optuna.load_study, optuna-dashboard (default: DIR/optuna.db)",
    )
    add("--n-jobs", type=_jobs, metavar="K", help="trials at once (default: 1); -1: one a GPU, else one per 2 cores")
    add("--gpus", type=gpu_names, metavar="0,1,3", help="use these GPUs only: indices or UUIDs (default: all visible)")
    add("--cold", action="store_true", help="start every trial in a fresh process")
    add("--retry-failed", action="store_true", help="run the failed trials again, too")
    add("--dry-run", action="store_true", help="show what would be run, write nothing")
    add("--json", action="store_true", help="one JSON object a line on stdout")
    add_end(group)
    add("-v", "--verbose", action="store_true", help="show each trial's log file as it starts")
