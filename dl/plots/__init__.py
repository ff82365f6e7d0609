"""Arrays in, matplotlib `Figure` out. No pyplot: no global state, no display, safe in threads.

One look for all questions: Okabe and Ito's colour-blind safe palette (https://jfly.uni-koeln.de/color/),
each colour paired with a line style and a marker, so that a black-and-white print reads as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a second, which a command that draws nothing need not wait for
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """Return an empty figure; `width` and `height` in inches, 120 dots an inch (UI width, print quality)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def percent() -> FuncFormatter:
    """Return the labels of an axis of shares in 0..1, each in the digits that it needs: 20%, 96.5%."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda share, _: f"{100 * share:.6g}%")


def whole_numbers(axis: Axis) -> None:
    """Give a linear axis whole numbers only, also where it shows a single one."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # type: ignore[call-arg]


def log_axis(axis: Axis, ticks: Sequence[float]) -> None:
    """Give a logarithmic axis plain numbers, at `ticks` only."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    formatter = ScalarFormatter()
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)


def style(index: int, markers: bool = True) -> dict:
    """Return the line style of the `index`-th curve: colour, dashes and marker all differ."""
    index %= len(COLOURS)
    marker = {"marker": MARKERS[index], "markersize": 4} if markers else {}
    return {"color": COLOURS[index], "linestyle": LINES[index], "linewidth": 1.6, **marker}


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Set title and axis labels with units, a light grid, and no box on the right and on top."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
