"""`sweepkit ui`: the live page."""

import argparse
from pathlib import Path

from sweepkit.cli.monitor_options import port_number
from sweepkit.cli.options import add_places
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.text.shown import say

EPILOG = """\
examples:
  {call}                                       every sweep of outputs/, on this machine alone
  {call} first_sweep                           the URL opens that sweep
  {call} --storage postgresql://user@host/sweeps
  ssh -L 8080:127.0.0.1:8080 gpu3              then the URL that {call} prints there opens here
  {call} --host 0.0.0.0 --token SECRET         for every machine that reaches this one

It prints the URL to open; the token in it is what allows to pause, stop, cancel, retry and note. Everything is read
from the database and from this machine's disk: no network, no account. The database is only written by these actions,
each of which stands in the record with who and when.
"""


def _add(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweep", nargs="?", metavar="NAME", help="the sweep to open (default: the list of all)")
    parser.add_argument(
        "--port", type=port_number, metavar="N", help="of the page (default: 8080, else any free one; 0: any)"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default: this machine)")
    parser.add_argument("--token", metavar="SECRET", help="what a browser must show (default: made up, in the URL)")
    add_places(parser, output_dir)


def _ui(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.extras import needed

    needed("web")
    from sweepkit.ui.options import UiOptions
    from sweepkit.ui.server import serve

    return serve(UiOptions(**vars(given)), lambda line: say(line, flush=True))


COMMAND = CommandLine(name="ui", add=_add, act=_ui, epilog=EPILOG)
