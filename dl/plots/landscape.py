"""Questions 1 and 2: loss surfaces, races between losses, convexity."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.colors import PowerNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from dl.claims import at_least
from dl.landscape import LOSSES as TABLE_LOSSES
from dl.landscape import PLACES, TENSOR, Finding
from dl.logistic.losses import LOSSES, slope_in_p
from dl.logistic.problems import Problem
from dl.logistic.statistics import kaplan_meier
from dl.plots import COLOURS, LINES, MARKERS, figure, tidy

NAMES = {"ce": "cross-entropy", "mse": "MSE"}
CUT = 6.0  # where the cross-entropy surface is cut: it has no upper bound
HEIGHT = PowerNorm(0.4, 0, CUT)  # one shade a height in every surface, finer where MSE lives


# ------------------------------------------------------------------------------------------ question 1


def corner_surfaces() -> Figure:
    """Figure 1 of the document again: both losses over (y, p), in space and from above, on the same scales."""
    z = torch.linspace(-9, 9, 361, dtype=torch.float64)
    y = torch.linspace(0, 1, 81, dtype=torch.float64)[:, None]
    p = torch.sigmoid(z)
    fig = figure(9.6, 8.4)
    for row, (name, loss) in enumerate((("mse", LOSSES["mse"]), ("ce", LOSSES["ce"]))):
        height = loss.value(z, y).clamp(max=CUT)
        cut = f", cut at {CUT:g}: it has no bound" if name == "ce" else ""
        _space(fig.add_subplot(2, 2, 2 * row + 1, projection="3d"), y, p, height, f"{NAMES[name]} L(y, p){cut}")
        axes = fig.add_subplot(2, 2, 2 * row + 2)
        levels = (0.02, 0.1, 0.25, 0.5, 0.7, 1, 2, 4)
        _contours(axes, p, y, height, levels, "predicted probability p", "label y", _on_diagonals(loss.value, levels))
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
        axes.set_title(f"{NAMES[name]} from above; arrows: -dL/dp (length ~ square root)", fontsize=9)
    fig.suptitle("Both losses over label and predicted probability (same heights, same levels)")
    return fig


def _on_diagonals(loss, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Places (p, y) for the levels' numbers: where a diagonal meets them, clear of the edges and the corners' notes."""
    places = []
    for edge, falls in ((0.04, False), (0.18, True)):
        p = torch.linspace(edge, 1 - edge, 641, dtype=torch.float64)
        y = 1 - p if falls else p
        above = (loss(torch.logit(p), y)[:, None] > torch.tensor(levels)).int()
        places += [(float(p[i]), float(y[i])) for i in above.diff(dim=0).nonzero()[:, 0]]
    return places


def logit_slopes() -> Figure:
    """What training feels: loss, |dL/dp| and |dL/dz| over the logit, for label y = 1."""
    z = torch.linspace(-12, 12, 481, dtype=torch.float64)
    one = torch.ones_like(z)
    fig = figure(11, 3.9)
    panels = fig.subplots(1, 3)
    for index, (name, loss) in enumerate(LOSSES.items()):
        look = {"color": COLOURS[index], "linestyle": LINES[index], "linewidth": 2, "label": NAMES[name]}
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
    """Mean loss over the two weights of a logistic regression, with descents on it.

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
        _space(space, first, second, height.clamp(max=CUT), f"{NAMES[name]}, mean over {len(y)} tumours{cut}", "")
        space.set(xlabel=f"weight: {problem.features[0]}", ylabel=f"weight: {problem.features[1]}")
        axes = fig.add_subplot(2, 2, 2 * row + 2)
        levels = (0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.8, 1, 2, 3, 4, 5)
        _contours(axes, grid, grid, height, levels, *(f"weight: {feature}" for feature in problem.features))
        for index, (label, path) in enumerate(paths[name].items()):
            look = {"color": COLOURS[(0, 1, 6)[index // 2]], "linestyle": ("-", ":")[index % 2], "linewidth": 2}
            axes.plot(*path.T, **look, label=label, zorder=5)
            axes.plot(*path[0], "o", color=look["color"], markersize=6, markeredgecolor="k", zorder=6)
            axes.plot(*path[-1], "X", color=look["color"], markersize=8, markeredgecolor="k", zorder=6)
            w = torch.as_tensor(path, dtype=torch.float64)
            lifted = LOSSES[name].value(w @ x.T, y).mean(1)
            lifted[lifted > CUT] = torch.nan  # above the cut there is no surface to lie on
            space.plot(*path.T, lifted + 0.05, **look, zorder=10)
        axes.set(xlim=(-size, size), ylim=(-size, size))
        axes.set_title(f"{NAMES[name]} from above: start (dot), after {len(path) - 1} steps (cross)", fontsize=9)
    fig.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    fig.suptitle(f"Both losses over two weights, same heights, equal learning rate {lr:g}")
    return fig


def _space(axes, x, y, height, title: str, label: str = "label y") -> None:
    axes.plot_surface(
        *(np.broadcast_to(v, height.shape) for v in (x, y)), np.asarray(height), cmap="cividis", norm=HEIGHT,
        rcount=60, ccount=60, linewidth=0.15, edgecolor=(0, 0, 0, 0.25), antialiased=True,
    )  # fmt: skip
    axes.set(zlim=(0, CUT), xlabel=label, ylabel="probability p" if label else "", zlabel="loss L")
    axes.set_title(title, fontsize=10)
    axes.view_init(28, -50)


def _contours(axes, x, y, height, levels: Sequence[float], x_label: str, y_label: str, places=None) -> None:
    """`places`: where the levels' numbers stand; None: where matplotlib likes them."""
    y = np.ravel(y)
    axes.contourf(x, y, height, levels=(0, *levels, 100), cmap="Greys", alpha=0.5, norm=HEIGHT)
    lines = axes.contour(x, y, height, levels=levels, colors="0.15", linewidths=0.8)
    axes.clabel(lines, fontsize=7, fmt="%g", manual=places or False)
    tidy(axes, "", x_label, y_label)


