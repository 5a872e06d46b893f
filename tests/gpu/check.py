"""Check sweepkit on a GPU: rows that pass, fail with the reason, or are skipped aloud. `sh tests/gpu/run.sh` runs it.

The standard library is enough to begin with; CUDA is used in processes of their own, so that none of it stays here.
Exit code 0 when no row failed.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CODE = ROOT / "code"
WORK = HERE / "work.py"
MIB = 2**20
SLACK_MB = 64  # by which free memory may differ: the driver's own


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
    """A row: its name, what checks it (it returns facts), whether it needs CUDA."""

    name: str
    check: Callable[["Place"], dict[str, Any]]
    cuda: bool


ROWS: list[Row] = []


def row(name: str, *, cuda: bool = True) -> Callable[[Callable[["Place"], dict[str, Any]]], Any]:
    """Make a function a row of the table."""

    def add(check: Callable[["Place"], dict[str, Any]]) -> Any:
        ROWS.append(Row(name, check, cuda))
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
        self.env = {**os.environ, "GPU_CHECK_OUT": str(self.out), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
        self.output = ""

    def run(self, *words: str, timeout_s: float = 120.0, ok: bool = True, **env: str) -> str:
        """Run a Python script; return what it printed. Its processes are gone afterwards."""
        left = min(timeout_s, self.deadline - time.monotonic())
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
        return [*words, "--output-dir", str(self.folder / "outputs"), *options]

    def sweep(self, name: str, values: dict[str, list[Any]], *options: str, ok: bool = True, **more: Any) -> list[Any]:
        """Run a grid sweep of `work.py`; return its results by number."""
        timeout_s = more.pop("timeout_s", 120.0)
        self.run(*self.sweep_words(name, values, *options, **more), timeout_s=timeout_s, ok=ok)
        return self.results(name)

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


def ask_cuda(code: str, env: dict[str, str] | None = None) -> Any:
    """Return what a line of code prints as JSON, in a process that may use CUDA."""
    source = f"import json, torch\nprint(json.dumps({code}))"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=env, timeout=240)
    need(found.returncode == 0, found.stderr[-400:])
    return json.loads(found.stdout.splitlines()[-1])


def free_mb() -> float:
    """Return the free memory of GPU 0 by the driver, MiB, without a context of ours."""
    import pynvml

    pynvml.nvmlInit()
    return float(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).free) / MIB


def settles(least_mb: float, patience_s: float = 20.0) -> float:
    """Return the free memory of GPU 0 once it is at least so much, or what there is after the patience."""
    deadline = time.monotonic() + patience_s
    while (free := free_mb()) < least_mb and time.monotonic() < deadline:
        time.sleep(0.2)
    return free


# -- the rows ---------------------------------------------------------------------------------------------------------


@row("environment", cuda=False)
def environment(place: Place) -> dict[str, Any]:
    """Python, torch, transformers and sweepkit can be imported."""
    facts = ask_cuda("{'torch': torch.__version__, 'cuda': torch.version.cuda}")
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
    need(facts["device"] == "cuda", f"the programs ran on {facts['device']}")
    need(facts["warm"], "no run was warm")
    runs = place.seen("train") + place.seen("free")
    named = [item for item in runs if item["held_on_gpu"] and item["pid"] in item["held_on_gpu"]]
    need(not any(item["parent"] in item["held_on_gpu"] for item in named), "the fork server holds memory of the GPU")
    return {**facts, "driver_names_our_processes": bool(named)}


@row("devices by index and UUID")
def devices(place: Place) -> dict[str, Any]:
    """A run sees one GPU, the one that was named."""
    uuid = ask_cuda("str(getattr(torch.cuda.get_device_properties(0), 'uuid', ''))")
    if not uuid:
        raise Skip("this torch does not tell UUIDs")
    full = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    for index, name in enumerate(("0", full)):
        place.sweep(f"device{index}", {"kind": ["train"], "number": [index]}, "--gpus", name)
    runs = place.seen("train")
    need([item["devices"] for item in runs] == [1, 1], f"devices: {[item['devices'] for item in runs]}")
    need(len({item["gpu_uuid"] for item in runs}) == 1, "index 0 and its UUID are two GPUs")
    return {"visible": [item["visible"] for item in runs]}


@row("seconds to the first step")
def first_step(place: Place) -> dict[str, Any]:
    """From the start of a run's process to its first step: forked warm, against a fresh one."""
    facts = {}
    for kind in ("train", "bart"):
        for how, options in (("warm", ()), ("fresh", ("--cold",))):
            for path in place.out.glob("*.json"):
                path.unlink()
            place.sweep(f"{kind}_{how}", {"kind": [kind], "number": [0, 1, 2, 3]}, *options)
            results = {item["sweep_params"]["number"]: item["started_at"] for item in place.results(f"{kind}_{how}")}
            took = [item["first_step"] - results[item["number"]] for item in place.seen(kind) if item["number"] >= 2]
            facts[f"{kind}_{how}_s"] = round(statistics.median(took), 3)
    need(facts["train_warm_s"] < facts["train_fresh_s"], f"warm is not sooner: {facts}")
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
    facts = {}
    for name, settings in ways.items():
        result = place.trainer(name, "training.max_steps=20", *settings)
        need("cuda" in str(result["device"]) or "gpu" in str(result["device"]).lower(), f"{name}: {result['device']}")
        need(result["steps"] == 20, f"{name}: {result['steps']} steps")
        facts[name] = {"s": result["duration_s"], "gpu_mb": round(result["peak_memory_bytes"]["gpu"] / MIB)}
    return facts


