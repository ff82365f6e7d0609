"""Logistic regression under two losses: cross-entropy and the squared error of the probability.

Everything is a function of the logit z, never of log(p): p = sigmoid(z), so no p is too close to 0 or 1.
Optimisers run as one stacked program: K configurations x S seeds descend together on weights (K, S, D).
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.stats import binomtest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

# ---------------------------------------------------------------------------------------------- losses


def softplus(z: Tensor) -> Tensor:
    """log(1 + e^z). torch's own softplus is the identity above 20: wrong by 2e-9 there, which float64 shows."""
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
    """p - y without cancellation: for y = 1 it is -sigmoid(-z), exact however close p comes to 1."""
    return (1 - y) * torch.sigmoid(z) - y * torch.sigmoid(-z)


def _mse_slope(z: Tensor, y: Tensor) -> Tensor:
    p, q = torch.sigmoid(z), torch.sigmoid(-z)  # q = 1 - p without cancellation
    return 2 * ((1 - y) * p - y * q) * p * q


LOSSES = {"ce": Loss(_ce, residual), "mse": Loss(_mse, _mse_slope)}


def slope_in_p(loss: str, z: Tensor, y: Tensor) -> Tensor:
    """dL/dp at p = sigmoid(z): 2 (p - y) for MSE; (p - y) / (p (1 - p)) for CE, infinite in the wrong corners.

    For CE it is written (1 - y)(1 + e^z) - y (1 + e^-z), which is the same and never 0/0.
    """
    if loss == "mse":
        return 2 * residual(z, y)
    zero = torch.zeros_like(z)  # torch.where: 0 * inf would be nan
    wrong_one = torch.where(y < 1, (1 - y) * (1 + z.exp()), zero)
    wrong_zero = torch.where(y > 0, y * (1 + (-z).exp()), zero)
    return wrong_one - wrong_zero


