"""The optimum of logistic regression's cross-entropy: whether there is one, where, and what descent makes of it."""

import math

import numpy as np
import torch
from scipy.optimize import linprog
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dl.logistic.descent import STARTS, Descent, descend, initial_weights
from dl.logistic.losses import LOSSES, residual
from dl.logistic.problems import Problem


def is_separable(x: Tensor, y: Tensor) -> bool:
    """True if a hyperplane separates the classes: x (N, D) with its column of ones, y (N,).

    The linear program "find w with (2y - 1) x.w >= 1" is feasible exactly then, and exactly then cross-entropy
    has no minimum at finite weights (Albert and Anderson, Biometrika 71, 1984; complete separation).
    """
    signed = ((2 * y - 1)[:, None] * x).numpy()
    free = [(None, None)] * x.shape[1]
    return linprog(np.zeros(x.shape[1]), -signed, -np.ones(len(signed)), bounds=free, method="highs").status == 0


def classes_overlap(x: Tensor, y: Tensor) -> bool:
    """True if no hyperplane separates the classes, not even weakly: x (N, D) with its column of ones, y (N,).

    Exactly then, and where X has full column rank, cross-entropy has one minimum (Albert and Anderson, Biometrika 71,
    1984). The linear program "the largest sum of margins, each in 0..1" is 0 exactly then (Konis, thesis, 2007).
    """
    signed = ((2 * y - 1)[:, None] * x).numpy()
    within = np.vstack([-signed, signed]), np.r_[np.zeros(len(signed)), np.ones(len(signed))]
    free = [(None, None)] * x.shape[1]
    return linprog(-signed.sum(0), *within, bounds=free, method="highs").fun > -1e-6


def hessian(x: Tensor, w: Tensor) -> Tensor:
    """Return the Hessian of the mean cross-entropy, X^T diag(p (1 - p)) X / N: x (N, D), w (D,) -> (D, D)."""
    z = x @ w
    return (x * (torch.sigmoid(z) * torch.sigmoid(-z))[:, None]).T @ x / len(x)


def newton_optimum(x: Tensor, y: Tensor, tolerance: float = 1e-12) -> Tensor:
    """Find the minimiser (D,) of the mean cross-entropy by Newton's method with step halving.

    x: float64 (N, D); y: (N,). Raises ValueError where the classes are separable: the infimum is not attained.
    """
    if is_separable(x, y):
        raise ValueError("the classes are separable: cross-entropy has no minimum at finite weights")
    ce, w = LOSSES["ce"].value, torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(100):
        gradient = x.T @ residual(x @ w, y) / len(x)
        if gradient.norm() < tolerance:
            break
        step, before, size = torch.linalg.solve(hessian(x, w), gradient), ce(x @ w, y).mean(), 1.0
        while ce(x @ (w - size * step), y).mean() > before and size > 1e-6:
            size /= 2
        w = w - size * step
    return w


def sklearn_gap(problem: Problem) -> float:
    """Return the largest difference of a coefficient from scikit-learn's LogisticRegression without penalty."""
    x = problem.design()
    fitted = LogisticRegression(C=math.inf, tol=1e-10, max_iter=10_000).fit(x[:, :-1].numpy(), problem.y.numpy())
    theirs = np.r_[fitted.coef_[0], fitted.intercept_]
    return float(np.abs(newton_optimum(x, problem.y).numpy() - theirs).max())


def uniqueness(problem: Problem, seeds: int, seed: int, steps: int = 2000) -> dict:
    """Measure whether cross-entropy has one optimum: full-batch descent in float64 from `seeds` starts of every kind.

    The step is 1/L with L the largest eigenvalue of X^T X / 4N, for which descent on this convex loss is sure to
    approach the infimum. `spread`: the largest distance of an end point from the starts' mean end point, relative to
    its length; `separable`: also where a hyperplane separates them weakly, with points upon it; `growth`: median ratio
    of the length at the end to that after a tenth of the steps;
    `smallest_eigenvalue`: of the Hessian at the mean end point, > 0 everywhere where X has full column rank.
    """
    x, y = problem.design(), problem.y
    lipschitz = torch.linalg.eigvalsh(x.T @ x / len(x))[-1] / 4
    start = torch.stack([initial_weights(kind, x, y, seeds, seed) for kind in STARTS])
    lr = (1 / lipschitz).expand(len(STARTS))
    early = descend(x, y, lr, start, Descent("ce", steps // 10)).weights
    ends = descend(x, y, lr, early, Descent("ce", steps - steps // 10)).weights
    flat = ends.flatten(0, 1)  # (starts * seeds, D)
    centre = flat.mean(0)
    return {
        "dataset": problem.name,
        "separable": not classes_overlap(x, y),
        "rank_deficit": x.shape[1] - int(torch.linalg.matrix_rank(x)),
        "starts": len(flat),
        "spread": float((flat - centre).norm(dim=1).max() / centre.norm()),
        "growth": float((ends.norm(dim=-1) / early.norm(dim=-1)).median()),
        "loss": float(LOSSES["ce"].value(flat @ x.T, y).mean()),
        "smallest_eigenvalue": float(torch.linalg.eigvalsh(hessian(x, centre))[0]),
    }


def best_accuracy(problem: Problem) -> float:
    """Return the best training accuracy that either loss leads to: 1 where a hyperplane separates the classes.

    Otherwise the better of cross-entropy's optimum and the minimum of MSE that descent from there ends in. Of more than
    two classes, what scikit-learn's LogisticRegression reaches with hardly a penalty.
    """
    x, y = problem.design(), problem.y
    if y.max() > 1:
        features = x[:, :-1].numpy()
        return LogisticRegression(C=1e4, max_iter=1000).fit(features, y.numpy()).score(features, y.numpy())
    if is_separable(x, y):
        return 1.0
    ce = newton_optimum(x, y)
    mse = descend(x, y, torch.ones(1, dtype=x.dtype), ce[None, None], Descent("mse", 2000)).weights[0, 0]
    return max(float(((x @ w > 0) == (y > 0.5)).double().mean()) for w in (ce, mse))
