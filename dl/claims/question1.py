"""Judges of question 1: cross-entropy or squared error for logistic regression? All judge rows of `dl.logistic`."""

import math
from collections import Counter
from collections.abc import Sequence

from dl.claims.verdict import LEVEL, Decision, Verdict, holm_adjusted, not_tested


def judge_q1_unique(problems: Sequence[dict]) -> Verdict:
    """Judge whether CE has a single optimum. `problems`: rows of `uniqueness`, one a data set.

    Exact: it has one where no hyperplane separates the classes, not even weakly, and the Hessian is positive definite
    (Albert and Anderson, 1984). Descents that nevertheless end apart have not arrived: they decide nothing.
    """
    if not problems:
        return not_tested("Q1-unique", "no data were given", "one data set whose classes overlap and one where not")
    unique = [row for row in problems if not row["separable"] and row["smallest_eigenvalue"] > 0]
    others = [row for row in problems if row not in unique]
    numbers = {row["dataset"]: {k: v for k, v in row.items() if k != "dataset"} for row in problems}
    if late := [row for row in unique if row["spread"] >= 1e-3]:
        told = "; ".join(f"{row['dataset']}: the end points differ by {row['spread']:.0%}" for row in late)
        return not_tested("Q1-unique", f"Descents had not arrived ({told}).", "more steps of descent", numbers)
    yes = "; ".join(
        f"{row['dataset']}: {row['starts']} starts end at one point (to {row['spread']:.0e} of its length), smallest "
        f"Hessian eigenvalue there {row['smallest_eigenvalue']:.2g}"
        for row in unique
    )
    no = "; ".join(f"{row['dataset']}: {_why_not_unique(row)}" for row in others)
    decision = Decision(
        "exact: linear programme and Hessian",
        "no other descent; other data, if their classes overlap or not",
        len(problems),
        "data sets",
        "share with one optimum",
        (len(unique) / len(problems),) * 3,
    )
    verdict = "depends" if unique and others else "confirmed" if unique else "refuted"
    reason = {
        "confirmed": f"One optimum on every set ({yes}).",
        "refuted": f"No single optimum on any set ({no}).",
        "depends": f"On whether the classes overlap. {yes}. {no}.",
    }[verdict]
    return Verdict("Q1-unique", verdict, reason, numbers, decision)


def _why_not_unique(row: dict) -> str:
    if row["separable"]:
        return (
            "a hyperplane separates the classes, so there is no optimum at finite weights, and the last 90% of the "
            f"steps still lengthen them {row['growth']:.1f}-fold"
        )
    return f"the Hessian is singular: its smallest eigenvalue is {row['smallest_eigenvalue']:.2g}"


def judge_q1_penalty(corners: Sequence[dict], confident: float = 0.1) -> Verdict:
    """Judge whether CE costs more than MSE where p is within `confident` of the wrong class.

    corners: rows of `corner_gradients`. Raw losses have no common unit, so each is also divided by its value at
    p = 1/2. Both must be larger.
    """
    half = next((row for row in corners if row["distance"] == 0.5), None)
    wrong = [row for row in corners if 0 < row["distance"] <= confident]
    if half is None or not wrong:
        reason = "neither p = 1/2 nor a confident error was measured"
        return not_tested("Q1-penalty", reason, f"p = 1/2 and one error within {confident:g} of the wrong class")

    def relative(row: dict, loss: str) -> float:
        return row[f"{loss}_loss"] / half[f"{loss}_loss"]

    def heavier(row: dict) -> bool:
        return row["ce_loss"] > row["mse_loss"] and relative(row, "ce") > relative(row, "mse")

    count = sum(map(heavier, wrong))
    verdict = {len(wrong): "confirmed", 0: "refuted"}.get(count, "depends")
    nearest = min(wrong, key=lambda row: row["distance"])
    exceptions = sorted({row["distance"] for row in corners if 0 < row["distance"] < 0.5 and not heavier(row)})
    mild = f"; not so at p = {', '.join(f'{e:g}' for e in exceptions)}, in those units" if exceptions else ""
    reason = (
        f"At {count} of {len(wrong)} confident errors CE is the heavier, raw and in units of the loss at p = 1/2: an "
        f"error of p = {nearest['distance']:g} costs {nearest['ce_loss']:.1f} against {nearest['mse_loss']:.2f}, "
        f"{relative(nearest, 'ce'):.0f} against {relative(nearest, 'mse'):.1f} such units{mild}."
    )
    numbers = {
        "confident_errors": len(wrong),
        "ce_heavier": count,
        "ce_loss": nearest["ce_loss"],
        "mse_loss": nearest["mse_loss"],
        "ce_relative": relative(nearest, "ce"),
        "mse_relative": relative(nearest, "mse"),
        "lighter_at": exceptions,
    }
    decision = Decision(
        "exact: closed forms",
        "other losses, or p = 0.2 counted as a confident error",
        len(wrong),
        "confident errors",
        "CE over MSE in units of p = 1/2",
        (relative(nearest, "ce") / relative(nearest, "mse"),) * 3,
    )
    return Verdict("Q1-penalty", verdict, reason, numbers, decision)


