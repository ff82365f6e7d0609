"""The contact sheet of `predict`."""

import math

import numpy as np
from matplotlib.figure import Figure

from dl.plots import figure

SHOWN = 96


def contact_sheet(x: np.ndarray, names: list[str], probabilities: np.ndarray, title: str) -> Figure:
    """Draw the first images as the network saw them, each with its label, the label's probability and its file's name.

    x: uint8 (N, 3, H, W); probabilities: (N, classes).
    """
    shown = min(len(x), SHOWN)
    columns = min(8, shown)
    rows = math.ceil(shown / columns)
    fig = figure(max(6, 1.3 * columns), 1.7 * rows + 0.9)
    grid = fig.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, axes in zip(range(shown), grid.flat, strict=False):
        label = probabilities[i].argmax()
        name = names[i] if len(names[i]) <= 18 else f"…{names[i][-17:]}"
        axes.imshow(x[i].transpose(1, 2, 0), interpolation="nearest")
        axes.set_title(f"{label}  ({probabilities[i, label]:.0%})", fontsize=11, fontweight="bold")
        axes.text(
            0.5, -0.03, name, fontsize=6.5, ha="center", va="top", transform=axes.transAxes, parse_math=False
        )  # fmt: skip
    count = f"{shown} of {len(x):,} images" if shown < len(x) else f"{shown} image{'s' * (shown > 1)}"
    fig.suptitle(f"{title}\n{count}: label (probability)", fontsize=11, parse_math=False)
    return fig
