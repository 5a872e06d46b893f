"""examples/: programs that know nothing of sweepkit, swept as they are."""

import shutil

import pytest
from sweeping import Sweeper

from sweepkit.paths import ROOT_DIR

EXAMPLES = ROOT_DIR / "examples"


def test_the_example_knows_nothing_of_sweepkit():
    lines = (EXAMPLES / "digits.py").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert imports and not any("sweepkit" in line for line in imports)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.heavy
def test_an_unmodified_pytorch_script_is_swept_with_nothing_but_a_yaml(tmp_path):
    sweeper = Sweeper(tmp_path)
    shutil.copy(EXAMPLES / "digits.py", tmp_path)
    text = (EXAMPLES / "digits.yaml").read_text(encoding="utf-8")
    text = text.replace("run_cap: 12", "run_cap: 3").replace("value: 8", "value: 4").replace("min: 1e-4", "min: 1e-3")
    sweeper.write(text, "digits.yaml")
    done = sweeper.summary(sweep="digits.yaml", timeout=200)
    assert sum(done["counts"].values()) == 3 and "failed" not in done["counts"], done
    assert done["best"]["value"] > 0.5  # ten classes: chance is 0.1
    results = sweeper.results("digits")
    assert [result["state"] for result in results].count("finished") >= 1
    assert all(2 <= result["reports"] <= 4 for result in results)
    assert any(result["warm"] for result in results[1:]), [result["warm"] for result in results]
