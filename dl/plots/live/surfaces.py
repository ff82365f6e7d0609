"""Question 1 to turn: the surfaces of both losses, with the gradient where the pointer is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dl.logistic.losses import LOSSES, slope_in_p
from dl.logistic.problems import Problem
from dl.plots import COLOURS
from dl.plots.live import live_figure, plain_axis, short
from dl.plots.surfaces import CUT, HEIGHT, LOSS_TITLES

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

EYE = {"center": {"x": 0, "y": 0, "z": -0.2}, "eye": {"x": 1.25, "y": -1.45, "z": 0.8}}
SCENES = {"mse": ("scene", ""), "ce": ("scene2", "2")}  # the scene and the number of the axes of each loss
FAR = 10.0  # learning rate of the step shown: squared error's is too short to be seen at 1
MOMENTS = range(0, 301, 5)  # steps at which the slider stops


def turn_corner_surfaces() -> "Figure":
    """Return figure 1 of the document, both losses over (y, p), to turn; hovering tells the loss and its slopes."""
    z = torch.linspace(-9, 9, 91, dtype=torch.float64)
    y = torch.linspace(0, 1, 31, dtype=torch.float64)[:, None]
    p = torch.sigmoid(z)
    scenes = {"mse": "scene", "ce": "scene2"}
    cut = {"mse": "", "ce": f", cut at {CUT:g}: it has no bound"}
    figure = live_figure(
        "Both losses over label and predicted probability (same heights, same levels)",
        [{"title": f"{LOSS_TITLES[name]} L(y, p){cut[name]}", scenes[name]: _space_axes("label y", "probability p")}
         for name in scenes],
        "Two surfaces side by side: the loss over the label and the predicted probability. Squared error rises to 1 in "
        "the corners where prediction and label disagree, with a slope of 2; cross-entropy rises without bound there.",
        columns=2, height=440, left=12,
    )  # fmt: skip
    for name, scene in scenes.items():
        height = LOSSES[name].value(z, y).T
        slopes = (slope_in_p(name, z, y).T, LOSSES[name].slope(z, y).T)
        where = (y.T.expand_as(height), p[:, None].expand_as(height))
        told = _told(
            "y = {:.2f}, p = {:.4f}<br>L = {:.4g}<br>dL/dp = {:.3g}<br>dL/dz = {:.3g}", *where, height, *slopes
        )
        _add_surface(figure, scene, (y[:, 0], p), height, told)
    return figure


def turn_weight_surfaces(
    problem: Problem, paths: Mapping[str, Mapping[str, np.ndarray]], lr: float, size: float
) -> "Figure":
    """Return the mean loss over two weights to turn, with the descents and a slider through their steps.

    problem: two features, standardised here; paths: loss -> "start, optimiser" -> (steps + 1, 2).
    """
    x, y = problem.standardised(), problem.y
    steps = [step for step in MOMENTS if step < len(next(iter(paths["ce"].values())))]
    figure = _weight_panels(
        f"Both losses over two weights, same heights, equal learning rate {lr:g}", problem, size,
        "The mean loss over two weights of a logistic regression, in space and from above, for squared error and for "
        "cross-entropy, with the paths of gradient descents. Cross-entropy is a bowl that every descent runs down; "
        "squared error is flat far from its valley, and a descent that starts there hardly moves.",
        [{"label": "step", "values": [str(step) for step in steps], "start": len(steps) - 1}],
    )  # fmt: skip
    markers: list[tuple[int, str, str]] = []
    for name, (scene, number) in SCENES.items():
        for index, (label, path) in enumerate(paths[name].items()):
            look: dict[str, Any] = {
                "legendgroup": label, "name": f"{label} ({LOSS_TITLES[name]})", "mode": "lines",
                "line": {"color": COLOURS[(0, 1, 6)[index // 2]], "dash": ("solid", "dot")[index % 2], "width": 3},
            }  # fmt: skip
            height = _on_surface(name, path, x, y)
            flat, lifted = dict(zip("xy", map(short, path.T), strict=True)), {"z": short(height)}
            figure.add_scatter(
                **flat, **look, xaxis=f"x{number}", yaxis=f"y{number}", customdata=short(height),
                hovertemplate="step %{pointNumber}: %{x:.2f}, %{y:.2f}<br>L = %{customdata:.4f}",
            )  # fmt: skip
            figure.add_scatter3d(**flat, **lifted, **look, scene=scene, hoverinfo="skip")
            dot = look | {"mode": "markers", "hoverinfo": "skip", "line": None}
            dot["marker"] = {"color": look["line"]["color"], "size": 11, "line": {"color": "#000", "width": 1.5}}
            markers += [(len(figure.data), name, label)]
            figure.add_scatter(x=[0], y=[0], **dot, xaxis=f"x{number}", yaxis=f"y{number}")
            figure.add_scatter3d(x=[0], y=[0], z=[0], **dot | {"marker": dot["marker"] | {"size": 6}}, scene=scene)
    figure.frames = [
        {"name": str(i), "traces": [trace + k for trace, *_ in markers for k in (0, 1)],
         "data": [dot for _, name, label in markers for dot in _dots(name, paths[name][label][step], x, y)]}
        for i, step in enumerate(steps)
    ]  # fmt: skip
    return figure


def move_weights(problem: Problem, size: float) -> "Figure":
    """Return the mean losses of a problem of two features with sliders for its weights, which tell loss and gradient.

    From the point at the weights a line leads to where a step of gradient descent at learning rate FAR would.
    """
    x, y = problem.standardised(), problem.y
    moves = torch.linspace(-size, size, 17, dtype=torch.float64)
    weights = [f"weight: {feature}" for feature in problem.features]
    figure = _weight_panels(
        f"Both losses where the weights are, and where a step at learning rate {FAR:g} leads", problem, size,
        "The mean loss over two weights of a logistic regression, in space and from above, for squared error and for "
        "cross-entropy. Two sliders move the weights; the axes from above tell loss and gradient there.",
        [{"label": label, "values": [f"{move:g}" for move in moves.tolist()], "start": 12} for label in weights],
    )  # fmt: skip
    figure.layout.meta = figure.layout.meta | {"bottom": 88}  # an axis tells loss and gradient below its title
    line: dict[str, Any] = {"mode": "lines+markers", "line": {"color": COLOURS[1], "width": 3}, "hoverinfo": "skip"}
    for scene, number in SCENES.values():
        marker = {"color": COLOURS[1], "size": [13, 0], "line": {"color": "#000", "width": 1.5}}
        figure.add_scatter(x=[0], y=[0], **line, marker=marker, xaxis=f"x{number}", yaxis=f"y{number}")
        figure.add_scatter3d(x=[0], y=[0], z=[0], **line, marker=marker | {"size": 6}, scene=scene)
    traces, frames = list(range(len(figure.data) - 4, len(figure.data))), []
    for i, j in np.ndindex(len(moves), len(moves)):
        place, data, layout = torch.stack([moves[i], moves[j]]), [], {}
        for name, (_, number) in SCENES.items():
            height = float(LOSSES[name].value(x @ place, y).mean())
            gradient = (LOSSES[name].slope(x @ place, y)[:, None] * x).mean(0)
            path = torch.stack([place, place - FAR * gradient])
            data += [
                {"type": "scatter", "x": short(path[:, 0]), "y": short(path[:, 1])},
                {"type": "scatter3d", **{axis: [value] for axis, value in zip("xy", place.tolist(), strict=True)},
                 "z": [min(height, CUT) + 0.05]},
            ]  # fmt: skip
            here = f"L = {height:.3g}<br>gradient ({gradient[0]:.2g}, {gradient[1]:.2g})"
            layout[f"xaxis{number}"] = {"title": {"text": f"{weights[0]}<br><b>{here}</b>", "standoff": 8}}
        frames.append({"name": f"{i}/{j}", "traces": traces, "data": data, "layout": layout})
    figure.frames = frames
    return figure


def _weight_panels(title: str, problem: Problem, size: float, alt: str, sliders: list[dict]) -> "Figure":
    """Return the mean losses of a problem of two features over two weights in -size..size, in space and from above."""
    x, y = problem.standardised(), problem.y
    grid = torch.linspace(-size, size, 61, dtype=torch.float64)
    weights = [f"weight: {feature}" for feature in problem.features]
    heights, slopes, panels = {}, {}, []
    first, second = torch.meshgrid(grid, grid, indexing="xy")
    for name, (scene, number) in SCENES.items():
        z = first[..., None] * x[:, 0] + second[..., None] * x[:, 1]  # (61, 61, N)
        heights[name] = LOSSES[name].value(z, y).mean(-1)
        slopes[name] = [(LOSSES[name].slope(z, y) * x[:, i]).mean(-1) for i in range(2)]
        cut = f", cut at {CUT:g}" if heights[name].max() > CUT else ""
        panels += [
            {"title": f"{LOSS_TITLES[name]}, mean over {len(y)} tumours{cut}", scene: _space_axes(*weights)},
            {"title": f"{LOSS_TITLES[name]} from above", f"xaxis{number}": plain_axis(weights[0], range=[-size, size]),
             f"yaxis{number}": plain_axis(weights[1], range=[-size, size])},
        ]  # fmt: skip
    figure = live_figure(title, panels, alt, columns=2, height=420, sliders=sliders)
    for name, (scene, number) in SCENES.items():
        told = _told("({:.2f}, {:.2f})<br>L = {:.4g}<br>gradient ({:.3g}, {:.3g})", first, second, heights[name],
                     *slopes[name])  # fmt: skip
        _add_surface(figure, scene, (grid, grid), heights[name], told)
        figure.add_contour(
            x=short(grid), y=short(grid), z=short((heights[name] / CUT).clamp(max=1) ** HEIGHT.gamma),
            text=told, colorscale="Greys", zmin=0, zmax=1.6, showscale=False,
            contours={"start": 0.05, "end": 1, "size": 0.05}, line={"color": "#262626", "width": 0.8}, opacity=0.8,
            xaxis=f"x{number}", yaxis=f"y{number}", hoverinfo="text",
        )  # fmt: skip
    return figure


def _dots(name: str, place: np.ndarray, x: Tensor, y: Tensor) -> list[dict]:
    """Return the two markers, from above and in space, of a descent that is at `place` (2,)."""
    flat = {"x": [float(place[0])], "y": [float(place[1])]}
    lifted = {"z": short(_on_surface(name, place[None], x, y))}
    return [{"type": "scatter", **flat}, {"type": "scatter3d", **flat, **lifted}]


def _on_surface(name: str, path: np.ndarray, x: Tensor, y: Tensor) -> Tensor:
    """Return the heights (steps,) of a path's points, nan above the cut, where there is no surface to lie on."""
    height = LOSSES[name].value(torch.as_tensor(path, dtype=torch.float64) @ x.T, y).mean(1)
    return torch.where(height > CUT, torch.nan, height + 0.05)


