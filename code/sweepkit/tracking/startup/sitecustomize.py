"""Run by every fresh interpreter of a run, because its folder is the first of PYTHONPATH: install `wandb_hook`.

An environment may have a `sitecustomize` of its own (a virtual environment's, the system's): that one runs first, as if
this one were not there. Nothing of this file stays in `sys.path`.
"""

import importlib.util
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
_ours = sys.modules.get("sitecustomize")
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _here or not entry]
try:
    del sys.modules["sitecustomize"]
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the environment's own
except ImportError as error:
    if error.name != "sitecustomize":
        raise
finally:
    if _ours is not None:
        sys.modules.setdefault("sitecustomize", _ours)
    _spec = importlib.util.spec_from_file_location(
        "_sweepkit_wandb_hook", os.path.join(os.path.dirname(_here), "wandb_hook.py")
    )
    if _spec is not None and _spec.loader is not None:
        _hook = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(_hook)
        _hook.install()
