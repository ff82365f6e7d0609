"""Question 1: races between both losses. A race is a dict of `compare_races`, with its `winner`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dl.claims import LEVEL
from dl.logistic.losses import LOSSES
from dl.logistic.statistics import kaplan_meier
from dl.plots import COLOURS, LINES, MARKERS, figure, tidy
from dl.plots.surfaces import LOSS_TITLES


def survival_curves(races: Sequence[dict], goal: str, steps: int) -> Figure:
    """Draw the share of the seeds not yet at `goal` against steps: a panel a data set and start, a curve a loss."""
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


def learning_rates(equal: Sequence[dict], own: Sequence[dict], goal: str) -> Figure:
    """Draw median steps to `goal` at equal learning rates, quartiles as bars; stars: each loss's own best by TPE."""
    equal, own = ([race for race in races if race["goal"] == goal] for races in (equal, own))
    fig, panels = _grid(own)
    for race in own:
        where = (race["dataset"], race["start"], race["optimiser"])
        axes = panels[where[:2]]
        series = [other for other in equal if (other["dataset"], other["start"], other["optimiser"]) == where]
        for index, loss in enumerate(LOSSES):
            low, median, high = np.array([np.quantile(1 + r[loss][0], (0.25, 0.5, 0.75)) for r in series]).T
            look = _look(index, race["optimiser"]) | {"marker": MARKERS[index], "markersize": 4}
            axes.errorbar([r[f"{loss}_lr"] for r in series], median, (median - low, high - median), **look)
            star = {"color": look["color"], "markersize": 11, "markeredgecolor": "k", "zorder": 5}
            axes.plot(race[f"{loss}_lr"], np.median(1 + race[loss][0]), "*", **star)
        axes.set(xscale="log", yscale="log")
    _finish(fig, panels, "learning rate (log scale)", "1 + steps (log scale)")
    fig.suptitle(f"Equal learning rates: median steps to {goal}, quartiles; stars: each loss's own best by TPE")
    return fig


def _look(index: int, optimiser: str) -> dict:
    """Return a curve's colour, by loss, and dashes, by loss and optimiser: all four differ in black and white too."""
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
        Line2D([], [], **_look(i, optimiser), label=f"{LOSS_TITLES[loss]}, {optimiser}")
        for i, loss in enumerate(LOSSES)
        for optimiser in ("GD", "SGD")
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)


def chances(races: Sequence[dict], apart: Sequence[dict] = ()) -> Figure:
    """Draw P(cross-entropy is faster) race by race with its exact 99% interval; beside it the ratio of the steps.

    apart: races that were tested together apart from the others, drawn below them.
    """
    goals = list(dict.fromkeys(race["goal"] for race in races))
    labels = list(dict.fromkeys((race["dataset"], race["start"], race["optimiser"]) for race in (*races, *apart)))
    fig = figure(13, 0.28 * len(labels) + 2.0)
    panels = fig.subplots(1, len(goals), sharey=True, squeeze=False)[0]
    looks = {"ce": (COLOURS[0], "o"), "mse": (COLOURS[1], "s"), "undecided": ("0.5", "x")}
    for race in (*races, *apart):
        axes = panels[goals.index(race["goal"])]
        at = labels.index((race["dataset"], race["start"], race["optimiser"]))
        colour, marker = looks[race["winner"]]
        if race["ce_faster"] + race["mse_faster"]:
            axes.plot((race["ce_share_low"], race["ce_share_high"]), (at, at), color=colour, linewidth=1.6)
            axes.plot(race["ce_share"], at, marker, color=colour, markersize=6)
            axes.text(1.04, at, tell_speedup(race), va="center", fontsize=8, color=colour)
        else:
            axes.text(0.52, at, "all tied", va="center", fontsize=8, color=colour)
    for goal, axes in zip(goals, panels, strict=True):
        axes.set(xlim=(-0.03, 1.45), ylim=(len(labels) - 0.4, -0.6), xticks=(0, 0.25, 0.5, 0.75, 1))
        axes.set(yticks=range(len(labels)), yticklabels=[", ".join(label) for label in labels])
        axes.axvline(0.5, color="k", linewidth=0.8)
        if apart:
            axes.axhline(len({label for label in labels if label[0] != apart[0]["dataset"]}) - 0.5, color="k", lw=0.8)
        tidy(axes, goal.replace("% accuracy", "% of the best accuracy"), "P(CE is faster); right: steps of MSE / of CE")
    words = {"ce": "CE faster", "mse": "MSE faster", "undecided": "not beyond chance"}
    handles = [Line2D([], [], color=c, marker=m, label=words[w]) for w, (c, m) in looks.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    below = f"; below the line: ten classes, {len(apart)} races tested apart" if apart else ""
    fig.suptitle(
        "How probable is it that cross-entropy is the faster, each loss with its own best learning rate? Ties left "
        "out; exact 99% intervals (Clopper and Pearson);\ncoloured where a sign test over the seeds is sure (Holm over "
        f"{len(races)} races at {LEVEL:.0%}); numbers: ratio of geometric mean steps{below}",
        fontsize=11,
    )
    return fig


def tell_speedup(race: dict) -> str:
    """Return the ratio of steps, MSE over CE, and how many seeds are tied."""
    ties = f" ({race['ties']} tie{'s' * (race['ties'] > 1)})" if race["ties"] else ""
    return f"{race['speedup']:.2g}x{ties}"
