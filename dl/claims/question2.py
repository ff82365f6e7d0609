"""Judges of question 2: which loss gives a convex problem? All judge rows of `dl.landscape`'s table, one a cell."""

import math
from collections.abc import Iterable, Sequence

from dl.claims.verdict import Verdict

CE, MSE, REAL = "cross-entropy", "MSE of a probability", "MSE of a real output"


def at_least(value: float) -> str:
    """Return a positive number to three significant digits, rounded down: what is proven stays proven in print."""
    power = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / power) * power:{'.0f' if value >= 100 else '.3g'}}"


def _by_place(cells: Sequence[dict]) -> dict[tuple[str, str], dict]:
    return {(cell["loss"], cell["as a function of"]): cell for cell in cells}


def _evidence_of(cell: dict) -> str:
    if cell["verdict"] == "not convex":
        return f"proven to lie {at_least(cell['proven_gap'])} above a chord"
    return f"smallest eigenvalue {cell['smallest_eigenvalue']:.2g}, no witness in {cell['trials']} trials"


def _numbers_of(cells: Iterable[dict]) -> dict:
    keys = ("verdict", "smallest_eigenvalue", "proven_gap", "trials")
    return {f"{c['loss']}, {c['as a function of']}": {key: c[key] for key in keys} for c in cells}


def judge_q2_ce(cells: Sequence[dict]) -> Verdict:
    """Judge whether CE's logarithms make it non-convex.

    The logarithms are all there is in p and in the logit, and nothing but a linear map is added in logistic weights.
    """
    table = _by_place(cells)
    asked = [table.get((CE, place)) for place in ("p", "logit", "logistic weights")]
    if None in asked or any(cell["verdict"] == "undecided" for cell in asked):
        return Verdict("Q2-ce", "not tested", "CE in p, in the logit or in logistic weights was left undecided")
    convex = [cell for cell in asked if cell["verdict"] == "convex"]
    verdict = {3: "refuted", 0: "confirmed"}.get(len(convex), "depends")
    told = "; ".join(f"in {c['as a function of']} {c['verdict']} ({_evidence_of(c)})" for c in asked)
    return Verdict("Q2-ce", verdict, f"Where the logarithms are, CE is: {told}.", _numbers_of(asked))


def judge_q2_mse(cells: Sequence[dict]) -> Verdict:
    """Judge whether MSE's squares make it non-convex, where they stand alone: in p and in linear regression."""
    table = _by_place(cells)
    alone = [table.get((MSE, "p")), table.get((REAL, "linear-regression weights"))]
    through = table.get((MSE, "logistic weights"))
    if None in alone or through is None or any(c["verdict"] == "undecided" for c in [*alone, through]):
        return Verdict("Q2-mse", "not tested", "MSE in p, in linear regression or in logistic weights was undecided")
    convex = [cell for cell in alone if cell["verdict"] == "convex"]
    verdict = {2: "refuted", 0: "confirmed"}.get(len(convex), "depends")
    told = "; ".join(f"in {c['as a function of']} {c['verdict']} ({_evidence_of(c)})" for c in alone)
    cause = (
        f"; through a sigmoid it is not convex ({_evidence_of(through)}), so the sigmoid is the cause, not the squares"
        if through["verdict"] == "not convex" and len(convex) == 2
        else ""
    )
    return Verdict("Q2-mse", verdict, f"Where the squares stand alone: {told}{cause}.", _numbers_of([*alone, through]))


def judge_q2_none(cells: Sequence[dict]) -> Verdict:
    """Judge whether neither loss guarantees a convex problem, with a hidden layer and without one."""
    table = _by_place(cells)
    hidden = [c for (_, place), c in table.items() if place.startswith("hidden")]
    flat = [table.get((loss, "logistic weights")) for loss in (CE, MSE)]
    if not hidden or None in flat or any(c["verdict"] == "undecided" for c in [*hidden, *flat]):
        return Verdict("Q2-none", "not tested", "a cell of the table was left undecided")
    deep, shallow = ([c for c in group if c["verdict"] == "convex"] for group in (hidden, flat))
    verdict = "refuted" if deep else "depends" if shallow else "confirmed"
    gaps = [c["proven_gap"] for c in hidden if c["verdict"] == "not convex"]
    told = f"with a hidden layer {len(gaps)} of {len(hidden)} cells are not convex" + (
        f" (each proven to lie {at_least(min(gaps))} or more above a chord, linear layers included)" if gaps else ""
    )
    names = " and ".join(c["loss"] for c in shallow) or "neither loss"
    on = "On the hidden layer: " if verdict == "depends" else ""
    reason = f"{on}{told}; without one, in logistic regression, {names} is convex."
    return Verdict("Q2-none", verdict, reason[0].upper() + reason[1:], _numbers_of([*flat, *hidden]))
