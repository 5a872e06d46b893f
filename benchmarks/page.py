"""How long the live page takes in headless Chromium when 100, 1,000 or 5,000 runs of 50 reports are recorded.

    python benchmarks/page.py                      some minutes; writes results/page.md and results/page.json
    python benchmarks/page.py --sizes 100          a small one alone
    python benchmarks/page.py --no-peer            without optuna-dashboard

Measured are, from the user's side: the first view (from the navigation until curves, history, parallel coordinates and
table are painted), a brush (from the pointer's release until the table has been filtered and painted), and a report
(from its commit until the page shows it). The page's own CPU is that of the browser's main thread, plotly's start
included; it depends less on who else uses the machine. Beside it stands optuna-dashboard with the same trials, which
it holds in memory here: its best case.
"""

import argparse
import contextlib
import dataclasses
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import CODE, Others, folder, machine, machine_text, parser, save, table

from sweepkit.model.records import Attempt, Report, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store
from sweepkit.store.restore import RestoredRun

SIZES = (100, 1_000, 5_000)
REPORTS = 50
NAME = "page"
TARGETS = {"first view": "2 s", "brush": "0.2 s", "report": "1 s", "server": "150 MiB"}
_WAIT_MS = 300_000
_PEER_WAIT_MS = 100_000
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# As a browser is without a graphics card: pages are painted by the CPU, WebGL (optuna-dashboard needs it) is simulated.
# With --use-angle=swiftshader whole pages were painted by the simulated card, which nobody has: 2 s a brush.
_BROWSER = ("--no-sandbox", "--enable-unsafe-swiftshader")
_YAML = """\
name: page
program: train.py
method: random
metric: {name: loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 5}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1.0e-6, max: 1.0e-2}
  dropout: {min: 0.0, max: 0.5}
  layers: {min: 1, max: 12}
  optimizer: {values: [adamw, sgd, lion]}
  warmup: {min: 0.0, max: 0.2}
"""
_PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_RELEASED = "() => addEventListener('pointerup', () => { window.released = performance.now(); }, { capture: true })"
_BRUSHED = """async (total) => {
  const count = document.querySelector("section[aria-label=Runs] [role=status]");
  while (count.textContent.startsWith(`${total} of`)) await new Promise((done) => requestAnimationFrame(done));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return (performance.now() - window.released) / 1000;
}"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was measured once: seconds, and MiB of the server.

    Args:
        of: "sweepkit" or "optuna-dashboard".
        size: Recorded runs.
        first_s: Until the first view is painted.
        first_cpu_s: CPU of the page's main thread for it.
        brush_s, brush_cpu_s: Likewise of a brush; None where there is none.
        report_s: Until a report is seen; None where it was not measured.
        server_mib, peak_mib: What the server holds at the end, and held at most.
    """

    of: str
    size: int
    first_s: float
    first_cpu_s: float
    brush_s: float | None = None
    brush_cpu_s: float | None = None
    report_s: float | None = None
    server_mib: float
    peak_mib: float


# -- the same trials for both ------------------------------------------------------------------------------------------


def runs_of(sweep_id: str, size: int) -> Iterator[RestoredRun]:
    """Yield runs of 50 reports; a quarter was stopped early, a twentieth failed."""
    drawn = random.Random(size)
    for number in range(size):
        yield _run(sweep_id, number, drawn)


def _params(drawn: random.Random) -> dict[str, Any]:
    return {
        "learning_rate": 10 ** drawn.uniform(-6, -2),
        "dropout": drawn.uniform(0, 0.5),
        "layers": drawn.randint(1, 12),
        "optimizer": drawn.choice(["adamw", "sgd", "lion"]),
        "warmup": drawn.uniform(0, 0.2),
    }


def _run(sweep_id: str, number: int, drawn: random.Random) -> RestoredRun:
    state = drawn.choices([RunState.FINISHED, RunState.STOPPED, RunState.FAILED], [70, 25, 5])[0]
    params, begun = _params(drawn), 1e9 + 60 * number
    floor = 0.5 + params["dropout"] + drawn.gauss(0, 0.05)
    history = tuple(floor + 2 / (1 + at) + drawn.gauss(0, 0.02) for at in range(REPORTS))
    run = RunRecord(
        run_id=f"r{number:07d}",
        sweep_id=sweep_id,
        number=number,
        params=params,
        state=state,
        reason="RuntimeError: no luck (exit code 1)" if state is RunState.FAILED else "exit code 0",
        history=history,
        best_metrics={"loss": min(history), "accuracy": 1 - min(history) / 4},
        last_metrics={"loss": history[-1], "accuracy": 1 - history[-1] / 4},
        attempts=1,
        created_at=begun,
        started_at=begun,
        ended_at=begun + 50,
        outcome={"duration_s": 50.0, "exit_code": 0, "host": "h", "device": "gpu 0"},
    )
    reports = tuple(
        Report(seq=at, values={"loss": value, "accuracy": 1 - value / 4}, step=100 * at, time=begun + at)
        for at, value in enumerate(history)
    )
    return RestoredRun(run=run, reports=reports)


