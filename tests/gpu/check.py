"""Check sweepkit on a GPU: rows that pass, fail with the reason, or are skipped aloud. `sh tests/gpu/run.sh` runs it.

The standard library is enough to begin with; CUDA is used in processes of their own, so that none of it stays here.
Exit code 0 when no row failed. `--rehearse` takes a GPU on paper (stand_in/) and the CPU for it: that the rows
themselves are right can be seen so, and nothing of CUDA.
"""

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CODE = ROOT / "code"
WORK = HERE / "work.py"
MIB = 2**20
SLACK_MB = 64  # by which free memory may differ: the driver's own
STAND_IN = HERE / "stand_in"


class Skip(Exception):  # noqa: N818 - no error
    """A row that cannot be checked here, and why."""


@dataclass
class Result:
    """What came of a row."""

    name: str
    status: str
    seconds: float
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row: its name, what checks it (it returns facts), whether it needs CUDA, whether others would disturb it."""

    name: str
    check: Callable[["Place"], dict[str, Any]]
    cuda: bool
    alone: bool


ROWS: list[Row] = []


def row(name: str, *, cuda: bool = True, alone: bool = False) -> Callable[[Callable[["Place"], dict[str, Any]]], Any]:
    """Make a function a row of the table."""

    def add(check: Callable[["Place"], dict[str, Any]]) -> Any:
        ROWS.append(Row(name, check, cuda, alone))
        return check

    return add


def need(condition: object, what: str) -> None:
    """Fail the row unless a condition holds."""
    if not condition:
        raise AssertionError(what)


class Place:
    """A folder for one row, and how to run sweeps and programs in it.

    Args:
        folder: An existing, empty one.
        deadline: When everything must be over, in seconds of the monotonic clock.
    """

    def __init__(self, folder: Path, deadline: float) -> None:
        self.folder, self.deadline = folder, deadline
        self.out = folder / "seen"
        self.out.mkdir()
        own = {"GPU_CHECK_OUT": str(self.out), "GPU_CHECK_CODE": str(CODE)}
        self.env = {**os.environ, **own, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
        self.output = ""

    def run(self, *words: str, timeout_s: float = 120.0, ok: bool = True, **env: str) -> str:
        """Run a Python script; return what it printed. Its processes are gone afterwards."""
        patience = 5 if rehearsed() else 1
        left = min(patience * timeout_s, self.deadline - time.monotonic())
        need(left > 1, "no time was left")
        process = self.start(*words, **env)
        try:
            output, _ = process.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still ran after {left:.0f} s: {' '.join(words)}") from None
        finally:
            end(process)
        self.output = output
        need(not ok or process.returncode == 0, f"exit code {process.returncode}: {output[-600:]}")
        return output

    def start(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        """Start a Python script in a session of its own, its output to be read."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=CODE,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def sweep_words(self, name: str, values: dict[str, list[Any]], *options: str, **more: Any) -> list[str]:
        """Write a grid sweep of `work.py` and return the command that runs it. JSON is YAML."""
        config = {
            "name": name,
            "program": str(WORK),
            "method": "grid",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {key: {"values": list(items)} for key, items in values.items()},
            **more,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(config))
        words = ["parallel_sweep_runner.py", "--single-parallel", str(path), "--num-workers", "1"]
        return [*words, *self.where(), *options]

    def sweep(self, name: str, values: dict[str, list[Any]], *options: str, ok: bool = True, **more: Any) -> list[Any]:
        """Run a grid sweep of `work.py`; return its results by number."""
        timeout_s, env = more.pop("timeout_s", 120.0), more.pop("env", {})
        self.run(*self.sweep_words(name, values, *options, **more), timeout_s=timeout_s, ok=ok, **env)
        return self.results(name)

    def where(self) -> list[str]:
        """Return the words that say where the sweeps are."""
        return ["--output-dir", str(self.folder / "outputs")]

    def results(self, name: str) -> list[Any]:
        """Return the results of a sweep's runs, by number."""
        files = (self.folder / "outputs" / f"sweep_{name}").glob("run_*_result.json")
        return sorted((json.loads(path.read_text()) for path in files), key=lambda item: item["number"])

    def seen(self, kind: str) -> list[Any]:
        """Return what the programs of a kind wrote, in the order in which they began."""
        found = [json.loads(path.read_text()) for path in self.out.glob(f"{kind}-*.json")]
        return sorted(found, key=lambda item: item["began"])

    def trainer(self, name: str, *settings: str, words: tuple[str, ...] = ("trainer.py",), **env: str) -> Any:
        """Train with the embedded data; return the result."""
        directory = self.folder / name
        given = [word for setting in (f"output.directory={directory}", *settings) for word in ("--set", setting)]
        self.run(*words, *given, **env)
        return json.loads((directory / "results" / "training_results.json").read_text())


