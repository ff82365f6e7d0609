"""Figures to turn, hover, brush and switch: plotly's, from the arrays of the PNGs beside which they are logged.

A live figure has the PNG's name with .html in place of .png, its colours, titles and units. What plotly has no word for
stands in `layout.meta`, which live.js obeys:

    alt      what the figure shows, in words
    panels   title and axes of each panel; as many side by side as find room, at most `columns`, each `height` pixels
    bottom   pixels below the last row of panels, where its axes have more than a line of title
    sliders  label and values of HTML sliders; their positions, "2" and "2/17", name the frames to be laid over

A trace of meta "images" shows the i-th of the layout's images where its i-th point is hovered; the traces of one
`legendgroup` share a box that switches them.
"""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dl.plots import COLOURS

if TYPE_CHECKING:  # a second, which a command that draws nothing need not wait for
    from plotly.graph_objects import Figure

HERE = Path(__file__).parent
DASHES = ("solid", "dash", "dashdot", "dot", "longdash", "longdashdot", "solid")  # as dl.plots.LINES
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")  # as dl.plots.MARKERS
GRID_COLOUR = "#E4E7EA"


def live_figure(title: str, panels: Sequence[dict], alt: str, **meta: Any) -> "Figure":
    """Return an empty figure; panels: `title` and `axes` each, and what is said of each axis, by its name."""
    from plotly.graph_objects import Figure

    shown = [{"title": panel["title"], "axes": [key for key in panel if key != "title"]} for panel in panels]
    figure = Figure(layout={"meta": {"alt": alt, "panels": shown, **meta}, "title": {"text": title}})
    for panel in panels:
        for name, axis in panel.items():
            if name != "title":
                number = name.removeprefix("xaxis").removeprefix("yaxis")
                other = {"anchor": ("y" if name[0] == "x" else "x") + number} if name[0] in "xy" else {}
                figure.update_layout({name: axis | other})
    return figure


def plain_axis(label: str, **more: Any) -> dict:
    """Return an axis as `tidy` makes it: a label with its unit, a light grid."""
    return {"title": {"text": label, "standoff": 8}, "gridcolor": GRID_COLOUR, "zeroline": False, **more}


def log_ticks(label: str, ticks: Sequence[float], **more: Any) -> dict:
    """Return a logarithmic axis with plain numbers at `ticks` only."""
    return plain_axis(label, type="log", tickvals=list(ticks), ticktext=[f"{tick:g}" for tick in ticks], **more)


def live_style(index: int, markers: bool = True) -> dict:
    """Return the look of the `index`-th curve, as `style` does for a PNG."""
    index %= len(COLOURS)
    mark = {"marker": {"symbol": SYMBOLS[index], "size": 7, "color": COLOURS[index]}} if markers else {}
    line = {"color": COLOURS[index], "dash": DASHES[index], "width": 2}
    return {"mode": "lines+markers" if markers else "lines", "line": line, **mark}


def short(values: Any) -> Any:
    """Return numbers, or an array of any shape, with four significant digits: more is not seen, and costs bytes."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    return [short(value) for value in values] if isinstance(values, list) else float(f"{values:.4g}")


# ------------------------------------------------------------------------------------------------ pages


@cache
def scripts() -> tuple[str, str]:
    """Return the two scripts of a page with live figures, plotly's packed, and the rule of a CSP that allows them only.

    plotly.js is MIT-licensed, 4.8 MB; packed it takes 2 MB, and a browser of 2023 or later unpacks it. Its parallel
    coordinates compile their drawing with `Function`: hence unsafe-eval, which lets no script in that is not there.
    """
    from plotly.offline import get_plotlyjs

    plotly, ours = get_plotlyjs(), (HERE / "live.js").read_text()
    packed = base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode()
    hashes = [base64.b64encode(sha256(script.encode()).digest()).decode() for script in (plotly, ours)]
    html = f'<script type="text/plain" id="plotly">{packed}</script>\n<script>{ours}</script>'
    return html, "script-src 'unsafe-eval' " + " ".join(f"'sha256-{each}'" for each in hashes)


def as_data(figure: dict) -> str:
    """Return a figure as a script element that holds data: no text in it can end the element."""
    text = json.dumps(figure, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def live_page(figure: "Figure") -> str:
    """Return a page of HTML that shows the figure without a network: a CSP forbids it one."""
    content = json.loads(figure.to_json())
    del content["layout"]["template"]  # plotly's own look for 40 kinds of traces
    title, alt = escape(content["layout"]["title"]["text"]), escape(content["layout"]["meta"]["alt"])
    html, rule = scripts()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; {rule}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 8px; font: 16px/1.5 system-ui, sans-serif; }} {live_style_sheet()}</style></head>
<body><main><figure class="live"><figcaption>{alt}</figcaption>{as_data(content)}</figure></main>
{html}</body></html>
"""


def live_style_sheet() -> str:
    return (HERE / "live.css").read_text()


def words_of(figure: dict) -> str:
    """Return what a figure read by `read_live`, which others may have written, shows, in words; "" where it is mute."""
    meta = figure["layout"].get("meta") if isinstance(figure["layout"], dict) else None
    return str(meta.get("alt", "")) if isinstance(meta, dict) else ""


def read_live(page: str) -> dict | None:
    """Return the figure that `live_page` wrote as data to be shown again; None where there is none in it."""
    found = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    try:
        figure = json.loads(found[1]) if found else None
    except ValueError:
        return None
    return figure if isinstance(figure, dict) and {"data", "layout"} <= set(figure) else None
