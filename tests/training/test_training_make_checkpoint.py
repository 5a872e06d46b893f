import json
import os
import subprocess
import sys

import pytest

from sweepkit.paths import CODE_DIR, DATA_DIR


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_makes_the_committed_tokenizer_and_a_checkpoint_of_that_form(tmp_path):
    command = [sys.executable, str(DATA_DIR / "make_checkpoint.py"), "--output", str(tmp_path / "new"), "--steps", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=250, env={**os.environ, "PYTHONPATH": str(CODE_DIR)}
    )
    assert done.returncode == 0, done.stderr
    committed = DATA_DIR / "checkpoints" / "bart-tiny-ko"
    made, kept = (
        json.loads((folder / "sweepkit.json").read_text(encoding="utf-8")) for folder in (tmp_path / "new", committed)
    )
    assert made["vocabulary.sha256"] == kept["vocabulary.sha256"]
    assert made["parameters"] == kept["parameters"]
    assert (tmp_path / "new" / "tokenizer.json").read_bytes() == (committed / "tokenizer.json").read_bytes()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in committed.iterdir()}