def end(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of a process and of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rehearsed() -> bool:
    """Return whether the GPU exists on paper only."""
    return "GPU_STAND_IN" in os.environ


def device() -> str:
    """Return what torch calls the device of the rows."""
    return "cpu" if rehearsed() else "cuda"


@functools.cache
def gpus() -> tuple[str, ...]:
    """Return the GPUs that sweepkit sees."""
    from sweepkit.agents.slots import visible_gpus

    found = visible_gpus(os.environ)
    need(found, "nvidia-smi lists no GPU, so sweepkit sees none")
    return found


def gpu() -> str:
    """Return the GPU that the rows use, as sweepkit names it."""
    return gpus()[0]


def ask_cuda(code: str, env: dict[str, str] | None = None) -> Any:
    """Return what a line of code prints as JSON, in a process that may use CUDA."""
    source = f"import json, torch\nprint(json.dumps({code}))"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=env, timeout=240)
    need(found.returncode == 0, found.stderr[-400:])
    return json.loads(found.stdout.splitlines()[-1])


def driver() -> tuple[Any, Any]:
    """Return NVML and its handle of the GPU that the rows use; no context of ours."""
    import pynvml

    pynvml.nvmlInit()
    name = gpu()
    by_index, by_uuid = pynvml.nvmlDeviceGetHandleByIndex, pynvml.nvmlDeviceGetHandleByUUID
    return pynvml, by_index(int(name)) if name.isdigit() else by_uuid(name)


def free_mb() -> float:
    """Return the free memory of the GPU by the driver, MiB."""
    nvml, handle = driver()
    return float(nvml.nvmlDeviceGetMemoryInfo(handle).free) / MIB


def settles(least_mb: float, patience_s: float = 20.0) -> float:
    """Return the free memory of the GPU once it is at least so much, or what there is after the patience."""
    deadline = time.monotonic() + patience_s
    while (free := free_mb()) < least_mb and time.monotonic() < deadline:
        time.sleep(0.2)
    return free


# -- the rows ---------------------------------------------------------------------------------------------------------


@row("environment", cuda=False)
def environment(place: Place) -> dict[str, Any]:
    """Python, torch, transformers and sweepkit can be imported."""
    facts = ask_cuda("{'torch': torch.__version__, 'cuda': torch.version.cuda, 'sees': torch.cuda.is_available()}")
    if facts.pop("sees"):
        nvml, handle = driver()  # fails where torch sees a GPU and sweepkit cannot
        facts["gpu"] = str(nvml.nvmlDeviceGetName(handle))
    said = place.run("-c", "import transformers, sweepkit; print(transformers.__version__, sweepkit.__version__)")
    transformers, own = said.split()[-2:]
    return {**facts, "transformers": transformers, "sweepkit": own, "python": sys.version.split()[0]}


@row("packing, simulated", cuda=False)
def simulated(place: Place) -> dict[str, Any]:
    """Small runs on a GPU that exists in numbers make at least half as many more an hour."""
    sys.path.insert(0, str(HERE.parent / "support"))
    from simulated_gpu import runs_per_hour, works

    outcome, gain = runs_per_hour(works(30, seed=1))
    need(gain >= 1.5 and not outcome.out_of_memory, f"{gain:.2f} ×, {outcome.out_of_memory} without memory")
    return {"gain": round(gain, 2), "beside": outcome.placed_beside}