def corners(errors: tuple[float, ...] = (0.5, 0.2, 0.1, 1e-2, 1e-4, 1e-8, 0.0)) -> list[dict]:
    """Gradients towards the corners (y, p) = (1, 0) and (0, 1), one row a corner and distance |p - corner|.

    Distance 0 is the corner itself: the limit z -> -inf or +inf, computed as such.
    """
    rows = []
    for y, sign in ((1.0, -1.0), (0.0, 1.0)):
        for error in errors:
            z = sign * (math.log1p(-error) - math.log(error) if error else math.inf)
            z, label = torch.tensor(z, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
            row = {"y": y, "p": error if y else 1 - error, "distance": error, "logit": float(z)}
            for name, loss in LOSSES.items():
                row[f"{name}_loss"] = float(_mse(z, label) if name == "mse" else softplus(-z if y else z))
                row[f"{name}_dp"] = abs(float(slope_in_p(name, z, label)))
                row[f"{name}_dz"] = abs(float(loss.slope(z, label)))
            rows.append(row)
    return rows


# ------------------------------------------------------------------------------------------------ data


@dataclass(frozen=True)
class Problem:
    """A binary classification problem.

    x: float64 (N, D), raw features; y: float64 (N,), 0 or 1.
    """

    name: str
    source: str
    x: Tensor
    y: Tensor
    features: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index) -> "Problem":
        return Problem(self.name, self.source, self.x[index], self.y[index], self.features)

    def only(self, features: tuple[str, ...]) -> "Problem":
        """The named columns. A name that does not exist is a ValueError that lists the known ones."""
        unknown = [name for name in features if name not in self.features]
        if unknown:
            raise ValueError(f"no such feature: {', '.join(unknown)}; known: {', '.join(self.features)}")
        columns = [self.features.index(name) for name in features]
        return Problem(self.name, self.source, self.x[:, columns], self.y, tuple(features))

    def standardised(self) -> Tensor:
        """(N, D): every column with mean 0 and standard deviation 1."""
        return (self.x - self.x.mean(0)) / self.x.std(0, correction=0)

    def design(self) -> Tensor:
        """(N, D + 1): the standardised features and a column of ones for the intercept."""
        return torch.cat([self.standardised(), torch.ones(len(self), 1, dtype=self.x.dtype)], 1)

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 over features and labels."""
        sha = hashlib.sha256(self.x.contiguous().numpy())
        sha.update(self.y.contiguous().numpy())
        return sha.hexdigest()[:16]


def breast_cancer() -> Problem:
    """Wisconsin diagnostic breast cancer: 569 tumours, 30 features, label 1 = benign (Street et al. 1993)."""
    data = load_breast_cancer()
    x, y = torch.from_numpy(data.data), torch.from_numpy(data.target).double()
    return Problem("breast-cancer", "sklearn.datasets.load_breast_cancer", x, y, tuple(data.feature_names.tolist()))


def synthetic(separable: bool, n: int = 400, d: int = 10, seed: int = 0) -> Problem:
    """Gaussian features and a hidden linear rule.

    `separable`: labels follow the rule, points within 0.1 of the boundary are left out (a hard margin).
    Otherwise labels are drawn with P(y = 1) = sigmoid(rule), as logistic regression assumes: the classes overlap.
    """
    rng = torch.Generator().manual_seed(seed)
    rule = torch.randn(d, generator=rng, dtype=torch.float64)
    rule /= rule.norm()
    x = torch.randn(2 * n, d, generator=rng, dtype=torch.float64)
    if separable:
        x = x[(x @ rule).abs() > 0.1][:n]
        y = (x @ rule > 0).double()
    else:
        x = x[:n]
        y = (torch.rand(n, generator=rng, dtype=torch.float64) < torch.sigmoid(2 * x @ rule)).double()
    name = "separable" if separable else "overlapping"
    return Problem(name, f"dl.logistic.synthetic(seed={seed})", x, y, tuple(f"x{i}" for i in range(d)))


def split(problem: Problem, seed: int = 0) -> tuple[Problem, Problem, Problem]:
    """Train, validation and test: 60, 20 and 20%, stratified."""
    index = np.arange(len(problem))
    train, rest = train_test_split(index, test_size=0.4, stratify=problem.y, random_state=seed)
    val, test = train_test_split(rest, test_size=0.5, stratify=problem.y[rest], random_state=seed)
    return problem.take(train), problem.take(val), problem.take(test)


# ------------------------------------------------------------------------------------------- optimum


def separable(x: Tensor, y: Tensor) -> bool:
    """Whether a hyperplane separates the classes: x (N, D) with its column of ones, y (N,).

    The linear program "find w with (2y - 1) x.w >= 1" is feasible exactly then, and exactly then cross-entropy
    has no minimum at finite weights (Albert and Anderson, Biometrika 71, 1984; complete separation).
    """
    signed = ((2 * y - 1)[:, None] * x).numpy()
    free = [(None, None)] * x.shape[1]
    return linprog(np.zeros(x.shape[1]), -signed, -np.ones(len(signed)), bounds=free, method="highs").status == 0


def hessian(x: Tensor, w: Tensor) -> Tensor:
    """Hessian of the mean cross-entropy, X^T diag(p (1 - p)) X / N: x (N, D), w (D,) -> (D, D)."""
    z = x @ w
    return (x * (torch.sigmoid(z) * torch.sigmoid(-z))[:, None]).T @ x / len(x)


def optimum(x: Tensor, y: Tensor, tolerance: float = 1e-12) -> Tensor:
    """The minimiser (D,) of the mean cross-entropy, by Newton's method with step halving.

    x: float64 (N, D); y: (N,). ValueError where the classes are separable: the infimum is not attained.
    """
    if separable(x, y):
        raise ValueError("the classes are separable: cross-entropy has no minimum at finite weights")
    w = torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(100):
        gradient = x.T @ residual(x @ w, y) / len(x)
        if gradient.norm() < tolerance:
            break
        step, before, size = torch.linalg.solve(hessian(x, w), gradient), _ce(x @ w, y).mean(), 1.0
        while _ce(x @ (w - size * step), y).mean() > before and size > 1e-6:
            size /= 2
        w = w - size * step
    return w


def sklearn_gap(problem: Problem) -> float:
    """Largest difference, intercept included, from scikit-learn's LogisticRegression without penalty."""
    x = problem.design()
    fitted = LogisticRegression(C=math.inf, tol=1e-10, max_iter=10_000).fit(x[:, :-1].numpy(), problem.y.numpy())
    theirs = np.r_[fitted.coef_[0], fitted.intercept_]
    return float(np.abs(optimum(x, problem.y).numpy() - theirs).max())


