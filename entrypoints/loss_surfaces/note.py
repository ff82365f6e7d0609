"""Question 1's answer as Markdown, all from what was measured."""

from dl import claims
from dl.logistic.losses import LOSSES
from dl.logistic.race import Race


def answer_question_1(
    races: list[dict], registered: dict[str, dict], verdicts: list[claims.Verdict], race: Race, gap: float
) -> str:
    """Return the note of the run.

    races: each loss with its own best learning rate; registered: loss -> scores and version; gap: the largest
    difference of a coefficient from scikit-learn's.
    """
    found = {name: [v.claim for v in verdicts if v.verdict == name] for name in claims.VERDICTS}
    summary = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in found.items() if ids)
    models = "\n".join(
        f"- `logistic-{loss}` version {row['version']}: validation {row['val_accuracy']:.1%}, test "
        f"{row['test_accuracy']:.1%}"
        for loss, row in registered.items()
    )
    return "\n\n".join(
        [
            f"**Cross-entropy or squared error for logistic regression?** Of the document's claims, {summary}.",
            claims.markdown(verdicts),
            f"{len(races)} races of {race.seeds} seeds and {race.steps} steps at most; {race.trials} learning rates "
            "tried by TPE, on other seeds, for each loss, optimiser and start.",
            "Steps to 99% of the best accuracy (median; `>`: more than half the seeds did not get there), and the "
            "learning rate found:",
            tell_races(races, "99% accuracy", race.seeds),
            "Registered (30 raw features in, logit of `benign` out):",
            models,
            "On the overlapping set our optimum differs from scikit-learn's LogisticRegression (no penalty) by "
            f"{gap:.0e} at most in any coefficient.",
        ]
    )


def tell_races(races: list[dict], goal: str, seeds: int) -> str:
    """Return the races to `goal` as a Markdown table."""
    lines = [
        "| data | start | optimiser | CE: steps, lr | MSE: steps, lr | faster beyond chance |",
        "|---|---|---|---|---|---|",
    ]
    for row in races:
        if row["goal"] == goal:
            late = {loss: ">" if row[f"{loss}_censored"] > seeds / 2 else "" for loss in LOSSES}
            cells = [f"{late[loss]}{row[f'{loss}_median']:.0f}, {row[f'{loss}_lr']:.3g}" for loss in LOSSES]
            place = (row["dataset"], row["start"], row["optimiser"])
            lines.append(f"| {' | '.join((*place, *cells, row['winner']))} |")
    return "\n".join(lines)