@row("first_sweep on the GPU")
def first_sweep(place: Place) -> dict[str, Any]:
    """The sweep of the README."""
    words = ["parallel_sweep_runner.py", "--single-parallel", "first_sweep", "--num-workers", "1", "--count", "4"]
    place.run(*words, "--output-dir", str(place.folder / "outputs"))
    results = place.results("first_sweep")
    need(len(results) == 4 and all(item["state"] in ("finished", "stopped") for item in results), place.output[-400:])
    need(all(item["device"] == "gpu 0" for item in results), "not on gpu 0")
    return {"states": [item["state"] for item in results], "peak_mb": results[0].get("peak_gpu_memory_mb")}


@row("image sweep on the GPU")
def images(place: Place) -> dict[str, Any]:
    """Scanned digits, which come with scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise Skip("scikit-learn is not installed here")
    words = ["parallel_sweep_runner.py", "--single-parallel", "convnext_sweep", "--num-workers", "1", "--count", "2"]
    place.run(*words, "--output-dir", str(place.folder / "outputs"))
    results = place.results("convnext_sweep")
    need(results and all(item["state"] in ("finished", "stopped") for item in results), place.output[-400:])
    return {"states": [item["state"] for item in results]}


# Runs trainer.py with a share of the GPU's memory: the allocator raises a real OutOfMemoryError beyond it.
CAPPED = """
import runpy, sys, torch
share = float(sys.argv.pop(1))
torch.cuda.set_per_process_memory_fraction(share)
sys.argv[0] = "trainer.py"
runpy.run_path("trainer.py", run_name="__main__")
"""


@row("out of memory, for real")
def out_of_memory(place: Place) -> dict[str, Any]:
    """Half the batch, twice the accumulation; the same effective batch and as many steps."""
    settings = ("training.max_steps=6", "training.per_device_train_batch_size=128", "training.eval_strategy=no")
    settings = (*settings[:2],)  # evaluations stay: they score the result
    whole = place.trainer("whole", *settings)
    total = ask_cuda("torch.cuda.get_device_properties(0).total_memory")
    peak = whole["peak_memory_bytes"]["gpu"]
    script = place.folder / "capped.py"
    script.write_text(CAPPED)
    free_before = settles(0)
    cut = place.trainer("cut", *settings, words=(str(script), str(0.75 * peak / total)))
    answer = cut.get("out_of_memory")
    need(answer, "three quarters of the memory were enough: nothing was answered")
    size = answer["per_device_train_batch_size"]
    need(size < 128 and size * answer["gradient_accumulation_steps"] >= 128, f"answered with {answer}")
    need(cut["steps"] == whole["steps"] == 6, f"{cut['steps']} and {whole['steps']} steps")
    free = settles(free_before - SLACK_MB)
    need(free >= free_before - SLACK_MB, f"{free_before - free:.0f} MiB were not freed")
    return {"answer": answer, "peak_mb": round(peak / MIB)}


@row("leak: 50 runs")
def leak(place: Place) -> dict[str, Any]:
    """As much is free at the end as at the start."""
    before = settles(0)
    results = place.sweep("leak", {"kind": ["train"], "number": list(range(50)), "steps": [2]}, timeout_s=100)
    need(len(results) == 50 and all(item["state"] == "finished" for item in results), place.output[-400:])
    after = settles(before - SLACK_MB)
    need(after >= before - SLACK_MB, f"{before - after:.0f} MiB less are free")
    return {"before_mb": round(before), "after_mb": round(after)}


@row("two workers on one GPU")
def two_workers(place: Place) -> dict[str, Any]:
    """Both run at once; what a run alone took is in its result."""
    words = place.sweep_words("two", {"kind": ["slow"], "number": [0, 1]}, "--gpus", "0", "--runs-per-gpu", "2")
    words[words.index("--num-workers") + 1] = "2"
    place.run(*words)
    one, other = place.seen("slow")
    need(other["began"] < one["ended"], "one after the other")
    (alone,) = place.sweep("alone", {"kind": ["slow"], "number": [9]}, "--gpus", "0")
    need(alone.get("peak_gpu_memory_mb", 0) > 50, f"NVML measured {alone.get('peak_gpu_memory_mb')} MiB")
    return {"peak_gpu_memory_mb": alone["peak_gpu_memory_mb"]}


FILL = """
import sys, torch
free, total = torch.cuda.mem_get_info(0)
block = torch.empty(int(free * 0.95) - 2**29, dtype=torch.uint8, device="cuda")
print("filled", flush=True)
sys.stdin.read()
"""


@row("a foreign process fills the GPU")
def foreign(place: Place) -> dict[str, Any]:
    """It is waited for, and said; the run begins when the memory is free."""
    filler = subprocess.Popen(
        [sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    runner = None
    try:
        assert filler.stdout is not None and filler.stdin is not None
        need(filler.stdout.readline().strip() == "filled", "the memory could not be filled")
        runner = place.start(*place.sweep_words("waits", {"kind": ["train"], "number": [0]}, "--gpus", "0", "--json"))
        assert runner.stdout is not None
        said = next((line for line in runner.stdout if "waits: GPU" in line), "")
        need(said, "nobody said that it waits")
        need(not place.seen("train"), "it ran all the same")
        filler.stdin.close()
        filler.wait(30)
        runner.communicate(timeout=90)
        need(runner.returncode == 0, f"exit code {runner.returncode}")
    finally:
        end(filler)
        if runner is not None:
            end(runner)
    need(place.results("waits")[0]["state"] == "finished", "it did not finish")
    return {"said": said.strip()[:200]}


@row("a hanging kernel ends by the timeout")
def hanging(place: Place) -> dict[str, Any]:
    """It is killed in its kernel, its memory is free before the slot is given again, and the next run works."""
    before = settles(0)
    own = {"timeout_s": 15, "kill_delay_s": 2}
    results = place.sweep("hang", {"kind": ["hang"], "number": [0]}, "--gpus", "0", ok=False, sweepkit=own)
    need("timeout" in results[0]["reason"], f"it ended otherwise: {results[0]['reason']}")
    after = settles(before - SLACK_MB)
    need(after >= before - SLACK_MB, f"{before - after:.0f} MiB were not freed")
    (next_run,) = place.sweep("next", {"kind": ["train"], "number": [1]}, "--gpus", "0")
    need(next_run["state"] == "finished", next_run["reason"])
    return {"took_s": results[0]["duration_s"]}


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
    place.sweep("compile", {"kind": ["compile"], "number": [0, 1], "seed": [7]})
    runs = place.seen("compile")
    caches = {item["cache"] for item in runs}
    need(len(caches) == 1 and str(place.folder) in str(caches), f"caches: {caches}")
    need(any(Path(next(iter(caches))).iterdir()), "nothing was kept")
    return {"seconds": [round(item["compile_s"], 2) for item in runs]}


# The steps of config/base_config.yaml by a plain script: the same model, batches of that shape, AdamW.
PLAIN = """
import sys, time, torch
from transformers import BartForConditionalGeneration, get_linear_schedule_with_warmup
steps, batch = int(sys.argv[1]), int(sys.argv[2])
model = BartForConditionalGeneration.from_pretrained("../data/checkpoints/bart-tiny-ko").cuda()
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01, fused=True)
schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
tokens = torch.randint(5, model.config.vocab_size, (batch, 96))
labels = torch.randint(5, model.config.vocab_size, (batch, 32))
for step in range(steps + 10):
    if step == 10:
        torch.cuda.synchronize()
        began = time.perf_counter()
    loss = model(input_ids=tokens.cuda(), attention_mask=torch.ones_like(tokens).cuda(), labels=labels.cuda()).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