# ---------------------------------------------------------------------------------------------- races

STARTS = ("well placed", "saturated wrong", "random")


def starts(kind: str, x: Tensor, y: Tensor, seeds: int, seed: int) -> Tensor:
    """Initial weights (seeds, D) in x's dtype for x (N, D), y (N,).

    well placed: N(0, 0.01^2), every p close to 1/2; random: N(0, 1);
    saturated wrong: along the difference of the class means, but backwards, at a median |logit| of 8.
    """
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(seeds, x.shape[1], generator=rng, dtype=x.dtype)
    if kind == "well placed":
        return 0.01 * noise
    if kind == "random":
        return noise
    if kind != "saturated wrong":
        raise ValueError(f"no such start: {kind}; known: {', '.join(STARTS)}")
    wrong = x[y == 0].mean(0) - x[y == 1].mean(0)
    wrong = wrong + 0.1 * wrong.norm() * noise / math.sqrt(len(wrong))
    return 8 * wrong / (wrong @ x.T).abs().median(1, keepdim=True).values


@dataclass(frozen=True)
class Trace:
    """What a stacked descent did; step 0 is the start. Float tensors on the device of the descent."""

    accuracy: Tensor  # (steps + 1, K, S), on the whole training set
    gradient: Tensor  # (steps + 1, K, S), norm of the full gradient
    marks: list[int]  # the steps, about log-spaced, at which `loss` was taken
    loss: Tensor  # (len(marks), K, S)
    weights: Tensor  # (K, S, D), after the last step
    path: Tensor | None  # (steps + 1, K, S, D) where asked for


def log_marks(steps: int, count: int = 40) -> list[int]:
    """0, 1 and about `count` log-spaced steps up to `steps`."""
    return sorted({0, *np.geomspace(1, steps, count).round().astype(int).tolist()})