def _told(template: str, *values: Tensor) -> np.ndarray:
    """Return what hovering tells at each place of a grid, from values (Y, X) each."""
    rows = zip(*(value.tolist() for value in values), strict=True)
    return np.array([[template.format(*each) for each in zip(*row, strict=True)] for row in rows])


def _space_axes(x: str, y: str) -> dict:
    axes = {axis: {"title": {"text": label}, "backgroundcolor": "#fff"} for axis, label in (("xaxis", x), ("yaxis", y))}
    return axes | {
        "zaxis": {"title": {"text": "loss L"}, "range": [0, 1.02 * CUT]},
        "camera": EYE,
    }


def _add_surface(figure: "Figure", scene: str, places: tuple[Tensor, Tensor], height: Tensor, told: np.ndarray) -> None:
    """Add a surface of heights (Y, X), in the shades of the PNG, that tells `told` where it is hovered."""
    low = height.clamp(max=CUT)
    figure.add_surface(
        x=short(places[0]), y=short(places[1]), z=short(low), surfacecolor=short((low / CUT) ** HEIGHT.gamma),
        text=told, cmin=0, cmax=1, colorscale="Cividis", showscale=False, scene=scene,
        lighting={"ambient": 0.85, "diffuse": 0.35, "specular": 0.05},
        hoverinfo="text",
    )  # fmt: skip
