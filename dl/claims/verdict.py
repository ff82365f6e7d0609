"""What a measurement says of a statement, and what all judges share."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from dl.claims.statements import CLAIMS

VERDICTS = ("confirmed", "refuted", "depends", "not tested")
LEVEL = 0.01  # the largest chance of a false "confirmed", and of a false "refuted"; docs/verdicts.md measures both


@dataclass(frozen=True)
class Decision:
    """What a verdict rests on, and what would change it. The numbers are finite, or None where there is none."""

    test: str  # its name and level; "exact" where mathematics decides
    change: str  # what would change the verdict; of one that is not tested, how many seeds or which data are enough
    n: int = 0
    unit: str = ""  # what n counts
    effect: str = ""  # what was measured
    interval: tuple[float, float, float] | None = None  # the effect, and between what it lies with 99% confidence
    p: float | None = None  # the verdict's own p-value, corrected for all that was tested

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*(self.interval or ()), self.p or 0.0))):
            raise ValueError(f"neither an interval nor a p-value is infinite or nan: {self}")


@dataclass(frozen=True)
class Verdict:
    """What the measurements say of a claim. Raises ValueError for an unknown claim or verdict."""

    claim: str  # an id of CLAIMS
    verdict: str  # one of VERDICTS
    reason: str  # one sentence, with its numbers
    numbers: dict = field(default_factory=dict)  # finite numbers, strings, lists and dicts: plain JSON
    decision: Decision | None = None  # None only on record, from before there were any

    def __post_init__(self) -> None:
        if self.claim not in CLAIMS:
            raise ValueError(f"no such claim: {self.claim}; known: {', '.join(CLAIMS)}")
        if self.verdict not in VERDICTS:
            raise ValueError(f"no such verdict: {self.verdict}; known: {', '.join(VERDICTS)}")


def rows(verdicts: Iterable[Verdict]) -> list[dict]:
    """Return the rows of claims.json: each verdict with its claim's question, quote and what would refute it."""
    return [asdict(CLAIMS[verdict.claim]) | asdict(verdict) for verdict in verdicts]


def not_tested(claim: str, reason: str, enough: str, numbers: dict | None = None) -> Verdict:
    """Return that a claim is not tested, why, and what would be enough to test it."""
    return Verdict(claim, "not tested", reason, numbers or {}, Decision("none", enough))


def markdown(verdicts: Iterable[Verdict], heading: str = "claim", quotes: bool = True) -> str:
    """Return the verdicts as a Markdown table, `heading` over the claims, with the document's words."""
    columns = [heading, *["the document says"] * quotes, "verdict", "because", "decided by"]
    rows = [columns, ["---"] * len(columns)]
    for v in verdicts:
        told = tell_decision(asdict(v.decision)) if v.decision else "-"
        rows.append([v.claim, *[CLAIMS[v.claim].quote] * quotes, f"**{v.verdict}**", v.reason, told])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def tell_decision(decision: Mapping) -> str:
    """Return a decision, as `claims.json` has it, as one line: test, n, effect, p-value, what would change it."""
    parts = [decision["test"]] * (decision["test"] != "none")
    if decision["n"]:
        parts.append(f"n = {decision['n']:,} {decision['unit']}")
    if decision["interval"]:
        value, low, high = decision["interval"]
        parts.append(f"{decision['effect']} {value:.3g} (99%: {low:.3g} to {high:.3g})")
    if decision["p"] is not None:
        parts.append(f"p = {decision['p']:.2g}")
    lead = "Would change it: " if parts else "Enough: "
    return "; ".join(parts) + ". " * bool(parts) + lead + decision["change"] + "."


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Return which null hypotheses are rejected, with a chance of at most `level` of any false one (Holm, 1979)."""
    return [p <= level for p in holm_adjusted(p_values)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return for each p-value the smallest level at which Holm's procedure rejects its hypothesis, at most 1."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted


def enough_seeds(spread: float, distance: float, most: int = 1000) -> int:
    """Return how many seeds that scatter by `spread` place a mean within `distance`, by a one-sided t-test at LEVEL.

    With a chance of nine in ten. Both in the same unit. `most` where even so many do not.
    """
    from scipy.stats import t  # a second: not at import

    seeds = np.arange(2, most + 1)
    fits = (t.isf(LEVEL, seeds - 1) + t.isf(0.1, seeds - 1)) * spread / np.sqrt(seeds) <= distance
    return int(seeds[fits.argmax()]) if fits.any() else most
