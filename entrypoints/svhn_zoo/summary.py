"""What a zoo found: table, figures, verdicts, and the note that answers the question."""

from dataclasses import dataclass, field

from dl import claims
from dl.data import Split
from dl.plots import zoo as plots
from dl.plots.live import live_page
from dl.plots.live.zoo import switch_networks
from dl.probe import FirstSteps
from dl.recipes import ZOO
from dl.recipes.document import DOCUMENT_IMAGES, PLAIN
from dl.train import Epoch
from entrypoints.svhn_zoo.data import NOTICE
from entrypoints.svhn_zoo.options import ZooOptions
from entrypoints.svhn_zoo.training import Setup, Trained
from entrypoints.svhn_zoo.variants import shipped_plan
from tracking.evidence import log_verdicts
from tracking.run import Run

Entry = tuple[str, str]  # network and recipe, see Variant.entry


@dataclass
class Results:
    """All that a zoo has trained, by entry: one training a seed, and the row of the table."""

    options: ZooOptions
    setup: Setup
    trained: dict[Entry, list[Trained]] = field(default_factory=dict)
    rows: dict[Entry, dict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)  # on the searches
    search_errors: dict[str, str] = field(default_factory=dict)  # of those whose every trial failed

    @property
    def failures(self) -> dict[str, str]:
        """Return why trainings failed, by what tells them apart."""
        trained = [each for repeats in self.trained.values() for each in repeats]
        return {each.variant.run_name: each.row["error"] for each in trained if each.failed}

    @property
    def done(self) -> dict[Entry, dict]:
        """Return the rows of what did not fail."""
        return {entry: row for entry, row in self.rows.items() if "error" not in row}

    @property
    def compared(self) -> dict[Entry, dict]:
        """Return the rows of the networks to compare: ours where there are any, else the document's."""
        return {entry: row for entry, row in self.done.items() if entry[1] == "tuned"} or self.done

    def history(self, entry: Entry) -> list[Epoch]:
        """Return the epochs of the training that an entry's row tells of."""
        return next(each.history for each in self.trained[entry] if each.row["run_id"] == self.rows[entry]["run_id"])


def summarise_zoo(run: Run, results: Results) -> None:
    """Log table, figures, verdicts and the note that answers the question, on the parent run."""
    rows = list(results.rows.values())
    run.log_table("zoo.json", rows)
    if errors := results.failures | results.search_errors:
        run.fail("; ".join(f"{label} failed: {error}" for label, error in errors.items()))
    if not results.done and not any("diverged" in row for row in rows):
        return  # nothing was trained that could be judged
    verdicts = judge_question_4(results)
    log_verdicts(run, claims.rows(verdicts))
    tables = [claims.markdown(verdicts)]
    if results.setup.data.name == "street-digits":
        verdicts = judge_question_4(results, generated=True)
        log_verdicts(run, claims.rows(verdicts), "generated_")
        tables.append(claims.markdown(verdicts, "claim, on generated digits", quotes=False))
    said = "**No network was trained to its end.**"
    if results.done:
        best = max(results.compared.values(), key=lambda row: row["val_accuracy"])
        run.metrics({key: best[key] for key in ("test_accuracy", "test_accuracy_std") if key in best})
        run.metrics({"best_val_accuracy": best["val_accuracy"]})
        draw_figures(run, results)
        run.copy(best["run_id"], "errors.png", "errors.html")
        said = answer_question_4(results, best)
    warning = [f"**{NOTICE}**"] if results.setup.data.name == "street-digits" else []
    run.note("\n\n".join([*warning, said, *results.remarks, zoo_table(rows), *tables]))


def most_frequent(split: Split) -> float:
    """Return the share of the most frequent digit, 0..1."""
    return split.y.bincount().max().item() / len(split)


def draw_figures(run: Run, results: Results) -> None:
    """Log the comparison, and where they were trained both recipes side by side and AlexNet's ablation."""
    data, done = results.setup.data, results.done
    title = f"Question 4 on {data.name} ({results.options.preset} preset)" + (
        ": not SVHN" if data.name == "street-digits" else ""
    )
    histories = {row["network"]: results.history(entry) for entry, row in results.compared.items()}
    on_val = most_frequent(data.val)
    compared = (list(results.compared.values()), histories, on_val, title)
    run.figure("comparison.png", plots.comparison(*compared))
    run.text("comparison.html", live_page(switch_networks(*compared)))
    both = {
        ZOO[network].title: {recipe: results.history((network, recipe)) for recipe in ("document", "tuned")}
        for network, _ in results.compared
        if {(network, "document"), (network, "tuned")} <= set(done)
    }
    if both:
        run.figure("recipes.png", plots.recipes(both, on_val, title))
    arms = {
        entry[1]: row | {"history": results.history(entry)}
        for entry, row in done.items()
        if entry[1] not in ("tuned", "document")
    }
    if arms:
        heading = f"Why does AlexNet stick? {title}"
        run.figure("ablation.png", plots.ablation(arms, most_frequent(data.test), heading))
        logged = {arm: run.load_json(row["run_id"], "first_steps.json") for arm, row in arms.items()}
        if seen := {arm: FirstSteps(**steps) for arm, steps in logged.items() if steps}:
            run.figure("first_steps.png", plots.reach_of_signal(seen, f"AlexNet's first steps. {title}"))


