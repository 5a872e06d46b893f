"""Every command of `sweepkit` in its group, with what it does in one line: what `sweepkit --help` shows at once."""

from collections.abc import Mapping

GROUPS: Mapping[str, Mapping[str, str]] = {
    "run": {
        "run": "Run a sweep with one worker, or continue it where it stopped.",
        "parallel": "Run sweeps on all GPUs of this machine, else with a worker for each two cores.",
        "launch": "Let SLURM, Ray or this host keep agents that run a sweep, beyond this call and this machine.",
        "agent": "Work along on a recorded sweep that others run, from any terminal or host, at any time.",
        "retry": "Run the failed runs of a sweep again, and go on with it.",
        "optimize": "Search for the best training configuration with Optuna's samplers.",
        "train": "Train and score a model once, as a configuration says; the program of the sweeps in config/sweep.",
    },
    "steer": {
        "pause": "Start no further run of a sweep, wherever it runs, until it is resumed.",
        "resume": "Let a paused sweep go on.",
        "stop": "Start no further run; the sweep's runners end when the running runs have ended.",
        "cancel": "Terminate the running runs, too; they are run again if the sweep is started again.",
    },
    "look": {
        "watch": "Watch a sweep: counts, best so far, running runs, time left, failures. Reads the database only.",
        "ui": "The live page: every sweep of a database in a browser, with curves, tables and what steers it.",
        "list": "Every sweep of a database, the newest first: state, runs, best value.",
        "show": "One run: its configuration, curve, attempts, the end of its log.",
        "fetch": "What a run wrote on a node without a shared folder: its checkpoints, brought here.",
    },
    "understand": {
        "analyze": "What came out of a sweep: its table, its best configuration, and how far that leads.",
        "importance": "What mattered: each parameter's share of the metric's variance.",
        "report": "Write report.html of a sweep: one file without network, with figures, tables and methods.",
        "confirm": "Run the best of a recorded sweep again with fresh seeds: is it really best?",
        "compare": "Train models with several seeds each and say which is better.",
        "ttest": "t tests between groups of runs, with Holm's correction and intervals.",
    },
    "keep": {
        "tag": "Tag a sweep or a run; those of W&B's runs and of the YAML are there already.",
        "note": "Write a note on a sweep or a run, or show the one it has.",
        "archive": "Leave a sweep out of lists until they are asked for it.",
        "rename": "Give a sweep another name.",
        "export": "The runs of a sweep, or all that they reported, as CSV, JSON or Parquet.",
        "push": "Send a recorded sweep to W&B; what is there is not sent again.",
        "clean": "Remove the checkpoints of all but the best runs; the rest stays.",
        "rm": "Remove sweeps with their files and all that is recorded of them.",
        "db": "The database of sweeps: copy, check, repair, make it again; start a PostgreSQL for several hosts.",
    },
    "set up": {
        "init": "Write a sweep YAML for your program, or one around the best of an old sweep.",
        "doctor": "Check this environment for sweeps, say where its settings come from and what to do.",
        "schema": "The JSON schema of the sweep YAML, by which editors complete and check it.",
        "completion": "What makes a shell complete commands and options.",
    },
}
SUMMARIES: Mapping[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}