def _label() -> dict:
    return {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "0.6", "alpha": 0.9}


def survival_curves(races: Sequence[dict], goal: str, steps: int) -> Figure:
    """Share of the seeds not yet at `goal` against steps: a panel a data set and start, a curve a loss and optimiser.

    races: dicts with dataset, start, optimiser, goal and, per loss, (steps (S,), reached (S,)).
    """
    races = [race for race in races if race["goal"] == goal]
    fig, panels = _grid(races)
    for race in races:
        axes = panels[race["dataset"], race["start"]]
        for index, loss in enumerate(LOSSES):
            times, share, lower, upper = kaplan_meier(*race[loss])
            times, share, lower, upper = (np.r_[v, v[-1]] for v in (times, share, lower, upper))
            times[-1] = max(times[-1], steps)
            axes.step(1 + times, share, where="post", **_look(index, race["optimiser"]))
            axes.fill_between(1 + times, lower, upper, step="post", color=COLOURS[index], alpha=0.13, linewidth=0)
    for axes in panels.values():
        axes.set(xscale="log", xlim=(1, 1 + steps), ylim=(-0.03, 1.03))
    best = "95% of the best accuracy at least" if goal.startswith("gradient") else "of the best reachable"
    _finish(fig, panels, "1 + steps (log scale)", "share not there yet")
    fig.suptitle(f"Race to {goal} ({best}), each loss with its own best learning rate; bands: 95%")
    return fig


def learning_rates(equal: Sequence[dict], own: Sequence[dict], best: Mapping[tuple, float], goal: str) -> Figure:
    """Median steps to `goal` at equal learning rates, quartiles as bars; stars: with the learning rate found by TPE.

    equal, own: races as in `survival_curves`, `equal` with "lr"; best: (dataset, start, optimiser, loss) -> lr.
    """
    equal, own = ([race for race in races if race["goal"] == goal] for races in (equal, own))
    fig, panels = _grid(own)
    for race in own:
        where = (race["dataset"], race["start"], race["optimiser"])
        axes = panels[where[:2]]
        series = [other for other in equal if (other["dataset"], other["start"], other["optimiser"]) == where]
        for index, loss in enumerate(LOSSES):
            low, median, high = np.array([np.quantile(1 + r[loss][0], (0.25, 0.5, 0.75)) for r in series]).T
            look = _look(index, race["optimiser"]) | {"marker": MARKERS[index], "markersize": 4}
            axes.errorbar([r["lr"] for r in series], median, (median - low, high - median), **look)
            star = {"color": look["color"], "markersize": 11, "markeredgecolor": "k", "zorder": 5}
            axes.plot(best[*where, loss], np.median(1 + race[loss][0]), "*", **star)
        axes.set(xscale="log", yscale="log")
    _finish(fig, panels, "learning rate (log scale)", "1 + steps (log scale)")
    fig.suptitle(f"Equal learning rates: median steps to {goal}, quartiles; stars: each loss's own best by TPE")
    return fig


