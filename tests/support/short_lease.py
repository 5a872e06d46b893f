"""parallel_sweep_runner.py with leases of LEASE_S seconds, for tests that outlast one."""

import os

from sweepkit.agents.context import AgentSettings
from sweepkit.cli.parallel_sweep_runner import main

if __name__ == "__main__":
    AgentSettings.__init__.__kwdefaults__["lease_s"] = float(os.environ["LEASE_S"])
    raise SystemExit(main())
