"""docs/python_api.md: every snippet runs, in order, as one session does."""

import os
import re
import sys
import types

import pytest

from sweepkit.paths import ROOT_DIR

SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT_DIR / "docs" / "python_api.md").read_text(encoding="utf-8"), re.S)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_every_snippet_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    import wandb

    for name in ("sweep", "agent", "login"):  # which a snippet replaces
        for holder in (wandb, wandb.sdk):
            monkeypatch.setattr(holder, name, getattr(holder, name, None), raising=False)
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert len(SNIPPETS) >= 8
    for number, snippet in enumerate(SNIPPETS):
        exec(compile(snippet, f"snippet {number}", "exec"), main.__dict__)
    assert not os.path.exists("wandb")
