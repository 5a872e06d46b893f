"""The live page's server in this process: what it answers, whom it refuses, what its actions leave in the record."""

import base64
import contextlib
import http.client
import io
import json
import math
import shutil
import threading
import urllib.request
from urllib.parse import quote

import pytest
from paged import FORMULA, NAME, SCRIPT, record_race, record_several, record_sweep, report
from starlette.testclient import TestClient

from sweepkit.agents.control import ASKED, STOP_ATTEMPTS
from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.find import SweepPlace
from sweepkit.housekeeping.labels import change_note, change_tags
from sweepkit.model.records import Attempt, SweepState
from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store
from sweepkit.ui import live_sweep
from sweepkit.ui.answers import LOOK_EVERY_S, Answers, log_part, run_numbers
from sweepkit.ui.guard import is_loopback
from sweepkit.ui.hub import Hub
from sweepkit.ui.options import UiOptions
from sweepkit.ui.server import make_app, served

TOKEN = "secret"
AT = f"/api/sweeps/{quote(NAME, safe='')}"


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The record that each test has a copy of: to write it is a third of what a test costs."""
    folder = tmp_path_factory.mktemp("record")
    record_sweep(folder)
    return folder / "sweepkit.db"


@pytest.fixture
def place(once, tmp_path):
    shutil.copy(once, tmp_path)
    return tmp_path


@pytest.fixture
def hub(place):
    with Hub(UiOptions(output_dir=place)) as found:
        yield found


@pytest.fixture
def client(hub):
    with TestClient(make_app(hub, token=TOKEN)) as found:
        yield found


def act(client, action, **given):
    return client.post(f"{AT}/-/actions", json={"action": action, **given}, headers={"x-sweepkit-token": TOKEN})


def recorded(place):
    with open_store(place / "sweepkit.db") as store:
        return store.sweep(NAME)


def test_all_that_the_page_loads_is_served_from_here(client):
    page = client.get("/").text
    assert "http" not in page.replace("http-equiv", "")
    for file in ("/static/app.js", "/static/app.css", "/static/filter.js", "/static/theme.js", "/static/colours.css"):
        assert file in page and client.get(file).status_code == 200
    assert len(client.get("/plotly.js").content) > 1_000_000
    assert "sweepkit" in client.get("/figures.js").text
    assert client.get("/static/..%2Fserver.py").status_code == 404


def test_the_list_has_every_sweep_with_its_progress_and_its_best(client, place):
    record_sweep(place, name="empty", ended=0, failed=0, running=0)
    newest, first = client.get("/api/sweeps").json()["sweeps"]
    assert newest["name"] == "empty" and newest["best"] is None and newest["spark"] == []
    assert (first["name"], first["done"], first["total"], first["goal"]) == (NAME, 14, 40, "maximize")
    assert first["counts"] == {"finished": 9, "stopped": 3, "running": 2, "failed": 2}
    assert first["spark"] and first["spark"] == sorted(first["spark"])


def test_a_sweep_tells_its_runs_its_failures_and_the_chance_of_its_best(client):
    said = client.get(AT).json()
    assert said["metric"] == {"name": "eval/rougeL", "goal": "maximize"} and said["best"]["seeds"] > 1
    assert len(said["running"]) == 2 and said["running"][0]["device"] == "gpu 0" and said["running"][0]["eta_s"] >= 0
    (group,) = said["failures"]
    assert group["count"] == 2 and SCRIPT in group["reason"]
    assert sum(item["chance"] for item in said["chances"]) == pytest.approx(1.0, abs=0.01)
    assert said["yaml"].startswith("name:")


def test_a_race_is_told_while_it_goes_on(client, place):
    assert client.get(AT).json()["confirmation"] is None
    race = record_race(place)
    said = client.get(AT).json()["confirmation"]
    assert (said["sweep"], said["state"], said["done"], said["most"]) == (race.name, "running", 3, 4)
    assert len(said["rows"]) == 2 and len(said["rows"][0]["cells"]) == len(said["heads"])
    assert sum(row["chance"] for row in said["rows"]) == pytest.approx(1.0, abs=0.01)
    assert sorted(len(row["seeds"]) for row in said["rows"]) == [1, 2]
    assert len(said["next"]) == 2 and "1002" in said["next"][1] and "runs now" in said["next"][1]


def test_rows_come_once_and_then_only_those_that_changed(client, place):
    first = client.get(f"{AT}/-/rows").json()
    assert len(first["rows"]) == 16 and first["metrics"] == ["eval/rougeL", "train/loss", "nothing"]
    assert client.get(f"{AT}/-/rows?since={first['change']}").json()["rows"] == []
    with open_store(place / "sweepkit.db") as store:
        live = store.live_attempts(store.sweep(NAME).sweep_id)[0]
        run = next(run for run in store.runs(store.sweep(NAME).sweep_id) if run.run_id == live.run_id)
        attempt = Attempt(attempt_id=live.attempt_id, token=live.token, run=run, ordinal=1, lease_until=0.0)
        store.report(attempt, [report(run.number, 6)], metric="eval/rougeL", goal="maximize")
    while not (later := client.get(f"{AT}/-/rows?since={first['change']}").json()["rows"]):
        pass  # the record is read again after some tenths of a second; the test's own timeout ends it
    assert [row["id"] for row in later] == [live.run_id] and later[0]["reports"] == 7


def test_of_each_metric_the_best_the_last_the_least_or_the_greatest_is_told(client):
    def loss(how):
        return client.get(f"{AT}/-/rows?how={how}").json()["rows"][0]["metrics"]["train/loss"]

    assert (loss("best"), loss("last"), loss("min"), loss("max")) == pytest.approx((1.5, 1.5, 1.5, 2.0))
    answer = client.get(f"{AT}/-/rows?how=mean")
    assert answer.status_code == 422 and "best, last, min or max" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["curves", "history", "parallel", "heat_map", "slice?parameter=lr"])
def test_every_figure_is_plotlys_json_of_all_runs_or_of_some(client, kind):
    whole = client.get(f"{AT}/-/figures/{kind}").json()
    assert whole["data"] and whole["layout"] and whole["caption"]
    some = client.get(f"{AT}/-/figures/{kind}{'&' if '?' in kind else '?'}runs=0,1,2,4").json()
    assert some["data"] or some["caption"]


def test_curves_know_steps_and_a_brush_leaves_its_runs(client):
    said = client.get(f"{AT}/-/figures/curves?runs=0,5").json()
    shown = [trace["meta"] for trace in said["data"] if "run" in trace["meta"]]
    (limit,) = [trace for trace in said["data"] if trace["meta"].get("limit")]
    (whole,) = [trace for trace in client.get(f"{AT}/-/figures/curves").json()["data"] if trace["meta"].get("limit")]
    assert limit["y"] == whole["y"]  # the sweep's line, whatever is brushed
    assert [meta["run"] for meta in shown] == [0, 5] and shown[0]["step"] == [0, 100, 200, 300, 400, 500]
    parallel = client.get(f"{AT}/-/figures/parallel").json()["data"][0]
    assert len(parallel["meta"]["runs"]) == len(parallel["dimensions"][0]["values"])


def test_too_few_runs_for_an_importance_are_told(client):
    answer = client.get(f"{AT}/-/figures/importance")
    assert answer.status_code == 422 and "20 finished runs" in answer.json()["error"]


def test_a_run_has_its_attempts_its_command_and_a_log_that_goes_on(client, hub, place):
    row = client.get(f"{AT}/-/rows").json()["rows"][0]
    said = client.get(f"{AT}/-/runs/{row['id']}").json()
    assert said["params"]["lr"] == 0.01 and said["command"].endswith("train.py --lr=0.01 --model=kobart --seed=1")
    (attempt,) = said["attempts"]
    log = hub.sweep(NAME).paths.log(attempt["attempt_id"])
    log.parent.mkdir(parents=True)
    log.write_text(f"first {SCRIPT}\n", encoding="utf-8")
    url = f"{AT}/-/runs/{row['id']}/log/{attempt['attempt_id']}"
    part = client.get(url).json()
    assert part["text"] == f"first {SCRIPT}\n"
    with log.open("a", encoding="utf-8") as held:
        held.write("둘째\n")
    assert client.get(f"{url}?from={part['next']}").json()["text"] == "둘째\n"
    assert client.get(f"{AT}/-/runs/{row['id']}/log/..%2F..%2Fsweepkit").status_code in (404, 422)
    assert client.get(f"{AT}/-/runs/nothing").status_code == 422


def test_the_end_of_a_long_log_begins_with_a_line(tmp_path):
    file = tmp_path / "a.log"
    file.write_text("".join(f"line {n}\n" for n in range(20_000)))
    part = log_part(file, None)
    assert part["text"].startswith("line ") and part["text"].endswith("line 19999\n") and len(part["text"]) <= 65_536
    assert log_part(tmp_path / "none", None)["text"] == ""


def test_what_is_shown_is_exported_and_no_cell_is_a_formula(client):
    body = {"columns": ["model", "eval/rougeL"], "rows": [[FORMULA, 0.3], ["kobart", None]]}
    csv = client.post(f"{AT}/-/export", json={**body, "format": "csv"}, headers={"x-sweepkit-token": TOKEN})
    assert csv.content.decode("utf-8-sig") == "model,eval/rougeL\n'=HYPERLINK(1),0.3\nkobart,\n"
    parquet = client.post(f"{AT}/-/export", json={**body, "format": "parquet"}, headers={"x-sweepkit-token": TOKEN})
    from pyarrow import parquet as reader

    assert reader.read_table(io.BytesIO(parquet.content)).column("model").to_pylist() == [FORMULA, "kobart"]


def test_a_table_of_means_is_cells_latex_and_csv(client):
    said = client.get(f"{AT}/-/pivot?rows=model&columns=lr&metric=eval/rougeL").json()
    assert said["heads"][0] == "model" and len(said["rows"]) == 4
    assert "±" in json.dumps(said["rows"], ensure_ascii=False) and "(n 3)" in json.dumps(said["rows"])
    assert r"\begin{tabular}" in said["latex"] and "'=HYPERLINK" in said["csv"]
    assert client.get(f"{AT}/-/pivot?rows=nothing").status_code == 422


@pytest.mark.parametrize("numbers", [[], [0], [7, 8, 4999]])
def test_any_number_of_runs_is_named_in_a_query(numbers):
    bits = bytearray(1 + max(numbers, default=0) // 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    text = "~" + base64.urlsafe_b64encode(bits).decode()
    assert run_numbers(text) == run_numbers(",".join(map(str, numbers))) == frozenset(numbers)


# -- who may do what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8080"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_another_name_and_another_origin_are_refused(client, headers, status):
    assert client.get("/api/sweeps", headers=headers).status_code == status


@pytest.mark.parametrize("given", [None, "", "wrong", "비밀"])
def test_an_action_without_the_token_does_nothing(client, place, given):
    headers = {} if given is None else {"x-sweepkit-token": given.encode()}
    answer = client.post(f"{AT}/-/actions", json={"action": "cancel"}, headers=headers)
    assert answer.status_code == 401 and recorded(place).state is SweepState.RUNNING
    assert TOKEN not in answer.text


def test_beyond_loopback_reading_needs_the_token_too(hub):
    with TestClient(make_app(hub, token=TOKEN, host="0.0.0.0")) as client:
        assert client.get("/api/sweeps").status_code == 401
        assert client.get("/").status_code == 401
        first = client.get(f"/?token={TOKEN}")
        assert first.status_code == 200 and "HttpOnly" in first.headers["set-cookie"]
        assert client.get("/api/sweeps").status_code == 200  # by the cookie
        assert client.post(f"{AT}/-/actions", json={"action": "cancel"}).status_code == 401  # a cookie does not act


def test_other_machines_need_a_token_of_the_users(place):
    with pytest.raises(SweepKitError, match="got no --token"), served(UiOptions(output_dir=place, host="0.0.0.0")):
        pass
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "gpu3")] == [True] * 3 + [
        False
    ] * 2


def test_nothing_runs_in_the_page_that_did_not_come_from_here(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy and "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert client.get("/").headers["x-content-type-options"] == "nosniff"


# -- actions -----------------------------------------------------------------------------------------------------------


def test_actions_are_those_of_the_command_line_and_stand_in_the_record(client, place):
    assert act(client, "pause").json() == {"done": "pause", "state": "paused"}
    assert recorded(place).state is SweepState.PAUSED
    assert act(client, "pause").status_code == 409
    assert act(client, "resume").json()["state"] == "running"
    assert act(client, "retry_failed").json()["runs"] == 2
    assert act(client, "stop").json()["state"] == "finished"
    asked = recorded(place).meta[ASKED]
    assert [item["what"] for item in asked] == ["pause", "resume", "retry 2 failed runs", "stop"]
    assert all(item["who"].endswith("(page)") and item["at"] > 1e9 for item in asked)
    assert act(client, "remove").status_code == 409


def test_one_run_is_asked_to_end_by_its_attempt(client, place):
    running = client.get(AT).json()["running"]
    said = act(client, "stop_run", run=running[0]["run_id"]).json()
    assert list(recorded(place).meta[STOP_ATTEMPTS]) == [said["attempt"]]
    assert act(client, "stop_run", run="nothing").status_code == 409


def test_notes_and_tags_of_a_sweep_and_of_a_run(client):
    run = client.get(f"{AT}/-/rows").json()["rows"][3]["id"]
    assert act(client, "annotate", note=f"good {SCRIPT}", tags=["논문"], archived=True).status_code == 200
    assert act(client, "annotate", run=run, note="look here", tags=["odd"]).status_code == 200
    (line,) = client.get("/api/sweeps").json()["sweeps"]
    assert (line["note"], line["tags"], line["archived"]) == (f"good {SCRIPT}", ["논문"], True)
    noted = [row["note"] for row in client.get(f"{AT}/-/rows").json()["rows"] if "note" in row]
    assert noted == [{"note": "look here", "tags": ["odd"]}]
    assert act(client, "annotate", tags="no list").status_code == 409


def test_notes_of_the_command_line_and_of_the_page_are_the_same_ones(client, place):
    where = SweepPlace(output_dir=place, storage=None)
    change_tags(where, NAME, ["논문"])
    run = client.get(f"{AT}/-/rows").json()["rows"][3]["id"]
    change_note(where, run, "by the command line")
    assert client.get("/api/sweeps").json()["sweeps"][0]["tags"] == ["논문"]
    assert act(client, "annotate", run=run, tags=["by the page"]).status_code == 200
    (noted,) = [row["note"] for row in client.get(f"{AT}/-/rows").json()["rows"] if "note" in row]
    assert noted == {"note": "by the command line", "tags": ["by the page"]}
    assert change_tags(where, run, ["both"]) == ["by the page", "both"]


def test_a_click_means_the_very_sweep_and_not_the_newest_of_its_family(client, place):
    with open_store(place / "sweepkit.db") as store:
        store.create_sweep(f"{NAME}-2", text="", seed=1, metric=None, goal=None, family=NAME, generation=2)
    act(client, "pause")
    with open_store(place / "sweepkit.db") as store:
        assert store.sweep(NAME).state is SweepState.PAUSED and store.sweep(f"{NAME}-2").state is SweepState.RUNNING


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_change_is_streamed(hub, place):
    import anyio

    class Asked:
        """A browser that is there."""

        async def is_disconnected(self):
            return False

    async def first_two():
        stream = Answers(hub)._changes(Asked(), NAME)
        before = await anext(stream)
        with open_store(place / "sweepkit.db") as store:
            store.update_sweep(store.sweep(NAME).sweep_id, state=SweepState.PAUSED, reason="")
        with anyio.fail_after(30):
            after = await anext(stream)
        await stream.aclose()
        return before, after

    before, after = anyio.run(first_two)
    assert before.startswith("event: change\n") and '"state": "running"' in before and '"state": "paused"' in after
    assert LOOK_EVERY_S < 1.0


def test_a_page_is_served_on_loopback_and_ends(place):
    with served(UiOptions(output_dir=place, port=0, sweep=NAME)) as page:
        base, _, rest = page.url.partition("#")
        assert base.startswith("http://127.0.0.1:") and "?token=" in rest and quote(NAME, safe="") in rest
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{base}api/sweeps", timeout=30) as answer:
            assert json.load(answer)["sweeps"][0]["name"] == NAME


@pytest.mark.slow
def test_an_answer_that_is_not_ready_when_the_page_is_left_is_no_error(place, monkeypatch, capfd):
    begun, over = threading.Event(), threading.Event()

    def sweeps(hub, **_):
        begun.set()
        over.wait(60)
        return []

    def ask(url):
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60).read()

    with served(UiOptions(output_dir=place, port=0, sweep=NAME)) as page:
        monkeypatch.setattr(Hub, "sweeps", sweeps)
        asking = threading.Thread(target=ask, args=(f"{page.url.partition('#')[0]}api/sweeps",))
        asking.start()
        assert begun.wait(60)
    over.set()
    asking.join(60)
    assert "Traceback" not in capfd.readouterr().err


def test_a_database_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SweepKitError, match="must be there"), served(UiOptions(output_dir=tmp_path / "none")):
        pass


# -- several metrics ---------------------------------------------------------------------------------------------------

SEVERAL_AT = "/api/sweeps/several"


@pytest.fixture
def several(place, client):
    record_several(place)
    return client


def test_a_sweep_of_several_metrics_has_its_front_in_the_list_and_in_its_view(several):
    line = next(line for line in several.get("/api/sweeps").json()["sweeps"] if line["name"] == "several")
    assert line["metrics"] == ["quality", "latency_ms"] and line["front"] == 5
    said = several.get(SEVERAL_AT).json()
    assert [run["number"] for run in said["front"]] == [6, 4, 3, 2, 0]
    assert "quality (maximized), latency_ms (minimized)" in said["verdict"] and said["chances"] == []
    front = several.get(f"{SEVERAL_AT}/-/figures/pareto").json()
    assert sorted(run for trace in front["data"] for run in trace.get("meta", {}).get("runs", [])) == list(range(7))


@pytest.mark.parametrize(("metric", "best"), [("quality", 6), ("latency_ms", 0), ("loss", 0)])
def test_every_panel_shows_the_metric_that_is_chosen(several, metric, best):
    chosen = f"?metric={metric}"
    curves = several.get(f"{SEVERAL_AT}/-/figures/curves{chosen}").json()
    drawn = [trace["meta"] for trace in curves["data"] if "run" in trace["meta"]]
    assert [meta["run"] for meta in drawn] == list(range(8)) and all(len(meta["y"]) == 4 for meta in drawn)
    assert curves["layout"]["yaxis"]["title"]["text"] == metric and drawn[0]["step"] == [0, 100, 200, 300]
    rows = several.get(f"{SEVERAL_AT}/-/rows{chosen}").json()
    assert rows["metric"] == metric and rows["objectives"] == ["quality", "latency_ms"]
    assert [row["number"] for row in rows["rows"] if row["front"]] == [0, 2, 3, 4, 6]
    parallel = several.get(f"{SEVERAL_AT}/-/figures/parallel{chosen}").json()["data"][0]
    assert parallel["dimensions"][-1]["label"] == metric and len(parallel["meta"]["runs"]) == 7
    assert several.get(f"{SEVERAL_AT}/-/figures/history{chosen}").json()["data"]
    run = several.get(f"{SEVERAL_AT}/-/runs/{rows['rows'][1]['id']}{chosen}").json()
    assert (run["metric"], run["best"]) == (metric, best)


def test_what_stands_for_a_runs_reports_is_the_same_in_table_figures_and_means(several):
    def values(how):
        asked = f"metric=quality&how={how}"
        rows = several.get(f"{SEVERAL_AT}/-/rows?{asked}").json()["rows"]
        axis = several.get(f"{SEVERAL_AT}/-/figures/parallel?{asked}").json()["data"][0]
        of = dict(zip((runs[0] for runs in axis["meta"]["runs"]), axis["dimensions"][-1]["values"], strict=True))
        means = several.get(f"{SEVERAL_AT}/-/pivot?rows=layers&{asked}").json()["rows"]
        return rows[0]["value"], of[0], means[0][1]

    said = several.get(f"{SEVERAL_AT}/-/rows?metric=quality&of=min:quality&of=max:loss").json()["rows"][0]
    assert (said["value"], said["metrics"]["quality"], said["metrics"]["loss"]) == pytest.approx((0.05, 0.05, 2.0))
    assert values("last") == (pytest.approx(0.2), pytest.approx(0.2), "0.2 (n 1)")
    assert values("min") == (pytest.approx(0.05), pytest.approx(0.05), "0.05 (n 1)")


def test_a_metric_that_nobody_reported_is_told(several):
    answer = several.get(f"{SEVERAL_AT}/-/rows?metric=nothing")
    assert answer.status_code == 422 and "quality, latency_ms, loss" in answer.json()["error"]


def test_a_report_leaves_what_runs_that_ended_say_as_it_is(hub, place):
    live = hub.sweep(NAME)
    history, curves, ended = live.figure("history"), live.figure("curves"), live.ended
    with open_store(place / "sweepkit.db") as store:
        sweep = store.sweep(NAME)
        at = store.live_attempts(sweep.sweep_id)[0]
        run = next(run for run in store.runs(sweep.sweep_id) if run.run_id == at.run_id)
        attempt = Attempt(attempt_id=at.attempt_id, token=at.token, run=run, ordinal=1, lease_until=0.0)
        store.report(attempt, [report(run.number, 6)], metric="eval/rougeL", goal="maximize")
        live.refresh()
        assert live.ended == ended and live.figure("history") is history and live.figure("curves") is not curves
        store.finish(attempt, RunState.FINISHED, reason="exit code 0", outcome={"duration_s": 5.0})
    live.refresh()
    assert live.ended != ended and live.figure("history") is not history


def test_a_look_at_which_nothing_changed_makes_no_new_picture_but_times_go_on(hub, place, monkeypatch):
    live = hub.sweep(NAME)
    monkeypatch.setattr(live_sweep, "_TIMES_S", math.inf)
    live.refresh()
    before = live.snapshot
    live.refresh()
    assert before.running and live.snapshot is before
    monkeypatch.setattr(live_sweep, "_TIMES_S", -1.0)
    live.refresh()
    assert live.snapshot is not before and live.snapshot.now > before.now
    monkeypatch.setattr(live_sweep, "_TIMES_S", math.inf)
    with open_store(place / "sweepkit.db") as store:
        sweep = store.sweep(NAME)
        store.add_and_claim(sweep.sweep_id, 16, {"lr": 0.1}, agent_id="a|b|c|1", host="h", lease_s=3600)
    live.refresh()
    assert len(live.snapshot.running) == len(before.running) + 1


def test_a_sweep_that_goes_on_has_not_ended(client, place):
    assert client.get(AT).json()["ended"] is False  # then the page shows the time left, else how long it took
    record_sweep(place, name="over", running=0)
    with open_store(place / "sweepkit.db") as store:
        store.update_sweep(store.sweep("over").sweep_id, state=SweepState.FINISHED)
    assert client.get("/api/sweeps/over").json()["ended"] is True
