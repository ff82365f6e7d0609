"""Question 3 to brush and to hover: all configurations, their ranks, and what a search leaves on the table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dl.plots import COLOURS
from dl.plots.digits import AXIS_LABELS, GREY, LADDER, LOSS, plain_number
from dl.plots.live import live_figure, live_style, log_ticks, plain_axis, short
from dl.ranking import Comparison, Regret
from dl.table1 import TABLE1, TABLE2, Config

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BLUES, ORANGE_RED, GREEN_BLUE = COLOURS[0], COLOURS[1], COLOURS[2]
SHARE = 0.88  # of the colour scale that the losses take; above it lie the two marks


def brush_configurations(configs: Sequence[Config], loss: np.ndarray) -> "Figure":
    """Return all configurations as parallel coordinates, coloured by loss (C,); table 2's and the best are marked.

    Lines of one value lie spread around it, in order of their loss: else they would hide one another. plotly gives a
    line a colour and nothing else: a marked one is drawn nine times, each a little beside the other, in a colour from
    above the losses' part of the scale, which also lays it on top.
    """
    low, high = np.log(loss.min()), np.log(loss.max())
    marks = {list(configs).index(TABLE2): 0.93} if TABLE2 in configs else {}
    marks[int(loss.argmin())] = 1.0
    rows = [*range(len(configs)), *(i for i in marks for _ in range(8))]
    beside = np.array([0.0] * len(configs) + [k / 4 for _ in marks for k in (-4, -3, -2, -1, 1, 2, 3, 4)])
    spread = 0.4 * (np.argsort(np.argsort(loss))[rows] / len(loss) - 0.5)
    dimensions = []
    for key, values in TABLE1.items():
        place = np.array([values.index(getattr(configs[i], key)) for i in rows]) + spread + 0.005 * len(values) * beside
        dimensions.append({
            "label": AXIS_LABELS[key], "values": short(place), "range": [-0.3, len(values) - 0.7],
            "tickvals": list(range(len(values))), "ticktext": [plain_number(value) for value in values],
        })  # fmt: skip
    ticks = [tick for tick in LADDER if low < np.log(tick) < high]
    dimensions.append({
        "label": LOSS, "values": short(np.log(loss[rows]) + 0.003 * (high - low) * beside), "name": "at most",
        "tickvals": short(np.log(ticks)), "ticktext": [f"{tick:g}" for tick in ticks],
        "range": short(np.array([low - 0.02 * (high - low), high + 0.02 * (high - low)])),
    })  # fmt: skip
    colour = SHARE * (high - np.log(loss[rows])) / (high - low)
    for i, mark in marks.items():
        colour[np.array(rows) == i] = mark
    from plotly.colors import sample_colorscale

    shades = sample_colorscale("Cividis", [k / 10 for k in range(11)])  # dark: worse, as in the PNGs
    scale = [[SHARE * k / 10, shade] for k, shade in enumerate(shades)]
    scale += [[SHARE + 0.01, ORANGE_RED], [0.965, ORANGE_RED], [0.966, GREEN_BLUE], [1.0, GREEN_BLUE]]
    bar = {
        "tickvals": [*(SHARE * (high - np.log(tick)) / (high - low) for tick in ticks), 0.93, 0.985],
        "ticktext": [*(f"{tick:g}" for tick in ticks), "table 2", "the best"], "thickness": 14, "len": 0.9,
    }  # fmt: skip
    figure = live_figure(
        f"Marginal effect of each hyper-parameter over {len(configs):,} configurations",
        [{"title": ""}],
        f"Parallel coordinates: each of {len(configs):,} configurations is a line through its five hyper-parameters "
        "and its validation loss, coloured by the loss. Table 2's and the best are marked.",
        height=430,
    )
    figure.add_parcoords(
        dimensions=dimensions, customdata=[*(f"{loss[i]:.4f} ({configs[i]})" for i in range(len(configs))),
                                           *("" for _ in rows[len(configs):])],
        line={"color": short(colour), "colorscale": scale, "cmin": 0, "cmax": 1, "showscale": True, "colorbar": bar},
        unselected={"line": {"opacity": 0.04}},
    )  # fmt: skip
    return figure


def hover_ranks(configs: Sequence[Config], result: Comparison) -> "Figure":
    """Return all configurations by their mean, with their intervals; hovering names them. result: of log losses."""
    order = np.argsort(result.mean)
    mean, half, best = result.mean[order], result.half[order], result.best[order]
    low, high, level = np.exp(mean - half), np.exp(mean + half), f"{result.level:.0%}"
    i = list(configs).index(TABLE2)
    place, (first, last) = int(np.flatnonzero(order == i)[0]) + 1, result.ranks(i)
    figure = live_figure(
        "All configurations, with their intervals",
        [{"title": f"All {len(order):,} in order of their mean", "xaxis": plain_axis("rank", tickformat=",d"),
          "yaxis": log_ticks(LOSS, LADDER)}],
        f"All {len(order):,} configurations in order of their mean validation loss, each with its {level} interval. "
        f"{best.sum()} cannot be told from the best; table 2's has rank {place}, interval {first} to {last}.",
        height=430,
    )  # fmt: skip
    for which, colour, name in (
        (~best, GREY, f"its {level} interval"), (best, BLUES, f"cannot be told from the best: {best.sum()}"),
    ):  # fmt: skip
        rank = np.flatnonzero(which)
        x = [value for r in rank for value in (int(r) + 1, int(r) + 1, None)]
        y = [value for r in rank for value in (*short(np.array([low[r], high[r]])), None)]
        figure.add_scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 1}, opacity=0.55, hoverinfo="skip",
                           name=name, legendgroup=name)  # fmt: skip
    figure.add_scatter(
        x=list(range(1, len(order) + 1)), y=short(np.exp(mean)), mode="lines", line={"color": COLOURS[-1], "width": 2},
        name="geometric mean over repeats", legendgroup="geometric mean over repeats",
        customdata=[f"{configs[k]}<br>{level}: {a:.4f} to {b:.4f}" for k, a, b in zip(order, low, high, strict=True)],
        hovertemplate="rank %{x}: %{y:.4f}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    told = f"table 2: rank {place}, interval {first} to {last}"
    at = float(np.exp(result.mean[i]))
    figure.add_scatter(x=[first, last], y=[at, at], mode="lines", line={"color": ORANGE_RED, "width": 3}, name=told,
                       legendgroup=told, hoverinfo="skip")  # fmt: skip
    figure.add_scatter(x=[place], y=[at], mode="markers", name=told, legendgroup=told, hovertemplate=told,
                       marker={"symbol": "star", "size": 16, "color": ORANGE_RED})  # fmt: skip
    return figure


def hover_regret(curves: dict[str, Regret], grid: np.ndarray) -> "Figure":
    """Return what searches still lose after each trial, where they looked and on new splits, beside the grid's (R,)."""
    axes = {
        "xaxis": plain_axis("trials"),
        "yaxis": log_ticks("regret (nats)", (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)),
    }
    figure = live_figure(
        "What a search leaves on the table",
        [{"title": "On the split that the search saw (the grid: 0)", **axes},
         {"title": "On the other splits", **{f"{name}2": axis for name, axis in axes.items()}}],
        "What TPE and random search still lose to the best configuration after each trial, on the split that the "
        "search saw and on new ones, with 99% bands; the whole grid's loss as a line.",
        columns=2,
    )  # fmt: skip
    for number, kind in (("", "seen"), ("2", "new")):
        where = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        for i, (algo, result) in enumerate(curves.items()):
            mean, half = result.band(kind)
            trial = list(range(1, len(mean) + 1))
            name = f"{algo}: mean of {len(result.seen)}, 99% band"
            figure.add_scatter(
                x=trial, y=short(mean), name=name, legendgroup=name, **live_style(i, markers=False), **where,
                customdata=short(np.array([mean - half, mean + half]).T),
                hovertemplate="after %{x} trials: %{y:.4f}<br>99%: %{customdata[0]:.4f} to %{customdata[1]:.4f}",
            )  # fmt: skip
            band = np.maximum(1e-4, np.concatenate([mean - half, (mean + half)[::-1]]))
            figure.add_scatter(
                x=[*trial, *trial[::-1]], y=short(band), fill="toself", fillcolor=COLOURS[i], opacity=0.2, mode="none",
                hoverinfo="skip", legendgroup=name, **where,
            )  # fmt: skip
    name = "the whole grid, 1,400 trials"
    figure.add_scatter(
        x=[1, len(mean)], y=short(np.repeat(grid.mean(), 2)), mode="lines", name=name, legendgroup=name,
        line={"color": COLOURS[-1], "dash": "dot", "width": 2}, xaxis="x2", yaxis="y2", hovertemplate="%{y:.4f}",
    )  # fmt: skip
    return figure
