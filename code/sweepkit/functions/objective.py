"""Inside a run that is a trial of an objective: call it with a trial whose study the agent keeps."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from sweepkit.environ import TRIALS_ENV
from sweepkit.errors import SweepKitError
from sweepkit.search.objective_trial import ObjectiveTrial, outcome_of
from sweepkit.tracking import inside

INTERMEDIATE = "intermediate"  # what a reported value is called: the metric itself is what the objective returns


class _Line:
    """A connection to the study: one JSON object a line, each answered by one."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._file = self._socket.makefile("rwb")

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer. Raises SweepKitError: the study refuses, or is gone."""
        self._file.write(json.dumps(question).encode() + b"\n")
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise SweepKitError("the study must answer its trials, got nothing: the agent that keeps it has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SweepKitError(answer["error"])
        return answer


def call_objective(function: Callable[[Any], Any], metrics: Sequence[str]) -> None:
    """Call an objective, report its value or that it was pruned.

    Args:
        function: It.
        metrics: The names of what it returns, one for each direction.
    """
    writer = inside.writer()
    if writer is None:
        raise SweepKitError("an objective is called in a run of a study, got none here")
    line = _Line(os.environ[TRIALS_ENV])
    begun = line.ask({"op": "begin", "run": os.environ["WANDB_RUN_ID"]})
    trial = ObjectiveTrial(
        begun["number"],
        line.ask,
        suggested=lambda noted: writer.message(suggested=noted),
        reported=lambda value, step: writer.report({INTERMEDIATE: value}, step),
        attributed=lambda attrs: writer.message(facts={"user_attrs": attrs}),
    )
    outcome = outcome_of(function, trial, len(metrics))
    if isinstance(outcome, str):
        writer.message(pruned=outcome)
    else:
        writer.report(dict(zip(metrics, outcome, strict=True)))
