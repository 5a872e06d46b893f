"""What every test gets: nothing of the developer's environment leaks into a sweep."""

import gc
import os
import signal

import pytest
from depth import examples
from hypothesis import HealthCheck, settings
from postgres import postgres, postgres_server  # noqa: F401 - fixtures

for name in [name for name in os.environ if name.startswith(("WANDB_", "SWEEPKIT_", "OPTUNA_"))]:
    if name not in (
        "SWEEPKIT_REQUIRE_POSTGRES",
        "SWEEPKIT_SOAK_S",
        "SWEEPKIT_SOAK_SEED",
        "SWEEPKIT_SOAK_RUNS",
        "SWEEPKIT_DEEP",
        "SWEEPKIT_FUZZ",
        "SWEEPKIT_FUZZ_SEED",
        "SWEEPKIT_MANY",
    ):
        del os.environ[name]
os.environ["OMP_NUM_THREADS"] = "1"  # read as torch is imported: threads that wait for each other spin
os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # of a shell's background job; programs under test would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says how busy the machine is. The profile "ci" of Hypothesis holds that already.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
profile = settings.get_current_profile_name()
settings.register_profile(profile, settings.get_profile(profile), max_examples=examples(100))
settings.load_profile(profile)


@pytest.fixture
def postgres_database(postgres):  # noqa: F811 - the fixture
    """The URL of a new, empty database of the session's PostgreSQL."""
    return postgres.new_database()


def pytest_collection_modifyitems(items):
    """Run the modules with slow tests first: at the end short ones fill both workers (with --no-loadscope-reorder)."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("soak")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Let no garbage collection walk through the tests and the libraries that they import: they stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000, 20, 100)  # a twelfth of what small tests cost went to looking for cycles
