"""Agents as jobs of SLURM, by its own commands: `sbatch`, `squeue`, `scancel`. No accounting daemon is needed.

A job is requeued by SLURM when its node fails or somebody of higher priority takes it, and by itself when its time is
nearly over: the record's leases see to it that no run is lost or made twice, whatever copy of a job still lives.
`--dependency=singleton` keeps two jobs of a name from running at once.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from sweepkit.cluster.engine import AgentJob, AgentPlace, AgentState, EngineError
from sweepkit.cluster.keeper import MOVED, NOTIFIED_ALL_ENV

_PATIENCE_S = 30.0  # of one command; a controller that is away takes its time to say so
_WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNS = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
_NOT_THERE = ("Invalid job id", "Job/step already completing or completed")
# SLURM looks at the times of jobs some 30 s apart only.
_MARGIN_S = 120

_SCRIPT = """\
#!/bin/bash
# An agent of sweepkit. USR1 comes when the job's time is nearly over: it is queued again, unless the sweep is over.
moved=
trap 'moved=1; kill -USR1 "$keeper" 2>/dev/null' USR1
trap 'kill -TERM "$keeper" 2>/dev/null' TERM
{command} &
keeper=$!
wait "$keeper"; code=$?
while kill -0 "$keeper" 2>/dev/null; do wait "$keeper"; code=$?; done
if [ "$code" = {moved} ] && [ -n "$moved" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
"""


class SlurmEngine:
    """SLURM as its user's commands show it. See `ClusterEngine`.

    Args:
        environ: What the commands run in; SLURM_CONF, for instance.
    """

    name = "SLURM"

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)

    def check(self, job: AgentJob) -> None:
        """Let SLURM say what it thinks of the job, and place nothing."""
        self._sbatch(job, "--test-only")

    def _node_of(self, host: str) -> str:
        """Return the name that SLURM has for a host, which calls itself by it, by `NodeHostname` or by more of either.

        Raises:
            EngineError: No node is that host, or SLURM does not answer.
        """
        short = host.partition(".")[0]
        nodes = [line.split() for line in self._run(["sinfo", "-h", "-N", "-o", "%N %n %o"]).splitlines()]
        for wanted in (host, short):
            for name, *other_names in nodes:
                if wanted in (name, *other_names):
                    return name
        there = ", ".join(sorted({node[0] for node in nodes}))
        raise EngineError(f"SLURM: {host} must be a node of the cluster, got {there or 'none'}")

    def submit(self, job: AgentJob) -> None:
        """Queue a job, unless one of its name is queued or runs."""
        if self.poll([job.name])[job.name].state is AgentState.GONE:
            self._sbatch(job, "--parsable")

    def poll(self, names: Iterable[str]) -> dict[str, AgentPlace]:
        """Ask `squeue`, which forgets a job some minutes after its end."""
        wanted = list(names)
        try:
            queue = self._queue()
        except EngineError as error:
            return {name: AgentPlace(AgentState.UNKNOWN, str(error)) for name in wanted}
        return {name: queue.get(name, AgentPlace(AgentState.GONE)) for name in wanted}

    def names(self, prefix: str) -> set[str]:
        """Ask `squeue` for all jobs of this user."""
        return {name for name, place in self._queue().items() if name.startswith(prefix) and place.state in _THERE}

    def stop(self, name: str) -> None:
        """Cancel a job: SIGTERM to all of its processes, SIGKILL after the site's KillWait."""
        self._run(["scancel", "--user", str(os.getuid()), "--name", name])

    def _queue(self) -> dict[str, AgentPlace]:
        """Return all jobs of this user: of a name that is there twice, the one that runs."""
        found: dict[str, AgentPlace] = {}
        for line in self._run(["squeue", "-h", "--user", str(os.getuid()), "-o", "%j\t%T\t%R"]).splitlines():
            name, state, words = (line.split("\t") + ["", ""])[:3]
            place = AgentPlace(_state(state), _words(words) if state in _WAITS else words)
            known = found.get(name)
            if known is None or _ORDER[place.state] < _ORDER[known.state]:
                found[name] = place
        return found

    def _sbatch(self, job: AgentJob, how: str) -> None:
        node = [f"--nodelist={self._node_of(job.node)}"] if job.node else []
        words = ["sbatch", how, *node, *_options(job)]
        script = _SCRIPT.format(command=shlex.join(job.argv), moved=MOVED)
        self._run(words, stdin=script, env={**job.env, NOTIFIED_ALL_ENV: "1"})

    def _run(self, words: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run one of SLURM's commands; return what it printed. Raises EngineError when it fails."""
        try:
            done = subprocess.run(
                words,
                input=stdin,
                env={**self._environ, **(env or {})},
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
        except FileNotFoundError as error:
            raise EngineError(f"--launcher slurm: {words[0]} must be installed here, got none on PATH") from error
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"SLURM: {words[0]} does not answer within {_PATIENCE_S:g} s") from error
        said = done.stderr.strip()
        if done.returncode and not any(words in said for words in _NOT_THERE):
            raise EngineError(
                f"SLURM: {words[0]} must be able to do what is asked, got: {_sentence(said) or done.returncode}; "
                "`sinfo` shows partitions and nodes, --sbatch=… passes any option"
            )
        return done.stdout


_THERE = (AgentState.PENDING, AgentState.RUNNING)
_ORDER = {AgentState.RUNNING: 0, AgentState.PENDING: 1, AgentState.UNKNOWN: 2, AgentState.GONE: 3}


def _sentence(said: str) -> str:
    r"""Return what one of SLURM's commands complained of as one line, without its own name before each.

    >>> _sentence("sbatch: error: invalid partition\nsbatch: fatal: no such job")
    'invalid partition; no such job'
    """
    lines = [re.sub(r"^(\w+: )+(error|fatal): |^\w+: ", "", line).strip() for line in said.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))


def _state(word: str) -> AgentState:
    if word in _WAITS:
        return AgentState.PENDING
    return AgentState.RUNNING if word in _RUNS else AgentState.GONE


def _words(reason: str) -> str:
    """Return why a job waits; SLURM writes "None" while it has not looked at it."""
    words = reason.strip("()")
    return "" if words == "None" else words


def _options(job: AgentJob) -> list[str]:
    """Return the options of `sbatch` for a job; the user's own come last, so that they hold."""
    options = [
        f"--job-name={job.name}",
        f"--output={job.log}",
        "--open-mode=append",
        f"--chdir={job.cwd}",
        f"--nodes={job.nodes}",
        "--dependency=singleton",
        "--requeue",
        f"--signal=B:USR1@{_MARGIN_S}",
        "--export=ALL",
    ]
    if job.gpus:
        options.append(f"--gres=gpu:{job.gpus}")
    if job.cpus is not None:
        options.append(f"--cpus-per-task={job.cpus}")
    if job.time_limit_s is not None:
        minutes, seconds = divmod(job.time_limit_s, 60)
        options.append(f"--time={minutes}:{seconds:02d}")
    return [*options, *job.extra]
