"""`sweepkit fetch` whose sender is killed midway: held at its second part by a lock of the database."""

import json
import os
import random
import subprocess
import sys

import psutil
import psycopg

_LOCK = 4711
_HOLD = f"""
CREATE FUNCTION hold() RETURNS trigger AS $$ BEGIN
  IF NEW.name = 'part 000001' THEN PERFORM pg_advisory_xact_lock({_LOCK}); END IF; RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER hold BEFORE INSERT ON kept_files FOR EACH ROW EXECUTE FUNCTION hold();
"""


def fetch(run, kill=None):
    """Fetch a run's folder; return what the command printed. `kill` ends its sender after its first part."""
    with psycopg.connect(os.environ["SWEEPKIT_STORAGE"], autocommit=True) as held:
        if kill is not None:
            held.execute(_HOLD)
            held.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        command = [sys.executable, "-m", "sweepkit", "fetch", run, "--output-dir", "out", "--wait", "100", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = ""
        if kill is not None:
            for line in process.stderr:
                said += line
                if "1 of about" in line:
                    break
            kill()
            held.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    out, err = process.communicate(timeout=200)
    return {"status": process.returncode, "said": said + err, **(json.loads(out) if process.returncode == 0 else {})}


def kill_sender():
    """Kill what sends a folder, not what started it."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "sweepkit.cluster.run_folders" in "".join(words[2:3]):
            process.kill()


def check_fetched(got, output_dir, runs):
    """Fail unless the run's folder came as its program wrote it, though its sender was killed."""
    assert got["status"] == 0 and " again " in got["said"], got
    (run,) = [run for run in runs if run.run_id == got["run_id"]]
    weights = output_dir / "sweep_s" / f"run_{run.run_id}" / "best_model" / "weights.bin"
    assert got["folder"] == str(weights.parents[1]) and got["files"] >= 1
    assert weights.read_bytes() == random.Random(run.params["number"]).randbytes(18 << 20)
