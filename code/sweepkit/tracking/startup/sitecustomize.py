"""Run by every fresh interpreter of a run, because its folder is the first of PYTHONPATH: install `wandb_hook`.

The hook is loaded when W&B's client is imported, not before: it would cost every interpreter some 50 ms.

An environment may have a `sitecustomize` of its own (a virtual environment's, the system's): that one runs first, and
is the one that stays in `sys.modules`. Without one this import fails as it would without us, which `site` expects.
Nothing of this file stays in `sys.path`.
"""

import os
import sys


class _Finder:
    """Loads the hook when the client is looked for, and lets it look."""

    def __init__(self) -> None:
        # As the run was given them: the program may delete them before it imports the client.
        names = ("SWEEPKIT_WANDB_NOTES", "WANDB_MODE", "WANDB_DIR")
        self.given = [os.environ.get(name, "") for name in names]

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Return the real spec of `wandb`; None of any other module."""
        if name != "wandb":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]  # exact types would need `typing`, which is slow
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location("_sweepkit_wandb_hook", os.path.join(os.path.dirname(_here), "wandb_hook.py"))
        if spec is None or spec.loader is None:
            return None
        hook = module_from_spec(spec)
        spec.loader.exec_module(hook)
        return hook.install(*self.given).find_spec(name, path, target)


_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != _here]
sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the environment's own
finally:
    if os.environ.get("SWEEPKIT_WANDB_NOTES"):
        sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
