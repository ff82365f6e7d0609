"""Question 1: the surfaces of both losses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from torch import Tensor

from dl.logistic.losses import LOSSES, slope_in_p
from dl.logistic.problems import Problem
from dl.plots import COLOURS, LINES, figure, tidy

LOSS_TITLES = {"ce": "cross-entropy", "mse": "MSE"}
CUT = 6.0  # where the cross-entropy surface is cut: it has no upper bound
NUMBERS: dict[str, Any] = {"fontsize": 7, "fmt": "%g"}  # of the lines of equal height
HEIGHT = PowerNorm(0.4, 0, CUT)  # one shade a height in every surface, finer where MSE lives


def corner_surfaces() -> Figure:
    """Draw figure 1 of the document again: both losses over (y, p), in space and from above, on the same scales."""
    z = torch.linspace(-9, 9, 361, dtype=torch.float64)
    y = torch.linspace(0, 1, 81, dtype=torch.float64)[:, None]
    p = torch.sigmoid(z)
    fig = figure(9.6, 8.4)
    for row, (name, loss) in enumerate((("mse", LOSSES["mse"]), ("ce", LOSSES["ce"]))):
        height = loss.value(z, y).clamp(max=CUT)
        cut = f", cut at {CUT:g}: it has no bound" if name == "ce" else ""
        space = fig.add_subplot(2, 2, 2 * row + 1, projection="3d")
        _space(space, y, p, height, f"{LOSS_TITLES[name]} L(y, p){cut}")
        space.set(xlabel="label y", ylabel="probability p")
        axes = fig.add_subplot(2, 2, 2 * row + 2)
        levels = (0.02, 0.1, 0.25, 0.5, 0.7, 1, 2, 4)
        lines = _contours(axes, p, y[:, 0], height, levels)
        axes.clabel(lines, **NUMBERS, manual=_on_diagonals(loss.value, levels))
        tidy(axes, "", "predicted probability p", "label y")
        for corner, at, side in ((1.0, 0.01, "left"), (0.0, 0.99, "right")):
            logit = torch.tensor(np.log(at / (1 - at)))
            slope = float(slope_in_p(name, logit, torch.tensor(corner, dtype=torch.float64)))
            text = f"|dL/dp| = {abs(slope):.3g} at p = {at:g}\n" + (
                "2 in the corner" if name == "mse" else r"$\to\infty$ in the corner"
            )
            arrow = 0.06 * abs(slope) ** 0.5 * -np.sign(slope)
            axes.annotate(
                "",
                (at + arrow, corner),
                (at, corner),
                annotation_clip=False,
                arrowprops={"arrowstyle": "-|>", "lw": 2.2},
            )
            axes.text(at, corner + (-0.1 if corner else 0.1), text, ha=side, va="center", fontsize=8, bbox=_label())
        axes.set_title(f"{LOSS_TITLES[name]} from above; arrows: -dL/dp (length ~ square root)", fontsize=9)
    fig.suptitle("Both losses over label and predicted probability (same heights, same levels)")
    return fig


def _on_diagonals(loss: Callable[[Tensor, Tensor], Tensor], levels: Sequence[float]) -> list[tuple[float, float]]:
    """Return places (p, y) for the levels' numbers: on a diagonal, clear of the edges and of the corners' notes."""
    places = []
    for edge, falls in ((0.04, False), (0.18, True)):
        p = torch.linspace(edge, 1 - edge, 641, dtype=torch.float64)
        y = 1 - p if falls else p
        above = (loss(torch.logit(p), y)[:, None] > torch.tensor(levels)).int()
        places += [(float(p[i]), float(y[i])) for i in above.diff(dim=0).nonzero()[:, 0]]
    return places


def logit_slopes() -> Figure:
    """Draw what training feels: loss, |dL/dp| and |dL/dz| over the logit, for label y = 1."""
    z = torch.linspace(-12, 12, 481, dtype=torch.float64)
    one = torch.ones_like(z)
    fig = figure(11, 3.9)
    panels = fig.subplots(1, 3)
    for index, (name, loss) in enumerate(LOSSES.items()):
        look = {"color": COLOURS[index], "linestyle": LINES[index], "linewidth": 2, "label": LOSS_TITLES[name]}
        panels[0].plot(z, loss.value(z, one), **look)
        panels[1].semilogy(z, slope_in_p(name, z, one).abs(), **look)
        panels[2].plot(z, loss.slope(z, one).abs(), **look)
    tidy(panels[0], "loss", "logit z  (label y = 1)", "L")
    tidy(panels[1], "gradient in the probability", "logit z", "|dL/dp|, log scale")
    tidy(panels[2], "gradient in the logit", "logit z", "|dL/dz|")
    for axes in panels:
        axes.axvspan(-12, -4, color="0.9", zorder=0)
        axes.legend(frameon=False, loc="upper right")
    panels[2].text(-8, 0.5, "confidently\nwrong", ha="center", va="center", fontsize=9)
    fig.suptitle(
        "Where the model is confidently wrong (grey), cross-entropy's slope in the logit is 1 and MSE's vanishes"
    )
    return fig


def weight_surfaces(problem: Problem, paths: Mapping[str, Mapping[str, np.ndarray]], lr: float, size: float) -> Figure:
    """Draw the mean loss over the two weights of a logistic regression, with descents on it.

    problem: two features, standardised here; paths: loss -> "start, optimiser" -> (steps + 1, 2).
    """
    x, y = problem.standardised(), problem.y
    grid = torch.linspace(-size, size, 121, dtype=torch.float64)
    first, second = torch.meshgrid(grid, grid, indexing="xy")
    z = first[..., None] * x[:, 0] + second[..., None] * x[:, 1]  # (121, 121, N)
    fig = figure(10, 9)
    for row, name in enumerate(("mse", "ce")):
        height = LOSSES[name].value(z, y).mean(-1)
        space = fig.add_subplot(2, 2, 2 * row + 1, projection="3d")
        cut = f", cut at {CUT:g}" if height.max() > CUT else ""
        _space(space, first, second, height.clamp(max=CUT), f"{LOSS_TITLES[name]}, mean over {len(y)} tumours{cut}")
        space.set(xlabel=f"weight: {problem.features[0]}", ylabel=f"weight: {problem.features[1]}")
        axes = fig.add_subplot(2, 2, 2 * row + 2)
        levels = (0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.8, 1, 2, 3, 4, 5)
        axes.clabel(_contours(axes, grid, grid, height, levels), **NUMBERS)
        tidy(axes, "", *(f"weight: {feature}" for feature in problem.features))
        for index, (label, path) in enumerate(paths[name].items()):
            look: dict[str, Any] = {
                "color": COLOURS[(0, 1, 6)[index // 2]],
                "linestyle": ("-", ":")[index % 2],
                "linewidth": 2,
            }
            axes.plot(*path.T, **look, label=label, zorder=5)
            axes.plot(*path[0], "o", color=look["color"], markersize=6, markeredgecolor="k", zorder=6)
            axes.plot(*path[-1], "X", color=look["color"], markersize=8, markeredgecolor="k", zorder=6)
            w = torch.as_tensor(path, dtype=torch.float64)
            lifted = LOSSES[name].value(w @ x.T, y).mean(1)
            lifted[lifted > CUT] = torch.nan  # above the cut there is no surface to lie on
            space.plot(*path.T, lifted + 0.05, **look, zorder=10)
        axes.set(xlim=(-size, size), ylim=(-size, size))
        axes.set_title(f"{LOSS_TITLES[name]} from above: start (dot), after {len(path) - 1} steps (cross)", fontsize=9)
    fig.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    fig.suptitle(f"Both losses over two weights, same heights, equal learning rate {lr:g}")
    return fig


def _space(axes: Any, x: Tensor, y: Tensor, height: Tensor, title: str) -> None:
    axes.plot_surface(
        *(np.broadcast_to(v, height.shape) for v in (x, y)), np.asarray(height), cmap="cividis", norm=HEIGHT,
        rcount=60, ccount=60, linewidth=0.15, edgecolor=(0, 0, 0, 0.25), antialiased=True,
    )  # fmt: skip
    axes.set(zlim=(0, CUT), zlabel="loss L")
    axes.set_title(title, fontsize=10)
    axes.view_init(28, -50)


def _contours(axes: Axes, x: Tensor, y: Tensor, height: Tensor, levels: Sequence[float]) -> ContourSet:
    """Draw lines of equal height, on shades."""
    axes.contourf(x, y, height, levels=(0, *levels, 100), cmap="Greys", alpha=0.5, norm=HEIGHT)
    return axes.contour(x, y, height, levels=levels, colors="0.15", linewidths=0.8)


def _label() -> dict:
    return {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "0.6", "alpha": 0.9}
