"""Run by every fresh interpreter of a run, because its folder is the first of PYTHONPATH: install `wandb_hook`.

An environment may have a `sitecustomize` of its own (a virtual environment's, the system's): that one runs first, and
is the one that stays in `sys.modules`. Without one this import fails as it would without us, which `site` expects.
Nothing of this file stays in `sys.path`.
"""

import importlib.util
import os
import sys


def _install() -> None:
    file = os.path.join(os.path.dirname(_here), "wandb_hook.py")
    spec = importlib.util.spec_from_file_location("_sweepkit_wandb_hook", file)
    if spec is not None and spec.loader is not None:
        hook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(hook)
        hook.install()


_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != _here]
sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the environment's own
finally:
    _install()
