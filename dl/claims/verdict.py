"""What a measurement says of a statement, and what all judges share."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from dl.claims.statements import CLAIMS

VERDICTS = ("confirmed", "refuted", "depends", "not tested")


@dataclass(frozen=True)
class Verdict:
    """What the measurements say of a claim. Raises ValueError for an unknown claim or verdict."""

    claim: str  # an id of CLAIMS
    verdict: str  # one of VERDICTS
    reason: str  # one sentence, with its numbers
    numbers: dict = field(default_factory=dict)  # finite numbers, strings, lists and dicts: plain JSON

    def __post_init__(self) -> None:
        if self.claim not in CLAIMS:
            raise ValueError(f"no such claim: {self.claim}; known: {', '.join(CLAIMS)}")
        if self.verdict not in VERDICTS:
            raise ValueError(f"no such verdict: {self.verdict}; known: {', '.join(VERDICTS)}")


def rows(verdicts: Iterable[Verdict]) -> list[dict]:
    """Return the rows of claims.json: each verdict with its claim's question, quote and what would refute it."""
    return [asdict(CLAIMS[verdict.claim]) | asdict(verdict) for verdict in verdicts]


def markdown(verdicts: Iterable[Verdict]) -> str:
    """Return the verdicts as a Markdown table, for a run's note."""
    lines = ["| claim | the document says | verdict | because |", "|---|---|---|---|"]
    for v in verdicts:
        quote, reason = (text.replace("|", "\\|") for text in (CLAIMS[v.claim].quote, v.reason))
        lines.append(f"| {v.claim} | {quote} | **{v.verdict}** | {reason} |")
    return "\n".join(lines)


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Return which null hypotheses are rejected, with a chance of at most `level` of any false one (Holm, 1979)."""
    order, rejected = sorted(range(len(p_values)), key=lambda i: p_values[i]), [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected
