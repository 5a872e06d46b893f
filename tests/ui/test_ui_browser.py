"""The user's way through the live page, in a real browser: a running sweep, a brush, a run, its log, its end.

Needs Chromium and Playwright's client (tests/requirements.txt); skipped aloud where one is missing.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import warm
from paged import NAME, record_several, record_sweep
from sweeping import PROGRAMS

from sweepkit.housekeeping.find import SweepPlace
from sweepkit.housekeeping.labels import change_tags
from sweepkit.ui.options import UiOptions
from sweepkit.ui.server import served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 60_000
SHOTS = os.environ.get("PAGE_SCREENSHOTS")  # a folder: every view is kept there, to be looked at
PROGRAM = """\
import argparse, json, os, pathlib, time
given = argparse.ArgumentParser()
given.add_argument("--lr", type=float)
lr = given.parse_args().lr
for step in range(10_000):
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        file.write(json.dumps({"loss": lr + 1 / (1 + step), "_step": step}) + "\\n")
    print(f"step {step} <script>document.title='caught'</script>", flush=True)
    if step == 5 and lr < 0.35:
        break
    time.sleep(0.05)
"""
YAML = """\
name: way
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters:
  lr: {values: [0.1, 0.2, 0.3, 0.4]}
"""


NAMELESS = """() => [...document.querySelectorAll("main button, main input, main select, main a[href]")]
  .filter((item) => item.offsetParent
    && !(item.getAttribute("aria-label") || item.textContent.trim() || item.labels?.length || item.title))
  .map((item) => item.outerHTML.slice(0, 90))"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser test")
    if CHROMIUM is None:
        pytest.skip("no chromium here: the live page is not tested in a browser")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"])
        yield found
        found.close()


class Tab:
    """A tab of the browser that remembers what went wrong in it."""

    def __init__(self, browser, **look):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **look})
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url):
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.errors.append(f"asked the network for {url}")

    def open(self, url):
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def keep(self, name):
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True, animations="disabled")


