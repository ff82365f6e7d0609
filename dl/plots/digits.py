"""Question 3 in pictures: a search, and the exhaustive table behind it."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from dl.plots import COLOURS, figure, log_axis, style, tidy
from dl.ranking import Comparison, Regret
from dl.table1 import TABLE1, TABLE2, Config

AXIS_LABELS = {
    "h1": "hidden layer 1",
    "h2": "hidden layer 2",
    "lr": "learning rate",
    "dropout": "dropout",
    "activation": "activation",
}
LOSS = "validation loss (nats)"
BLUE, ORANGE, GREEN, *_, BLACK = COLOURS
GREY = "#9A9A9A"
LADDER = (0.05, 0.1, 0.2, 0.5, 1, 2)


def plain_number(value: float | str) -> str:
    """Return a table's value as one writes it: 0.00001, not 1e-05."""
    return value if isinstance(value, str) else np.format_float_positional(value, trim="-")


def progress(losses: Sequence[float | None], finalists: Sequence[Config], again: Comparison) -> Figure:
    """Draw each trial's loss and the best so far, and the finalists on splits that the search never saw.

    losses: in order, None for a failed trial; finalists: in the order of `again`, which compares log losses.
    """
    drawing = figure(11, 4.2)
    left, right = drawing.subplots(1, 2, width_ratios=(1.3, 1))
    values = np.array([np.nan if loss is None else loss for loss in losses])
    numbers = np.arange(1, len(values) + 1)
    left.plot(numbers, values, "o", color=BLUE, markersize=4, label="a trial")
    left.step(numbers, np.fmin.accumulate(values), where="post", color=ORANGE, label="best so far")
    failed = numbers[np.isnan(values)]
    if len(failed):
        left.plot(failed, np.full(len(failed), np.nanmax(values)), "x", color=BLACK, label="failed")
    left.set_yscale("log")
    log_axis(left.yaxis, [t for t in (0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if t < 1.2 * np.nanmax(values)])
    left.legend(frameon=False)
    left.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    tidy(left, "The search", "trial", LOSS)

    order = np.argsort(-again.mean)
    half = again.half[order]
    middle = again.mean[order]
    for row, i in enumerate(order):
        colour, marker = (ORANGE, "*") if finalists[i] == TABLE2 else (BLUE, "o")
        ends = np.exp([[middle[row] - half[row]], [middle[row] + half[row]]])
        right.plot(ends[:, 0], [row, row], color=colour, linewidth=1.6)
        right.plot(np.exp(middle[row]), row, marker, color=colour, markersize=11 if marker == "*" else 6)
    names = [f"{finalists[i]}" + "\n(table 2 of the document)" * (finalists[i] == TABLE2) for i in order]
    right.set_yticks(range(len(order)), names, fontsize=8)
    right.set_xscale("log")
    low, high = np.exp([(middle - half).min(), (middle + half).max()])
    fine = (0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
    log_axis(right.xaxis, [t for t in (fine if high < 4 * low else LADDER) if low * 0.9 < t < high * 1.1])
    tidy(right, f"The finalists on new splits ({again.level:.0%})", f"{LOSS}, geometric mean")
    return drawing


def marginals(configs: Sequence[Config], loss: np.ndarray) -> Figure:
    """Draw the loss over each hyper-parameter's values, all others varying; loss: (C,)."""
    drawing = figure(11, 4.1)
    rows = drawing.subplots(1, len(TABLE1), sharey=True, width_ratios=[len(v) + 1 for v in TABLE1.values()])
    for axes, (key, values) in zip(rows, TABLE1.items(), strict=True):
        groups = [loss[[getattr(c, key) == value for c in configs]] for value in values]
        boxes = axes.boxplot(groups, widths=0.55, whis=(5, 95), showfliers=False, patch_artist=True)
        for box, median in zip(boxes["boxes"], boxes["medians"], strict=True):
            box.set(facecolor=COLOURS[5], edgecolor=BLUE, alpha=0.7)
            median.set(color=BLACK, linewidth=1.8)
        axes.plot(range(1, len(values) + 1), [g.min() for g in groups], "v", color=ORANGE, markersize=5)
        axes.set_xticks(range(1, len(values) + 1), [plain_number(v) for v in values])
        axes.tick_params(axis="x", labelrotation=45 if len(values) > 4 else 0, labelsize=8)
        axes.set_yscale("log")
        log_axis(axes.yaxis, LADDER)
        tidy(axes, "", AXIS_LABELS[key], LOSS if axes is rows[0] else "")
    rows[0].plot([], [], "v", color=ORANGE, label="best")
    rows[0].plot([], [], "-", color=BLACK, label="median")
    rows[0].plot([], [], "s", color=COLOURS[5], markeredgecolor=BLUE, label="the middle half; whiskers: 90%")
    drawing.legend(frameon=False, loc="outside lower center", ncols=3)
    drawing.suptitle(f"Marginal effect of each hyper-parameter over {len(configs):,} configurations", fontsize=12)
    return drawing


def heat_map(configs: Sequence[Config], loss: np.ndarray) -> Figure:
    """Draw the median where training works (learning rate 0.01 or 0.001) and the best over h1 x h2; loss: (C,)."""
    drawing = figure(10.5, 3.9)
    works = [c.lr in (0.01, 0.001) for c in configs]
    panels: tuple[tuple[str, Callable, list[bool]], ...] = (
        ("Median at learning rates 0.01 and 0.001", np.median, works),
        ("Best over everything else", np.min, [True] * len(configs)),
    )
    for axes, (title, summary, chosen) in zip(drawing.subplots(1, 2), panels, strict=True):
        shapes: dict[tuple[int, int], list[float]] = {}
        for config, value, ok in zip(configs, loss, chosen, strict=True):
            if ok:
                shapes.setdefault((config.h1, config.h2), []).append(value)
        cells = np.array([[summary(shapes[h1, h2]) for h2 in TABLE1["h2"]] for h1 in TABLE1["h1"]])
        picture = axes.imshow(cells, cmap="cividis_r", aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(cells):
            dark = value > (cells.min() + cells.max()) / 2
            axes.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
        axes.set_xticks(range(len(TABLE1["h2"])), TABLE1["h2"])
        axes.set_yticks(range(len(TABLE1["h1"])), TABLE1["h1"])
        place = TABLE1["h2"].index(TABLE2.h2) - 0.5, TABLE1["h1"].index(TABLE2.h1) - 0.5
        axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
        tidy(axes, title, AXIS_LABELS["h2"] + " (units)", AXIS_LABELS["h1"] + " (units)")
        axes.grid(False)
        drawing.colorbar(picture, ax=axes, label=LOSS)
    drawing.suptitle("Loss by shape; the frame is table 2's shape", fontsize=12)
    return drawing


def ranks(configs: Sequence[Config], result: Comparison, closer: int = 450) -> Figure:
    """Draw all configurations by their mean, with their intervals, those that may be the best, and table 2's place.

    result: a comparison of log losses; closer: how many of the best the right-hand panel shows again.
    """
    drawing = figure(11, 4.4)
    order = np.argsort(result.mean)
    rank = np.arange(1, len(order) + 1)
    mean, half = result.mean[order], result.half[order]
    low, high, best = np.exp(mean - half), np.exp(mean + half), result.best[order]
    i = list(configs).index(TABLE2)
    y, place, (first, last) = np.exp(result.mean[i]), int(np.flatnonzero(order == i)[0]) + 1, result.ranks(i)
    for axes, shown in zip(drawing.subplots(1, 2), (len(order), closer), strict=True):
        axes.vlines(rank[~best], low[~best], high[~best], color=GREY, alpha=0.5, linewidth=1)
        axes.vlines(rank[best], low[best], high[best], color=BLUE, alpha=0.6, linewidth=1)
        axes.plot(rank, np.exp(mean), color=BLACK, linewidth=1.4, label="geometric mean over repeats")
        axes.plot([], [], color=GREY, linewidth=5, alpha=0.5, label=f"its {result.level:.0%} interval")
        axes.plot([], [], color=BLUE, linewidth=5, alpha=0.6, label=f"cannot be told from the best: {best.sum()}")
        axes.hlines(y, first, last, color=ORANGE, linewidth=2.2, zorder=4)
        axes.plot(place, y, "*", color=ORANGE, markersize=14, markeredgecolor="white", zorder=5)
        told = f"table 2: rank {place}, interval {first} to {last}"
        axes.plot([], [], "*-", color=ORANGE, markersize=11, label=told)
        axes.set_yscale("log")
        log_axis(axes.yaxis, (0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.5, 1, 2) if shown == closer else LADDER)
        axes.set_xlim(-shown / 100, shown * 1.01)
        axes.set_ylim(low[:shown].min() * 0.9, high[:shown].max() * 1.1)
        title = f"All {shown:,} in order of their mean" if shown == len(order) else f"The best {shown}, closer"
        tidy(axes, title, "rank", LOSS)
    drawing.axes[0].legend(frameon=False, loc="upper left", fontsize=9)
    return drawing


def regret_curves(curves: dict[str, Regret], grid: np.ndarray) -> Figure:
    """Draw what searches still lose after each trial: where they looked, and on new splits, beside the grid's (R,)."""
    drawing = figure(11, 4.2)
    left, right = drawing.subplots(1, 2)
    for axes, kind in ((left, "seen"), (right, "new")):
        for i, (algo, result) in enumerate(curves.items()):
            mean, half = result.band(kind)
            trial = np.arange(1, len(mean) + 1)
            axes.plot(trial, mean, **style(i, markers=False), label=f"{algo}: mean of {len(result.seen)}, 99% band")
            axes.fill_between(trial, mean - half, mean + half, color=COLOURS[i], alpha=0.2, linewidth=0)
        axes.set_yscale("log")
        log_axis(axes.yaxis, (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))
    right.axhline(grid.mean(), color=BLACK, linestyle=":", linewidth=1.6, label="the whole grid, 1,400 trials")
    right.legend(frameon=False)
    tidy(left, "On the split that the search saw (the grid: 0)", "trials", "regret (nats)")
    tidy(right, "On the other splits", "trials", "regret (nats)")
    return drawing
