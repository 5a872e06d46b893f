"""A process that has imported what a sweep preloads has nothing left to import, and computes what a fresh one does."""

import json
import os
import subprocess
import sys

import pytest

from sweepkit.paths import CODE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = ["--max_train_samples=16", "--max_val_samples=4", "--max_steps=2", "--eval_steps=1.0", "--save_model=true"]
CONFIGS = ["quick_test", "models/tiny_t5", "models/tiny_gpt2", "models/tiny_gpt2_lora"]
WARM = """
import json, sys, threading
import sweepkit.training.preload
assert threading.active_count() == 1
from sweepkit.cli.trainer import main
known = set(sys.modules)
for name in json.loads(sys.argv[1]):
    assert main(["--config", name, "--output-dir", f"{sys.argv[2]}/{name}", *json.loads(sys.argv[3])]) == 0
print(json.dumps(sorted(name for name in set(sys.modules) - known if name.split(".")[0] != "encodings")))
"""


def run(*argv, tmp_path):
    environ = {**os.environ, "SWEEPKIT_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, cwd=CODE_DIR, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def history(folder):
    return json.loads((folder / "results" / "training_results.json").read_text(encoding="utf-8"))["history"]


@pytest.mark.heavy
def test_a_warm_process_imports_nothing_more_and_computes_the_same(tmp_path):
    said = run("-c", WARM, json.dumps(CONFIGS), str(tmp_path), json.dumps(QUICK), tmp_path=tmp_path)
    later = json.loads(said.splitlines()[-1])
    assert len(later) <= 5, f"these would be imported once a run: {later}"
    cold = ["trainer.py", "--config", "models/tiny_gpt2_lora", "--output-dir", str(tmp_path / "cold"), *QUICK]
    run(*cold, tmp_path=tmp_path)
    assert history(tmp_path / "cold") == history(tmp_path / "models" / "tiny_gpt2_lora")
    assert len(history(tmp_path / "cold")) == 2