def _parity(place: Place, *options: str) -> dict[str, Any]:
    place.run(str(WORK), "--kind=train", "--seed=7", "--number=99")
    place.sweep("seeded", {"kind": ["train"], "number": [0, 1, 2], "seed": [7]}, *options)
    runs = place.seen("train")
    need(len(runs) == 4, f"4 runs were expected, got {len(runs)}")
    need(
        len({tuple(item["losses"]) for item in runs}) == 1, "seeded losses differ between a fresh process and warm ones"
    )
    need(not any(item["initialized_before"] or item["bad_fork"] for item in runs), "CUDA was there before the program")
    place.sweep("unseeded", {"kind": ["free"], "number": [0, 1, 2]}, *options)
    free = place.seen("free")
    need(len({tuple(item["losses"]) for item in free}) == 3, "unseeded losses are equal")
    warm = [item["warm"] for name in ("seeded", "unseeded") for item in place.results(name)]
    return {"warm": sum(warm), "of": len(warm), "device": runs[0]["device"]}


@row("warm equals fresh, CPU", cuda=False)
def parity_cpu(place: Place) -> dict[str, Any]:
    """Seeded losses are a fresh process's bit for bit; unseeded ones differ."""
    place.env["CUDA_VISIBLE_DEVICES"] = ""
    return _parity(place)


@row("warm equals fresh, CUDA")
def parity_cuda(place: Place) -> dict[str, Any]:
    """The same on the device, and the fork server has no CUDA context."""
    facts = _parity(place)
    need(facts["device"] == device(), f"the programs ran on {facts['device']}")
    need(facts["warm"], "no run was warm")
    runs = place.seen("train") + place.seen("free")
    need(not any(item["parent_began_cuda"] for item in runs), "the fork server has CUDA's device open")
    named = [item for item in runs if item["held_on_gpu"] and item["pid"] in item["held_on_gpu"]]
    need(not any(item["parent"] in item["held_on_gpu"] for item in named), "the fork server holds memory of the GPU")
    return {**facts, "driver_names_our_processes": bool(named)}


@row("devices by index and UUID")
def devices(place: Place) -> dict[str, Any]:
    """A run sees one GPU, the one that was named: to sweepkit, or to it and everybody by CUDA_VISIBLE_DEVICES."""
    nvml, handle = driver()
    said = nvml.nvmlDeviceGetUUID(handle)
    uuid = said.decode() if isinstance(said, bytes) else str(said)
    ways: list[tuple[tuple[str, ...], dict[str, str]]] = []
    for name in dict.fromkeys((gpu(), uuid)):  # an index and a UUID; of a part of a GPU (MIG) the UUID alone
        ways += [(("--gpus", name), {}), ((), {"CUDA_VISIBLE_DEVICES": name})]
    for index, (options, env) in enumerate(ways):
        place.sweep(f"device{index}", {"kind": ["train"], "number": [index]}, *options, env=env)
    runs = place.seen("train")
    need([item["devices"] for item in runs] == [1] * len(ways), f"devices: {[item['devices'] for item in runs]}")
    need(len({item["gpu_uuid"] for item in runs}) == 1, "an index and its UUID are two GPUs")
    return {"visible": [item["visible"] for item in runs]}


@row("seconds to the first step", alone=True)
def first_step(place: Place) -> dict[str, Any]:
    """From the start of a run's process to its first step, warm against fresh; the first run of each is left out.

    The embedded BART, and one as large as KoBART.
    """
    facts = {}
    for kind in ("embedded", "kobart"):
        for how, options, number in (("warm", (), 3), ("fresh", ("--cold",), 2)):
            for path in place.out.glob("*.json"):
                path.unlink()
            name = f"{kind}_{how}"
            place.sweep(name, {"kind": [kind], "number": list(range(number))}, *options)
            results = {item["sweep_params"]["number"]: item["started_at"] for item in place.results(name)}
            took = [item["first_step"] - results[item["number"]] for item in place.seen(kind) if item["number"] >= 1]
            facts[f"{name}_s"] = round(statistics.median(took), 3)
        need(facts[f"{kind}_warm_s"] < facts[f"{kind}_fresh_s"], f"warm is not sooner: {facts}")
    return facts


