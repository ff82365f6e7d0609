"""Figures of question 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dl.plots import COLOURS, figure, log_axis, percent, style, tidy, whole_numbers
from dl.probe import FirstSteps
from dl.train import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(history: list[Epoch], title: str) -> Figure:
    """Draw loss and accuracy of one network over its epochs."""
    fig = figure(9, 3.8)
    left, right = fig.subplots(1, 2)
    epochs = [epoch.index for epoch in history]
    for index, part in enumerate(("train", "val")):
        label = {"train": "training (augmented)", "val": "validation"}[part]
        left.plot(epochs, [getattr(epoch, f"{part}_loss") for epoch in history], label=label, **style(index))
        right.plot(epochs, [getattr(epoch, f"{part}_accuracy") for epoch in history], label=label, **style(index))
    tidy(left, "Loss", "epoch", "cross-entropy (nats)")
    tidy(right, "Accuracy", "epoch", "accuracy")
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(percent())
    for axes in (left, right):
        whole_numbers(axes.xaxis)
    right.legend(frameon=False)
    fig.suptitle(title)
    return fig


def confusion(truth: np.ndarray, guess: np.ndarray, title: str, classes: int = 10) -> Figure:
    """Draw the confusion matrix as shares of each true class (row), so that rare ones count alike; int (N,) each."""
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (truth, guess), 1)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    fig = figure(5.6, 5.2)
    axes = fig.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    for row in range(classes):
        for column in range(classes):
            if share[row, column] >= 0.005:
                axes.text(
                    column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", fontsize=8,
                    color="black" if share[row, column] > 0.5 else "white",
                )  # fmt: skip
    axes.set(xticks=range(classes), yticks=range(classes), xlabel="predicted digit", ylabel="true digit", title=title)
    fig.colorbar(image, ax=axes, shrink=0.82, format=percent(), label="share of the true digit's images")
    return fig


def most_confident_errors(truth: np.ndarray, probabilities: np.ndarray, count: int) -> tuple[np.ndarray, str]:
    """Return which images (at most `count`) were read wrongly with the highest probability, and a heading for them."""
    guess = probabilities.argmax(1)
    wrong = np.flatnonzero(guess != truth)
    first = wrong[np.argsort(-probabilities[wrong, guess[wrong]])][:count]
    return first, f"the most confident of {len(wrong):,} errors among {len(truth):,} test images"


def mistakes(x: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, title: str, count: int = 32) -> Figure:
    """Draw the most confident errors. x: uint8 (N, 3, H, W); truth: int (N,); probabilities: (N, classes)."""
    guess = probabilities.argmax(1)
    wrong, heading = most_confident_errors(truth, probabilities, count)
    fig = figure(8, 5)
    axes = fig.subplots()  # one for all: 32 of them take ten times as long
    columns, high, wide = 8, 1.45, 1.35  # places of a tile of side 1
    for place, index in enumerate(wrong):
        row, column = divmod(place, columns)
        left, top = column * wide, row * high
        axes.imshow(x[index].transpose(1, 2, 0), interpolation="nearest", extent=(left, left + 1, top + 1, top))
        said = f"{guess[index]}, is {truth[index]} ({probabilities[index, guess[index]]:.0%})"
        axes.text(left + 0.5, top - 0.06, said, fontsize=7.5, ha="center", va="bottom")
    axes.set(xlim=(-0.1, columns * wide), ylim=(-(-count // columns) * high, -0.35), aspect="equal")
    axes.axis("off")
    fig.suptitle(f"{title}\n{heading}: said, is (confidence)", fontsize=11)
    return fig


ACCURACY_OVER = (
    "Validation accuracy over epochs", "Validation accuracy over time", "Test accuracy against size",
    "Test accuracy against cost",
)  # fmt: skip
SECONDS = [base * 10**power for power in range(-2, 6) for base in (1, 3)]  # that an axis of time names
DOTTED = {"color": COLOURS[-1], "linewidth": 0.8, "linestyle": ":"}


def always_the_most_frequent(share: float) -> str:
    """Return the legend of the line at `share`, 0..1, of the validation images."""
    return f"always the most frequent digit of the validation images ({share:.1%})"


def spread_of(rows: Sequence[Mapping]) -> str:
    """Return what the error bars of `comparison` are one standard of."""
    return "deviation" if any("test_accuracy_std" in row for row in rows) else "error"


def comparison(rows: list[dict], histories: dict[str, list[Epoch]], majority: float, title: str) -> Figure:
    """Draw the zoo side by side: accuracy over epochs, over seconds, and against size and cost.

    rows: one dict a network with network (its title), test_accuracy (0..1), test_accuracy_se, parameters, flops, and
    test_accuracy_std where it is the mean of several seeds;
    histories: title -> epochs; majority: the most frequent digit's share of the validation images, 0..1, because the
    upper panels, in which its line stands, show validation accuracies.
    """
    fig = figure(11, 8)
    (by_epoch, by_time), (by_size, by_cost) = fig.subplots(2, 2)
    for index, (name, history) in enumerate(histories.items()):
        accuracy = [epoch.val_accuracy for epoch in history]
        by_epoch.plot([epoch.index for epoch in history], accuracy, label=name, **style(index))
        by_time.plot(np.cumsum([epoch.epoch_seconds for epoch in history]), accuracy, label=name, **style(index))
    for axes, key in ((by_size, "parameters"), (by_cost, "flops")):
        for row in rows:
            look = style(list(histories).index(row["network"])) | {"linestyle": "none", "markersize": 8}
            axes.errorbar(
                row[key], row["test_accuracy"], row.get("test_accuracy_std", row["test_accuracy_se"]), capsize=3, **look
            )
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.15)
    bars = f"accuracy (± one standard {spread_of(rows)})"
    tidy(by_epoch, ACCURACY_OVER[0], "epoch", "accuracy")
    tidy(by_time, ACCURACY_OVER[1], "seconds of training and validation", "accuracy")
    tidy(by_size, ACCURACY_OVER[2], "parameters", bars)
    tidy(by_cost, ACCURACY_OVER[3], "FLOPs an image, forward", bars)
    whole_numbers(by_epoch.xaxis)
    by_time.set_xscale("log")
    log_axis(by_time.xaxis, SECONDS)
    for axes in (by_epoch, by_time, by_size, by_cost):
        axes.yaxis.set_major_formatter(percent())
    for axes in (by_epoch, by_time):
        axes.set_ylim(0, 1)
        axes.axhline(majority, label=always_the_most_frequent(majority), **DOTTED)
    lines, labels = by_epoch.get_legend_handles_labels()
    fig.legend(lines, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    fig.suptitle(title)
    return fig


def recipes(histories: dict[str, dict[str, list[Epoch]]], majority: float, title: str) -> Figure:
    """Draw each network's validation accuracy by each recipe.

    histories: title -> recipe -> epochs; majority: the most frequent digit's share of the validation images, 0..1.
    """
    columns = min(3, len(histories))
    rows = -(-len(histories) // columns)
    fig = figure(max(5.5, 3.7 * columns), 2.9 * rows + 0.6)
    grid = fig.subplots(rows, columns, sharey=True, squeeze=False)
    names = list(dict.fromkeys(recipe for tried in histories.values() for recipe in tried))
    for axes in grid.flat[len(histories) :]:
        axes.axis("off")
    for place, (axes, (network, tried)) in enumerate(zip(grid.flat, histories.items(), strict=False)):
        for recipe, history in tried.items():
            axes.plot(
                [epoch.index for epoch in history], [epoch.val_accuracy for epoch in history],
                label=f"{recipe} recipe", **style(names.index(recipe)),
            )  # fmt: skip
        axes.axhline(majority, label=always_the_most_frequent(majority), **DOTTED)
        tidy(axes, network, "epoch", "validation accuracy" if place % columns == 0 else "")
        axes.set_ylim(0, 1)
        whole_numbers(axes.xaxis)
        axes.yaxis.set_major_formatter(percent())
    shown = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    fig.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=columns, frameon=False)
    fig.suptitle(title)
    return fig


def ablation(arms: dict[str, dict], majority: float, title: str) -> Figure:
    """Draw AlexNet with one thing changed at a time.

    arms: label -> a row as `comparison` takes it, with history (epochs); majority: the most frequent digit's share of
    the test images, 0..1.
    """
    fig = figure(10, 3.8)
    bars, curves_ = fig.subplots(1, 2)
    for index, (label, arm) in enumerate(arms.items()):
        look = style(index)
        accuracy, spread = arm["test_accuracy"], arm.get("test_accuracy_std", arm["test_accuracy_se"])
        bars.barh(index, accuracy, xerr=spread, color=look["color"], height=0.6, capsize=3)
        bars.text(accuracy + spread + 0.015, index, f"{accuracy:.1%}", va="center", fontsize=9)
        history = arm["history"]
        curves_.plot([epoch.index for epoch in history], [epoch.train_loss for epoch in history], label=label, **look)
    bars.set_yticks(range(len(arms)), arms)
    bars.invert_yaxis()
    bars.set_xlim(0, 1.12)
    bars.axvline(majority, **DOTTED)
    bars.xaxis.set_major_formatter(percent())
    label = f"test accuracy (± one standard {spread_of([*arms.values()])})"
    tidy(bars, "One thing changed (dotted: the most frequent digit)", label)
    curves_.axhline(np.log(10), **DOTTED)
    tidy(curves_, "Training loss (dotted: ln 10, nothing learnt)", "epoch", "cross-entropy (nats)")
    whole_numbers(curves_.xaxis)
    curves_.set_ylim(bottom=0)
    curves_.legend(frameon=False, fontsize=8)
    fig.suptitle(title)
    return fig


def reach_of_signal(arms: dict[str, FirstSteps], title: str) -> Figure:
    """Draw what was seen of the layers (down) in the first steps (across), a column an arm."""
    from matplotlib.colors import LogNorm, Normalize

    rows = (
        ("spread", "Signal: spread over the images", LogNorm(1e-6, 1e2), "viridis"),
        ("dead", "Units that are zero for all images", Normalize(0, 1), "viridis_r"),
        ("gradient", "Gradient over weights (norms)", LogNorm(1e-8, 1e1), "viridis"),
    )
    fig = figure(2.1 * len(arms) + 2.2, 6.4)
    grid = fig.subplots(len(rows), len(arms), sharex=True, sharey=True, squeeze=False)
    for line, (key, label, norm, colours) in zip(grid, rows, strict=True):
        for axes, (name, seen) in zip(line, arms.items(), strict=True):
            values = np.array(getattr(seen, key)).T
            image = axes.imshow(
                np.maximum(values, norm.vmin or 0.0), norm=norm, cmap=colours, aspect="auto", interpolation="nearest",
                extent=(0.5, values.shape[1] + 0.5, values.shape[0] - 0.5, -0.5),
            )  # fmt: skip
            axes.set_yticks(range(len(seen.layers)), seen.layers)
            axes.tick_params(labelsize=7)
            if axes in grid[0]:
                axes.set_title(name, fontsize=9)
            if axes in grid[-1]:
                axes.set_xlabel("step", fontsize=9)
        line[0].set_ylabel(label, fontsize=8)
        fig.colorbar(image, ax=list(line), aspect=12, pad=0.01)
    fig.suptitle(title)
    return fig
