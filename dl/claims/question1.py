"""Judges of question 1: cross-entropy or squared error for logistic regression? All judge rows of `dl.logistic`."""

from collections import Counter
from collections.abc import Sequence

from dl.claims.verdict import Verdict, holm


def judge_q1_unique(problems: Sequence[dict]) -> Verdict:
    """Judge whether CE has a single optimum. `problems`: rows of `uniqueness`, one a data set."""
    if not problems:
        return Verdict("Q1-unique", "not tested", "no data were given")
    unique: list[dict] = []
    others: list[dict] = []
    for row in problems:
        single = not row["separable"] and row["smallest_eigenvalue"] > 0 and row["spread"] < 1e-3
        (unique if single else others).append(row)
    yes = "; ".join(
        f"{row['dataset']}: {row['starts']} starts end at one point (to {row['spread']:.0e} of its length), smallest "
        f"Hessian eigenvalue there {row['smallest_eigenvalue']:.2g}"
        for row in unique
    )
    no = "; ".join(f"{row['dataset']}: {_why_not_unique(row)}" for row in others)
    numbers = {row["dataset"]: {k: v for k, v in row.items() if k != "dataset"} for row in problems}
    if not others:
        return Verdict("Q1-unique", "confirmed", f"One optimum on every set ({yes}).", numbers)
    if not unique:
        return Verdict("Q1-unique", "refuted", f"No single optimum on any set ({no}).", numbers)
    return Verdict("Q1-unique", "depends", f"On whether the classes overlap. {yes}. {no}.", numbers)


def _why_not_unique(row: dict) -> str:
    if row["separable"]:
        return (
            "a hyperplane separates the classes, so there is no optimum at finite weights, and the last 90% of the "
            f"steps still lengthen them {row['growth']:.1f}-fold"
        )
    return f"end points differ by {row['spread']:.0%}, smallest Hessian eigenvalue {row['smallest_eigenvalue']:.2g}"


def judge_q1_penalty(corners: Sequence[dict], confident: float = 0.1) -> Verdict:
    """Judge whether CE costs more than MSE where p is within `confident` of the wrong class.

    corners: rows of `corner_gradients`. Raw losses have no common unit, so each is also divided by its value at
    p = 1/2. Both must be larger.
    """
    half = next((row for row in corners if row["distance"] == 0.5), None)
    wrong = [row for row in corners if 0 < row["distance"] <= confident]
    if half is None or not wrong:
        return Verdict("Q1-penalty", "not tested", "neither p = 1/2 nor a confident error was measured")

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
    return Verdict("Q1-penalty", verdict, reason, numbers)


def judge_q1_corner_gradient(corners: Sequence[dict], near: float = 0.01) -> Verdict:
    """Judge whether MSE's gradient is the lower near the corners, in p and in the logit.

    corners: rows of `corner_gradients`; near: the largest distance from a corner that counts.
    """
    close = [row for row in corners if row["distance"] <= near]
    if not close:
        return Verdict("Q1-corner-gradient", "not tested", f"nothing was measured within {near} of a corner")
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
    return Verdict("Q1-corner-gradient", verdict, reason, {key: nearest[key] for key in keys})


def tally(races: Sequence[dict], level: float = 0.05) -> list[str]:
    """Return "ce", "mse" or "undecided" for each race: the loss that is faster beyond chance, all tested together."""
    decided = holm([race["p"] for race in races], level)
    return [
        "undecided" if not sure else "ce" if race["ce_faster"] > race["mse_faster"] else "mse"
        for race, sure in zip(races, decided, strict=True)
    ]


def judge_q1_convergence(own: Sequence[dict], equal: Sequence[dict] = ()) -> Verdict:
    """Judge whether CE converges faster.

    own: races, each loss with its own best learning rate; equal: races at equal ones; both rows of
    `compare_steps` with "goal" and "start" named. The verdict rests on `own`; `equal` is for contrast.
    Confirmed: CE faster in most races and slower in none; refuted: the other way round; else it depends.
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
    if not count["ce"] and not count["mse"]:
        return Verdict("Q1-convergence", "not tested", "No race was decided beyond chance.", numbers)
    if not count["mse"] and count["ce"] > len(own) / 2:
        verdict = "confirmed"
    elif not count["ce"] and count["mse"] > len(own) / 2:
        verdict = "refuted"
    else:
        verdict = "depends"
    split = "; by ".join(
        f"{key} " + ", ".join(f"{name} {won['ce']}:{won['mse']}" for name, won in groups.items())
        for key, groups in by.items()
    )
    told = f"; at equal learning rates {contrast['ce']}:{contrast['mse']} of {len(equal)}" if equal else ""
    on = "On the goal, the start and the learning rate: each" if verdict == "depends" else "Each"
    reason = (
        f"{on} loss with its own best learning rate, CE is faster in {count['ce']} races and MSE in {count['mse']}, "
        f"{count['undecided']} of {len(own)} are undecided at 5% (Holm); CE:MSE by {split}{told}."
    )
    return Verdict("Q1-convergence", verdict, reason, numbers)