def descend(
    x: Tensor,
    y: Tensor,
    loss: str,
    lr: Tensor,
    start: Tensor,
    steps: int,
    batch: int | None = None,
    seed: int = 0,
    keep_path: bool = False,
) -> Trace:
    """K x S gradient descents at once: x (N, D), y (N,), lr (K,), start (K, S, D), all of one dtype and device.

    `batch`: examples a step, drawn without replacement epoch by epoch (SGD); None is full-batch descent.
    A seed's batches depend on (`seed`, its place in S) alone, so that losses and learning rates meet the same ones.
    """
    n, (configurations, seeds, _) = len(x), start.shape
    rng = torch.Generator().manual_seed(seed)  # on the CPU: the same batches on every device
    xt, positive, w, rate = x.T.contiguous(), y > 0.5, start.clone(), lr[:, None, None]
    accuracy = torch.empty(steps + 1, configurations, seeds, device=x.device)
    gradient, marks = torch.empty_like(accuracy), log_marks(steps)
    losses, path = [], []
    per_epoch = 1 if batch is None else math.ceil(n / batch)
    for step in range(steps + 1):
        z = w @ xt  # (K, S, N)
        slope = LOSSES[loss].slope(z, y)
        full = slope @ x / n  # (K, S, D)
        accuracy[step] = ((z > 0) == positive).float().mean(-1)
        gradient[step] = full.norm(dim=-1)
        if step in marks:
            losses.append(LOSSES[loss].value(z, y).mean(-1))
        if keep_path:
            path.append(w)
        if step == steps:
            break
        if batch is not None:
            if step % per_epoch == 0:  # rank[s, i]: example i's place in seed s's order of this epoch
                rank = torch.rand(seeds, n, generator=rng).argsort(1).argsort(1).to(x.device)
            chosen = (rank // batch == step % per_epoch).to(x.dtype)  # (S, N)
            full = (slope * chosen) @ x / chosen.sum(1)[:, None]
        w = w - rate * full
    return Trace(accuracy, gradient, marks, torch.stack(losses), w, torch.stack(path) if keep_path else None)


def goals(trace: Trace, best: float) -> dict[str, Tensor]:
    """Per goal a bool (steps + 1, K, S): is it met at that step? `best`: the best reachable accuracy.

    A small gradient counts only with 95% of the best accuracy: on MSE's plateau the gradient is tiny and all is wrong.
    """
    return {
        "95% accuracy": trace.accuracy >= 0.95 * best,
        "99% accuracy": trace.accuracy >= 0.99 * best,
        "gradient < 1e-3": (trace.gradient < 1e-3) & (trace.accuracy >= 0.95 * best),
    }


def first(met: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The first step at which a goal is met: met (T + 1, ...) -> steps (...), reached (...).

    Never met: the last step and False (a censored observation).
    """
    reached = met.any(0)
    steps = torch.where(reached, met.int().argmax(0), len(met) - 1)
    return steps.cpu().numpy(), reached.cpu().numpy()


def uniqueness(problem: Problem, seeds: int, seed: int, steps: int = 2000) -> dict:
    """Has cross-entropy one optimum here? Full-batch descent in float64 from `seeds` starts of every kind.

    The step is 1/L with L the largest eigenvalue of X^T X / 4N, for which descent on this convex loss is sure to
    approach the infimum. `spread`: the largest distance of an end point from the starts' mean end point, relative to
    its length; `growth`: median ratio of the length at the end to that after a tenth of the steps;
    `smallest_eigenvalue`: of the Hessian at the mean end point, > 0 everywhere where X has full column rank.
    """
    x, y = problem.design(), problem.y
    lipschitz = torch.linalg.eigvalsh(x.T @ x / len(x))[-1] / 4
    start = torch.stack([starts(kind, x, y, seeds, seed) for kind in STARTS])
    lr = (1 / lipschitz).expand(len(STARTS))
    early = descend(x, y, "ce", lr, start, steps // 10).weights
    ends = descend(x, y, "ce", lr, early, steps - steps // 10).weights
    flat = ends.flatten(0, 1)  # (starts * seeds, D)
    centre = flat.mean(0)
    return {
        "dataset": problem.name,
        "separable": separable(x, y),
        "rank_deficit": x.shape[1] - int(torch.linalg.matrix_rank(x)),
        "starts": len(flat),
        "spread": float((flat - centre).norm(dim=1).max() / centre.norm()),
        "growth": float((ends.norm(dim=-1) / early.norm(dim=-1)).median()),
        "loss": float(_ce(flat @ x.T, y).mean()),
        "smallest_eigenvalue": float(torch.linalg.eigvalsh(hessian(x, centre))[0]),
    }


# --------------------------------------------------------------------------------- tuning, statistics


def tune(
    evaluate: Callable[[np.ndarray], np.ndarray],
    groups: int,
    lr_min: float,
    lr_max: float,
    trials: int,
    seed: int,
    batch: int = 4,
    on_batch: Callable[[], None] = lambda: None,
) -> list[list[tuple[float, float]]]:
    """`groups` independent TPE searches over log-uniform learning rates, their trials evaluated together.

    evaluate: learning rates (groups, K) -> objectives (groups, K), lower is better. Returns each group's
    (lr, objective) in the order tried. The first third is random (Bergstra et al., NeurIPS 2011).
    """
    from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, hp, tpe  # here: all else runs where there is none
    from hyperopt.base import Domain

    space = hp.loguniform("lr", math.log(lr_min), math.log(lr_max))
    domain, histories = Domain(lambda lr: None, space), [Trials() for _ in range(groups)]
    for done in range(0, trials, batch):
        asked = []
        for group, history in enumerate(histories):
            docs = []
            for k in range(done, min(done + batch, trials)):  # one call each: suggest() answers one id at a time
                key = (seed * groups + group) * trials + k
                docs += tpe.suggest([k], domain, history, key, n_startup_jobs=max(1, trials // 3), verbose=False)
            asked.append(docs)
        objectives = evaluate(np.array([[doc["misc"]["vals"]["lr"][0] for doc in docs] for docs in asked]))
        for history, docs, row in zip(histories, asked, objectives, strict=True):
            for doc, objective in zip(docs, row, strict=True):
                doc["result"] = {"loss": float(objective), "status": STATUS_OK}
                doc["state"] = JOB_STATE_DONE
            history.insert_trial_docs(docs)
            history.refresh()
        on_batch()
    return [[(doc["misc"]["vals"]["lr"][0], doc["result"]["loss"]) for doc in history.trials] for history in histories]


def survival(steps: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Kaplan-Meier: the share not yet there after each event time, and its 95% band.

    steps (n,), reached (n,) bool -> times (m,), share, lower, upper (m,), from time 0 with share 1. The band is
    Greenwood's with the log(-log) transform, so that it stays within 0..1 (Kalbfleisch and Prentice, 2002, 1.4).
    """
    times = np.unique(steps[reached])
    at_risk = np.array([(steps >= t).sum() for t in times])
    events = np.array([((steps == t) & reached).sum() for t in times])
    share = np.cumprod(1 - events / at_risk) if len(times) else np.empty(0)
    lower, upper = np.zeros(len(times)), np.zeros(len(times))
    inside = share > 0  # at share 0 the band has no width
    if inside.any():
        greenwood = np.cumsum((events / (at_risk * (at_risk - events).clip(min=1)))[inside])
        width = 1.959964 * np.sqrt(greenwood) / np.abs(np.log(share[inside]))
        lower[inside], upper[inside] = share[inside] ** np.exp(width), share[inside] ** np.exp(-width)
    return np.r_[0, times], np.r_[1.0, share], np.r_[1.0, lower], np.r_[1.0, upper]


def compare(ce: tuple[np.ndarray, np.ndarray], mse: tuple[np.ndarray, np.ndarray], seed: int = 0) -> dict:
    """Two losses on the same seeds: (steps (S,), reached (S,)) each -> who was faster, how sure, how much.

    The sign test over seeds (two censored runs are a tie) needs no distribution and honours censoring. `speedup` is
    the ratio of geometric mean steps, MSE over CE, restricted to the step budget, with a paired bootstrap's 95% band.
    """
    ce_steps, mse_steps = (np.where(reached, steps, np.inf) for steps, reached in (ce, mse))
    faster, slower = int((ce_steps < mse_steps).sum()), int((ce_steps > mse_steps).sum())
    p = binomtest(faster, faster + slower).pvalue if faster + slower else 1.0
    ratio = np.log(1 + mse[0]) - np.log(1 + ce[0])
    draws = np.random.default_rng(seed).choice(ratio, (2000, len(ratio))).mean(1)
    low, high = np.exp(np.quantile(draws, (0.025, 0.975)))
    return {
        "ce_faster": faster,
        "mse_faster": slower,
        "ties": len(ratio) - faster - slower,
        "p": float(p),
        "speedup": float(np.exp(ratio.mean())),
        "speedup_low": float(low),
        "speedup_high": float(high),
        "ce_median": float(np.median(ce[0])),
        "mse_median": float(np.median(mse[0])),
        "ce_censored": int((~ce[1]).sum()),
        "mse_censored": int((~mse[1]).sum()),
    }


# ------------------------------------------------------------------------------------------- the race

OPTIMISERS = ("GD", "SGD")  # full-batch gradient descent, and the same on mini-batches


@dataclass(frozen=True)
class Race:
    """Everything that decides a race, besides the problem. ValueError with one line where it cannot be run."""

    seeds: int = 20
    trials: int = 16  # learning rates that TPE may try, for each loss, optimiser and start
    steps: int = 1000  # the budget of a descent, in tuning and in the race
    batch: int = 32  # examples a step of SGD
    lr_min: float = 0.01
    lr_max: float = 10000.0
    tuning_seeds: int = 5  # other seeds than the race's
    seed: int = 0

    def __post_init__(self):
        for name in ("seeds", "trials", "steps", "batch", "tuning_seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.lr_min < self.lr_max < math.inf:
            raise ValueError(f"learning rates need 0 < lr_min < lr_max, not {self.lr_min:g} and {self.lr_max:g}")

    def equal_lrs(self) -> list[float]:
        """For the contrast at equal learning rates: from lr_min to lr_max, about one a decade."""
        return np.geomspace(self.lr_min, self.lr_max, 1 + max(1, round(math.log10(self.lr_max / self.lr_min)))).tolist()


@dataclass(frozen=True)
class Course:
    """A problem made ready for races: float32, on one device."""

    problem: Problem
    x: Tensor  # (N, D + 1), standardised, with the column of ones
    y: Tensor  # (N,)
    best: float  # the best reachable accuracy

    @classmethod
    def of(cls, problem: Problem, device="cpu") -> "Course":
        x, y = (v.to(device, torch.float32) for v in (problem.design(), problem.y))
        return cls(problem, x, y, best_accuracy(problem))

    def descend(self, race: Race, loss: str, optimiser: str, lrs: np.ndarray, seeds: int, seed: int) -> Trace:
        """Descents from every start: lrs (starts, K) -> a trace of starts * K configurations x `seeds`."""
        per_start = lrs.shape[1]
        start = torch.stack([starts(kind, self.x.cpu(), self.y.cpu(), seeds, seed) for kind in STARTS]).to(self.x)
        start = start.repeat_interleave(per_start, 0)
        lr = torch.as_tensor(lrs.ravel(), dtype=torch.float32, device=self.x.device)
        batch = None if optimiser == "GD" else race.batch
        return descend(self.x, self.y, loss, lr, start, race.steps, batch, seed)

    def tune(self, race: Race, loss: str, optimiser: str, on_batch=lambda: None) -> list[list[tuple[float, float]]]:
        """Per start the trials (lr, objective) of its own TPE search; the starts are tuned together, on other seeds."""

        def evaluate(lrs: np.ndarray) -> np.ndarray:
            trace = self.descend(race, loss, optimiser, lrs, race.tuning_seeds, race.seed + 1_000_003)
            return slowness(trace, self.best).reshape(lrs.shape)

        return tune(evaluate, len(STARTS), race.lr_min, race.lr_max, race.trials, race.seed, on_batch=on_batch)


def best_accuracy(problem: Problem) -> float:
    """The best training accuracy that either loss leads to: 1 where a hyperplane separates the classes.

    Otherwise the better of cross-entropy's optimum and the minimum of MSE that descent from there ends in.
    """
    x, y = problem.design(), problem.y
    if separable(x, y):
        return 1.0
    ce = optimum(x, y)
    mse = descend(x, y, "mse", torch.ones(1, dtype=x.dtype), ce[None, None], 2000).weights[0, 0]
    return max(float(((x @ w > 0) == (y > 0.5)).double().mean()) for w in (ce, mse))


def slowness(trace: Trace, best: float) -> np.ndarray:
    """The tuning objective (K,): mean over seeds and goals of log10(1 + steps), a censored run at the last step.

    One learning rate has to serve all three goals; the logarithm keeps the slowest from deciding alone.
    """
    steps = [np.log10(1 + first(met)[0]) for met in goals(trace, best).values()]  # 3 x (K, S)
    return np.mean(steps, axis=(0, 2))


# ---------------------------------------------------------------------------------------------- model


class Logistic(nn.Module):
    """Logistic regression that takes raw features: standardisation travels inside as buffers.

    x: float32 (N, D), raw -> logits (N,) of label 1; P(y = 1) = sigmoid(logit).
    """

    def __init__(self, problem: Problem, weights: Tensor):
        """`problem`: the training set, whose mean and deviation standardise; `weights` (D + 1,), intercept last."""
        super().__init__()
        self.register_buffer("mean", problem.x.mean(0).float())
        self.register_buffer("scale", problem.x.std(0, correction=0).float())
        self.linear = nn.Linear(problem.x.shape[1], 1)
        with torch.no_grad():
            self.linear.weight.copy_(weights[None, :-1])
            self.linear.bias.copy_(weights[-1:])

    def forward(self, x: Tensor) -> Tensor:  # (N, D) -> (N,)
        return self.linear((x - self.mean) / self.scale).squeeze(1)
