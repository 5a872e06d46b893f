"""From figures to one HTML file that needs no network, light and dark.

Canvases of ours draw them; plotly's JavaScript, some 5 MB, stands in it (once) only where a figure has three axes.

The figure's data lies beside it as CSV.
"""

import html
import importlib.resources
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sweepkit.files import write_atomically
from sweepkit.reports.figures.base import Drawn
from sweepkit.text.csv_text import csv_text
from sweepkit.text.json_text import finite

_CSS = """\
:root { color-scheme: light dark; --page: #fbfbfa; --panel: #ffffff; --ink: #1d2327; --muted: #6b7680; --line: #c9ced3;
  --grid: #e6e9ec; --best: #b3261e; --finished: #2f6db5; --stopped: #b7791f; --diverged: #8e44ad; --failed: #c0392b;
  --running: #0f8b8d; --clear: #2f6db5; --weak: #8fb4dd; --noise: #b9bfc6; --band: rgba(47,109,181,0.14);
  --rampa: #d6dde5; --rampb: #b9cbe0; --rampc: #93b6dd; --rampd: #6c9ad1;
  --rampe: #4d7dc4; --rampf: #5a61b6; --rampg: #7b49a4; --ramph: #a03181; --rampi: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --panel: #1c2024; --ink: #e4e7ea; --muted: #98a2ac;
  --line: #49525a; --grid: #2c3238; --best: #ff8a75; --finished: #6aa5e8; --stopped: #e0a94a; --diverged: #c58be0;
  --failed: #f0776a; --running: #4cc9c0; --clear: #6aa5e8; --weak: #3f6795; --noise: #5b646d;
  --band: rgba(106,165,232,0.2); --rampa: #3a434c; --rampb: #425870; --rampc: #4a7099; --rampd: #568abf;
  --rampe: #6f9fe0; --rampf: #9b98e6; --rampg: #c58be0; --ramph: #e987b3; --rampi: #ff8a75; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 1rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans KR", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.3rem 0 0.6rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 0; }
figcaption, figure > h2, figure > h3 { overflow-wrap: anywhere; }
figure > h1, figure > h2, figure > h3 { margin: 0 0 0.3rem; font-size: 1.1rem; }
figure { margin: 0 0 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem;
  min-width: 0; }
.tools { display: flex; flex-wrap: wrap; gap: 0.4rem 0.9rem; align-items: center; font-size: 0.85rem;
  color: var(--muted); }
.tools label { display: inline-flex; gap: 0.35rem; align-items: center; white-space: nowrap; }
.tools label input { flex: none; }
.tools select, .tools input { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.15rem 0.35rem; max-width: 12rem; accent-color: var(--finished); }
.tools input[type="range"] { padding: 0; width: 6rem; }
figcaption { color: var(--muted); font-size: 0.9rem; margin-top: 0.4rem; }
.plot { width: 100%; overflow-x: auto; }
.grid { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.grid figure { margin: 0; }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""

_BY_PLOTLY = ("scatter3d",)  # traces that our canvases do not draw
_VARIABLE = re.compile(r"(--[a-z]+): ([^;]+);")


def plotly_file() -> Path:
    """Return the file of plotly's JavaScript in the installed package, without importing that."""
    found = importlib.util.find_spec("plotly")
    assert found is not None and found.submodule_search_locations, "plotly is one of our dependencies"
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


@cache
def figures_js() -> str:
    """Return our JavaScript that dresses, draws and steers figures: of the report and the live page alike."""
    return "\n".join(map(_file, ("canvas.js", "parallel.js", "xyplot.js", "figures.js")))


@cache
def figures_css() -> str:
    """Return the style of what figures have beside them: the words under the pointer, a legend."""
    return _file("figures.css")