@pytest.fixture
def running(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "sweep.yaml").write_text(YAML)
    process = warm.WarmPopen(
        [sys.executable, str(PROGRAMS / "tool.py"), "run", "sweep.yaml", "--output-dir", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout:  # until its first run has ended, so that there is a record
        lines.append(line)
        if " finished " in line:
            break
    yield tmp_path / "out", process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_users_way(browser, running):
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    folder, process = running
    with served(UiOptions(output_dir=folder, port=0)) as shown:
        tab = Tab(browser)
        page = tab.page
        tab.open(shown.url)
        assert "token" not in page.url  # it has left the address bar
        page.get_by_role("link", name="way").click()
        page.wait_for_selector("html[data-ready=way]", state="attached")
        # A new run arrives by itself: those of lr 0.4 never end.
        row = page.locator("section[aria-label='Running now'] tbody tr").filter(has_text="3 ")
        row.get_by_role("button", name="stop").wait_for()
        # A brush filters the table.
        page.get_by_role("slider", name="brush lr").press("ArrowDown")  # the lowest tenth of the axis
        page.get_by_text("1 run is brushed").wait_for()
        rows = page.locator("section[aria-label=Runs] tbody tr")
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="clear the brush").click()
        # A filter does, too, and what cannot be read is no filter.
        page.get_by_label("filter runs by an expression").fill("lr < 0.25 and state == finished")
        expect(rows).to_have_count(2)
        page.get_by_label("filter runs by an expression").fill("")
        # A run: its log goes on, and what it prints is text.
        row.get_by_role("link").click()
        # The view of the sweep stays until the run's own has come: what is looked at waits for its element.
        page.locator("pre.log", has_text=re.compile(r"step \d\d")).wait_for()
        before = page.locator("pre.log").inner_text()
        page.wait_for_function(
            "length => document.querySelector('pre.log')?.innerText.length > length", arg=len(before)
        )
        assert "<script>" in before and page.title() != "caught"
        tab.keep("run")
        # Stop it, with a question, and see it stopped: here, and in the terminal.
        page.get_by_role("button", name="Stop run").click()
        page.get_by_role("button", name="Stop the run").click()
        page.locator("h1 .pill", has_text="stopped").wait_for()
        line = next(line for line in process.stdout if " stopped " in line)
        assert "stopped by hand by" in line and "(page)" in line
        assert tab.errors == []
        tab.context.close()


@pytest.fixture(scope="module")
def page_of_all(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    record_sweep(folder, ended=24, running=20)
    record_sweep(folder, name="empty", ended=0, failed=0, running=0)
    record_sweep(folder, name="가" * 80, ended=1, failed=0, running=0)
    record_sweep(folder, name="all failed", ended=0, failed=4, running=0)
    change_tags(SweepPlace(output_dir=folder, storage=None), NAME, ["논문", "two words"])
    with served(UiOptions(output_dir=folder, port=0)) as shown:
        yield shown.url


def look_at_all(browser, url, width, scheme, names):
    base, _, token = url.partition("#/?")
    tab = Tab(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name in names:
        tab.open(f"{base}#/{'' if name is None else f'sweep/{quote(name, safe=str())}'}?{token}")
        wider = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, (name, width)
        said = tab.page.locator("main").inner_text()
        assert "[object" not in said and ("two words" in said) == (name in (None, NAME)), name
        tab.keep(f"{'list' if name is None else name.replace('/', '-')[:12]}_{width}_{scheme}")
        tab.page.goto("about:blank")
    assert tab.errors == []
    tab.context.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_no_view_is_broken(browser, page_of_all, width, scheme):
    look_at_all(browser, page_of_all, width, scheme, (NAME, "empty"))


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_no_view_is_broken_at_any_width(browser, page_of_all, width, scheme):
    look_at_all(browser, page_of_all, width, scheme, (None, NAME, "empty", "가" * 80, "all failed"))


@pytest.mark.slow
def test_every_control_has_a_name_for_a_screen_reader(browser, tmp_path):
    record_sweep(tmp_path)
    with served(UiOptions(output_dir=tmp_path, port=0, sweep=NAME)) as shown:
        tab = Tab(browser)
        tab.open(shown.url)
        nameless = tab.page.evaluate(NAMELESS)
        assert json.dumps(nameless) == "[]"
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.textContent") == "to the content"
        tab.context.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_panels_are_drawn_without_plotly_and_say_what_is_at_a_point(browser, page_of_all):
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    base, _, token = page_of_all.partition("#/?")
    tab = Tab(browser)
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.open(f"{base}#/sweep/{quote(NAME, safe='')}?{token}")
    for panel, said in (
        ("Two parameters", r"median 0\.\d+ of \d+ runs"),
        ("One parameter", "run .*lr = "),
        ("History", "lr = "),
    ):
        tab.page.locator(f"section[aria-label='{panel}']").scroll_into_view_if_needed()
        points = tab.page.get_by_role("slider", name=f"points of {panel}")
        points.press("ArrowRight")
        expect(points).to_have_attribute("aria-valuetext", re.compile(said))
    assert [url for url in asked if "plotly" in url] == tab.errors == []
    tab.context.close()


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_several_metrics_and_sweeps_side_by_side(browser, tmp_path):
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    record_several(tmp_path)
    record_sweep(tmp_path, name="other")
    with served(UiOptions(output_dir=tmp_path, port=0, sweep="several")) as shown:
        tab = Tab(browser)
        page = tab.page
        tab.open(shown.url)
        expect(page.locator(".tiles li").first).to_contain_text("on the front of quality, latency_ms")
        runs = page.locator("section[aria-label=Runs]")
        expect(runs.locator("thead")).to_contain_text("quality")
        expect(runs.locator("tr.best")).to_have_count(5)
        page.get_by_label("metric", exact=True).select_option("latency_ms")
        expect(runs.locator("thead th").nth(4)).to_have_text("latency_ms")
        expect(runs.locator("tbody tr").first.locator("td").nth(4)).to_have_text("20")
        page.get_by_label("what stands for its reports").select_option("max")
        expect(page.locator("section[aria-label='Learning curves'] canvas").first).to_be_visible()
        tab.keep("several")
        # By keyboard from point to point of the front, and into a run.
        points = page.get_by_role("slider", name="points of Pareto front")
        points.press("ArrowRight")
        expect(points).to_have_attribute("aria-valuetext", re.compile("run 1 "))
        points.press("Enter")
        page.locator("h1", has_text="run 1").wait_for()
        # Sweeps beside each other: each metric that one of them has, and what their YAML differs in.
        base = page.url.partition("#")[0]
        page.goto(f"{base}#/sweeps/{quote(chr(10).join(['several', 'other']), safe='')}")
        expect(page.locator("section[aria-label='What differs in the YAML'] tbody")).to_contain_text("early_terminate")
        page.get_by_label("metric", exact=True).select_option("eval/rougeL")
        standing = page.locator("section[aria-label='Where they stand'] tbody tr")
        expect(standing.nth(0)).to_contain_text("–")
        expect(standing.nth(1)).to_contain_text("0.339")
        tab.keep("side_by_side")
        assert tab.errors == []
        tab.context.close()
