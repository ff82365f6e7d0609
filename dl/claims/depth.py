"""The judge of depth: do ResNet-50 and -101 surpass ResNet-18?"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from dl.claims.setting import not_the_documents
from dl.claims.verdict import LEVEL, Decision, Verdict, enough_seeds, holm_adjusted, not_tested

MARGIN = 0.005  # a network that is better by less than half a point does not surpass


def judge_q4_depth(accuracies: Mapping[str, Mapping[str, Sequence[float | None]]], setting: dict) -> Verdict:
    """Judge whether ResNet-50 and -101 do not surpass ResNet-18.

    accuracies: recipe -> network ("resnet18", "resnet50", "resnet101") -> test accuracies, one a seed, None where the
    training diverged. What diverges surpasses nothing. A network surpasses another, by more than MARGIN, where
    `chance_above` is at most LEVEL, Holm-corrected over all pairs; it does not where `chance_below` is (no correction:
    confirmed takes all pairs, Berger 1982). One of which neither is proven leaves the question open: too few seeds
    confirm nothing. Two networks that both always diverge are not compared.
    """
    pairs = [
        (recipe, nets[deeper], nets["resnet18"])
        for recipe, nets in accuracies.items()
        for deeper in ("resnet50", "resnet101")
        if nets.get(deeper) and nets.get("resnet18")
    ]
    told = "; ".join(
        f"{recipe} recipe: " + ", ".join(f"{name} {tell_seeds(values)}" for name, values in nets.items() if values)
        for recipe, nets in accuracies.items()
    )
    claim = "Q4-depth"
    numbers: dict = {
        recipe: {name: list(values) for name, values in nets.items()} for recipe, nets in accuracies.items()
    }

    seeds = max((seeds_apart(deeper, shallow) for _, deeper, shallow in pairs), default=0)
    enough = f"{seeds} seeds, if they scatter as these and the truth is where the means are (`-P seeds={seeds}`)"
    if not seeds:
        seeds = enough_seeds(math.hypot(0.003, 0.003), MARGIN)
        enough = (
            f"{seeds} seeds of each of the three by both recipes, if they are equally good and scatter by 0.3 points "
        )
        enough += f"(`-P recipe=both -P seeds={seeds}`)"
    if not pairs:
        return not_tested(claim, "It takes ResNet-18 and a deeper ResNet by one recipe.", enough, numbers)
    if untested := not_the_documents(claim, setting, (told, enough), numbers):
        return untested
    compared = [pair for pair in pairs if completed(pair[1]) or completed(pair[2])]
    if not compared:
        return not_tested(
            claim, f"All diverge, so that there is nothing to compare: {told}.", "a calmer recipe", numbers
        )
    chances = holm_adjusted([chance_above(deeper, shallow) for _, deeper, shallow in compared])
    below = [chance_below(deeper, shallow) for _, deeper, shallow in compared]
    above = {recipe: min(c for (r, *_), c in zip(compared, chances, strict=True) if r == recipe)
             for recipe, *_ in compared}  # fmt: skip
    rest = [c for (recipe, *_), c in zip(compared, below, strict=True) if above[recipe] > LEVEL]
    proven = [recipe for recipe, chance in above.items() if chance <= LEVEL]
    beyond = f"more than {100 * MARGIN:g} points"
    if max(rest, default=0.0) > LEVEL:
        reason = f"One may be above ResNet-18 by {beyond}; it takes more seeds to tell that from chance: {told}."
        return not_tested(claim, reason, enough, numbers)
    if not proven:
        verdict, lead, p = "confirmed", f"None is above ResNet-18 by {beyond}", max(rest)
    elif rest:
        verdict = "depends"
        lead = f"On the recipe: by the {' and '.join(sorted(proven))} one a deeper network is better by {beyond}"
        p = max(*rest, *(above[recipe] for recipe in proven))
    else:
        verdict, lead, p = "refuted", f"One is above ResNet-18 by {beyond}, by every recipe", max(above.values())
    decision = Decision(
        f"Welch's t-tests (Fisher's where one always diverges), margin {100 * MARGIN:g} points, Holm at {LEVEL:.0%}",
        "seeds whose means are not so far above" if proven else f"a mean above ResNet-18's by {beyond}",
        min(len(values) for _, *pair in compared for values in pair),
        "seeds a network",
        "largest mean accuracy less ResNet-18's",
        max((found for _, *pair in compared if (found := difference(*pair))), default=None),
        p,
    )
    return Verdict(claim, verdict, f"{lead}: {told}.", numbers, decision)


def completed(accuracies: Sequence[float | None]) -> list[float]:
    """Return the accuracies of the trainings that did not diverge."""
    return [accuracy for accuracy in accuracies if accuracy is not None]


def chance_above(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> float:
    """Return the one-sided p-value of `deeper` surpassing `shallow` by MARGIN at most; accuracies, None: diverged.

    Welch's t-test on the trainings that did not diverge. Where `shallow` always does, Fisher's exact test on how many
    did. 1 where fewer than two accuracies have no spread.
    """
    if not completed(shallow):
        return _fisher(deeper, shallow)
    return _welch(completed(deeper), [value + MARGIN for value in completed(shallow)])


def chance_below(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> float:
    """Return the one-sided p-value of `deeper` surpassing `shallow` by MARGIN or more: small, and it does not.

    As `chance_above`, with the networks' places exchanged. 1 where `shallow` diverges the more often.
    """
    deep, flat = completed(deeper), completed(shallow)
    if not deep:
        return _fisher(shallow, deeper)
    if len(deep) * len(shallow) > len(flat) * len(deeper):
        return 1.0
    return _welch([value + MARGIN for value in flat], deep)


def _welch(high: Sequence[float], low: Sequence[float]) -> float:
    from scipy.stats import ttest_ind  # a second: not at import

    if min(len(high), len(low)) < 2 or stdev(high) + stdev(low) < 1e-12:  # equal to the last image: t has no scale
        return 1.0
    return float(ttest_ind(high, low, equal_var=False, alternative="greater").pvalue)


def _fisher(often: Sequence[float | None], seldom: Sequence[float | None]) -> float:
    """Return the one-sided p-value of the first completing no more of its trainings than the second."""
    from scipy.stats import fisher_exact

    counts = [[len(completed(values)), len(values) - len(completed(values))] for values in (often, seldom)]
    return float(fisher_exact(counts, alternative="greater").pvalue)


def difference(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Return how much more accurate `deeper` is in the mean and Welch's interval at 1 - LEVEL; None with no spread."""
    from scipy.stats import ttest_ind

    deep, flat = completed(deeper), completed(shallow)
    if min(len(deep), len(flat)) < 2 or stdev(deep) + stdev(flat) < 1e-12:
        return None
    found = ttest_ind(deep, flat, equal_var=False).confidence_interval(1 - LEVEL)
    return fmean(deep) - fmean(flat), float(found.low), float(found.high)


def seeds_apart(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> int:
    """Return how many seeds would tell whether `deeper` is above, the truth being where the means are; 0: unknown."""
    deep, flat = completed(deeper), completed(shallow)
    if min(len(deep), len(flat)) < 2:
        return 0
    gap = fmean(deep) - fmean(flat)
    return enough_seeds(math.hypot(stdev(deep), stdev(flat)), abs(gap - MARGIN))


def tell_seeds(accuracies: Sequence[float | None]) -> str:
    """Return mean and standard deviation over the seeds, and how many of them diverged, as text."""
    values, seeds = completed(accuracies), len(accuracies)
    if not values:
        return "diverged" if seeds == 1 else f"diverged with all {seeds} seeds"
    told = f"{fmean(values):.1%}" + (f" ± {stdev(values):.1%}" if len(values) > 1 else "")
    return told + (f" ({seeds - len(values)} of {seeds} seeds diverged)" if len(values) < seeds else "")
