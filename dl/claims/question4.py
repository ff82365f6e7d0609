"""Judges of question 4: six networks on SVHN."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist

from dl.claims.depth import judge_q4_depth
from dl.claims.rise import judge_q4_rise
from dl.claims.setting import not_the_documents
from dl.claims.verdict import LEVEL, Decision, Verdict, not_tested

SPIKE = 0.25  # a validation loss that rises by more than this share of the epoch's before it is a spike ...
# ... if that is also more than 0.1 nats: the true digit's probability falls by a tenth in the geometric mean, more than
# five standard errors of the difference between two epochs on 6,000 images whose losses deviate by one nat
SPIKE_FLOOR = 0.1


def judge_q4_alexnet(
    document: Sequence[dict], arms: Mapping[str, Sequence[dict]], majority: float, setting: dict
) -> Verdict:
    """Judge whether AlexNet sticks to the most frequent digit, and whether its architecture is why.

    document: runs of the document's recipe, one a seed, each with `test_accuracy`. arms: runs of "random weights",
    which is that recipe without ImageNet's weights, and with one thing changed from there "another learning rate",
    "another initialisation", "another architecture"; likewise. A training that diverged has no `test_accuracy` and did
    not learn. majority: the most frequent digit's share of the test images, of which there are setting["test_images"].

    A training learns where its accuracy is above that share beyond the noise of so many images, at LEVEL over all
    trainings (Bonferroni): one of the same architecture that does refutes. Confirmed needs another architecture that
    learns more often than each of the same, by Fisher's exact test at LEVEL.
    """
    claim, enough = "Q4-alexnet", "5 seeds of the document's recipe and of each arm (`-P recipe=both -P seeds=5`)"
    if not document or len(arms) < 2:
        return not_tested(claim, "The ablation was not run (`-P recipe=both`).", enough)
    groups = {"the document's recipe": document, **arms}
    trainings = sum(map(len, groups.values()))
    error = math.sqrt(majority * (1 - majority) / setting["test_images"])
    bar = majority + NormalDist().inv_cdf(1 - LEVEL / trainings) * error
    learnt = {name: sum(run.get("test_accuracy", 0.0) > bar for run in runs) for name, runs in groups.items()}

    def tell(runs: Sequence[dict]) -> str:
        return ", ".join(f"{run['test_accuracy']:.1%}" if "test_accuracy" in run else "diverged" for run in runs)

    told = f"on {setting['dataset']}, where {majority:.1%} is the most frequent digit, as the document {tell(document)}"
    told += "".join(f"; {'' if name.startswith('random') else 'only '}{name} {tell(arm)}" for name, arm in arms.items())
    numbers: dict = {name: [run.get("test_accuracy") for run in arm] for name, arm in arms.items()}
    numbers |= {"document": [run.get("test_accuracy") for run in document], "majority": majority}
    if untested := not_the_documents(claim, setting, (told, enough), numbers):
        return untested
    same = [name for name in arms if name != "another architecture" and learnt[name]]
    best = max(
        run.get("test_accuracy", 0.0) for name in groups if name != "another architecture" for run in groups[name]
    )
    p, test = min(1.0, trainings * NormalDist().cdf((majority - best) / error)), "z-tests, Bonferroni"
    there = learnt["the document's recipe"]
    if there:
        verdict, lead = ("refuted", "It does not stick") if there == len(document) else ("depends", "On the seed")
    elif same:
        verdict, lead = "refuted", f"It sticks, but not for its architecture, which learns with {' or '.join(same)}"
    elif not learnt.get("another architecture"):
        return not_tested(
            claim, f"Nothing learns within this budget: {told}.", "a longer training of every arm", numbers
        )
    else:
        p, test = (
            max(_more_often(groups, learnt, name) for name in groups if name != "another architecture"),
            "Fisher's",
        )
        if p > LEVEL:
            return not_tested(claim, f"Too few seeds to tell that from chance: {told}.", enough, numbers)
        verdict, lead = "confirmed", "Only another architecture learns"
    half = NormalDist().inv_cdf(1 - LEVEL / 2 / trainings) * error  # the best of all: for all together
    decision = Decision(
        f"{test} at {LEVEL:.0%}",
        "one training of the same architecture that learns" if verdict == "confirmed" else "trainings that all stick",
        trainings,
        "trainings",
        "best accuracy of the same architecture less the most frequent digit's share",
        (best - majority, best - majority - half, best - majority + half),
        p,
    )
    return Verdict(claim, verdict, f"{lead}: {told}.", numbers, decision)


def _more_often(groups: Mapping[str, Sequence[dict]], learnt: Mapping[str, int], name: str) -> float:
    """Return Fisher's one-sided p-value of another architecture learning no more often than the group `name`."""
    from scipy.stats import fisher_exact  # a second: not at import

    table = [[learnt[key], len(groups[key]) - learnt[key]] for key in ("another architecture", name)]
    return float(fisher_exact(table, alternative="greater").pvalue)


