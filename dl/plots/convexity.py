"""Question 2: the table of convexity, Hessian spectra, and witnesses of non-convexity."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from dl.cells import LOSS_NAMES, PLACES, Finding
from dl.claims import at_least
from dl.landscape import TENSOR
from dl.plots import COLOURS, LINES, figure, tidy


def convexity_table(findings: Sequence[Finding]) -> Figure:
    """Draw the table of question 2: smallest Hessian eigenvalue met (colour and number) and verdict, cell by cell."""
    values = np.full((len(LOSS_NAMES), len(PLACES)), np.nan)
    fig = figure(12, 3.9)
    axes = fig.subplots()
    for finding in findings:
        i, j = LOSS_NAMES.index(finding.cell.loss), PLACES.index(finding.cell.place)
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
    axes.set_yticks(range(len(LOSS_NAMES)), [loss.replace(" of ", "\nof ") for loss in LOSS_NAMES])
    axes.set_xticks(np.arange(-0.5, len(PLACES)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(LOSS_NAMES)), minor=True)
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
    """Draw every eigenvalue met, cell by cell, as the share of them that lies at or below a value."""
    fig = figure(12, 4.6)
    panels = fig.subplots(1, 3, sharey=True)
    for axes, loss in zip(panels, LOSS_NAMES, strict=True):
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


WITNESSES = "Witnesses of non-convexity: the midpoint lies above the chord, proven in interval arithmetic"


def along_witness(finding: Finding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shares 0..1 of the way from a to b, the loss there, and the chord between its ends: (201,) each."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    a, b = (torch.tensor(end, dtype=torch.float64)[:, None] for end in (finding.witness.a, finding.witness.b))
    curve = finding.cell.f(a + (b - a) * t, TENSOR).numpy()
    return t.numpy(), curve, curve[0] + (curve[-1] - curve[0]) * t.numpy()


def witness_curves(findings: Sequence[Finding]) -> Figure:
    """Draw each loss along the segment of its witness, with the chord: a convex function would stay below it."""
    shown = [finding for finding in findings if finding.verdict == "not convex"]
    columns = 4
    fig = figure(12, 2.5 * -(-len(shown) // columns) + 1.0)
    panels = fig.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for axes, finding in zip(panels, shown, strict=False):
        t, curve, chord = along_witness(finding)
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
    fig.suptitle(WITNESSES)
    return fig
