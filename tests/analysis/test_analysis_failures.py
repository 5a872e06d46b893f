"""Where runs fail is found, and is not found where they fail at random."""

import sys

import numpy as np

from sweepkit.analysis.failures import failure_places, failure_sentences
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.summary import summary
from sweepkit.model.runs import RunState


def ran(seed, fails, n=48):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        params = {
            "batch": int(rng.choice([8, 16, 32, 64])),
            "model": str(rng.choice(["small", "base", "large"])),
            "lr": float(10 ** rng.uniform(-5, -1)),
        }
        state = fails(params, rng)
        value = float(rng.normal()) if state == "finished" else None
        rows.append({f"params.{k}": v for k, v in params.items()} | {"number": number, "state": state, "value": value})
    return from_rows(rows, name="t")


def test_a_place_of_two_parameters_is_found_with_its_share():
    table = ran(1, lambda p, rng: "failed" if p["batch"] >= 32 and p["model"] == "large" else "finished")
    (place,) = failure_places(table)
    assert place.state is RunState.FAILED and set(place.words.split(" and ")) == {"batch >= 32", "model = large"}
    assert place.failed == place.runs and place.elsewhere == 0 and place.low > 0.2 and place.high == 1.0
    assert failure_sentences(table)[0].startswith(f"All {place.runs} of {place.runs} runs with batch >= 32 and model")
    assert failure_sentences(table)[0] in summary(table)


def test_divergence_beyond_a_learning_rate_is_found():
    table = ran(2, lambda p, rng: "diverged" if p["lr"] > 1e-2 else "finished")
    (place,) = failure_places(table)
    assert place.state is RunState.DIVERGED and place.words.startswith("lr >= ")


def test_failures_at_random_are_seldom_placed():
    found = [failure_places(ran(s, lambda p, rng: "failed" if rng.random() < 0.25 else "finished")) for s in range(40)]
    assert sum(map(bool, found)) <= 5  # 5 % of 40 are 2


def test_few_failures_and_none_say_nothing():
    assert failure_sentences(ran(3, lambda p, rng: "finished")) == []
    assert failure_sentences(ran(3, lambda p, rng: "failed")) == []


def test_without_failures_no_second_is_spent_on_importing_the_statistics(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)  # whoever imports it now fails
    assert failure_places(ran(3, lambda p, rng: "finished")) == []
    assert failure_places(ran(3, lambda p, rng: "failed")) == []
