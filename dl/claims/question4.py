"""Judges of question 4: six networks on SVHN."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist, fmean, stdev

from dl.claims.verdict import Verdict, holm

NEAR = 0.05  # an accuracy within five points of the document's is the document's
SPIKE = 0.25  # a validation loss that rises by more than this share of the epoch's before it is a spike ...
# ... if that is also more than 0.1 nats: the true digit's probability falls by a tenth in the geometric mean, more than
# five standard errors of the difference between two epochs on 6,000 images whose losses deviate by one nat
SPIKE_FLOOR = 0.1


def not_the_documents(claim: str, setting: dict, told: str, numbers: dict) -> Verdict | None:
    """Return "not tested" where the runs cannot speak for the document's, else None.

    They cannot where they had other data, or less training than it had. told, numbers: what they measured anyway.
    """
    lacks = [
        what
        for what, there in (
            (f"SVHN (these are {setting['dataset']})", setting["dataset"] == "svhn"),
            ("the document's images, size and epochs (preset full)", setting["preset"] == "full"),
            ("as many as that preset has (no --images, no --epochs)", not setting.get("changed")),
            ("the ImageNet weights that it began with", not setting.get("weights_missing")),
        )
        if not there
    ]
    return Verdict(claim, "not tested", f"It takes {'; '.join(lacks)}. Here: {told}.", numbers) if lacks else None


def judge_q4_rise(claim: str, runs: Sequence[dict], setting: dict, first: float, last: float) -> Verdict:
    """Judge whether a network rises steadily from accuracy `first` to `last` by the document's recipe.

    runs: one a seed, each with `val_accuracy`, one an epoch, `val_images`, how many were scored, and `diverged`.
    setting: `dataset` and `preset`. An epoch loses accuracy beyond noise where it falls by more than two independent
    samples of as many images would differ, at 5% over all epochs and seeds (Bonferroni). A training that diverged
    did not rise.
    """
    if not runs:
        return Verdict(claim, "not tested", "The document's recipe was not run (`-P recipe=both`).")
    whole = [run for run in runs if not run["diverged"]]
    falls = [fall for run in whole for fall in pairwise(run["val_accuracy"])]
    z = NormalDist().inv_cdf(1 - 0.05 / max(1, len(falls)))
    drops = sum(
        before - after > z * math.sqrt((before * (1 - before) + after * (1 - after)) / run["val_images"])
        for run in whole
        for before, after in pairwise(run["val_accuracy"])
    )
    diverged = len(runs) - len(whole)
    told = f"by the document's recipe {diverged} of {len(runs)} trainings diverged" if diverged else ""
    numbers = {"drops": drops, "seeds": len(runs), "diverged": diverged}
    if whole:
        starts, ends = (fmean(run["val_accuracy"][epoch] for run in whole) for epoch in (0, -1))
        numbers |= {"first": starts, "last": ends}
        told += (", the others went " if diverged else "by the document's recipe ") + (
            f"from {starts:.1%} after the first epoch to {ends:.1%} after the last "
            f"({len(whole)} seed{'s' * (len(whole) > 1)}), {drops} of {len(falls)} steps lose accuracy beyond noise"
        )
    if untested := not_the_documents(claim, setting, told, numbers):
        return untested
    holds = not diverged and not drops and abs(starts - first) <= NEAR and abs(ends - last) <= NEAR
    reason = f"The document: {first:.0%} to {last:.0%}. Measured {told}."
    return Verdict(claim, "confirmed" if holds else "refuted", reason, numbers)


def judge_q4_alexnet(document: Sequence[dict], arms: Mapping[str, dict], majority: float, setting: dict) -> Verdict:
    """Judge whether AlexNet sticks to the most frequent digit, and whether its architecture is why.

    document: runs of the document's recipe, one a seed, each with `test_accuracy`. arms: "random weights", which is
    that recipe without ImageNet's weights, and with one thing changed from there "another learning rate", "another
    initialisation", "another architecture"; likewise. A training that diverged has no `test_accuracy` and did not
    learn. majority: the most frequent digit's share of the test images, of which there are setting["test_images"]. A
    network is stuck within three standard errors of that share.
    """
    claim, bar = "Q4-alexnet", majority + 3 * math.sqrt(majority * (1 - majority) / setting["test_images"])
    if not document or len(arms) < 2:
        return Verdict(claim, "not tested", "The ablation was not run (`-P recipe=both`).")

    def learns(run: dict) -> bool:
        return run.get("test_accuracy", 0.0) > bar

    def tell(run: dict) -> str:
        return f"{run['test_accuracy']:.1%}" if "test_accuracy" in run else "diverged"

    told = f"on {setting['dataset']}, where {majority:.1%} is the most frequent digit, as the document " + ", ".join(
        map(tell, document)
    )
    told += "".join(f"; {'' if name.startswith('random') else 'only '}{name} {tell(arm)}" for name, arm in arms.items())
    numbers = {name: arm.get("test_accuracy") for name, arm in arms.items()}
    numbers |= {"document": [run.get("test_accuracy") for run in document], "majority": majority}
    if untested := not_the_documents(claim, setting, told, numbers):
        return untested
    learnt = sum(map(learns, document))
    same = [name for name in arms if name != "another architecture" and learns(arms[name])]
    if learnt:
        verdict, lead = ("refuted", "It does not stick") if learnt == len(document) else ("depends", "On the seed")
    elif same:
        verdict, lead = "refuted", f"It sticks, but not for its architecture, which learns with {' or '.join(same)}"
    elif learns(arms.get("another architecture", {})):
        verdict, lead = "confirmed", "Only another architecture learns"
    else:
        verdict, lead = "not tested", "Nothing learns within this budget"
    return Verdict(claim, verdict, f"{lead}: {told}.", numbers)


def judge_q4_vgg(document: Sequence[dict], tuned: Sequence[dict], setting: dict) -> Verdict:
    """Judge whether VGG-16's validation loss spikes: by both recipes, by one of them or by neither.

    document, tuned: the runs by that recipe, one a seed, each with `val_loss`, one an epoch, and `diverged`, which
    counts as a spike in the epoch after the last.
    """
    if not document or not tuned:
        return Verdict("Q4-vgg", "not tested", "It takes both recipes (`-P recipe=both`).")
    spikes = [
        sum(spikes_up(before, after) for run in runs for before, after in pairwise(run["val_loss"]))
        + sum(run["diverged"] for run in runs)
        for runs in (document, tuned)
    ]
    epochs = [sum(len(run["val_loss"]) + run["diverged"] for run in runs) for runs in (document, tuned)]
    told = " and ".join(
        f"{spiked} of {all_} epochs of the {name} recipe"
        for spiked, all_, name in zip(spikes, epochs, ("document's", "tuned"), strict=True)
    )
    told = (
        f"the validation loss jumps by more than {SPIKE:.0%} and {SPIKE_FLOOR:g} nats, or is lost altogether, in {told}"
    )
    numbers = {"document": spikes[0], "tuned": spikes[1], "document_epochs": epochs[0], "tuned_epochs": epochs[1]}
    if untested := not_the_documents("Q4-vgg", setting, told, numbers):
        return untested
    verdict = "confirmed" if all(spikes) else "depends" if any(spikes) else "refuted"
    on = "On the recipe: " if verdict == "depends" else ""
    reason = f"{on}{told}."
    return Verdict("Q4-vgg", verdict, reason[0].upper() + reason[1:], numbers)


def spikes_up(before: float, after: float) -> bool:
    """True if a validation loss, in nats, jumps from one epoch to the next; one that is no number does."""
    return not after <= before + max(SPIKE * before, SPIKE_FLOOR)


def judge_q4_depth(accuracies: Mapping[str, Mapping[str, Sequence[float | None]]], setting: dict) -> Verdict:
    """Judge whether ResNet-50 and -101 do not surpass ResNet-18.

    accuracies: recipe -> network ("resnet18", "resnet50", "resnet101") -> test accuracies, one a seed, None where the
    training diverged. What diverges surpasses nothing. A network surpasses another where `chance_above` is at most 5%,
    Holm-corrected over all pairs. One that may be above, but not surely, leaves the question open, as does a single
    seed: too few confirm nothing. Two networks that both always diverge are not compared.
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
    numbers = {recipe: {name: list(values) for name, values in nets.items()} for recipe, nets in accuracies.items()}

    def say(verdict: str, lead: str) -> Verdict:
        return Verdict("Q4-depth", verdict, f"{lead}: {told}.", numbers)

    if not pairs:
        return Verdict("Q4-depth", "not tested", "It takes ResNet-18 and a deeper ResNet by one recipe.", numbers)
    if untested := not_the_documents("Q4-depth", setting, told, numbers):
        return untested
    if any(len(values) < 2 for _, *pair in pairs for values in pair):
        return say("not tested", "One seed has no spread (`-P seeds=3`)")
    compared = [pair for pair in pairs if completed(pair[1]) or completed(pair[2])]
    if not compared:
        return say("not tested", "All diverge, so that there is nothing to compare")
    sure = holm([chance_above(deeper, shallow) for _, deeper, shallow in compared])
    above = {recipe for (recipe, *_), proven in zip(compared, sure, strict=True) if proven}
    if above == {recipe for recipe, *_ in compared}:
        return say("refuted", "One is above ResNet-18 by every recipe")
    if above:
        return say("depends", f"On the recipe, one is above ResNet-18 by the {' and '.join(sorted(above))} one")
    if any(may_be_above(deeper, shallow) for _, deeper, shallow in compared):
        return say("not tested", "One may be above ResNet-18; it takes more seeds to tell that from chance")
    return say("confirmed", "None is above ResNet-18")


