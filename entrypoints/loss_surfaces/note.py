"""Question 1's answer as Markdown, all from what was measured."""

from collections import Counter

from dl import claims
from dl.logistic.losses import LOSSES
from dl.logistic.race import Race


def answer_question_1(
    races: tuple[list[dict], list[dict]],
    registered: dict[str, dict],
    verdicts: list[claims.Verdict],
    how: tuple[Race, Race],
    gap: float,
) -> str:
    """Return the note of the run.

    races: each loss with its own best learning rate, of two classes and of the ten digits, and how they were run;
    registered: loss -> scores and version; gap: the largest difference of a coefficient from scikit-learn's.
    """
    (own, many), (race, shorter) = races, how
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
            f"{len(own)} races of {race.seeds} seeds and {race.steps} steps at most; {race.trials} learning rates "
            "tried by TPE, on other seeds, for each loss, optimiser and start. P: the chance that cross-entropy is the "
            "faster where one is (ties left out), with Clopper and Pearson's 99% interval.",
            "Steps to 99% of the best accuracy (median; `>`: more than half the seeds did not get there), and the "
            "learning rate found:",
            tell_races(own, "99% accuracy", race.seeds),
            tell_digits(many, shorter),
            tell_races(many, "99% accuracy", race.seeds),
            "Registered (30 raw features in, logit of `benign` out):",
            models,
            "On the overlapping set our optimum differs from scikit-learn's LogisticRegression (no penalty) by "
            f"{gap:.0e} at most in any coefficient.",
        ]
    )


def tell_races(races: list[dict], goal: str, seeds: int) -> str:
    """Return the races to `goal` as a Markdown table."""
    lines = [
        "| data | start | optimiser | CE: steps, lr | MSE: steps, lr | P | faster beyond chance |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in races:
        if row["goal"] == goal:
            late = {loss: ">" if row[f"{loss}_censored"] > seeds / 2 else "" for loss in LOSSES}
            cells = [f"{late[loss]}{row[f'{loss}_median']:.0f}, {row[f'{loss}_lr']:.3g}" for loss in LOSSES]
            place = (row["dataset"], row["start"], row["optimiser"])
            chance = f"{row['ce_share']:.2f} ({row['ce_share_low']:.2f} to {row['ce_share_high']:.2f})"
            lines.append(f"| {' | '.join((*place, *cells, chance, row['winner']))} |")
    return "\n".join(lines)


def tell_digits(races: list[dict], race: Race) -> str:
    """Return how the races on the ten digits ended, as a sentence."""
    won = Counter(row["winner"] for row in races)
    return (
        f"Apart from the claim, which is about two classes: softmax regression on the ten digits (1,077 images), cross-"
        f"entropy beside Brier's squared error, {race.steps} steps at most, {race.trials} learning rates tried. CE is "
        f"faster in {won['ce']} of {len(races)} races, MSE in {won['mse']}, {won['undecided']} are undecided."
    )
