"""The examples of docstrings say what the code does."""

import doctest
import importlib
from pathlib import Path

import pytest

from sweepkit.paths import CODE_DIR

WITH_EXAMPLES = sorted(
    str(file.relative_to(CODE_DIR).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for file in Path(CODE_DIR, "sweepkit").rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_of_a_module_hold(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for example in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), module):
        runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)
