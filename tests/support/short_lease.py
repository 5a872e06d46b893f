"""parallel_sweep_runner.py for tests that outlast a lease or need a second host.

LEASE_S is the length of its leases in seconds, HOST the name that it takes its machine to have.
"""

import os
import socket

from sweepkit.agents.context import AgentSettings
from sweepkit.cli.parallel_sweep_runner import main

if __name__ == "__main__":
    AgentSettings.__init__.__kwdefaults__["lease_s"] = float(os.environ["LEASE_S"])
    if host := os.environ.get("HOST"):
        socket.gethostname = lambda: host
    raise SystemExit(main())
