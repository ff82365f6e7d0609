"""Judges of question 2: which loss gives a convex problem? All judge rows of `dl.landscape`'s table, one a cell."""

import math
from collections.abc import Iterable, Sequence

from dl.claims.verdict import Decision, Verdict, not_tested

CE, MSE, REAL = "cross-entropy", "MSE of a probability", "MSE of a real output"
MORE = "more trials of the witness search in the undecided cells, or a proof"


def at_least(value: float) -> str:
    """Return a positive number to three significant digits, rounded down: what is proven stays proven in print."""
    power = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / power) * power:{'.0f' if value >= 100 else '.3g'}}"


def _decided(cells: Sequence[dict], *asked: tuple[str, str]) -> list[dict]:
    """Return the cells (loss, place) that are asked for, or none of them where one is missing or undecided."""
    table = {(cell["loss"], cell["as a function of"]): cell for cell in cells}
    found = [table[place] for place in asked if place in table and table[place]["verdict"] != "undecided"]
    return found if len(found) == len(asked) else []


def _convex(cells: Iterable[dict]) -> list[dict]:
    return [cell for cell in cells if cell["verdict"] == "convex"]


def _tell(cells: Iterable[dict]) -> str:
    return "; ".join(f"in {c['as a function of']} {c['verdict']} ({_evidence_of(c)})" for c in cells)


def _evidence_of(cell: dict) -> str:
    if cell["verdict"] == "not convex":
        return f"proven to lie {at_least(cell['proven_gap'])} above a chord"
    return f"smallest eigenvalue {cell['smallest_eigenvalue']:.2g}, no witness in {cell['trials']} trials"


def _proof(cells: Sequence[dict]) -> Decision:
    """Return what decides: no cell is called convex without a proof, nor not convex without a witness."""
    return Decision(
        "exact: proofs of convexity, witnesses by interval arithmetic",
        "an error in a proof",
        len(cells),
        "cells",
        "share of convex cells",
        (len(_convex(cells)) / len(cells),) * 3,
    )


def _numbers_of(cells: Iterable[dict]) -> dict:
    keys = ("verdict", "smallest_eigenvalue", "proven_gap", "trials")
    return {f"{c['loss']}, {c['as a function of']}": {key: c[key] for key in keys} for c in cells}


def judge_q2_ce(cells: Sequence[dict]) -> Verdict:
    """Judge whether CE's logarithms make it non-convex.

    The logarithms are all there is in p and in the logit, and nothing but a linear map is added in logistic weights.
    """
    asked = _decided(cells, (CE, "p"), (CE, "logit"), (CE, "logistic weights"))
    if not asked:
        reason = "CE in p, in the logit or in logistic weights was left undecided"
        return not_tested("Q2-ce", reason, MORE)
    verdict = {3: "refuted", 0: "confirmed"}.get(len(_convex(asked)), "depends")
    return Verdict(
        "Q2-ce", verdict, f"Where the logarithms are, CE is: {_tell(asked)}.", _numbers_of(asked), _proof(asked)
    )


def judge_q2_mse(cells: Sequence[dict]) -> Verdict:
    """Judge whether MSE's squares make it non-convex, where they stand alone: in p and in linear regression."""
    asked = _decided(cells, (MSE, "p"), (REAL, "linear-regression weights"), (MSE, "logistic weights"))
    if not asked:
        reason = "MSE in p, in linear regression or in logistic weights was undecided"
        return not_tested("Q2-mse", reason, MORE)
    *alone, through = asked
    convex = _convex(alone)
    verdict = {2: "refuted", 0: "confirmed"}.get(len(convex), "depends")
    cause = (
        f"; through a sigmoid it is not convex ({_evidence_of(through)}), so the sigmoid is the cause, not the squares"
        if through["verdict"] == "not convex" and len(convex) == 2
        else ""
    )
    reason = f"Where the squares stand alone: {_tell(alone)}{cause}."
    return Verdict("Q2-mse", verdict, reason, _numbers_of(asked), _proof(alone))


def judge_q2_none(cells: Sequence[dict]) -> Verdict:
    """Judge whether neither loss guarantees a convex problem, with a hidden layer and without one."""
    hidden = [cell for cell in cells if cell["as a function of"].startswith("hidden")]
    flat = _decided(cells, (CE, "logistic weights"), (MSE, "logistic weights"))
    if not hidden or not flat or any(cell["verdict"] == "undecided" for cell in hidden):
        return not_tested("Q2-none", "a cell of the table was left undecided", MORE)
    shallow = _convex(flat)
    verdict = "refuted" if _convex(hidden) else "depends" if shallow else "confirmed"
    gaps = [cell["proven_gap"] for cell in hidden if cell["verdict"] == "not convex"]
    told = f"with a hidden layer {len(gaps)} of {len(hidden)} cells are not convex"
    if gaps:
        told += f" (each proven to lie {at_least(min(gaps))} or more above a chord, linear layers included)"
    names = " and ".join(cell["loss"] for cell in shallow) or "neither loss"
    on = "On the hidden layer: " if verdict == "depends" else ""
    reason = f"{on}{told}; without one, in logistic regression, {names} is convex."
    asked = [*flat, *hidden]
    return Verdict("Q2-none", verdict, reason[0].upper() + reason[1:], _numbers_of(asked), _proof(asked))
