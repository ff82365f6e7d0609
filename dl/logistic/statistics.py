"""Statistics of races: the share that has not arrived yet, and which of two losses is faster."""

import numpy as np
from scipy.stats import binomtest


def kaplan_meier(steps: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return Kaplan and Meier's estimate: the share not yet there after each event time, and its 95% band.

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


def compare_steps(ce: tuple[np.ndarray, np.ndarray], mse: tuple[np.ndarray, np.ndarray], seed: int = 0) -> dict:
    """Compare two losses on the same seeds, (steps (S,), reached (S,)) each: which is faster, how surely, how much.

    The sign test over seeds (two censored runs are a tie) needs no distribution and honours censoring. `ce_share`
    estimates P(CE is faster) where one of them is, with Clopper and Pearson's exact 99% interval (Biometrika 26, 1934):
    ties are left out as the test leaves them out, so that the interval spares 1/2 exactly where its p is below 1%; of
    ties alone it is 1/2, 0 to 1. `speedup` is the ratio of geometric mean steps, MSE over CE, restricted to the step
    budget, with a paired bootstrap's 95% band.
    """
    ce_steps, mse_steps = (np.where(reached, steps, np.inf) for steps, reached in (ce, mse))
    faster, slower = int((ce_steps < mse_steps).sum()), int((ce_steps > mse_steps).sum())
    share, low_share, high_share, p = 0.5, 0.0, 1.0, 1.0
    if faster + slower:
        test = binomtest(faster, faster + slower)
        interval = test.proportion_ci(0.99, "exact")
        share, low_share, high_share, p = test.statistic, interval.low, interval.high, test.pvalue
    ratio = np.log(1 + mse[0]) - np.log(1 + ce[0])
    draws = np.random.default_rng(seed).choice(ratio, (2000, len(ratio))).mean(1)
    low, high = np.exp(np.quantile(draws, (0.025, 0.975)))
    return {
        "ce_faster": faster,
        "mse_faster": slower,
        "ties": len(ratio) - faster - slower,
        "p": float(p),
        "ce_share": float(share),
        "ce_share_low": float(low_share),
        "ce_share_high": float(high_share),
        "speedup": float(np.exp(ratio.mean())),
        "speedup_low": float(low),
        "speedup_high": float(high),
        "ce_median": float(np.median(ce[0])),
        "mse_median": float(np.median(mse[0])),
        "ce_censored": int((~ce[1]).sum()),
        "mse_censored": int((~mse[1]).sum()),
    }