def fill(place: Path, size: int) -> Attempt:
    """Write a sweep of `size` runs, the last of which goes on, into PLACE/sweepkit.db; return its attempt."""
    with open_store(place / "sweepkit.db") as store:
        sweep, _ = store.create_sweep(
            NAME, text=_YAML, seed=1, metric="loss", goal="minimize", meta={"total": 2 * size}
        )
        store.restore(sweep, list(runs_of(sweep.sweep_id, size - 1)))
        params = _params(random.Random(0))
        return store.add_and_claim(sweep.sweep_id, size - 1, params, agent_id="a|b|c|1", host="h", lease_s=86_400)


# -- a browser ---------------------------------------------------------------------------------------------------------


class Tab:
    """A page of the browser whose main thread's CPU is known."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.page.set_default_timeout(_WAIT_MS)
        self._tools = self.page.context.new_cdp_session(self.page)
        self._tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu_s(self) -> float:
        """Return the seconds that the main thread has worked so far."""
        said = self._tools.send("Performance.getMetrics")["metrics"]
        return float(next(item["value"] for item in said if item["name"] == "TaskDuration"))

    def took(self, work: Callable[[], Any]) -> tuple[float, float]:
        """Return the seconds, and those of CPU, until `work` is done and painted."""
        cpu, began = self.cpu_s(), time.perf_counter()
        work()
        self.page.evaluate(_PAINTED)
        return time.perf_counter() - began, self.cpu_s() - cpu


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start headless Chromium, without a graphics card."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        raise SystemExit(f"benchmarks/page.py: needs one of {', '.join(_CHROMIUM)} on PATH, got none")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=list(_BROWSER))
        yield browser
        browser.close()


def _not_seen() -> type[Exception]:
    """Return the error of a wait that was in vain."""
    from playwright.sync_api import TimeoutError as NotSeen

    return NotSeen


def _mib(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


@contextlib.contextmanager
def _server(command: list[str]) -> Iterator[tuple[int, str]]:
    """Start a server that prints its URL; yield its process id and that line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CODE)
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(60)


# -- ours --------------------------------------------------------------------------------------------------------------


def measure(browser: Any, place: Path, size: int) -> Cost:
    """Return what the page of a sweep of `size` runs costs."""
    attempt = fill(place, size)
    command = [sys.executable, "-m", "sweepkit", "ui", NAME, "--output-dir", str(place), "--port", "0"]
    with _server(command) as (pid, url):
        time.sleep(3.0)  # nobody is faster with a copied URL; by then the server has read the record
        tab = Tab(browser)
        page = tab.page
        first = tab.took(lambda: (page.goto(url), page.wait_for_selector(f"html[data-ready={NAME}]", state="attached")))
        report_s = _seen(page, place, attempt)
        brush_s, brush_cpu_s = _brush(tab, size)
        page.close()
        return dataclasses.replace(
            _cost("sweepkit", size, first, pid), brush_s=brush_s, brush_cpu_s=brush_cpu_s, report_s=report_s
        )


def _cost(of: str, size: int, first: tuple[float, float], pid: int) -> Cost:
    """Return what every page costs: its first figure (seconds, CPU seconds), and the memory of its server."""
    return Cost(
        of=of,
        size=size,
        first_s=first[0],
        first_cpu_s=first[1],
        server_mib=_mib(pid, "VmRSS"),
        peak_mib=_mib(pid, "VmHWM"),
    )


def _seen(page: Any, place: Path, attempt: Attempt) -> float:
    """Return the seconds from a report's commit until the page shows its value."""
    page.wait_for_timeout(5_000)  # the panels further down have been drawn, too
    with open_store(place / "sweepkit.db") as store:
        store.report(
            attempt, [Report(seq=0, values={"loss": 0.98765}, step=1, time=1.0)], metric="loss", goal="minimize"
        )
        began = time.perf_counter()
    page.locator("section[aria-label='Running now']").get_by_text("0.98765").wait_for()
    return time.perf_counter() - began


def _brush(tab: Tab, size: int) -> tuple[float, float]:
    page = tab.page
    axis = page.locator("[data-axis=dropout]")
    axis.scroll_into_view_if_needed()
    page.wait_for_timeout(5_000)  # what the new report changed has been drawn
    page.evaluate(_RELEASED)
    box, cpu = axis.bounding_box(), tab.cpu_s()
    x, foot = box["x"] + box["width"] / 2, box["y"] + box["height"] - 2
    page.mouse.move(x, foot)
    page.mouse.down()
    page.mouse.move(x, foot - box["height"] / 3)
    page.mouse.up()
    return page.evaluate(_BRUSHED, size), tab.cpu_s() - cpu