def _look(index: int, optimiser: str) -> dict:
    """Colour by loss, dashes by loss and optimiser: four curves that a black-and-white print keeps apart."""
    return {"color": COLOURS[index], "linestyle": LINES[index + 2 * (optimiser == "SGD")], "linewidth": 1.8}


def _grid(races: Sequence[dict]) -> tuple[Figure, dict]:
    datasets, kinds = (list(dict.fromkeys(race[key] for race in races)) for key in ("dataset", "start"))
    fig = figure(3.4 * len(kinds) + 0.6, 2.5 * len(datasets) + 1.2)
    axes = fig.subplots(len(datasets), len(kinds), sharex=True, sharey=True, squeeze=False)
    return fig, {(d, k): axes[i, j] for i, d in enumerate(datasets) for j, k in enumerate(kinds)}


def _finish(fig: Figure, panels: Mapping, x: str, y: str) -> None:
    for (dataset, kind), axes in panels.items():
        spec = axes.get_subplotspec()
        tidy(axes, f"{dataset}: {kind}", x if spec.is_last_row() else "", y if spec.is_first_col() else "")
        axes.title.set_fontsize(10)
        axes.minorticks_off()  # nine panels of logarithmic minor ticks: crowded, and slow to lay out
    handles = [
        Line2D([], [], **_look(i, optimiser), label=f"{NAMES[loss]}, {optimiser}")
        for i, loss in enumerate(LOSSES)
        for optimiser in ("GD", "SGD")
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)


def speedups(races: Sequence[dict], winners: Sequence[str]) -> Figure:
    """How many times the steps MSE needs, race by race, with 95% bands: right of 1 cross-entropy is the faster.

    races: rows of `compare_steps` with dataset, start, optimiser, goal; winners: of `dl.claims.tally`.
    """
    goals = list(dict.fromkeys(race["goal"] for race in races))
    labels = list(dict.fromkeys((race["dataset"], race["start"], race["optimiser"]) for race in races))
    fig = figure(12, 0.28 * len(labels) + 1.8)
    panels = fig.subplots(1, len(goals), sharey=True, squeeze=False)[0]
    looks = {"ce": (COLOURS[0], "o"), "mse": (COLOURS[1], "s"), "undecided": ("0.5", "x")}
    for race, winner in zip(races, winners, strict=True):
        axes = panels[goals.index(race["goal"])]
        at = labels.index((race["dataset"], race["start"], race["optimiser"]))
        colour, marker = looks[winner]
        axes.plot((race["speedup_low"], race["speedup_high"]), (at, at), color=colour, linewidth=1.6)
        axes.plot(race["speedup"], at, marker, color=colour, markersize=6)
    for goal, axes in zip(goals, panels, strict=True):
        axes.set(xscale="log", yticks=range(len(labels)), yticklabels=[", ".join(label) for label in labels])
        axes.axvline(1, color="k", linewidth=0.8)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.ptp(np.log10(axes.get_xlim())) < 1.7 else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        tidy(axes, goal.replace("% accuracy", "% of the best accuracy"), "steps of MSE / steps of CE (log scale)")
    panels[0].invert_yaxis()
    words = {"ce": "CE faster", "mse": "MSE faster", "undecided": "not beyond chance"}
    handles = [Line2D([], [], color=c, marker=m, label=words[w]) for w, (c, m) in looks.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    fig.suptitle(
        "Who is faster, each loss with its own best learning rate? Ratio of geometric mean steps over the seeds, "
        "95% bootstrap bands;\ncoloured where a sign test over the seeds is sure (Holm over all races at 5%)",
        fontsize=11,
    )
    return fig


# ------------------------------------------------------------------------------------------ question 2


def convexity_table(findings: Sequence[Finding]) -> Figure:
    """The table of question 2: smallest Hessian eigenvalue met (colour and number) and verdict, cell by cell."""
    values = np.full((len(TABLE_LOSSES), len(PLACES)), np.nan)
    fig = figure(12, 3.9)
    axes = fig.subplots()
    for finding in findings:
        i, j = TABLE_LOSSES.index(finding.cell.loss), PLACES.index(finding.cell.place)
        values[i, j] = finding.smallest
        dark = abs(finding.smallest) > 8
        axes.text(j, i, f"{finding.verdict.upper()}\n{_number(finding.smallest)}", ha="center", va="center",
                  fontsize=9, fontweight="bold" if finding.verdict == "not convex" else "normal",
                  color="white" if dark else "black")  # fmt: skip
    for i, j in np.argwhere(np.isnan(values)):
        axes.text(j, i, "not\napplicable", ha="center", va="center", fontsize=8, color="0.45")
    image = axes.imshow(values, cmap="PuOr", norm=SymLogNorm(0.01, vmin=-200, vmax=200), aspect="auto")
    axes.set_xticks(
        range(len(PLACES)), [place.replace("weights", "\nweights").replace(", ", ",\n") for place in PLACES]
    )
    axes.set_yticks(range(len(TABLE_LOSSES)), [loss.replace(" of ", "\nof ") for loss in TABLE_LOSSES])
    axes.set_xticks(np.arange(-0.5, len(PLACES)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(TABLE_LOSSES)), minor=True)
    axes.grid(which="minor", color="0.7", linewidth=0.8)
    axes.tick_params(length=0, which="both")
    axes.set(xlabel="as a function of")
    ticks = (-100, -1, -0.01, 0, 0.01, 1, 100)
    fig.colorbar(image, label="smallest eigenvalue of the Hessian met", ticks=ticks, format="%g", pad=0.01)
    fig.suptitle("Convex or not: every 'not convex' has a witness proven in interval arithmetic")
    return fig


def _number(value: float) -> str:
    if abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) >= 0.001 else f"{value:.0e}".replace("e-0", "e-")


