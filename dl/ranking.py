"""What may be said of the best of table 1's configurations, and what a search for it loses.

compare(scores, groups)     which configurations cannot be told from the best
Comparison.ranks(i)         between which ranks configuration i lies
regret(tables, algo, ...)   what searches lose, replayed on recorded tables
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from dl.table1 import Config, simulate


@dataclass(frozen=True)
class Regret:
    """What searches lose to the best configuration, in nats.

    seen: (runs, trials), on the split that the search saw; new: (runs, trials), on the other splits, whose mean judges
    the same incumbents, so luck on the split seen earns nothing. Zero is whatever comes out best there.
    """

    seen: np.ndarray
    new: np.ndarray

    def band(self, kind: str, level: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of "seen" or "new" and half the width of its interval at `level`, (trials,) each."""
        runs = getattr(self, kind)
        return runs.mean(0), NormalDist().inv_cdf((1 + level) / 2) * runs.std(0, ddof=1) / len(runs) ** 0.5


def regret(tables: np.ndarray, algo: str, trials: int, batch: int, runs: int) -> Regret:
    """Replay `runs` searches on recorded losses, (R, 1400) with R >= 2; the i-th sees the i mod R-th."""
    seen, new = [], []
    for run in range(runs):
        table = tables[run % len(tables)]
        judged = others(tables, run % len(tables))
        incumbents = simulate(table, algo, trials, batch, run)
        seen.append(table[incumbents] - np.nanmin(table))
        new.append(judged[incumbents] - np.nanmin(judged))
    return Regret(np.array(seen), np.array(new))


def grid_regret(tables: np.ndarray) -> np.ndarray:
    """On new splits, for a search that tries all of table 1 on one split: (R,). On the split seen it has none."""
    judged = [others(tables, r) for r in range(len(tables))]
    return np.array([j[np.nanargmin(seen)] - np.nanmin(j) for seen, j in zip(tables, judged, strict=True)])


def others(tables: np.ndarray, left_out: int) -> np.ndarray:
    return np.delete(tables, left_out, axis=0).mean(0)


# ----------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class Comparison:
    """Configurations by their mean score (lower is better), and what noise allows to say about their order.

    mean, error: (C,), the mean over repeats and its standard error once what a repeat does to all is taken out;
    best: (C,) bools, those that cannot be told from the best: with probability `level` the truly best is among
    them. `noise` are draws of all means under equal truth, (draws, C), and their estimated variances.
    """

    mean: np.ndarray
    error: np.ndarray
    best: np.ndarray
    level: float
    noise: tuple[np.ndarray, np.ndarray]
    repeats: int

    @property
    def half(self) -> np.ndarray:
        """Half the width (C,) of each mean's own interval at `level`."""
        return NormalDist().inv_cdf((1 + self.level) / 2) * self.error

    def chance(self, i: int) -> float:
        """Return the p-value of configuration i being the best: how often noise alone sets it as far behind."""
        behind = -studentised(self.mean, self.error**2, i).min()
        return float((1 + (-studentised(*self.noise, i).min(1) >= behind).sum()) / (1 + len(self.noise[0])))

    def ranks(self, i: int) -> tuple[int, int]:
        """Return a confidence interval for the true rank (1 is best) of configuration i.

        One more than those significantly better, to all but those significantly worse, with the error kept for
        all C - 1 comparisons at once (Mogstad, Romano, Shaikh, Wilhelm 2024, doi:10.1093/restud/rdad006).
        """
        critical = np.quantile(np.abs(studentised(*self.noise, i)).max(1), self.level)
        t = studentised(self.mean, self.error**2, i)
        return int(1 + (t < -critical).sum()), int(len(t) - (t > critical).sum())


def studentised(mean: np.ndarray, variance: np.ndarray, i: int) -> np.ndarray:
    """(..., C): how many standard errors each mean lies above the i-th; 0 for itself."""
    t = mean - mean[..., i, None]
    return t / np.sqrt(variance + variance[..., i, None])


def compare(
    scores: np.ndarray, groups: np.ndarray, level: float = 0.99, draws: int = 2000, seed: int = 0
) -> Comparison:
    """Multiple comparisons with the best (Hsu 1981, doi:10.1214/aos/1176345524), paired by repeat.

    scores: (C, R), lower is better, R >= 2, finite; the columns are repeats that all configurations shared.
    groups: (C,) ints; noise differs between groups, and within one it is pooled over the configurations: R is too
    small to estimate it for each. A column's effect is its mean over the better quarter: what a hard split does to
    networks that learn is not what it does to those that never do.

    Configuration i cannot be told from the best if no j is better by more than the noise of the largest of all C
    differences; that noise is drawn (`draws` times) with the estimated variances, so unequal ones are allowed for, and
    with the variances' own uncertainty, as Student's t has it.
    """
    C, R = scores.shape
    if R < 2 or not np.isfinite(scores).all():
        raise ValueError("a comparison wants finite scores of two repeats at least")
    mean = scores.mean(1)
    field = scores[np.argsort(mean)[: max(2, C // 4)]].mean(0)
    residuals = scores - mean[:, None] - (field - field.mean())
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    freedom = np.maximum(1, size * (R - 1) * (C - 1) / C)
    variance = (np.bincount(member, (residuals**2).sum(1)) / freedom)[member] / R  # of the means, (C,)

    rng = np.random.default_rng(seed)
    doubt = rng.chisquare(freedom, (draws, len(size))) / freedom
    noise = rng.standard_normal((draws, C)) * np.sqrt(variance), variance * doubt[:, member]
    best = np.zeros(C, bool)
    for group in range(len(size)):
        members = np.flatnonzero(member == group)
        critical = np.quantile(-studentised(*noise, int(members[0])).min(1), level)
        for i in map(int, members):
            best[i] = -studentised(mean, variance, i).min() <= critical
    return Comparison(mean, np.sqrt(variance), best, level, noise, R)


def noise_groups(configs: Sequence[Config]) -> np.ndarray:
    """Learning rate, dropout and activation set how noisy training is: one group each, (C,) ints."""
    kinds = [replace(c, h1=1, h2=1) for c in configs]
    return np.array([sorted(set(kinds), key=str).index(kind) for kind in kinds])
