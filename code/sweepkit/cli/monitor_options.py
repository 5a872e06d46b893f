"""The command line of monitor_sweep.py. Imports argparse and nothing heavy: `--help` must answer at once."""

import argparse
import math
from pathlib import Path

from sweepkit.cli.options import add_places
from sweepkit.cli.parsing import Parser
from sweepkit.monitor.options import MonitorOptions
from sweepkit.paths import default_output_dir

_UNTIL = ("done", "failed", "stalled")
_WANDB_INTERVAL_S = 10.0  # W&B's server counts requests
_WANDB_LEAST_S = 2.0
_INTERVAL_S = 2.0

EPILOG = """\
examples:
  {call} first_sweep                    watch it until it ends
  {call} --all --storage postgresql://user@host/sweeps
  {call} first_sweep --until done --until stalled --json > progress.jsonl
  {call} first_sweep --web              the live page, too (sweepkit ui is that alone)

The database is only read: watching from any host changes nothing.
exit codes: 0 done; 1 not yet (--once); 2 wrong input; 3 failed; 4 stalled.
{more}

more examples:
  {call} ../outputs/sweep_first_sweep   by its folder
  {call} first_sweep --optuna-dashboard  optuna-dashboard on a mirror of the sweep
  {call} --wandb entity/project/id      a sweep on a W&B server

exit codes:
  0    the sweep is done; the one snapshot of --once; Ctrl-C without --until
  1    --once --until ...: not yet
  2    wrong input, or nothing to watch
  3    --until failed: a run failed. Any --until: the sweep ended by being cancelled, or without a result: no run
       finished well, or none has a value of the metric
  4    --until stalled: running runs are silent (10 usual intervals between reports, at least 5 minutes), the leases of
       all of them are over, or nothing has run for a minute though runs are left; or it is idle: its runner left
       (--count, Ctrl-C, given up) and runs are left
  130  Ctrl-C while --until waits
Whatever --until waits for, the end of the sweep (with --all: of all of them) ends the waiting.

--json: one object a line and refresh:
  time    the database's clock, seconds since the epoch (so are all *_at); durations are in seconds (*_s)
  sweeps  of each: name, state (running, paused, finished, cancelled), reason, ended, stalled and idle
          (null or why), metric {name, goal}, total (null: unbounded), done, counts by state,
          best {run_id, number, value, params}, mean and valued (over how many), curve [[done, value, run_id]] of the
          best so far, workers, elapsed_s, eta_s, running [{run_id, number, params, attempt, host, device, pid, reports,
          step, value, best, leads (it is better than the best), age_s (since the newest report), duration_s, margin (to
          being stopped; null: none known), verdict, lease_over, cpu_percent, memory_mb}], failures [{run_id, number,
          state, reason, ended_at}], the newest first
          With runs_per_gpu: auto also packing, a sentence of each GPU
  gpus    of this machine: index, name, percent (null: not known), memory_mb, total_mb
  notes   sentences for a person
"""


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.05 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be seconds between 0.05 and 86400, got {text!r}")
    return seconds


def port_number(text: str) -> int:
    """Return a port as argparse takes it: 0 for any free one."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"must be a port between 0 (any free one) and 65535, got {text!r}")
    return port


def add_watch(parser: Parser, output_dir: Path | None) -> None:
    """Add what to watch, and how."""
    what = parser.add_argument_group("what to watch")
    what.add_argument(
        "sweep",
        nargs="?",
        metavar="NAME|DIR",
        help="a sweep's name or folder (default: the one that runs, else the newest)",
    )
    what.add_argument("--all", action="store_true", help="every sweep of the database")
    what.add_argument("--wandb", metavar="ENTITY/PROJECT/ID", help="a sweep on a W&B server (or the URL of its page)")
    add_places(what, output_dir)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--refresh-interval",
        type=_interval,
        metavar="S",
        help=f"seconds between snapshots (default: {_INTERVAL_S:g}; {_WANDB_INTERVAL_S:g} with --wandb)",
    )
    how.add_argument("--once", action="store_true", help="take one snapshot")
    how.add_argument("--json", action="store_true", help="one JSON object a refresh on stdout")
    how.add_argument(
        "--until", action="append", choices=_UNTIL, metavar="WHAT", help="wait for done, failed, stalled; repeatable"
    )
    web = how.add_mutually_exclusive_group()
    web.add_argument("--web", action="store_true", help="serve the live page, too: curves, tables and what steers it")
    web.add_argument("--optuna-dashboard", action="store_true", help="show a mirror of it in optuna-dashboard, too")
    how.add_argument(
        "--port", type=port_number, metavar="N", help="of the page or dashboard (default: 8080, else any free one)"
    )


def monitor_options(parser: Parser, given: argparse.Namespace) -> MonitorOptions:
    """Return what is asked for; argparse exits with code 2 on options that do not go together."""
    _check(parser, given, output_dir=parser.get_default("output_dir") or default_output_dir())
    if given.refresh_interval is None:
        given.refresh_interval = _WANDB_INTERVAL_S if given.wandb else _INTERVAL_S
    given.until = tuple(given.until or ())
    return MonitorOptions(**vars(given))


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace, *, output_dir: Path) -> None:
    """Refuse options that exclude each other; argparse exits with code 2."""
    whats = (("NAME", given.sweep), ("--all", given.all), ("--wandb", given.wandb))
    named = [name for name, value in whats if value]
    if given.wandb == "":
        parser.error("--wandb must be ENTITY/PROJECT/ID or the URL of a sweep's page, got nothing")
    if len(named) > 1:
        parser.error(f"{' and '.join(named)} exclude each other; give one of them")
    if (given.web or given.optuna_dashboard) and (given.once or given.wandb):
        shown = "--web" if given.web else "--optuna-dashboard"
        parser.error(f"{shown} and {'--once' if given.once else '--wandb'} exclude each other; leave one out")
    if given.wandb and (given.storage or given.output_dir != output_dir):
        other = "--storage" if given.storage else "--output-dir"
        parser.error(f"--wandb and {other} exclude each other: a W&B sweep is read from its server")
    if given.wandb and given.refresh_interval is not None and given.refresh_interval < _WANDB_LEAST_S:
        parser.error(
            f"--refresh-interval with --wandb must be at least {_WANDB_LEAST_S:g}, got {given.refresh_interval:g}: "
            "W&B's server counts requests"
        )
    if given.port is not None and not (given.web or given.optuna_dashboard):
        parser.error("--port is the page's: give --web, too")