def judge_question_4(results: Results, generated: bool = False) -> list[claims.Verdict]:
    """Judge the document's five claims by what was trained; what found no room in memory says nothing of them.

    generated: as claims about generated digits.
    """
    data, preset = results.setup.data, results.options.preset
    ended = [
        (entry, each)
        for entry, repeats in results.trained.items()
        for each in repeats
        if each.row.get("diverged") or not each.failed
    ]
    runs = [
        {
            "network": network,
            "recipe": recipe,
            "val_accuracy": [epoch.val_accuracy for epoch in each.history],
            "val_loss": [epoch.val_loss for epoch in each.history],
            "val_images": len(data.val),
            "short": is_short(each),
            "diverged": each.failed,
            **{key: each.row[key] for key in ("test_accuracy", "initial_weights") if key in each.row},
        }
        for (network, recipe), each in ended
    ]
    plans = [(each.variant.plan, shipped_plan(*entry, preset, each.variant.seed)) for entry, each in ended]
    changed = any((p.images, p.recipe.epochs) != (q.images, q.recipe.epochs) for p, q in plans)
    setting = {"dataset": data.name, "preset": preset, "test_images": len(data.test), "changed": changed}
    return claims.judge_q4(runs, most_frequent(data.test), setting | {"generated": generated})


def is_short(trained: Trained) -> bool:
    """Return whether a training had fewer images, or fewer epochs, than the document's."""
    return trained.row["images"] < DOCUMENT_IMAGES or trained.variant.plan.recipe.epochs < PLAIN.epochs


def answer_question_4(results: Results, best: dict) -> str:
    """Answer the question in a few sentences, all from the measured rows."""
    majority, name = most_frequent(results.setup.data.test), results.setup.data.name
    stuck = [
        row["network"]
        for row in results.compared.values()
        if row["test_accuracy"] < majority + 3 * row["test_accuracy_se"]
    ]
    lines = [
        f"**{best['network']}** has the best validation accuracy ({best['val_accuracy']:.1%}) and a test accuracy of "
        f"{best['test_accuracy']:.1%} ± {accuracy_error(best)} ("
        + (f"standard deviation over {best['seeds']} seeds)." if best["seeds"] > 1 else "standard error)."),
        f"{'Always' if stuck else 'None ends at'} the most frequent digit ({majority:.1%} of the test images)"
        + (f": {', '.join(stuck)}." if stuck else "."),
        f"Data: {name}; preset: {results.options.preset}.",
    ]
    if results.options.preset == "quick":
        grown = [ZOO[network].title for network, _ in results.compared if ZOO[network].quick.recipe.grow]
        lines.append(
            "A quick run gives networks that work and no ranking of architectures"
            + (f" ({', '.join(grown)}: most steps without some layers, which joined at the end)" if grown else "")
            + ": see the `full` preset."
        )
    if muon := [
        ZOO[network].title
        for network, recipe in results.compared
        if recipe == "tuned" and getattr(ZOO[network], results.options.preset).recipe.optimizer == "muon"
    ]:
        lines.append(f"Kernels trained by Muon (Jordan, 2024): {', '.join(muon)}.")
    return "\n\n".join(lines)


def result_line(row: dict) -> str:
    """Return a row of the table as a line for the terminal."""
    if "error" in row:
        return f"{row['network']}: failed: {row['error']}"
    return (
        f"{row['network']}: test accuracy {row['test_accuracy']:.1%} ± {accuracy_error(row)} "
        + (f"over {row['seeds']} seeds, " if row["seeds"] > 1 else "")
        + f"after {row['seconds']:,.0f} s"
        + (f", registered version {row['version']}" if row["version"] else "")
    )


def accuracy_error(row: dict) -> str:
    """Return the test accuracy's standard deviation over the seeds; of one seed its standard error over the images."""
    value = row.get("test_accuracy_std", row["test_accuracy_se"])
    return f"{value:.1%}" if value >= 0.001 else f"{value:.2%}"  # seeds may agree to a hundredth of a percent


def zoo_table(rows: list[dict]) -> str:
    """Return the table of the networks as Markdown."""
    lines = [
        "| network | seeds | test accuracy | val accuracy | parameters | MFLOP an image | images | images/s "
        "| seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['network']} | | failed: {row['error']} | | {row['parameters']:,} | | | | |")
            continue
        lines.append(
            f"| {row['network']} | {row['seeds']} | {row['test_accuracy']:.1%} ± {accuracy_error(row)} "
            f"| {row['val_accuracy']:.1%} | {row['parameters']:,} | {row['flops'] / 1e6:,.1f} | {row['images']:,} "
            f"| {row['images_per_second']:,.0f} | {row['seconds']:,.1f} |"
        )
    return "\n".join(lines)
