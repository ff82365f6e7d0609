"""Question 2 to slide: along the segment of each witness, and through the cells."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dl.cells import Finding
from dl.claims import at_least
from dl.plots.convexity import WITNESSES, along_witness
from dl.plots.live import live_figure, live_style, plain_axis, short

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def slide_witnesses(findings: Sequence[Finding]) -> "Figure":
    """Return the loss along a witness's segment with its chord; sliders choose the cell and the place between both."""
    shown = [finding for finding in findings if finding.verdict == "not convex"]
    stops = range(0, 201, 5)
    figure = live_figure(
        WITNESSES,
        [{"title": "", "xaxis": plain_axis("a (0) to b (1)"), "yaxis": plain_axis("loss")}],
        f"The loss between two points and the chord between its ends, for each of {len(shown)} cells that are not "
        "convex: at the midpoint the loss lies above the chord, which no convex function does.",
        sliders=[
            {"label": "cell", "values": [
                f"{f.cell.loss}, {f.cell.place}: gap > {at_least(f.witness.lower)}" for f in shown
            ]},
            {"label": "between a and b", "values": [f"{i / 200:g}" for i in stops], "start": len(stops) // 2},
        ],
    )  # fmt: skip
    look = {"hovertemplate": "%{x:.2f}: %{y:.4f}"}
    blank = {"x": [0], "y": [0]}
    for index, name in enumerate(("loss along the segment", "chord")):
        figure.add_scatter(**blank, **look, **live_style(index, markers=False), name=name, legendgroup=name)
    figure.add_scatter(**blank, mode="lines", line={"color": "#000", "dash": "dot", "width": 1.5}, hoverinfo="skip")
    figure.add_scatter(**blank, name="loss above the chord", mode="markers", marker={"color": "#000", "size": 10},
                       hovertemplate="%{x:.2f}: %{customdata:.4f} above the chord")  # fmt: skip
    frames = []
    for i, finding in enumerate(shown):
        t, curve, chord = along_witness(finding)
        lines = [{"type": "scatter", "x": short(t), "y": short(values)} for values in (curve, chord)]
        frames.append({"name": f"{i}", "traces": [0, 1], "data": lines})
        for j, k in enumerate(stops):
            place, ends = float(t[k]), [float(chord[k]), float(curve[k])]
            gap = {"x": [place, place], "y": ends}
            point = {"x": [place], "y": ends[1:], "customdata": [ends[1] - ends[0]]}
            frames.append({"name": f"{i}/{j}", "traces": [2, 3],
                           "data": [{"type": "scatter", **part} for part in (gap, point)]})  # fmt: skip
    figure.frames = frames
    return figure
