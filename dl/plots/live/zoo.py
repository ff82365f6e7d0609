"""Question 4 to switch and to hover: the networks side by side, and the most confident errors."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dl.plots import COLOURS
from dl.plots.live import live_figure, live_style, log_ticks, plain_axis, short
from dl.plots.zoo import ACCURACY_OVER, SECONDS, always_the_most_frequent, most_confident_errors, spread_of
from dl.train import Epoch

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def switch_networks(
    rows: Sequence[Mapping], histories: Mapping[str, Sequence[Epoch]], majority: float, title: str
) -> "Figure":
    """Return the zoo side by side, a box a network that switches it. Arguments are those of `comparison`."""
    share, powers = {"tickformat": ".0%", "range": [0, 1]}, {"type": "log", "dtick": 1, "exponentformat": "SI"}
    bars = f"accuracy (± one standard {spread_of(rows)})"
    most = max((len(history) for history in histories.values()), default=1)
    whole = {"dtick": 1} if most < 13 else {"tickformat": "d"}  # plotly halves few epochs: 0, 0.5, 1
    by_epoch, by_time, by_size, by_cost = ACCURACY_OVER
    figure = live_figure(
        title,
        [
            {"title": by_epoch, "xaxis": plain_axis("epoch", **whole),
             "yaxis": plain_axis("accuracy", **share)},
            {"title": by_time, "xaxis2": log_ticks("seconds of training and validation", SECONDS),
             "yaxis2": plain_axis("accuracy", **share)},
            {"title": by_size, "xaxis3": plain_axis("parameters", **powers),
             "yaxis3": plain_axis(bars, tickformat=".0%")},
            {"title": by_cost, "xaxis4": plain_axis("FLOPs an image, forward", **powers),
             "yaxis4": plain_axis(bars, tickformat=".0%")},
        ],
        "The networks' validation accuracy over epochs and over seconds of training, and their test accuracy against "
        "their parameters and FLOPs: "
        + ", ".join(f"{row['network']} {row['test_accuracy']:.1%}" for row in rows) + ".",
        columns=2, height=330,
    )  # fmt: skip
    for index, (name, history) in enumerate(histories.items()):
        look = {"name": name, "legendgroup": name, **live_style(index)}
        accuracy = short([epoch.val_accuracy for epoch in history])
        epochs = [epoch.index for epoch in history]
        seconds = short(np.cumsum([epoch.epoch_seconds for epoch in history]))
        figure.add_scatter(x=epochs, y=accuracy, **look, hovertemplate="epoch %{x}: %{y:.1%}")
        figure.add_scatter(x=seconds, y=accuracy, **look, customdata=epochs, xaxis="x2", yaxis="y2",
                           hovertemplate="%{x:.1f} s, epoch %{customdata}: %{y:.1%}")  # fmt: skip
        point = look | {"mode": "markers", "marker": look["marker"] | {"size": 11}}
        for row in (row for row in rows if row["network"] == name):
            error = row.get("test_accuracy_std", row["test_accuracy_se"])
            for number, key in (("3", "parameters"), ("4", "flops")):
                figure.add_scatter(
                    x=[row[key]], y=[row["test_accuracy"]], **point, xaxis=f"x{number}", yaxis=f"y{number}",
                    error_y={"array": [error], "color": COLOURS[index % len(COLOURS)]},
                    hovertemplate=f"{row['test_accuracy']:.1%} ± {error:.1%}<br>{row[key]:,} {key}",
                )  # fmt: skip
    usual = always_the_most_frequent(majority)
    ended = [sum(epoch.epoch_seconds for epoch in history) for history in histories.values()]
    seconds = [min((h[0].epoch_seconds for h in histories.values() if h), default=1), max(ended, default=1)]
    for number, longest in (("", [1, most]), ("2", seconds)):
        figure.add_scatter(
            x=longest, y=[majority] * 2, mode="lines", line={"color": COLOURS[-1], "dash": "dot", "width": 1.5},
            xaxis=f"x{number}", yaxis=f"y{number}", name=usual, legendgroup=usual, hovertemplate="%{y:.1%}",
        )  # fmt: skip
    return figure


def hover_mistakes(
    x: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, title: str, count: int = 32
) -> "Figure":
    """Return the most confident errors as a grid; hovering one enlarges it and tells what the network believed.

    Arguments are those of `mistakes`.
    """
    wrong, heading = most_confident_errors(truth, probabilities, count)
    guess = probabilities.argmax(1)
    column, row = np.arange(len(wrong)) % 8, np.arange(len(wrong)) // 8
    rows = -(-count // 8)
    hidden = {"visible": False, "fixedrange": True}
    figure = live_figure(
        f"{title}; {heading}",
        [{"title": "", "xaxis": hidden | {"range": [-0.5, 7.5]}, "yaxis": hidden | {"range": [rows - 0.4, -0.5]}}],
        f"{title}: a grid of {len(wrong)} test images that were read wrongly with the highest probability; "
        "hovering one shows it large, with the three likeliest digits.",
        height=430, left=8,
    )  # fmt: skip
    figure.layout.hoverdistance = 60
    figure.layout.images = [
        {"source": _as_png(x[i]), "xref": "x", "yref": "y", "x": float(c), "y": float(r), "sizex": 0.82, "sizey": 0.72,
         "xanchor": "center", "yanchor": "middle", "sizing": "contain"}
        for i, c, r in zip(wrong, column, row, strict=True)
    ]  # fmt: skip
    told = []
    for i in wrong:
        likeliest = np.argsort(-probabilities[i])[:3]
        said = ", ".join(f"{digit}: {probabilities[i, digit]:.1%}" for digit in likeliest)
        told.append(f"said {guess[i]}, is {truth[i]}<br>{said}")
    figure.add_scatter(
        x=column.tolist(), y=row.tolist(), mode="markers", marker={"size": 34, "opacity": 0.01, "symbol": "square"},
        customdata=told, hovertemplate="%{customdata}<extra></extra>", meta="images",
    )  # fmt: skip
    figure.add_scatter(
        x=column.tolist(), y=(row + 0.46).tolist(), mode="text", hoverinfo="skip", textfont={"size": 11},
        text=[f"{guess[i]}, is {truth[i]}" for i in wrong],
    )  # fmt: skip
    return figure


def _as_png(image: np.ndarray) -> str:
    """Return an image (3, H, W) in uint8 as the address of a PNG that holds itself."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
