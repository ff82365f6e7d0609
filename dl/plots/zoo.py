"""Figures of question 4."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dl.plots import COLOURS, figure, style, tidy
from dl.train import Epoch


def curves(history: list[Epoch], title: str) -> Figure:
    """Loss and accuracy of one network over its epochs."""
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
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    right.legend(frameon=False)
    fig.suptitle(title)
    return fig


def confusion(truth: np.ndarray, guess: np.ndarray, title: str, classes: int = 10) -> Figure:
    """Confusion matrix; truth, guess: int (N,). Shares of each true class (row), so that rare classes count alike."""
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
    fig.colorbar(image, ax=axes, shrink=0.82, format=PercentFormatter(1), label="share of the true digit's images")
    return fig


def mistakes(x: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, title: str, count: int = 32) -> Figure:
    """The most confident errors. x: uint8 (N, 3, H, W); truth: int (N,); probabilities: (N, classes)."""
    guess = probabilities.argmax(1)
    wrong = np.flatnonzero(guess != truth)
    wrong = wrong[np.argsort(-probabilities[wrong, guess[wrong]])][:count]
    fig = figure(8, 5)
    grid = fig.subplots(4, 8)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, wrong, strict=False):
        axes.imshow(x[index].transpose(1, 2, 0), interpolation="nearest")
        axes.set_title(f"{guess[index]}, is {truth[index]} ({probabilities[index, guess[index]]:.0%})", fontsize=7.5)
    errors = f"the most confident of {(guess != truth).sum():,} errors among {len(truth):,} test images"
    fig.suptitle(f"{title}\n{errors}: said, is (confidence)", fontsize=11)
    return fig


def comparison(rows: list[dict], histories: dict[str, list[Epoch]], majority: float, title: str) -> Figure:
    """The zoo side by side: accuracy over epochs, over seconds, and against size and cost.

    rows: one dict a network with network (its title), test_accuracy (0..1), test_accuracy_se, parameters, flops, and
    test_accuracy_std where it is the mean of several seeds;
    histories: title -> epochs; majority: the most frequent digit's share of the test images, 0..1.
    """
    fig = figure(11, 8)
    (by_epoch, by_time), (by_size, by_cost) = fig.subplots(2, 2)
    for index, (name, history) in enumerate(histories.items()):
        accuracy = [epoch.val_accuracy for epoch in history]
        by_epoch.plot([epoch.index for epoch in history], accuracy, label=name, **style(index))
        by_time.plot(np.cumsum([epoch.epoch_seconds for epoch in history]), accuracy, label=name, **style(index))
    for axes, key in ((by_size, "parameters"), (by_cost, "flops")):
        for index, row in enumerate(rows):
            look = style(list(histories).index(row["network"])) | {"linestyle": "none", "markersize": 8}
            axes.errorbar(
                row[key], row["test_accuracy"], row.get("test_accuracy_std", row["test_accuracy_se"]), capsize=3, **look
            )
            axes.annotate(
                row["network"], (row[key], row["test_accuracy"]), fontsize=8, textcoords="offset points",
                xytext=(7, 7 if index % 2 else -12), ha="left",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.15)
    tidy(by_epoch, "Validation accuracy over epochs", "epoch", "accuracy")
    tidy(by_time, "Validation accuracy over time", "seconds of training and validation", "accuracy")
    bars = "deviation over the seeds" if any("test_accuracy_std" in row for row in rows) else "error"
    tidy(by_size, "Test accuracy against size", "parameters", f"accuracy (bars: one standard {bars})")
    tidy(by_cost, "Test accuracy against cost", "FLOPs an image, forward", f"accuracy (bars: one standard {bars})")
    by_epoch.xaxis.get_major_locator().set_params(integer=True)
    by_time.set_xscale("log")
    for axes in (by_epoch, by_time, by_size, by_cost):
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (by_epoch, by_time):
        axes.set_ylim(0, 1)
        axes.axhline(majority, color=COLOURS[-1], linewidth=0.8, linestyle=":")
    by_epoch.annotate(
        "always the most frequent digit", (0.99, majority), xycoords=("axes fraction", "data"), fontsize=8, ha="right",
        textcoords="offset points", xytext=(0, -9),
    )  # fmt: skip
    fig.legend(*by_epoch.get_legend_handles_labels(), loc="outside lower center", ncols=len(histories), frameon=False)
    fig.suptitle(title)
    return fig