def completed(accuracies: Sequence[float | None]) -> list[float]:
    """Return the accuracies of the trainings that did not diverge."""
    return [accuracy for accuracy in accuracies if accuracy is not None]


def chance_above(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> float:
    """Return the one-sided p-value of `deeper` being no better than `shallow`; accuracies, None: diverged.

    Welch's t-test on the trainings that did not diverge. Where `shallow` always does, Fisher's exact test on how many
    did. 1 where fewer than two accuracies have no spread.
    """
    from scipy.stats import fisher_exact, ttest_ind  # a second: not at import

    deep, flat = completed(deeper), completed(shallow)
    if not flat:
        counts = [[len(deep), len(deeper) - len(deep)], [0, len(shallow)]]
        return float(fisher_exact(counts, alternative="greater").pvalue)
    if min(len(deep), len(flat)) < 2:
        return 1.0
    chance = ttest_ind(deep, flat, equal_var=False, alternative="greater").pvalue
    return 1.0 if math.isnan(chance) else float(chance)  # nan: equal to the last image


def may_be_above(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> bool:
    """True if `deeper` has the higher mean accuracy, or diverges less often, than `shallow`."""
    deep, flat = completed(deeper), completed(shallow)
    if not deep:
        return False
    return not flat or fmean(deep) > fmean(flat) or len(deep) / len(deeper) > len(flat) / len(shallow)


def tell_seeds(accuracies: Sequence[float | None]) -> str:
    """Return mean and standard deviation over the seeds, and how many of them diverged, as text."""
    values, seeds = completed(accuracies), len(accuracies)
    if not values:
        return "diverged" if seeds == 1 else f"diverged with all {seeds} seeds"
    told = f"{fmean(values):.1%}" + (f" ± {stdev(values):.1%}" if len(values) > 1 else "")
    return told + (f" ({seeds - len(values)} of {seeds} seeds diverged)" if len(values) < seeds else "")


def judge_q4(runs: Sequence[dict], majority: float, setting: dict) -> list[Verdict]:
    """Judge all five claims of question 4.

    runs: one a network, recipe ("tuned", "document" or an arm of the ablation) and seed, with `network`, `recipe`,
    `val_accuracy` and `val_loss` (one an epoch), `val_images`, `initial_weights`, `diverged` and, where it did not,
    `test_accuracy`. majority: the most frequent digit's share of the test images. setting: `dataset`, `preset`,
    `test_images`, and `changed`: were there other images or epochs than the preset's?
    """

    def of(network: str, recipe: str) -> list[dict]:
        return [run for run in runs if (run["network"], run["recipe"]) == (network, recipe)]

    def started(*networks: str) -> dict:
        """Return the setting, and whether the document's runs of these networks lacked their published weights."""
        mine = [run for network in networks for run in of(network, "document")]
        return setting | {"weights_missing": any(run["initial_weights"].startswith("random") for run in mine)}

    deep = ("resnet18", "resnet50", "resnet101")
    accuracies = {
        recipe: {
            name: [None if run["diverged"] else run["test_accuracy"] for run in of(name, recipe)]
            for name in deep
            if of(name, recipe)
        }
        for recipe in ("document", "tuned")
    }
    arms = {run["recipe"]: run for run in runs if run["recipe"] not in ("tuned", "document")}
    return [
        judge_q4_rise("Q4-lenet", of("lenet5", "document"), setting, 0.17, 0.84),
        judge_q4_alexnet(of("alexnet", "document"), arms, majority, started("alexnet")),
        judge_q4_vgg(of("vgg16", "document"), of("vgg16", "tuned"), started("vgg16")),
        judge_q4_rise("Q4-resnet18", of("resnet18", "document"), started("resnet18"), 0.71, 0.91),
        judge_q4_depth({recipe: nets for recipe, nets in accuracies.items() if nets}, started(*deep)),
    ]
