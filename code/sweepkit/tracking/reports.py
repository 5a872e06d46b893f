"""How a program tells its metrics without W&B: a JSON-lines file named by SWEEPKIT_REPORT_FILE.

One JSON object a line: `{"eval/loss": 0.3, "epoch": 1, "_step": 10, "_time": 1700000000.0}`. Python's `NaN`, `Infinity` and
`-Infinity` are allowed. Keys that begin with `_sweepkit` are messages of sweepkit's own tools, never metrics:
`{"_sweepkit_read": ["learning_rate", …]}` lists the sweep parameters that the program used;
`{"_sweepkit_summary": {"eval/loss": 0.2}}` sets summary values.
"""

REPORT_FILE_ENV = "SWEEPKIT_REPORT_FILE"
ATTEMPT_ENV = "SWEEPKIT_ATTEMPT_ID"
RUN_DIR_ENV = "SWEEPKIT_RUN_DIR"
SEED_ENV = "SEED"
