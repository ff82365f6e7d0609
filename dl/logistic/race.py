"""Races between the losses: how many steps a descent takes to a goal, each loss with its own best learning rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dl.logistic.descent import STARTS, Descent, Trace, descend, initial_weights
from dl.logistic.optimum import best_accuracy
from dl.logistic.problems import Problem
from dl.tuning import TPE, LogUniform

OPTIMISERS = ("GD", "SGD")  # full-batch gradient descent, and the same on mini-batches
AT_ONCE = 4  # learning rates that a search suggests before it hears of any of them

RateTrials = list[tuple[float, float]]  # (learning rate, objective), in the order tried


@dataclass(frozen=True)
class Race:
    """Everything that decides a race, besides the problem. Raises ValueError where it cannot be run."""

    seeds: int = 20
    trials: int = 16  # learning rates that TPE may try, for each loss, optimiser and start
    steps: int = 1000  # the budget of a descent, in tuning and in the race
    batch: int = 32  # examples a step of SGD
    lr_min: float = 0.01
    lr_max: float = 10000.0
    tuning_seeds: int = 5  # other seeds than the race's
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("seeds", "trials", "steps", "batch", "tuning_seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.lr_min < self.lr_max < math.inf:
            raise ValueError(f"learning rates need 0 < lr_min < lr_max, not {self.lr_min:g} and {self.lr_max:g}")

    def equal_lrs(self) -> list[float]:
        """Return the learning rates that both losses race at for contrast: lr_min to lr_max, about one a decade."""
        return np.geomspace(self.lr_min, self.lr_max, 1 + max(1, round(math.log10(self.lr_max / self.lr_min)))).tolist()

    def suggest(self, history: RateTrials, place: int) -> list[float]:
        """Return the next learning rates by TPE, AT_ONCE at most, for STARTS[place], given its earlier trials.

        The first third is random (Bergstra et al., NeurIPS 2011).
        """
        tpe = TPE({"lr": LogUniform(self.lr_min, self.lr_max)}, startup=max(1, self.trials // 3))
        for lr, objective in history:
            tpe.tell({"lr": lr}, objective)
        numbers = range(len(history), min(len(history) + AT_ONCE, self.trials))
        first = (self.seed * len(STARTS) + place) * self.trials
        return [tpe.ask(first + number)["lr"] for number in numbers]


@dataclass(frozen=True)
class PreparedProblem:
    """A problem made ready for races: float32, on one device."""

    problem: Problem
    x: Tensor  # (N, D + 1), standardised, with the column of ones
    y: Tensor  # (N,), or one-hot columns (C, N)
    best: float  # the best reachable accuracy

    @classmethod
    def of(cls, problem: Problem, device: torch.device | str = "cpu") -> "PreparedProblem":
        """Standardise `problem` and move it to `device`."""
        x, y = (v.to(device, torch.float32) for v in (problem.design(), problem.targets()))
        return cls(problem, x, y, best_accuracy(problem))

    def descend(self, race: Race, loss: str, optimiser: str, lrs: np.ndarray) -> Trace:
        """Descend from every start: lrs (starts, K) -> a trace of starts * K configurations x race.seeds."""
        per_start = lrs.shape[1]
        start = torch.stack(
            [initial_weights(kind, self.x.cpu(), self.y.cpu(), race.seeds, race.seed) for kind in STARTS]
        ).to(self.x)
        start = start.repeat_interleave(per_start, 0)
        lr = torch.as_tensor(lrs.ravel(), dtype=torch.float32, device=self.x.device)
        how = Descent(loss, race.steps, None if optimiser == "GD" else race.batch, race.seed)
        return descend(self.x, self.y, lr, start, how)

    def tune(
        self, race: Race, loss: str, optimiser: str, on_batch: Callable[[], object] = lambda: None
    ) -> list[RateTrials]:
        """Return, for each start, the trials (lr, objective) of its own TPE search, on other seeds than the race's."""
        rehearsal = replace(race, seeds=race.tuning_seeds, seed=race.seed + 1_000_003)
        searches: list[RateTrials] = [[] for _ in STARTS]
        while len(searches[0]) < race.trials:
            lrs = np.array([race.suggest(history, place) for place, history in enumerate(searches)])
            trace = self.descend(rehearsal, loss, optimiser, lrs)
            objectives = mean_log_steps(trace, self.best).reshape(lrs.shape)
            for history, asked, row in zip(searches, lrs.tolist(), objectives.tolist(), strict=True):
                history += zip(asked, row, strict=True)
            on_batch()
        return searches


def goals(trace: Trace, best: float) -> dict[str, Tensor]:
    """Return for each goal a bool (steps + 1, K, S): is it met at that step? `best`: the best reachable accuracy.

    A small gradient counts only with 95% of the best accuracy: on MSE's plateau the gradient is tiny and all is wrong.
    """
    return {
        "95% accuracy": trace.accuracy >= 0.95 * best,
        "99% accuracy": trace.accuracy >= 0.99 * best,
        "gradient < 1e-3": (trace.gradient < 1e-3) & (trace.accuracy >= 0.95 * best),
    }


def first_step(met: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the first step at which a goal is met: met (T + 1, ...) -> steps (...), reached (...).

    Never met: the last step and False (a censored observation).
    """
    reached = met.any(0)
    steps = torch.where(reached, met.int().argmax(0), len(met) - 1)
    return steps.cpu().numpy(), reached.cpu().numpy()


def mean_log_steps(trace: Trace, best: float) -> np.ndarray:
    """Return the tuning objective (K,): the mean over seeds and goals of log10(1 + steps).

    A censored descent counts as its last step. One learning rate has to serve all three goals; the logarithm keeps
    the slowest from deciding alone.
    """
    steps = [np.log10(1 + first_step(met)[0]) for met in goals(trace, best).values()]  # 3 x (K, S)
    return np.mean(steps, axis=(0, 2))
