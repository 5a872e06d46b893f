"""From figures to one HTML file that needs no network: plotly's JavaScript stands in it once, light and dark.

The figure's data lies beside it as CSV.
"""

import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sweepkit.files import write_atomically
from sweepkit.reports.figures.base import Drawn
from sweepkit.text.csv_text import csv_text

_CSS = """\
:root { color-scheme: light dark; --page: #fbfbfa; --panel: #ffffff; --ink: #1d2327; --muted: #6b7680; --line: #c9ced3;
  --grid: #e6e9ec; --best: #b3261e; --finished: #2f6db5; --stopped: #b7791f; --diverged: #8e44ad; --failed: #c0392b;
  --running: #0f8b8d; --clear: #2f6db5; --weak: #8fb4dd; --noise: #b9bfc6; --band: rgba(47,109,181,0.14);
  --faint: #d3dbe4; --middling: #8fb0d6; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --panel: #1c2024; --ink: #e4e7ea; --muted: #98a2ac;
  --line: #49525a; --grid: #2c3238; --best: #ff8a75; --finished: #6aa5e8; --stopped: #e0a94a; --diverged: #c58be0;
  --failed: #f0776a; --running: #4cc9c0; --clear: #6aa5e8; --weak: #3f6795; --noise: #5b646d;
  --band: rgba(106,165,232,0.2); --faint: #333b43; --middling: #4f77a6; } }
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
figcaption { color: var(--muted); font-size: 0.9rem; margin-top: 0.4rem; }
.plot { width: 100%; overflow-x: auto; }
.grid { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.grid figure { margin: 0; }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""

# A string that is only `--name` is the value of that CSS variable: figures follow the page's light and dark.
_JS = """\
(() => {
  const specs = JSON.parse(document.getElementById("plotted").textContent);
  const look = window.matchMedia("(prefers-color-scheme: dark)");
  const dress = (node, css) => {
    if (typeof node === "string") return /^--[a-z]+$/.test(node) ? css.getPropertyValue(node).trim() : node;
    if (Array.isArray(node)) return node.map((item) => dress(item, css));
    if (node && typeof node === "object")
      return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, dress(item, css)]));
    return node;
  };
  const draw = () => {
    const css = getComputedStyle(document.documentElement);
    for (const [id, spec] of Object.entries(specs)) {
      const place = document.getElementById("plot-" + id);
      const kind = spec.data[0].type;
      const buttons = kind === "parcoords" ? ["toImage"] : kind === "scatter3d" ? ["toImage", "resetCameraDefault3d"]
        : ["toImage", "resetScale2d"];
      const options = { responsive: true, displaylogo: false, modeBarButtons: [buttons],
        displayModeBar: place.clientWidth > 480 };
      Plotly.react(place, dress(spec.data, css), dress(spec.layout, css), options);
    }
  };
  draw();
  look.addEventListener("change", draw);
})();
"""


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
        packed: Hold plotly compressed, which browsers since 2023 can read.
    """
    specs = {drawn.name: {"data": drawn.data, "layout": drawn.layout} for drawn in figures if drawn.data}
    if not specs:
        return ""
    data = f'<script type="application/json" id="plotted">{embedded(specs)}</script>'
    if packed:
        plotly = f'<script type="text/plain" id="plotly">{_packed_plotly()}</script>\n<script>{_UNPACK_JS}</script>'
        return f"{data}\n{plotly}\n<script>unpacked.then(() => {{\n{_JS}}});</script>"
    return f"{data}\n<script>{plotly_js()}</script>\n<script>{_JS}</script>"


def embedded(value: Any) -> str:
    """Return a value as JSON that may stand in a script: no `<`, no NaN (which plotly draws as a gap, like null)."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def document(title: str, body: str, *, css: str = "", tail: str = "") -> str:
    """Return a whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_CSS}{css}</style>\n</head>\n<body>\n{body}\n{tail}\n</body>\n</html>\n"
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