@row("trainer: 32 bits, fp16, bf16, checkpointing, LoRA")
def trainer(place: Place) -> dict[str, Any]:
    """The embedded model trains on the GPU in every precision."""
    ways: dict[str, tuple[str, ...]] = {
        "fp32": (),
        "fp16": ("training.fp16=true",),
        "bf16": ("training.bf16=true",),
        "checkpointing": ("training.gradient_checkpointing=true",),
        "lora": ("lora.enabled=true",),
    }
    if rehearsed():
        del ways["fp16"]  # a CPU computes none
    facts = {}
    for name, settings in ways.items():
        result = place.trainer(name, "training.max_steps=20", *settings)
        need(str(result["device"]).startswith(device()), f"{name}: {result['device']}")
        need(result["steps"] == 20, f"{name}: {result['steps']} steps")
        facts[name] = {"s": result["duration_s"], "gpu_mb": round(result["peak_memory_bytes"].get("gpu", 0) / MIB)}
    return facts


@row("first_sweep on the GPU")
def first_sweep(place: Place) -> dict[str, Any]:
    """The sweep of the README."""
    words = ["parallel_sweep_runner.py", "--single-parallel", "first_sweep", "--num-workers", "1", "--count", "4"]
    place.run(*words, "--output-dir", str(place.folder / "outputs"))
    results = place.results("first_sweep")
    need(len(results) == 4 and all(item["state"] in ("finished", "stopped") for item in results), place.output[-400:])
    need(all(item["device"] == f"gpu {gpu()}" for item in results), f"not on gpu {gpu()}")
    return {"states": [item["state"] for item in results], "peak_mb": results[0].get("peak_gpu_memory_mb")}


@row("image sweep on the GPU")
def images(place: Place) -> dict[str, Any]:
    """Scanned digits, which come with scikit-learn."""
    for name, said in (("sklearn", "scikit-learn"), ("PIL", "pillow")):
        if importlib.util.find_spec(name) is None:
            raise Skip(f"{said} is not installed here")
    words = ["parallel_sweep_runner.py", "--single-parallel", "image_sweep", "--num-workers", "1", "--count", "2"]
    place.run(*words, "--output-dir", str(place.folder / "outputs"))
    results = place.results("image_sweep")
    need(results and all(item["state"] in ("finished", "stopped") for item in results), place.output[-400:])
    return {"states": [item["state"] for item in results]}


