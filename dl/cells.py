"""Question 2's table: three losses, each as a function of what, and what the instruments say of every cell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dl.landscape import Box, Function, Operations, Witness, find_witness, spectra

# Rational data, small enough to be checked by hand. No line separates the labels, so that no cell is degenerate.
POINTS = ((-2.0, 0.5), (-1.0, -1.0), (1.0, 1.5), (2.0, -0.5))
POINT_LABELS = (0.0, 1.0, 1.0, 0.0)


def _mean(values: Sequence) -> Any:
    return sum(values[1:], values[0]) / len(values)


def _ce_of_logit(z: Any, y: Any, m: Operations) -> Any:
    return m.softplus(z) - y * z


def _mse_of_logit(z: Any, y: Any, m: Operations) -> Any:
    error = m.sigmoid(z) - y
    return error * error


def _squared_error(z: Any, y: Any, m: Operations) -> Any:
    return (z - y) * (z - y)


def ce_of_p(p: Any, m: Operations) -> Any:
    """Labels 1 and 0: -(log p_0 + log(1 - p_1))/2."""
    return _mean([-m.log(p[0]), -m.log(1 - p[1])])


def mse_of_p(p: Any, m: Operations) -> Any:
    """Labels 1 and 0: ((1 - p_0)^2 + p_1^2)/2."""
    return _mean([_squared_error(p[0], 1.0, m), _squared_error(p[1], 0.0, m)])


def of_logits(z: Any, m: Operations, loss: Callable) -> Any:
    """Labels 1 and 0."""
    return _mean([loss(z[0], 1.0, m), loss(z[1], 0.0, m)])


def of_weights(w: Any, m: Operations, loss: Callable) -> Any:
    """Compute a linear model on POINTS: z = w_0 x_0 + w_1 x_1 + w_2."""
    return _mean([loss(w[0] * x[0] + w[1] * x[1] + w[2], y, m) for x, y in zip(POINTS, POINT_LABELS, strict=True)])


def of_network(w: Any, m: Operations, loss: Callable, activation: Callable) -> Any:
    """Compute a hidden layer of two neurons on POINTS' first coordinate: 2 weights, 2 biases, 2 weights, 1 bias."""
    losses = []
    for (x, _), y in zip(POINTS, POINT_LABELS, strict=True):
        hidden = [activation(m)(w[i] * x + w[2 + i]) for i in range(2)]
        losses.append(loss(hidden[0] * w[4] + hidden[1] * w[5] + w[6], y, m))
    return _mean(losses)


@dataclass(frozen=True)
class Cell:
    """One question: is this loss, as a function of these coordinates, convex?"""

    loss: str
    place: str
    f: Function
    box: Box
    reason: str = ""  # why it is convex, for any data; empty where nothing of the kind is known


LOSS_NAMES = ("cross-entropy", "MSE of a probability", "MSE of a real output")
PLACES = (
    "p",
    "logit",
    "logistic weights",
    "linear-regression weights",
    "hidden, identity",
    "hidden, ReLU",
    "hidden, tanh",
)
HIDDEN_LAYERS = {
    "hidden, identity": lambda m: lambda z: z,
    "hidden, ReLU": lambda m: m.relu,
    "hidden, tanh": lambda m: m.tanh,
}


def cells() -> list[Cell]:
    """Return the cells of the table that are defined: 16 of 3 losses x 7 places."""
    ce, mse, real = LOSS_NAMES
    p_box = ((1 / 64,) * 2, (63 / 64,) * 2)
    affine = "a convex function of z, and z is affine in the weights"
    table = [
        Cell(ce, "p", ce_of_p, p_box, "(-log p)'' = 1/p^2 > 0"),
        Cell(mse, "p", mse_of_p, p_box, "((p - y)^2)'' = 2 > 0"),
        Cell(ce, "logit", partial(of_logits, loss=_ce_of_logit), _box(2), "(log(1 + e^z) - y z)'' = p (1 - p) > 0"),
        Cell(mse, "logit", partial(of_logits, loss=_mse_of_logit), _box(2)),
        Cell(ce, "logistic weights", partial(of_weights, loss=_ce_of_logit), _box(3), affine),
        Cell(mse, "logistic weights", partial(of_weights, loss=_mse_of_logit), _box(3)),
        Cell(real, "linear-regression weights", partial(of_weights, loss=_squared_error), _box(3), affine),
    ]
    for place, activation in HIDDEN_LAYERS.items():
        for name, loss in ((ce, _ce_of_logit), (mse, _mse_of_logit), (real, _squared_error)):
            table.append(Cell(name, place, partial(of_network, loss=loss, activation=activation), _box(7, 4.0)))
    return table


def _box(d: int, size: float = 8.0) -> Box:
    return (-size,) * d, (size,) * d


@dataclass(frozen=True)
class Finding:
    """What the instruments say of a cell."""

    cell: Cell
    witness: Witness
    eigenvalues: Tensor  # (M, D), at `points` random points of the box and at those of the witness search

    @property
    def smallest(self) -> float:
        return float(self.eigenvalues.min())

    @property
    def verdict(self) -> str:
        """not convex: proven; convex: a reason that covers all data, and nothing found against it; else undecided."""
        if self.witness.proven:
            return "not convex"
        return "convex" if self.cell.reason and self.smallest > -1e-9 else "undecided"

    def row(self) -> dict:
        convex = self.verdict == "convex"
        return {
            "loss": self.cell.loss,
            "as a function of": self.cell.place,
            "verdict": self.verdict,
            "smallest_eigenvalue": self.smallest,
            "largest_gap": max(self.witness.gaps),
            "proven_gap": self.witness.lower,
            "trials": len(self.witness.gaps),
            "points": len(self.eigenvalues),
            "because": self.cell.reason if convex else "witness" if self.witness.proven else "nothing proven",
        }


def examine_cell(cell: Cell, trials: int, points: int, seed: int, device: torch.device | str = "cpu") -> Finding:
    """Search for a witness, and take the Hessian's spectrum at `points` random points besides the search's own."""
    witness = find_witness(cell.f, cell.box, trials, seed, device)
    rng = torch.Generator().manual_seed(seed)
    low, high = (torch.tensor(v, dtype=torch.float64) for v in cell.box)
    spread = low + (high - low) * torch.rand(points, len(low), generator=rng, dtype=torch.float64)
    return Finding(cell, witness, spectra(cell.f, torch.cat([spread.to(device), witness.points])).cpu())