# -- optuna-dashboard --------------------------------------------------------------------------------------------------

_PEER = """\
import sys
sys.path[:0] = [{here!r}, {code!r}]
import optuna, page
from optuna.trial import TrialState as State
from wsgiref.simple_server import make_server
from optuna_dashboard import wsgi

optuna.logging.set_verbosity(optuna.logging.ERROR)
states = {{"finished": State.COMPLETE, "stopped": State.PRUNED, "failed": State.FAIL}}
spaces = {{"learning_rate": (1e-6, 1e-2, True), "dropout": (0.0, 0.5, False), "warmup": (0.0, 0.2, False)}}
numbers = optuna.distributions.FloatDistribution
known = {{name: numbers(low, high, log=log) for name, (low, high, log) in spaces.items()}}
known["layers"] = optuna.distributions.IntDistribution(1, 12)
known["optimizer"] = optuna.distributions.CategoricalDistribution(["adamw", "sgd", "lion"])
storage = optuna.storages.InMemoryStorage()
study = optuna.create_study(storage=storage, study_name="page")
for item in page.runs_of("s", {size}):
    run = item.run
    study.add_trial(optuna.trial.create_trial(
        state=states[run.state.value], params=dict(run.params), distributions=known,
        value=None if run.state.value == "failed" else min(run.history),
        intermediate_values=dict(enumerate(run.history))))
server = make_server("127.0.0.1", 0, wsgi(storage))
print(f"http://127.0.0.1:{{server.server_port}}/dashboard/studies/{{study._study_id}}", flush=True)
server.serve_forever()
"""


def measure_peer(browser: Any, size: int) -> Cost:
    """Return what optuna-dashboard costs with the same trials: until its first figure is painted."""
    program = _PEER.format(here=str(Path(__file__).parent), code=str(CODE), size=size)
    with _server([sys.executable, "-c", program]) as (pid, url):
        tab = Tab(browser)
        page = tab.page
        drawn = "() => document.querySelector('.js-plotly-plot .trace, .js-plotly-plot canvas') !== null"
        first = tab.took(lambda: (page.goto(url), page.wait_for_function(drawn, timeout=_PEER_WAIT_MS)))
        page.wait_for_timeout(5_000)
        page.close()
        return _cost("optuna-dashboard", size, first, pid)


# -- the table ---------------------------------------------------------------------------------------------------------


def report(costs: list[Cost], facts: dict[str, Any], peer: str) -> str:
    """Return the table: a line for each page and size."""

    def cell(value: float | None, digits: int = 2) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    lines = [
        [
            f"{cost.of}, {cost.size:,} runs",
            cell(cost.first_s),
            cell(cost.first_cpu_s),
            cell(cost.brush_s),
            cell(cost.brush_cpu_s),
            cell(cost.report_s),
            cell(cost.server_mib, 0),
            cell(cost.peak_mib, 0),
        ]
        for cost in costs
    ]
    heads = [
        "",
        "first view, s",
        "its CPU, s",
        "brush, s",
        "its CPU, s",
        "new report seen, s",
        "server, MiB",
        "peak, MiB",
    ]
    targets = ", ".join(f"{what} {value}" for what, value in TARGETS.items())
    return "\n".join(
        [
            "# The live page by the number of recorded runs",
            "",
            f"`python benchmarks/page.py`; {REPORTS} reports a run, headless Chromium without a graphics card.",
            f"CPU is that of the page's main thread. Targets at 5,000 runs: {targets}.",
            "",
            table(heads, lines),
            "",
            peer,
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    made: argparse.ArgumentParser = parser(__doc__)
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="recorded runs")
    made.add_argument("--no-peer", action="store_true", help="without optuna-dashboard")
    options = made.parse_args(argv)
    facts, others = machine(quiet_s=options.quiet_s), Others()
    costs, peer = [], "optuna-dashboard was left out."
    with chromium() as browser:
        for size in options.sizes:
            with folder() as place:
                costs.append(measure(browser, place, size))
                print(costs[-1], flush=True)
        if not options.no_peer:
            try:
                import optuna_dashboard

                costs.append(measure_peer(browser, max(options.sizes)))
                peer = f"optuna-dashboard {optuna_dashboard.__version__} until its first figure, its trials in memory."
            except _not_seen():
                peer = f"optuna-dashboard showed no figure within {_PEER_WAIT_MS / 1000:.0f} s."
            except ImportError:
                peer = "optuna-dashboard is not installed here."
    others.finish(facts)
    data = {"machine": facts, "costs": [dataclasses.asdict(cost) for cost in costs]}
    save(options.output, "page", text=report(costs, facts, peer), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