# Runs trainer.py with so many bytes of the GPU (0: all), beyond which torch raises its OutOfMemoryError, and writes the
# most that its tensors took, and the allocator for them.
CAPPED = """
import atexit, os, runpy, sys, torch
most, peak, code = int(sys.argv.pop(1)), sys.argv.pop(1), os.environ["GPU_CHECK_CODE"]
sys.path.insert(0, code)
if "GPU_STAND_IN" in os.environ:
    sys.path.insert(0, code + "/../tests/support")
    from memory_bound import Memory
    memory = Memory(most or None)
    memory.install(setattr)
    atexit.register(lambda: open(peak, "w").write(f"{memory.peak} {memory.peak}"))
else:
    if most:
        torch.cuda.set_per_process_memory_fraction(most / torch.cuda.get_device_properties(0).total_memory)
    held = torch.cuda.max_memory_allocated, torch.cuda.max_memory_reserved
    atexit.register(lambda: open(peak, "w").write(" ".join(str(most()) for most in held)))
sys.argv[0] = code + "/trainer.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@row("out of memory, for real", alone=True)
def out_of_memory(place: Place) -> dict[str, Any]:
    """Half the batch, twice the accumulation; the same effective batch, as many steps, and the memory is free after.

    Of a sweep the second run begins with what the first was left with.
    """
    batch = 256
    script, peaks = place.folder / "capped.py", place.folder / "peak"
    script.write_text(CAPPED)
    settings = ("training.max_steps=4", f"training.per_device_train_batch_size={batch}", "training.eval_steps=1.0")
    whole = place.trainer("whole", *settings, words=(str(script), "0", str(peaks)))
    peak = int(peaks.read_text().split()[0])
    free_before = settles(0)
    cut = place.trainer("cut", *settings, words=(str(script), str(int(0.75 * peak)), str(peaks)))
    answer = cut.get("out_of_memory")
    need(answer, "three quarters of the memory were enough: nothing was answered")
    size, steps = answer["per_device_train_batch_size"], answer["gradient_accumulation_steps"]
    need(size < batch and size * steps == batch, f"answered with {answer}")
    need(cut["steps"] == whole["steps"] == 4, f"{cut['steps']} and {whole['steps']} steps")
    need(int(peaks.read_text().split()[1]) <= 0.75 * peak * 1.01, "more was taken than there was")
    free = settles(free_before - SLACK_MB)
    need(free >= free_before - SLACK_MB, f"{free_before - free:.0f} MiB were not freed")
    fixed = [f"--per_device_train_batch_size={batch}", "--max_steps=2", "--eval_steps=1.0"]
    command = ["${interpreter}", "${program}", str(int(0.75 * peak)), str(peaks), *fixed, "${args}"]
    rates = {"learning_rate": [1e-4, 1e-3]}
    metric = {"name": "eval/rouge_combined_f1", "goal": "maximize"}
    runs = place.sweep("memory", rates, "--gpus", gpu(), program=str(script), command=command, metric=metric)
    need([item["state"] for item in runs] == ["finished"] * 2, place.output[-400:])
    found = [item["facts"]["out_of_memory"] for item in runs]
    need(found[0]["events"] and found[1].get("learned_from") == runs[0]["run_id"], f"the later run: {found[1]}")
    return {"answer": answer, "peak_mb": round(peak / MIB), "events": [item["events"] for item in found]}


@row("leak: 50 runs", alone=True)
def leak(place: Place) -> dict[str, Any]:
    """As much is free at the end as at the start."""
    number = 6 if rehearsed() else 50
    values = {"kind": ["train"], "number": list(range(number)), "steps": [2]}
    before = settles(0)
    words = place.sweep_words("leak", values, "--runs-per-gpu", "2")
    words[words.index("--num-workers") + 1] = "2"
    place.run(*words, timeout_s=150)
    results = place.results("leak")
    need(len(results) == number and all(item["state"] == "finished" for item in results), place.output[-400:])
    after = settles(before - SLACK_MB)
    need(after >= before - SLACK_MB, f"{before - after:.0f} MiB less are free")
    return {"runs": number, "before_mb": round(before), "after_mb": round(after)}


@row("two workers on one GPU", alone=True)
def two_workers(place: Place) -> dict[str, Any]:
    """Both run at once, the monitor shows what they take, and what a run alone took is in its result."""
    words = place.sweep_words("two", {"kind": ["slow"], "number": [0, 1]}, "--gpus", gpu(), "--runs-per-gpu", "2")
    words[words.index("--num-workers") + 1] = "2"
    runner, shown = place.start(*words), {}
    try:
        while runner.poll() is None and shown.get("memory_mb", 0) < 300:
            picture = place.run("monitor_sweep.py", "--once", "--json", *place.where(), ok=False)
            shown = _gpu_shown(picture) or shown
        output, _ = runner.communicate(timeout=max(1.0, place.deadline - time.monotonic()))
        need(runner.returncode == 0, f"exit code {runner.returncode}: {output[-400:]}")
    finally:
        end(runner)
    one, other = place.seen("slow")
    need(other["began"] < one["ended"], "one after the other")
    need(shown.get("memory_mb", 0) >= 300, f"the monitor shows {shown or 'no GPU'}")
    (alone,) = place.sweep("alone", {"kind": ["slow"], "number": [9]}, "--gpus", gpu())
    need(alone.get("peak_gpu_memory_mb", 0) > 50, f"NVML measured {alone.get('peak_gpu_memory_mb')} MiB")
    return {"peak_gpu_memory_mb": alone["peak_gpu_memory_mb"], "monitor": shown}


def _gpu_shown(printed: str) -> dict[str, Any] | None:
    """Return the first GPU of a picture of the monitor's, as it was printed."""
    with contextlib.suppress(ValueError, LookupError):
        return dict(json.loads(printed.splitlines()[-1])["gpus"][0])
    return None


