"""Searches of table 1 replayed on recorded losses: how good, how much better than another, and what a budget buys.

expected_best(...)      random search, exactly: no simulation
replay(searcher, ...)   whatever asks and tells as `dl.tuning.TPE` does, trial after trial
halve(...)              random search with successive halving on recorded epochs
beats(a, b)             P(A > B) of paired searches, with its interval
allocate(...)           what a budget yields on more configurations, more splits or more epochs
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from statistics import NormalDist
from typing import Protocol

import numpy as np

from dl.table1 import ATTEMPTS, GRID, PLACE, Config
from dl.tuning import Halving, Point


class Searcher(Protocol):
    """What suggests points and is told their losses, lower is better."""

    def ask(self, seed: int) -> Point: ...

    def tell(self, point: Point, loss: float) -> None: ...


def replay(searcher: Searcher, tables: np.ndarray, trials: int, seed: int) -> np.ndarray:
    """Return the incumbent after each trial, (trials,) ints; trial t is scored by row t mod S of tables, (S, 1400).

    One row is a fixed split. Several are resampled splits (Nagler et al., NeurIPS 2024, arXiv:2405.15393): the same
    luck does not meet all trials. With hyperopt's TPE it is `dl.table1.simulate` with batches of one; what was tried
    already is not tried again by any.
    """
    visited: list[int] = []
    seen: list[float] = []
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        for _ in range(ATTEMPTS):
            place = PLACE[Config(**searcher.ask(int(rng.integers(2**31))))]
            if place not in visited:
                break
        else:
            unknown = np.setdiff1d(np.arange(len(GRID)), visited)
            place = int(unknown[rng.integers(len(unknown))])
        visited.append(place)
        seen.append(float(tables[trial % len(tables), place]))
        searcher.tell(asdict(GRID[place]), seen[-1])
    return np.array([visited[int(np.argmin(seen[: n + 1]))] for n in range(trials)])


def halve(losses: np.ndarray, trials: int, seed: int) -> np.ndarray:
    """Return the incumbents of random search with `Halving` after the epochs of 1, 2, ... whole trainings, (trials,).

    losses: (C, epochs). An incumbent has been trained to the end; the first configuration always is.
    """
    count, epochs = losses.shape
    halving, paid, best = Halving(epochs), 0, -1
    incumbents = np.empty(trials, int)
    for number, i in enumerate(map(int, np.random.default_rng(seed).permutation(count))):
        end = next((e for e in range(1, epochs) if halving.stops(number, e, -losses[i, e - 1])), epochs)
        paid += end
        if end == epochs and (best < 0 or losses[i, -1] < losses[best, -1]):
            best = i
        if paid > trials * epochs:
            break
        incumbents[-(-paid // epochs) - 1 :] = best
    return incumbents


def beats(a: np.ndarray, b: np.ndarray, level: float = 0.99) -> tuple[float, float, float]:
    """Return P(A > B), the chance that a search by A loses less than its pair by B, and its interval at `level`.

    a, b: (runs,) losses; a tie counts half (Bouthillier et al., MLSys 2021, arXiv:2103.03098). The interval is
    Wilson's (1927), which a tie's smaller variance makes wider than need be, never too narrow.
    """
    n, z = len(a), NormalDist().inv_cdf((1 + level) / 2)
    p = float(np.mean(a < b) + np.mean(a <= b)) / 2
    centre, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return p, (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


# ------------------------------------------------------------------------------------- random search, exactly


def chances_to_be_best(trials: int, size: int) -> np.ndarray:
    """Return the chance, (size,), that the i-th best of `size` is the best of `trials` drawn, none of them twice.

    P(all are worse than the i best) = C(size - i, trials) / C(size, trials); Dodge et al., EMNLP 2019
    (arXiv:1909.03004, equation 7), have ((size - i) / size)^trials, as they draw with replacement.
    """
    i = np.arange(size)
    none_yet = np.cumprod(np.r_[1.0, ((size - trials - i) / (size - i)).clip(0)])
    return none_yet[:-1] - none_yet[1:]


def expected_best(scores: np.ndarray, judged: np.ndarray, trials: Sequence[int]) -> np.ndarray:
    """Return the expected `judged`, (C,), of the one with the least score, (C,), of so many random trials: (T,)."""
    ordered = judged[np.argsort(scores)]
    return np.array([chances_to_be_best(n, len(scores)) @ ordered for n in trials])


def best_quantile(scores: np.ndarray, trials: Sequence[int], q: float) -> np.ndarray:
    """Return the exact q-quantile of the least of the scores of so many random trials: (T,).

    scores: (C,), or (R, C) where each search sees one of R equally likely splits.
    """
    ranked = np.sort(np.atleast_2d(scores), 1)
    order = np.argsort(ranked, axis=None)
    reached = [np.cumsum(np.tile(chances_to_be_best(n, ranked.shape[1]), len(ranked))[order]) for n in trials]
    enough = q * len(ranked) - 1e-12  # sums are rounded
    return ranked.ravel()[order][[min(int(np.searchsorted(r, enough)), ranked.size - 1) for r in reached]]


def allocate(losses: np.ndarray, splits: int, epochs: int, budgets: Sequence[float]) -> np.ndarray:
    """Return what random search expects on a new split after training all it can, (B,); nan where it cannot spend that.

    losses: (R, C, E) on R > splits splits. A trial is the mean over `splits` splits after `epochs` epochs; budgets
    count trainings of E epochs on one split. Whoever is chosen is trained for E epochs and judged on the splits left
    out, whatever splits were chosen: the mean over all choices.
    """
    whole = losses.shape[2]
    trials = [int(b * whole / (splits * epochs) + 1e-9) for b in budgets]
    possible = [n if 1 <= n <= losses.shape[1] else 0 for n in trials]
    found = []
    for chosen in map(list, combinations(range(len(losses)), splits)):
        judged = np.delete(losses, chosen, 0)[..., -1].mean(0)
        found.append(expected_best(losses[chosen, :, epochs - 1].mean(0), judged, possible))
    return np.where(np.array(possible) > 0, np.mean(found, 0), np.nan)