torch.cuda.synchronize()
print("steps per second", steps / (time.perf_counter() - began))
"""


@row("throughput against a plain script")
def throughput(place: Place) -> dict[str, Any]:
    """Steps per second of the trainer, between two lengths of training, and of a plain loop; a figure, no verdict."""
    settings = ("training.per_device_train_batch_size=16", "training.eval_steps=1.0")
    short, long = (place.trainer(f"steps{n}", *settings, f"training.max_steps={n}") for n in (20, 220))
    script = place.folder / "plain.py"
    script.write_text(PLAIN)
    plain = float(place.run(str(script), "200", "16").split()[-1])
    own = 200 / max(1e-3, long["duration_s"] - short["duration_s"])
    return {"trainer_steps_per_s": round(own, 1), "plain_steps_per_s": round(plain, 1), "ratio": round(own / plain, 2)}


@row("packing: runs_per_gpu auto")
def packing(place: Place) -> dict[str, Any]:
    """Small runs are put beside each other once they are measured, and none is judged for it."""
    values = {"kind": ["wide"], "number": [0, 1, 2, 3, 4], "batch": [64, 128], "width": [256], "steps": [12]}
    words = place.sweep_words("auto", values, "--gpus", "0", "--runs-per-gpu", "auto")
    words[words.index("--num-workers") + 1] = "4"
    place.run(*words)
    results = place.results("auto")
    need(all(item["state"] == "finished" and not item["failures"] for item in results), place.output[-400:])
    at_once = [item["packing"]["most_at_once"] for item in results]
    need(all(item.get("peak_gpu_memory_mb") for item in results[:3]), "the first runs were not measured")
    need(max(at_once) > 1, f"no run was put beside another: {results[-1]['packing']['reason']}")
    return {"most_at_once": at_once, "last": results[-1]["packing"]["reason"]}


# -- the table --------------------------------------------------------------------------------------------------------


def prepare() -> None:
    """Unpack the wheels of what this Python lacks, and let every process of the check find them and sweepkit."""
    names = {"nvidia_ml_py": "pynvml", "markdown_it_py": "markdown_it", "python_dateutil": "dateutil"}
    names |= {"ruamel.yaml": "ruamel.yaml", "typing_extensions": "typing_extensions"}
    site = Path(tempfile.mkdtemp(prefix="gpu-check-site-"))
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        distribution = wheel.name.split("-")[0]
        module = names.get(distribution.lower(), distribution.lower().replace("-", "_"))
        with contextlib.suppress(ImportError):
            if importlib.util.find_spec(module) is not None:
                continue
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    paths = [str(CODE), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path[:0] = paths[:2]


def why_no_cuda() -> str:
    """Return why the CUDA rows cannot be checked, "" when they can."""
    try:
        free_mb()
        if not ask_cuda("torch.cuda.is_available()"):
            return "torch sees no CUDA device"
    except Exception as error:  # no torch, no driver, no NVML: each is a reason
        return f"{type(error).__name__}: {str(error)[-200:]}"
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
    given = parser.parse_args()
    parts = [part.strip() for part in (given.rows or "").split(",") if part.strip()]
    rows = [item for item in ROWS if not parts or any(part in item.name for part in parts)]
    deadline = time.monotonic() + given.budget_s
    prepare()
    no_cuda = why_no_cuda()
    results = []
    for item in rows:
        result = check_row(item, no_cuda=no_cuda, deadline=deadline)
        results.append(result)
        stated = result.reason or ", ".join(f"{key} {value}" for key, value in result.facts.items())
        print(f"{result.status:8} {result.seconds:6.1f} s  {item.name:48} {stated}", flush=True)
        given.output.write_text(json.dumps({"rows": [asdict(one) for one in results]}, indent=2) + "\n")
    counts = {status: sum(one.status == status for one in results) for status in ("passed", "failed", "skipped")}
    print(", ".join(f"{number} {status}" for status, number in counts.items()), f"; {given.output}", flush=True)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