def judge_q4_vgg(document: Sequence[dict], tuned: Sequence[dict], setting: dict) -> Verdict:
    """Judge whether VGG-16's validation loss spikes: by both recipes, by one of them or by neither.

    document, tuned: the runs by that recipe, one a seed, each with `val_loss`, one an epoch, and `diverged`, which
    counts as a spike in the epoch after the last. A recipe is erratic where most trainings spike, calm where most do
    not: binomial tests against one half, at LEVEL each.
    """
    enough = "20 seeds by both recipes, if 19 in 20 trainings agree (`-P recipe=both -P seeds=20`)"
    if not document or not tuned:
        return not_tested("Q4-vgg", "It takes both recipes (`-P recipe=both`).", enough)
    from scipy.stats import binomtest  # a second: not at import

    recipes = {"document": document, "tuned": tuned}
    spikes = {name: [_spikes_of(run) for run in runs] for name, runs in recipes.items()}
    epochs = {name: sum(len(run["val_loss"]) + run["diverged"] for run in runs) for name, runs in recipes.items()}
    told = " and ".join(
        f"{sum(spikes[name])} of {epochs[name]} epochs, in {sum(map(bool, spikes[name]))} of {len(runs)} trainings, of "
        f"the {title} recipe"
        for (name, runs), title in zip(recipes.items(), ("document's", "tuned"), strict=True)
    )
    told = (
        f"the validation loss jumps by more than {SPIKE:.0%} and {SPIKE_FLOOR:g} nats, or is lost altogether, in {told}"
    )
    numbers = {name: sum(found) for name, found in spikes.items()}
    numbers |= {f"{name}_epochs": count for name, count in epochs.items()}
    numbers |= {f"{name}_trainings": sum(map(bool, found)) for name, found in spikes.items()}
    if untested := not_the_documents("Q4-vgg", setting, (told, enough), numbers):
        return untested
    odd = {name: binomtest(sum(map(bool, found)), len(found)) for name, found in spikes.items()}
    p = max(binomtest(r.k, r.n, 0.5, "greater" if 2 * r.k > r.n else "less").pvalue for r in odd.values())
    if p > LEVEL:
        reason = f"Too few trainings to tell most from chance: {told}."
        return not_tested("Q4-vgg", reason, enough, numbers)
    erratic = [2 * r.k > r.n for r in odd.values()]
    verdict = "confirmed" if all(erratic) else "depends" if any(erratic) else "refuted"
    on = "On the recipe: " if verdict == "depends" else ""
    reason = f"{on}{told}."
    share = odd["document"].proportion_ci(1 - LEVEL)
    decision = Decision(
        f"binomial tests at {LEVEL:.0%}",
        "trainings that do otherwise, by either recipe",
        min(r.n for r in odd.values()),
        "seeds a recipe",
        "share of the document's trainings that spike",
        (odd["document"].statistic, float(share.low), float(share.high)),
        float(p),
    )
    return Verdict("Q4-vgg", verdict, reason[0].upper() + reason[1:], numbers, decision)


def _spikes_of(run: dict) -> int:
    return sum(spikes_up(*pair) for pair in pairwise(run["val_loss"])) + run["diverged"]


def spikes_up(before: float, after: float) -> bool:
    """True if a validation loss, in nats, jumps from one epoch to the next; one that is no number does."""
    return not after <= before + max(SPIKE * before, SPIKE_FLOOR)


def judge_q4(runs: Sequence[dict], majority: float, setting: dict) -> list[Verdict]:
    """Judge all five claims of question 4.

    runs: one a network, recipe ("tuned", "document" or an arm of the ablation) and seed, with `network`, `recipe`,
    `val_accuracy` and `val_loss` (one an epoch), `val_images`, `initial_weights`, `short` (fewer images or epochs than
    the document's), `diverged` and, where it did not, `test_accuracy`. majority: the most frequent digit's share of the
    test images. setting: `dataset`, `preset`, `test_images`, `changed`: were there other images or epochs than the
    preset's? With `generated` the verdicts are about generated digits, not about SVHN.
    """

    def of(network: str, recipe: str) -> list[dict]:
        return [run for run in runs if (run["network"], run["recipe"]) == (network, recipe)]

    def setting_of(*networks: str, without: str = "tuned") -> dict:
        """Return the setting, and whether these networks' trainings lacked published weights or were short.

        without: a recipe that the claim does not speak of.
        """
        mine = [run for run in runs if run["network"] in networks and run["recipe"] != without]
        lacking = any(run["initial_weights"].startswith("random (") for run in mine)
        return setting | {"weights_missing": lacking, "short": any(run["short"] for run in mine)}

    deep = ("resnet18", "resnet50", "resnet101")
    accuracies = {
        recipe: {
            name: [None if run["diverged"] else run["test_accuracy"] for run in of(name, recipe)]
            for name in deep
            if of(name, recipe)
        }
        for recipe in ("document", "tuned")
    }
    arms: dict[str, list[dict]] = {}
    for run in runs:
        if run["recipe"] not in ("tuned", "document"):
            arms.setdefault(run["recipe"], []).append(run)
    return [
        judge_q4_rise("Q4-lenet", of("lenet5", "document"), setting_of("lenet5"), 0.17, 0.84),
        judge_q4_alexnet(of("alexnet", "document"), arms, majority, setting_of("alexnet")),
        judge_q4_vgg(of("vgg16", "document"), of("vgg16", "tuned"), setting_of("vgg16", without="")),
        judge_q4_rise("Q4-resnet18", of("resnet18", "document"), setting_of("resnet18"), 0.71, 0.91),
        judge_q4_depth({recipe: nets for recipe, nets in accuracies.items() if nets}, setting_of(*deep, without="")),
    ]
