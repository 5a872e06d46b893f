"""The page over a real PostgreSQL: what it shows, what it does, and that it only reads otherwise."""

from urllib.parse import quote

import pytest
from paged import NAME, record_sweep, report
from starlette.testclient import TestClient

from sweepkit.agents.control import ASKED
from sweepkit.model.records import Attempt, SweepState
from sweepkit.store.open import open_store
from sweepkit.ui.hub import Hub
from sweepkit.ui.options import UiOptions
from sweepkit.ui.server import make_app

AT = f"/api/sweeps/{quote(NAME, safe='')}"
TOKEN = {"x-sweepkit-token": "secret"}
FIGURES = ("curves", "history", "parallel", "heat_map", "slice?parameter=lr")


@pytest.fixture
def storage(postgres, tmp_path):
    url = postgres.new_database()
    record_sweep(tmp_path, storage=url)
    return url


@pytest.fixture
def client(storage, tmp_path):
    with (
        Hub(UiOptions(output_dir=tmp_path, storage=storage)) as hub,
        TestClient(make_app(hub, token="secret")) as found,
    ):
        yield found


@pytest.mark.slow
def test_a_sweep_is_shown_steered_and_goes_on(client, storage):
    (line,) = client.get("/api/sweeps").json()["sweeps"]
    assert (line["name"], line["done"], line["workers"]) == (NAME, 14, 2)
    assert "secret" not in client.get("/api/sweeps").json()["label"]
    first = client.get(f"{AT}/-/rows").json()
    assert len(first["rows"]) == 16
    for kind in FIGURES:
        assert client.get(f"{AT}/-/figures/{kind}").json()["data"], kind
    run = client.get(f"{AT}/-/runs/{first['rows'][0]['id']}").json()
    assert run["attempts"][0]["state"] == "finished" or run["attempts"][0]["ended_at"]
    # A report that another process commits is seen; here as soon as somebody asks again.
    with open_store(storage) as store:
        live = store.live_attempts(store.sweep(NAME).sweep_id)[0]
        mine = next(item for item in store.runs(store.sweep(NAME).sweep_id) if item.run_id == live.run_id)
        attempt = Attempt(attempt_id=live.attempt_id, token=live.token, run=mine, ordinal=1, lease_until=0.0)
        store.report(attempt, [report(mine.number, 6)], metric="eval/rougeL", goal="maximize")
    while not (later := client.get(f"{AT}/-/rows?since={first['change']}").json()["rows"]):
        pass  # at most one reading in 0.2 s
    assert [row["id"] for row in later] == [live.run_id]
    answer = client.post(f"{AT}/-/actions", json={"action": "pause"}, headers=TOKEN)
    assert answer.json() == {"done": "pause", "state": "paused"}
    client.post(f"{AT}/-/actions", json={"action": "annotate", "archived": True}, headers=TOKEN)
    with open_store(storage) as store:
        kept = store.sweep(NAME)
    assert kept.state is SweepState.PAUSED and kept.meta["archived"] is True
    assert [item["what"] for item in kept.meta[ASKED]] == ["pause", "archive"]
