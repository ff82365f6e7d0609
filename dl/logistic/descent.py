"""Gradient descent on logistic regression, many at once: K configurations x S seeds on weights (K, S, D).

Of C classes, whose labels are one-hot columns y (C, N), the weights are (K, S, C, D): multinomial regression.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dl.logistic.losses import is_right, losses_on

STARTS = ("well placed", "saturated wrong", "random")


def initial_weights(kind: str, x: Tensor, y: Tensor, seeds: int, seed: int) -> Tensor:
    """Return initial weights (seeds, D) in x's dtype for x (N, D), y (N,); (seeds, C, D) for y (C, N).

    well placed: N(0, 0.01^2), all classes about as probable; random: N(0, 1);
    saturated wrong: along the difference of the class means, but backwards, at a median |logit| of 8. Of C classes each
    has the next one's mean, and 8 is the median of what the true class's logit lacks to the largest.
    """
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(seeds, *y.shape[:-1], x.shape[1], generator=rng, dtype=x.dtype)
    if kind == "well placed":
        return 0.01 * noise
    if kind == "random":
        return noise
    if kind != "saturated wrong":
        raise ValueError(f"no such start: {kind}; known: {', '.join(STARTS)}")
    if y.ndim == 1:
        wrong = x[y == 0].mean(0) - x[y == 1].mean(0)
    else:
        wrong = (y @ x / y.sum(1, keepdim=True)).roll(-1, 0) - x.mean(0)
    wrong = wrong + 0.1 * wrong.norm() * noise / math.sqrt(wrong.numel())
    z = wrong @ x.T
    lack = z.abs() if y.ndim == 1 else z.amax(1) - (z * y).sum(1)  # (seeds, N)
    return 8 * wrong / lack.median(1).values.view(-1, *[1] * y.ndim)


@dataclass(frozen=True)
class Trace:
    """What a stacked descent did; step 0 is the start. Float tensors on the device of the descent."""

    accuracy: Tensor  # (steps + 1, K, S), on the whole training set
    gradient: Tensor  # (steps + 1, K, S), norm of the full gradient
    marks: list[int]  # the steps, about log-spaced, at which `loss` was taken
    loss: Tensor  # (len(marks), K, S)
    weights: Tensor  # (K, S, D) or (K, S, C, D), after the last step
    path: Tensor  # (steps + 1, ...) of them; empty where it was not asked for


def log_marks(steps: int, count: int = 40) -> list[int]:
    """Return 0, 1 and about `count` log-spaced steps up to `steps`."""
    return sorted({0, *np.geomspace(1, steps, count).round().astype(int).tolist()})


@dataclass(frozen=True)
class Descent:
    """How to descend.

    A seed's batches depend on (`seed`, its place in S) alone, so that losses and learning rates meet the same ones.
    """

    loss: str  # a key of LOSSES
    steps: int
    batch: int | None = None  # examples a step, drawn without replacement epoch by epoch (SGD); None: all of them
    seed: int = 0
    keep_path: bool = False  # keep the weights of every step in the trace


def descend(x: Tensor, y: Tensor, lr: Tensor, start: Tensor, how: Descent) -> Trace:
    """Run K x S gradient descents at once: x (N, D), y (N,), lr (K,), start (K, S, D), all of one dtype and device.

    Multinomial with y (C, N) and start (K, S, C, D).
    """
    loss, steps, batch = losses_on(y)[how.loss], how.steps, how.batch
    n, (configurations, seeds) = len(x), start.shape[:2]
    rng = torch.Generator().manual_seed(how.seed)  # on the CPU: the same batches on every device
    xt, w, rate = x.T.contiguous(), start.clone(), lr.view(-1, *[1] * (start.ndim - 1))
    accuracy = torch.empty(steps + 1, configurations, seeds, device=x.device)
    gradient, marks = torch.empty_like(accuracy), log_marks(steps)
    losses, path = [], []
    per_epoch = 1 if batch is None else math.ceil(n / batch)
    for step in range(steps + 1):
        z = w @ xt  # (K, S, N) or (K, S, C, N)
        slope = loss.slope(z, y)
        full = slope @ x / n  # as w
        accuracy[step] = is_right(z, y).float().mean(-1)
        gradient[step] = full.flatten(2).norm(dim=-1)
        if step in marks:
            losses.append(loss.value(z, y).mean(-1))
        if how.keep_path:
            path.append(w)
        if step == steps:
            break
        if batch is not None:
            if step % per_epoch == 0:  # rank[s, i]: example i's place in seed s's order of this epoch
                rank = torch.rand(seeds, n, generator=rng).argsort(1).argsort(1).to(x.device)
            chosen = (rank // batch == step % per_epoch).to(x.dtype).view(seeds, *[1] * (y.ndim - 1), n)
            full = (slope * chosen) @ x / chosen.sum(-1, keepdim=True)
        w = w - rate * full
    return Trace(accuracy, gradient, marks, torch.stack(losses), w, torch.stack(path) if path else w.new_empty(0))
