"""Two losses of one example as functions of the logit z: cross-entropy and the squared error of the probability.

Never of log(p): p = sigmoid(z), so no p is too close to 0 or 1. Of C classes the logits are (..., C, N), the labels
one-hot columns (C, N) and p = softmax(z); the squared error is Brier's score (Monthly Weather Review 78, 1950).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def softplus(z: Tensor) -> Tensor:
    """Return log(1 + e^z). torch's own softplus is the identity above 20: wrong by 2e-9 there, which float64 shows."""
    return torch.logaddexp(z, torch.zeros_like(z))


class Loss(NamedTuple):
    """A loss of one example and its slope, both functions of the logit z and the label y in [0, 1].

    Any float dtype, shapes broadcast.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]  # dL/dz, analytic; the tests hold it to autograd


def _ce(z: Tensor, y: Tensor) -> Tensor:
    """-y log p - (1 - y) log(1 - p), without a logarithm of p."""
    return softplus(z) - y * z


def _mse(z: Tensor, y: Tensor) -> Tensor:
    return residual(z, y) ** 2


def residual(z: Tensor, y: Tensor) -> Tensor:
    """Return p - y without cancellation: for y = 1 it is -sigmoid(-z), exact however close p comes to 1."""
    return (1 - y) * torch.sigmoid(z) - y * torch.sigmoid(-z)


def _mse_slope(z: Tensor, y: Tensor) -> Tensor:
    p, q = torch.sigmoid(z), torch.sigmoid(-z)  # q = 1 - p without cancellation
    return 2 * ((1 - y) * p - y * q) * p * q


def _softmax_ce(z: Tensor, y: Tensor) -> Tensor:
    return z.logsumexp(-2) - (z * y).sum(-2)


def _softmax_ce_slope(z: Tensor, y: Tensor) -> Tensor:
    return z.softmax(-2).sub_(y)


def _brier(z: Tensor, y: Tensor) -> Tensor:
    return ((z.softmax(-2) - y) ** 2).sum(-2)


def _brier_slope(z: Tensor, y: Tensor) -> Tensor:
    p = z.softmax(-2)
    pull = (p - y).mul_(p)
    return pull.sub_(p.mul_(pull.sum(-2, keepdim=True))).mul_(2)  # in place: memory is what it waits for


LOSSES = {"ce": Loss(_ce, residual), "mse": Loss(_mse, _mse_slope)}
SOFTMAX_LOSSES = {"ce": Loss(_softmax_ce, _softmax_ce_slope), "mse": Loss(_brier, _brier_slope)}


def losses_on(y: Tensor) -> dict[str, Loss]:
    """Return both losses for labels y (N,) in [0, 1], or for one-hot columns (C, N)."""
    return LOSSES if y.ndim == 1 else SOFTMAX_LOSSES


def is_right(z: Tensor, y: Tensor) -> Tensor:
    """Return where the logits say the label: z (..., N), y (N,), or z (..., C, N), y (C, N) -> bool (..., N)."""
    return (z > 0) == (y > 0.5) if y.ndim == 1 else (z * y).sum(-2) >= z.amax(-2)


def slope_in_p(loss: str, z: Tensor, y: Tensor) -> Tensor:
    """Return dL/dp at p = sigmoid(z): 2 (p - y) for MSE; (p - y) / (p (1 - p)) for CE, infinite in the wrong corners.

    For CE it is written (1 - y)(1 + e^z) - y (1 + e^-z), which is the same and never 0/0.
    """
    if loss == "mse":
        return 2 * residual(z, y)
    zero = torch.zeros_like(z)  # torch.where: 0 * inf would be nan
    wrong_one = torch.where(y < 1, (1 - y) * (1 + z.exp()), zero)
    wrong_zero = torch.where(y > 0, y * (1 + (-z).exp()), zero)
    return wrong_one - wrong_zero


def corner_gradients(errors: tuple[float, ...] = (0.5, 0.2, 0.1, 1e-2, 1e-4, 1e-8, 0.0)) -> list[dict]:
    """Return losses and gradients towards the corners (y, p) = (1, 0) and (0, 1).

    One row a corner and distance |p - corner|. Distance 0 is the corner itself: the limit z -> -inf or +inf, computed
    as such.
    """
    rows = []
    for y, sign in ((1.0, -1.0), (0.0, 1.0)):
        for error in errors:
            logit = sign * (math.log1p(-error) - math.log(error) if error else math.inf)
            z, label = torch.tensor(logit, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
            row = {"y": y, "p": error if y else 1 - error, "distance": error, "logit": logit}
            for name, loss in LOSSES.items():
                row[f"{name}_loss"] = float(_mse(z, label) if name == "mse" else softplus(-z if y else z))
                row[f"{name}_dp"] = abs(float(slope_in_p(name, z, label)))
                row[f"{name}_dz"] = abs(float(loss.slope(z, label)))
            rows.append(row)
    return rows
