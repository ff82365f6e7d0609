"""The judge of accuracies that rise: does a network rise steadily, and from where to where the document says?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, stdev

from dl.claims.setting import not_the_documents
from dl.claims.verdict import LEVEL, Decision, Verdict, enough_seeds, not_tested

NEAR = 0.05  # an accuracy within five points of the document's is the document's; to lose less in an epoch is steady


def judge_q4_rise(claim: str, runs: Sequence[dict], setting: dict, first: float, last: float) -> Verdict:
    """Judge whether a network rises steadily from accuracy `first` to `last` by the document's recipe.

    runs: one a seed, each with `val_accuracy`, one an epoch, `val_images`, how many were scored, and `diverged`.
    setting: `dataset` and `preset`. All tests are one-sided, at LEVEL:

    - refuted where the mean first or last accuracy is further than NEAR from the document's (t-tests over seeds), or an
      epoch loses more than NEAR (z-tests, its images and those of the epoch before as independent samples; Bonferroni
      over all of these), or a training diverged, which is a counterexample;
    - confirmed where both are proven nearer (two one-sided tests each, Schuirmann 1987) and no epoch can lose NEAR;
    - else more seeds are needed.
    """
    if not runs:
        reason = "The document's recipe was not run (`-P recipe=both`)."
        seeds = enough_seeds(0.02, NEAR)
        enough = f"{seeds} seeds, if they scatter by two points (`-P recipe=both -P seeds={seeds}`)"
        return not_tested(claim, reason, enough)
    whole = [run for run in runs if not run["diverged"]]
    falls = [
        (before - after, math.sqrt(max(before * (1 - before) + after * (1 - after), 1e-9) / run["val_images"]))
        for run in whole
        for before, after in pairwise(run["val_accuracy"])
    ]
    normal = NormalDist()
    chances = [normal.cdf((NEAR - fall) / error) * 3 * len(falls) for fall, error in falls]
    drops = sum(chance <= LEVEL for chance in chances)
    diverged = len(runs) - len(whole)
    told = f"by the document's recipe {diverged} of {len(runs)} trainings diverged" if diverged else ""
    numbers: dict = {"drops": drops, "seeds": len(runs), "diverged": diverged}
    if whole:
        starts, ends = (fmean(run["val_accuracy"][epoch] for run in whole) for epoch in (0, -1))
        numbers |= {"first": starts, "last": ends}
        told += (", the others went " if diverged else "by the document's recipe ") + (
            f"from {starts:.1%} after the first epoch to {ends:.1%} after the last "
            f"({len(whole)} seed{'s' * (len(whole) > 1)}), {drops} of {len(falls)} steps lose more than {NEAR:.0%} "
            "beyond noise"
        )
    reason = f"The document: {first:.0%} to {last:.0%}. Measured {told}."
    places = [deviation(whole, epoch, told_) for epoch, told_ in ((0, first), (-1, last))] if len(whole) > 1 else []
    seeds = max((place.enough(NEAR) for place in places), default=enough_seeds(0.02, NEAR))
    enough = f"{seeds} seeds, if they scatter {'as these do' if places else 'by two points'} (`-P seeds={seeds}`)"
    if untested := not_the_documents(claim, setting, (told, enough), numbers):
        return untested
    away = min([1.0, *(3 * place.p_outside(NEAR) for place in places), *chances])
    near = [place.p_inside(NEAR) for place in places]
    steady = [normal.cdf((fall - NEAR) / error) for fall, error in falls]
    verdict, p = "not tested", None
    if diverged or away <= LEVEL:
        verdict, p = "refuted", None if diverged else away
    elif near and max(near + steady) <= LEVEL:
        verdict, p = "confirmed", max(near + steady)
    if verdict == "not tested":
        return not_tested(claim, f"{reason} So few seeds do not tell whether that is near.", enough, numbers)
    effect, interval = "accuracy less the document's, where it is furthest", None
    if verdict == "refuted" and away in chances:
        (fall, error), z = falls[chances.index(away)], normal.inv_cdf(1 - LEVEL / 6 / len(falls))
        effect, interval = "largest loss of accuracy in an epoch", (fall, fall - z * error, fall + z * error)
    elif places:
        interval = max(places, key=lambda place: abs(place.value)).interval()
    decision = Decision(
        f"t-tests of {NEAR:.0%} about the document's accuracies, z-tests of each step, Bonferroni at {LEVEL:.0%}",
        "other seeds, none of which diverges" if diverged else f"means on the other side of {NEAR:.0%}, other steps",
        len(runs),
        "seeds",
        effect,
        interval,
        p,
    )
    return Verdict(claim, verdict, reason, numbers, decision)


@dataclass(frozen=True)
class Deviation:
    """How far the mean of some seeds lies from what the document says: by t, with `freedom` degrees of freedom."""

    value: float
    error: float  # the seeds' spread and the sampling of the images, which they share
    freedom: int
    spread: float

    def p_outside(self, margin: float) -> float:
        """Return the p-value of the truth being within `margin`, one-sided."""
        from scipy.stats import t  # a second: not at import

        return float(t.sf((abs(self.value) - margin) / self.error, self.freedom))

    def p_inside(self, margin: float) -> float:
        """Return the p-value of the truth being `margin` away or further, the larger of two one-sided tests."""
        return 1 - self.p_outside(margin)

    def interval(self) -> tuple[float, float, float]:
        """Return the deviation and its two-sided interval at 1 - LEVEL."""
        from scipy.stats import t

        half = float(t.isf(LEVEL / 2, self.freedom)) * self.error
        return self.value, self.value - half, self.value + half

    def enough(self, margin: float) -> int:
        """Return how many seeds of this spread tell on which side of `margin` the truth is, if the mean is true."""
        return enough_seeds(self.spread, abs(margin - abs(self.value)))


def deviation(runs: Sequence[dict], epoch: int, told: float) -> Deviation:
    """Return how far the validation accuracy after `epoch` (0 or -1) is from `told`; at least two seeds."""
    values = [run["val_accuracy"][epoch] for run in runs]
    mean, spread = fmean(values), stdev(values)
    images = max(mean * (1 - mean), 1e-6) / min(run["val_images"] for run in runs)
    return Deviation(mean - told, math.sqrt(spread**2 / len(values) + images), len(values) - 1, spread)