def hessian_spectra(findings: Sequence[Finding]) -> Figure:
    """Every eigenvalue met, cell by cell, as the share of them that lies at or below a value."""
    fig = figure(12, 4.6)
    panels = fig.subplots(1, 3, sharey=True)
    for axes, loss in zip(panels, TABLE_LOSSES, strict=True):
        for finding in (f for f in findings if f.cell.loss == loss):
            index = PLACES.index(finding.cell.place)
            values = np.sort(finding.eigenvalues.numpy(), axis=None)
            axes.plot(values, np.linspace(0, 1, len(values)), color=COLOURS[index], linestyle=LINES[index],
                      linewidth=1.8, label=finding.cell.place)  # fmt: skip
        axes.axvspan(-1e3, 0, color="0.92", zorder=0)
        axes.set_xscale("symlog", linthresh=0.01, linscale=0.5)
        axes.set(xlim=(-300, 2000), xticks=(-100, -1, -0.01, 0.01, 1, 100))
        axes.set_xticklabels([f"{tick:g}" for tick in (-100, -1, -0.01, 0.01, 1, 100)], fontsize=8)
        tidy(axes, loss, "eigenvalue of the Hessian (symlog scale)", "share at or below" if axes is panels[0] else "")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    fig.suptitle("Hessian spectra over all points visited: a convex function has nothing in the grey")
    return fig


def witness_curves(findings: Sequence[Finding]) -> Figure:
    """Each loss along the segment of its witness, with the chord: a convex function would stay below it."""
    shown = [finding for finding in findings if finding.verdict == "not convex"]
    columns = 4
    fig = figure(12, 2.5 * -(-len(shown) // columns) + 1.0)
    panels = fig.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    for axes, finding in zip(panels, shown, strict=False):
        a, b = (torch.tensor(end, dtype=torch.float64)[:, None] for end in (finding.witness.a, finding.witness.b))
        curve = finding.cell.f(a + (b - a) * t, TENSOR).numpy()
        chord = curve[0] + (curve[-1] - curve[0]) * t.numpy()
        axes.plot(t, curve, color=COLOURS[0], linewidth=1.8, label="loss along the segment")
        axes.plot(t, chord, color=COLOURS[1], linestyle="--", linewidth=1.4, label="chord")
        axes.vlines(0.5, chord[100], curve[100], color="k", linewidth=1.2, linestyle=":")
        axes.plot(0.5, curve[100], "ko", markersize=5, label="midpoint: above the chord")
        tidy(axes, f"{finding.cell.loss}\n{finding.cell.place}: gap > {at_least(finding.witness.lower)}")
        axes.title.set_fontsize(8.5)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("a (0) to b (1)")
    for axes in panels[::columns]:
        axes.set_ylabel("loss")
    if shown:
        fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    fig.suptitle("Witnesses of non-convexity: the midpoint lies above the chord, proven in interval arithmetic")
    return fig
