"""Put on PYTHONPATH, W&B's own agent asks the server five times a second instead of every five seconds.

Nothing else of the client is changed, and nothing is loaded that would not be loaded anyway.
"""

import importlib.machinery
import sys


class _Patient:
    """Finds `wandb.wandb_agent` as Python does, and shortens its pause once it is loaded."""

    def find_spec(self, name, path, target=None):
        if name != "wandb.wandb_agent":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def run_and_hurry(module):
            run(module)
            module.Agent.POLL_INTERVAL = 0.2

        spec.loader.exec_module = run_and_hurry
        return spec


sys.meta_path.insert(0, _Patient())