def _file(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def plotly_js() -> str:
    """Return plotly's JavaScript, some 5 MB, as the installed package holds it."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    # A script ends at the first "</script", wherever it stands, and "<!--" changes how the rest is read.
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("<!--", "<\\!--")


def figure_html(drawn: Drawn, *, heading: str = "h2") -> str:
    """Return a figure's place in a page: heading, plot, caption."""
    title, caption = html.escape(drawn.title), html.escape(drawn.caption)
    plot = ""
    if drawn.data:
        wide = f"min-width:{drawn.min_width}px;" if drawn.min_width else ""
        style = f"{wide}height:{drawn.height}px"
        plot = f'<div class="plot"><div id="plot-{html.escape(drawn.name)}" style="{style}"></div></div>'
    return f"<figure><{heading}>{title}</{heading}>{plot}<figcaption>{caption}</figcaption></figure>"


def _shared(trace: Mapping[str, Any], texts: dict[str, int]) -> Mapping[str, Any]:
    """Return a trace whose texts are their places in `texts`, which grows, with as many digits as a screen shows."""
    slim = {key: _short(value) if key in ("x", "y") else value for key, value in trace.items()}
    if set(slim.get("meta") or ()) <= {"runs", "values"}:  # by which the live page finds runs again
        slim.pop("meta", None)
    elif "report" in slim["meta"]:  # a curve, which is drawn by what stands in its meta
        slim = {key: value for key, value in slim.items() if key not in ("x", "y")}
    if isinstance(trace.get("text"), list):
        slim["texts"] = [texts.setdefault(text, len(texts)) for text in slim.pop("text")]
    return slim


def _short(values: Any) -> Any:
    return [float(f"{v:.6g}") if isinstance(v, float) else v for v in values] if isinstance(values, list) else values


def colours(*, dark: bool = False) -> dict[str, str]:
    """Return the CSS variables of a page that figures name as colours: name → value.

    >>> colours()["--best"], colours(dark=True)["--best"]
    ('#b3261e', '#ff8a75')
    """
    light, _, rest = _CSS.partition("@media (prefers-color-scheme: dark)")
    found = dict(_VARIABLE.findall(light))
    return found | dict(_VARIABLE.findall(rest.partition("} }")[0])) if dark else found


def plot_of(drawn: Drawn) -> dict[str, Any]:
    """Return what draws a figure in a page: plotly's traces and layout."""
    return {"data": drawn.data, "layout": drawn.layout}


# Plotly packed: a third of the page. What it defines, `Plotly`, must be there before the figures are drawn.
_UNPACK_JS = """\
const unpacked = (async () => {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  (0, eval)(await new Response(stream).text());
})();
unpacked.catch(() => {
  for (const place of document.querySelectorAll(".plot > div"))
    place.textContent = "This browser is too old to draw the pictures of so many runs.";
});
"""


def _packed_plotly() -> str:
    """Return plotly's JavaScript as a page of many runs holds it: gzip, base64."""
    import base64
    import gzip

    return base64.b64encode(gzip.compress(plotly_js().encode(), 9, mtime=0)).decode()


def scripts(figures: Sequence[Drawn], *, packed: bool = False) -> str:
    """Return what draws the figures of a page; "" when none has anything to draw.

    Args:
        figures: They.
        packed: Hold plotly, where one of them needs it, compressed, which browsers since 2023 can read.
    """
    specs: dict[str, Any] = {drawn.name: plot_of(drawn) for drawn in figures if drawn.data}
    if not specs:
        return ""
    texts: dict[str, int] = {}  # a run's words stand under its point in every figure: once in the file
    for spec in specs.values():
        spec["data"] = [_shared(trace, texts) for trace in spec["data"]]
    held = embedded({"figures": specs, "texts": list(texts)})
    data = f'<script type="application/json" id="plotted">{held}</script>'
    if not any(trace["type"] in _BY_PLOTLY for spec in specs.values() for trace in spec["data"]):
        return f"{data}\n<script>{figures_js()}</script>"
    if packed:
        plotly = f'<script type="text/plain" id="plotly">{_packed_plotly()}</script>\n<script>{_UNPACK_JS}</script>'
        return f"{data}\n{plotly}\n<script>unpacked.then(() => {{\n{figures_js()}}});</script>"
    return f"{data}\n<script>{plotly_js()}</script>\n<script>{figures_js()}</script>"


def embedded(value: Any) -> str:
    """Return a value as JSON that may stand in a script: no `<`, no NaN (which plotly draws as a gap, like null)."""
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def document(title: str, body: str, *, css: str = "", tail: str = "") -> str:
    """Return a whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_CSS}{figures_css()}{css}</style>\n</head>\n<body>\n{body}\n{tail}\n</body>\n</html>\n"
    )


def write_figure(path: Path, figures: Sequence[Drawn], *, title: str) -> Path:
    """Write a page of figures, and the data of each as CSV beside it (`<stem>.csv`; of several `<stem>_<n>.csv`).

    Both are written in one step each: the whole file or none.
    """
    heading = "h1" if len(figures) == 1 else "h2"
    body = "\n".join(figure_html(drawn, heading=heading) for drawn in figures)
    if len(figures) != 1:
        body = f'<h1>{html.escape(title)}</h1>\n<div class="grid">\n{body}\n</div>'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, document(title, body, tail=scripts(figures)))
    for index, drawn in enumerate(figures, 1):
        beside = path.with_suffix(".csv") if len(figures) == 1 else path.with_name(f"{path.stem}_{index}.csv")
        write_csv(beside, drawn.rows)
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, columns in order of appearance; an empty file says there was nothing."""
    write_atomically(path, csv_text(rows))
