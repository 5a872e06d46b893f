"""Small disks, and sweeps in a folder whose runners are gone at the end."""

import contextlib
import subprocess

import pytest
from sweeping import Sweeper


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.env["CUDA_VISIBLE_DEVICES"] = ""
    yield made
    for process in made.processes:  # those of a test that failed
        process.kill()
        with contextlib.suppress(ValueError):
            process.communicate()


@pytest.fixture
def disk(request, tmp_path):
    """A disk of 48 MiB, or of the module's DISK_MIB; None where none can be mounted."""
    mib = getattr(request.module, "DISK_MIB", 48)
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True).returncode == 0
    except OSError:
        mounted = False
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