# Fills the GPU but for 2 GiB until its input ends.
FILL = """
import os, sys, time, torch
if "GPU_STAND_IN" in os.environ:
    open(os.environ["GPU_STAND_IN"] + "/" + str(os.getpid()), "w").write("79000")
else:
    torch.empty(0, device="cuda")  # the context first
    free, total = torch.cuda.mem_get_info(0)
    block = torch.empty(free - 2**31, dtype=torch.uint8, device="cuda")
print("filled", flush=True)
sys.stdin.read()
"""


@row("a foreign process fills the GPU", alone=True)
def foreign(place: Place) -> dict[str, Any]:
    """It is waited for, and said; the run begins when the memory is free."""
    filler = subprocess.Popen(
        [sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    runner = None
    enough = threading.Timer(300 if rehearsed() else 60, end, [filler])  # nothing here may wait for ever
    enough.start()
    try:
        assert filler.stdout is not None and filler.stdin is not None
        need(filler.stdout.readline().strip() == "filled", "the memory could not be filled")
        runner = place.start(*place.sweep_words("waits", {"kind": ["train"], "number": [0]}, "--gpus", gpu(), "--json"))
        assert runner.stdout is not None
        said = next((line for line in runner.stdout if "waits: GPU" in line), "")
        need(said, "nobody said that it waits")
        need(not place.seen("train"), "it ran all the same")
        filler.stdin.close()
        filler.wait(30)
        runner.communicate(timeout=90)
        need(runner.returncode == 0, f"exit code {runner.returncode}")
    finally:
        enough.cancel()
        end(filler)
        if runner is not None:
            end(runner)
    need(place.results("waits")[0]["state"] == "finished", "it did not finish")
    return {"said": said.strip()[:200]}


@row("a hanging kernel ends by the timeout", alone=True)
def hanging(place: Place) -> dict[str, Any]:
    """It is killed in its kernel, and its memory is free before the slot is given to the next run, which works."""
    before = settles(0)
    own = {"timeout_s": 15, "kill_delay_s": 2}
    values = {"number": [0], "kind": ["hang", "train"]}
    hung, following = place.sweep("hang", values, "--gpus", gpu(), ok=False, sweepkit=own)
    need("timeout" in hung["reason"], f"it ended otherwise: {hung['reason']}")
    need(following["state"] == "finished", following["reason"])
    (run,) = place.seen("train")
    need(run["free_mb"] >= before - SLACK_MB, f"{before - run['free_mb']:.0f} MiB were not free for the next run")
    after = settles(before - SLACK_MB)
    need(after >= before - SLACK_MB, f"{before - after:.0f} MiB were not freed")
    return {"took_s": hung["duration_s"]}


@row("torchrun with one process")
def torchrun(place: Place) -> dict[str, Any]:
    """The command is torch's own launcher."""
    launcher = ["${interpreter}", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    command = [*launcher, "${program}", "${args}"]
    (result,) = place.sweep("torchrun", {"kind": ["train"], "number": [0], "seed": [7]}, command=command)
    need(result["state"] == "finished", result["reason"])
    return {"took_s": result["duration_s"]}


@row("DataLoader with workers and pinned memory")
def loader(place: Place) -> dict[str, Any]:
    """Warm as fresh, bit for bit."""
    place.run(str(WORK), "--kind=loader", "--seed=3", "--number=99")
    results = place.sweep("loader", {"kind": ["loader"], "number": [0, 1], "seed": [3]})
    need(len({tuple(item["losses"]) for item in place.seen("loader")}) == 1, "losses differ")
    return {"warm": [item["warm"] for item in results]}


@row("torch.compile with a cache of the sweep")
def compiled(place: Place) -> dict[str, Any]:
    """The second run takes what the first has compiled."""
    if not (shutil.which("gcc") or shutil.which("cc")) or importlib.util.find_spec("triton") is None:
        raise Skip("needs triton and a C compiler")
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists() and not rehearsed():
        raise Skip("triton compiles against Python.h, which is not installed here")
    place.sweep("compile", {"kind": ["compile"], "number": [0, 1], "seed": [7]})
    runs = place.seen("compile")
    caches = {item["cache"] for item in runs}
    need(len(caches) == 1 and str(place.folder) in str(caches), f"caches: {caches}")
    need(any(Path(next(iter(caches))).iterdir()), "nothing was kept")
    return {"seconds": [round(item["compile_s"], 2) for item in runs]}


# As many steps of the embedded model by a plain script of Hugging Face's Trainer: batches as long, the same optimizer.
PLAIN = """
import sys, tempfile, time, torch
from transformers import AutoModelForSeq2SeqLM, Seq2SeqTrainer, Seq2SeqTrainingArguments
short, long, batch = map(int, sys.argv[1:])
model = AutoModelForSeq2SeqLM.from_pretrained("../data/checkpoints/bart-tiny-ko")
draw = lambda length: torch.randint(5, model.config.vocab_size, (length,))
ones = torch.ones(96, dtype=torch.long)
rows = [{"input_ids": draw(96), "attention_mask": ones, "labels": draw(32)} for _ in range(600)]
def seconds(steps):
    arguments = Seq2SeqTrainingArguments(
        output_dir=tempfile.mkdtemp(), report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=batch, max_steps=steps, learning_rate=3e-3, optim="adamw_torch_fused",
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = Seq2SeqTrainer(model=model, args=arguments, train_dataset=rows)
    began = time.perf_counter()
    trainer.train()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
seconds(short)
print("steps per second", (long - short) / (seconds(long) - seconds(short)))
"""


@row("throughput against a plain script", alone=True)
def throughput(place: Place) -> dict[str, Any]:
    """Steps per second of the trainer and of a plain script, between two lengths; on paper a figure, no verdict."""
    batch, lengths = 16, (20, 120) if rehearsed() else (20, 320)
    short, long = (_trained(place, steps, batch) for steps in lengths)
    script = place.folder / "plain.py"
    script.write_text(PLAIN)
    plain = float(place.run(str(script), *map(str, (*lengths, batch))).split()[-1])
    own = (lengths[1] - lengths[0]) / max(1e-3, long["duration_s"] - short["duration_s"])
    need(rehearsed() or own > 0.6 * plain, f"{own:.1f} steps per second, a plain script makes {plain:.1f}")
    return {"trainer_steps_per_s": round(own, 1), "plain_steps_per_s": round(plain, 1), "ratio": round(own / plain, 2)}


def _trained(place: Place, steps: int, batch: int) -> Any:
    # A whole number is a number of steps (1.0 is one step, not all of them): evaluated once, at the end.
    lengths = (f"training.max_steps={steps}", f"training.eval_steps={steps}")
    result = place.trainer(f"steps{steps}", f"training.per_device_train_batch_size={batch}", *lengths)
    need(len(result["history"]) == 1, f"evaluated {len(result['history'])} times: the steps are not all that is timed")
    return result


@row("packing: runs_per_gpu auto", alone=True)
def packing(place: Place) -> dict[str, Any]:
    """Small runs are put beside each other once they are measured, and none is judged for it."""
    values = {"kind": ["wide"], "number": [0, 1, 2, 3, 4], "batch": [64, 128], "width": [256], "steps": [12]}
    words = place.sweep_words("auto", values, "--gpus", gpu(), "--runs-per-gpu", "auto")
    words[words.index("--num-workers") + 1] = "4"
    runner, shown = place.start(*words), list[str]()
    try:
        while runner.poll() is None:  # how each GPU stands is shown while the sweep goes on
            picture = place.run("monitor_sweep.py", "auto", "--once", "--json", *place.where(), ok=False)
            with contextlib.suppress(ValueError, LookupError):
                shown = json.loads(picture.splitlines()[-1])["sweeps"][0]["packing"]
        output, _ = runner.communicate()
        need(runner.returncode == 0, f"exit code {runner.returncode}: {output[-400:]}")
    finally:
        end(runner)
    results = place.results("auto")
    need(all(item["state"] == "finished" and not item["failures"] for item in results), place.output[-400:])
    at_once = [item["packing"]["most_at_once"] for item in results]
    need(all(item.get("peak_gpu_memory_mb") for item in results[:3]), "the first runs were not measured")
    need(max(at_once) > 1, f"no run was put beside another: {results[-1]['packing']['reason']}")
    need(shown, "the monitor never said how the GPU stands")
    return {"most_at_once": at_once, "last": results[-1]["packing"]["reason"], "monitor": shown}


# -- the table --------------------------------------------------------------------------------------------------------


def prepare(site: Path) -> None:
    """Unpack the wheels of what this Python lacks or has older, and let every process of the check find them."""
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        distribution, version = wheel.name.split("-")[:2]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if _numbers(importlib.metadata.version(distribution)) >= _numbers(version):
                continue
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    paths = [str(CODE), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    if rehearsed():
        paths.insert(0, str(STAND_IN))
        os.environ["PATH"] = os.pathsep.join([str(STAND_IN), os.environ["PATH"]])
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path[:0] = paths


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def why_no_cuda() -> str:
    """Return why the CUDA rows cannot be checked, "" when they can."""
    try:
        free_mb()  # at once where there is no driver; torch takes seconds to be asked
        if not rehearsed() and not ask_cuda("torch.cuda.is_available()"):
            return "torch sees no CUDA device"
    except Exception as error:  # no torch, no driver, no NVML: each is a reason
        return f"{type(error).__name__}: {str(error).strip()[-200:]}"
    return ""


def check_row(item: Row, *, no_cuda: str, deadline: float) -> Result:
    """Check one row in a folder of its own."""
    began = time.monotonic()
    if item.cuda and no_cuda:
        return Result(item.name, "skipped", 0.0, no_cuda)
    if deadline - began < 5:
        return Result(item.name, "skipped", 0.0, "no time was left")
    with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as folder:
        try:
            facts = item.check(Place(Path(folder), deadline))
            result = Result(item.name, "passed", 0.0, "", facts)
        except Skip as skip:
            result = Result(item.name, "skipped", 0.0, str(skip))
        except Exception as error:
            result = Result(item.name, "failed", 0.0, f"{type(error).__name__}: {error}")
    result.seconds = round(time.monotonic() - began, 1)
    return result


def main() -> int:
    """Check the rows, print the table, write the JSON; return 0 when none failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"), help="default: gpu_check.json")
    parser.add_argument("--rows", help="names or parts of names, comma separated (default: all)")
    parser.add_argument("--budget-s", type=float, default=480.0, help="seconds for all of it (default: 480)")
    parser.add_argument("--rehearse", action="store_true", help="the CUDA rows with a GPU on paper, on the CPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as folder:
        return check_rows(given, Path(folder))


def check_rows(given: argparse.Namespace, folder: Path) -> int:
    """Check the rows that are wanted, with a folder for what all of them need; return 0 when none failed."""
    parts = [part.strip() for part in (given.rows or "").split(",") if part.strip()]
    rows = [item for item in ROWS if not parts or any(part in item.name for part in parts)]
    deadline = time.monotonic() + given.budget_s
    for name in ("site", "paper"):
        (folder / name).mkdir()
    if given.rehearse:
        os.environ["GPU_STAND_IN"] = str(folder / "paper")
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other without end on a busy CPU
    prepare(folder / "site")
    no_cuda = why_no_cuda()
    if not no_cuda and len(gpus()) > 1:  # one of them: Hugging Face's Trainer would divide its batches among all
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu()
    results: list[Result] = []
    writing = threading.Lock()

    def check(item: Row) -> None:
        result = check_row(item, no_cuda=no_cuda, deadline=deadline)
        stated = result.reason or ", ".join(f"{key} {value}" for key, value in result.facts.items())
        with writing:
            results.append(result)
            print(f"{result.status:8} {result.seconds:6.1f} s  {item.name:52} {stated}", flush=True)
            given.output.write_text(json.dumps({"rows": [asdict(one) for one in results]}, indent=2) + "\n")

    with ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 4))) as pool:
        list(pool.map(check, [item for item in rows if not item.alone]))
    for item in rows:
        if item.alone:
            check(item)
    counts = {status: sum(one.status == status for one in results) for status in ("passed", "failed", "skipped")}
    print(", ".join(f"{number} {status}" for status, number in counts.items()), f"; {given.output}", flush=True)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