def judge_q1_corner_gradient(corners: Sequence[dict], near: float = 0.01) -> Verdict:
    """Judge whether MSE's gradient is the lower near the corners, in p and in the logit.

    corners: rows of `corner_gradients`; near: the largest distance from a corner that counts.
    """
    close = [row for row in corners if row["distance"] <= near]
    if not close:
        reason = f"nothing was measured within {near} of a corner"
        return not_tested("Q1-corner-gradient", reason, f"one point within {near} of a corner")
    in_p = all(row["mse_dp"] < row["ce_dp"] for row in close)
    in_z = all(row["mse_dz"] < row["ce_dz"] for row in close)
    verdict = "confirmed" if in_p and in_z else "depends" if in_p or in_z else "refuted"
    nearest = min((row for row in close if row["distance"] > 0), key=lambda row: row["distance"], default=close[0])
    on = " and ".join(name for name, lower in (("p", in_p), ("the logit", in_z)) if lower) or "neither p nor the logit"
    limit = next((row for row in close if row["distance"] == 0), None)
    unbounded = " (CE's has no bound, MSE's is 2)" if limit and limit["ce_dp"] == float("inf") else ""
    reason = (
        f"MSE's is lower in {on}: {nearest['distance']:g} from the corner |dL/dp| is {nearest['mse_dp']:.3g} against "
        f"{nearest['ce_dp']:.3g}{unbounded} and |dL/dz|, which training uses, {nearest['mse_dz']:.2g} against "
        f"{nearest['ce_dz']:.3g}."
    )
    keys = ("distance", "mse_dp", "ce_dp", "mse_dz", "ce_dz")
    decision = Decision(
        "exact: closed forms",
        "another loss, or points further from the corners",
        len(close),
        "points",
        "MSE's |dL/dz| over CE's",
        (nearest["mse_dz"] / nearest["ce_dz"],) * 3,
    )
    return Verdict("Q1-corner-gradient", verdict, reason, {key: nearest[key] for key in keys}, decision)


def tally(races: Sequence[dict], level: float = LEVEL) -> list[str]:
    """Return "ce", "mse" or "undecided" for each race: the loss that is faster beyond chance, all tested together."""
    adjusted = holm_adjusted([race["p"] for race in races])
    return [
        "undecided" if p > level else "ce" if race["ce_faster"] > race["mse_faster"] else "mse"
        for race, p in zip(races, adjusted, strict=True)
    ]


def judge_q1_convergence(own: Sequence[dict], equal: Sequence[dict] = ()) -> Verdict:
    """Judge whether CE converges faster.

    own: races, each loss with its own best learning rate; equal: races at equal ones; both rows of
    `compare_steps` with "goal" and "start" named. The verdict rests on `own`; `equal` is for contrast.
    Confirmed: CE faster in most races and slower in none; refuted: the other way round; else it depends. A race is
    decided by a sign test over seeds, Holm-corrected over all races at LEVEL.
    """
    winners = tally(own)
    count, contrast = Counter(winners), Counter(tally(equal))
    by: dict[str, dict[str, Counter]] = {key: {} for key in ("goal", "start")}
    for key, groups in by.items():
        for race, winner in zip(own, winners, strict=True):
            groups.setdefault(race[key], Counter())[winner] += 1
    numbers = {
        "races": len(own),
        "ce_faster": count["ce"],
        "mse_faster": count["mse"],
        "undecided": count["undecided"],
        **{f"by_{key}": {name: dict(c) for name, c in groups.items()} for key, groups in by.items()},
        "equal_lr": dict(contrast),
    }
    won = {loss: count[loss] for loss in ("ce", "mse")}
    if not any(won.values()):
        least = 1 + math.ceil(math.log2(max(1, len(own)) / LEVEL))  # 2 * 0.5^n * races <= LEVEL
        enough = f"{least} seeds, where all agree"
        return not_tested("Q1-convergence", "No race was decided beyond chance.", enough, numbers)
    loser = {"ce": "mse", "mse": "ce"}
    clear = [loss for loss in won if not won[loser[loss]] and won[loss] > len(own) / 2]
    verdict = "depends" if not clear else "confirmed" if clear == ["ce"] else "refuted"
    split = "; by ".join(
        f"{key} " + ", ".join(f"{name} {won['ce']}:{won['mse']}" for name, won in groups.items())
        for key, groups in by.items()
    )
    told = f"; at equal learning rates {contrast['ce']}:{contrast['mse']} of {len(equal)}" if equal else ""
    on = "On the goal, the start and the learning rate: each" if verdict == "depends" else "Each"
    reason = (
        f"{on} loss with its own best learning rate, CE is faster in {count['ce']} races and MSE in {count['mse']}, "
        f"{count['undecided']} of {len(own)} are undecided at {LEVEL:.0%} (Holm); CE:MSE by {split}{told}."
    )
    adjusted = sorted(
        p for p, winner in zip(holm_adjusted([r["p"] for r in own]), winners, strict=True) if won.get(winner)
    )
    decision = Decision(
        f"sign tests, Holm at {LEVEL:.0%}",
        f"a race that {loser[clear[0]].upper()} wins"
        if clear
        else "one loss in most races the faster, the other in none",
        len(own),
        "races",
        "races that CE wins",
        (won["ce"], won["ce"], len(own) - won["mse"]),
        adjusted[len(own) // 2 if clear else 0],
    )
    return Verdict("Q1-convergence", verdict, reason, numbers, decision)
