"""Question 4's judges: each verdict can come out otherwise."""

import pytest

from dl import claims
from dl.claims import question4
from dl.claims.depth import judge_q4_depth
from dl.claims.rise import NEAR, judge_q4_rise

FULL = {"dataset": "svhn", "preset": "full", "test_images": 26_032}
RISE = [0.71, 0.78, 0.82, 0.85, 0.87, 0.88, 0.89, 0.90, 0.905, 0.91]


SEEDS = (-0.004, -0.002, 0.0, 0.002, 0.004)  # by how much each differs


def rise(curve, setting=FULL, images=6000, seeds=SEEDS):
    runs = [{"val_accuracy": [a + s for a in curve], "val_images": images, "diverged": False} for s in seeds]
    return judge_q4_rise("Q4-resnet18", runs, setting, 0.71, 0.91)


def test_a_steady_rise_between_the_documents_accuracies_confirms_it():
    assert rise(RISE).verdict == "confirmed"


@pytest.mark.parametrize(
    "curve",
    [
        [0.51, *RISE[1:]],  # starts elsewhere
        [*RISE[:-1], 0.98],  # ends elsewhere
        [*RISE[:4], 0.75, *RISE[5:]],  # falls by ten points
    ],
)
def test_another_start_another_end_or_a_fall_refutes_it(curve):
    assert rise(curve).verdict == "refuted"


def test_a_fall_within_five_points_or_the_noise_of_so_few_images_is_none():
    assert rise([*RISE[:4], 0.83, *RISE[5:]]).verdict == "confirmed"
    assert rise([*RISE[:4], 0.80, *RISE[5:]]).verdict == "not tested"  # by five: neither is proven
    falling = [*RISE[:4], 0.76, *RISE[5:]]
    assert [rise(falling, images=n).numbers["drops"] for n in (600, 60_000)] == [0, 5]
    assert rise(falling, images=600).verdict == "not tested"  # nor is it proven that none falls by five points


def test_one_seed_can_fall_but_not_confirm():
    assert rise(RISE, seeds=SEEDS[:1]).verdict == "not tested"
    assert "5 seeds" in rise(RISE, seeds=SEEDS[:1]).decision.change
    found = rise([*RISE[:4], 0.75, *RISE[5:]], seeds=SEEDS[:1])
    assert found.verdict == "refuted"
    assert found.decision.effect == "largest loss of accuracy in an epoch"
    loss, low, high = found.decision.interval
    assert loss == pytest.approx(0.10)
    assert NEAR < low < loss < high  # the interval is of what decided


def test_seeds_that_scatter_leave_it_open_and_tell_how_many_are_enough():
    found = rise(RISE, seeds=(-0.03, 0.0, 0.03))
    assert found.verdict == "not tested"
    assert "8 seeds, if they scatter as these" in found.decision.change


def test_a_training_that_diverged_did_not_rise():
    runs = [{"val_accuracy": curve, "val_images": 6000, "diverged": curve != RISE} for curve in (RISE, RISE[:4], [])]
    found = judge_q4_rise("Q4-resnet18", runs, FULL, 0.71, 0.91)
    assert found.verdict == "refuted"
    assert "2 of 3 trainings diverged, the others went from 71.0%" in found.reason
    found = judge_q4_rise("Q4-resnet18", runs[1:], FULL, 0.71, 0.91)
    assert (found.verdict, found.numbers["diverged"]) == ("refuted", 2)


@pytest.mark.parametrize("lacks", [{"dataset": "street-digits"}, {"preset": "quick"}, {"changed": True}])
def test_other_data_or_a_smaller_budget_cannot_speak_for_the_document(lacks):
    setting = FULL | lacks
    verdicts = [
        rise(RISE, setting),
        question4.judge_q4_vgg(*losses([2, 1], [2, 1]), setting),
        judge_q4_depth({"tuned": {"resnet18": [0.9, 0.91], "resnet50": [0.8, 0.81]}}, setting),
        *(question4.judge_q4_alexnet(*arms(*values), 0.19, setting) for values in ABLATIONS),
    ]
    assert {verdict.verdict for verdict in verdicts} == {"not tested"}
    assert "71.0%" in verdicts[0].reason  # yet the numbers are told


def test_what_was_not_run_is_not_tested():
    assert judge_q4_rise("Q4-lenet", [], FULL, 0.17, 0.84).verdict == "not tested"
    assert question4.judge_q4_alexnet([], {}, 0.19, FULL).verdict == "not tested"
    assert question4.judge_q4_alexnet([], arms(0.9, 0.9, 0.9, 0.9, 0.9)[1], 0.19, FULL).verdict == "not tested"
    assert question4.judge_q4_vgg([], losses([2, 1])[0], FULL).verdict == "not tested"
    assert judge_q4_depth({"tuned": {"resnet18": [0.9]}}, FULL).verdict == "not tested"


def losses(*curves, diverged=False, seeds=7):
    return [[{"val_loss": curve, "diverged": diverged}] * seeds for curve in curves]


def arms(document, bare, rate, start, shape, seeds=5):
    """The document's runs and the ablation's; None: it diverged."""
    values = {
        "random weights": bare, "another learning rate": rate, "another initialisation": start,
        "another architecture": shape,
    }  # fmt: skip
    runs = {name: [{} if value is None else {"test_accuracy": value}] * seeds for name, value in values.items()}
    return [{"test_accuracy": document} if document else {}] * seeds, runs


ABLATIONS = {
    (0.19, 0.19, 0.90, 0.19, 0.92): ("refuted", "learns with another learning rate:"),
    (0.19, 0.19, 0.19, 0.85, 0.92): ("refuted", "learns with another initialisation:"),
    (0.19, 0.19, 0.90, 0.85, 0.92): ("refuted", "another learning rate or another initialisation:"),
    (0.19, 0.93, 0.19, 0.19, 0.92): ("refuted", "learns with random weights:"),  # ImageNet's are what it sticks by
    (0.19, 0.19, 0.19, 0.19, 0.92): ("confirmed", "Only another architecture"),
    (None, None, 0.19, 0.19, 0.92): ("confirmed", "diverged, diverged; random weights diverged"),
    (0.19, 0.19, 0.19, 0.19, 0.19): ("not tested", "Nothing learns"),
    (0.90, 0.19, 0.19, 0.19, 0.92): ("refuted", "does not stick"),  # whatever it does from random weights
}


@pytest.mark.parametrize(("accuracies", "expected"), ABLATIONS.items())
def test_the_ablation_tells_learning_rate_initialisation_and_architecture_apart(accuracies, expected):
    result = question4.judge_q4_alexnet(*arms(*accuracies), 0.19, FULL)
    assert result.verdict == expected[0]
    assert expected[1] in result.reason
    one = question4.judge_q4_alexnet(*arms(*accuracies, seeds=1), 0.19, FULL).verdict
    assert one == ("not tested" if expected[0] == "confirmed" else expected[0])  # one training each may be chance


def test_alexnet_that_sticks_with_some_seeds_depends_on_the_seed():
    _, rest = arms(0.19, 0.19, 0.19, 0.19, 0.92)
    document = [{"test_accuracy": accuracy} for accuracy in (0.19, 0.9)]
    assert question4.judge_q4_alexnet(document, rest, 0.19, FULL).verdict == "depends"


@pytest.mark.parametrize(
    ("document", "tuned", "verdict"),
    [
        ([2.3, 1.0, 1.9, 0.8], [2.0, 1.0, 0.5, 0.3], "depends"),
        ([2.3, 1.0, 1.9, 0.8], [2.0, 1.0, 1.5, 0.3], "confirmed"),
        ([2.3, 2.3, 2.3, 2.3], [2.0, 1.0, 1.1, 0.3], "refuted"),
        ([2.3, 1.0, float("nan"), 0.8], [2.0, 1.0, 0.5, 0.3], "depends"),  # a loss that is none is no calm one
        ([0.02, 0.01, 0.02, 0.01], [0.30, 0.20, 0.29, 0.2], "refuted"),  # twice next to nothing is next to nothing
    ],
)
def test_spikes_are_counted_by_recipe(document, tuned, verdict):
    assert question4.judge_q4_vgg(*losses(document, tuned), FULL).verdict == verdict
    assert question4.judge_q4_vgg(*losses(document, tuned, seeds=6), FULL).verdict == "not tested"


def test_a_loss_that_is_lost_is_no_calm_one():
    calm = [2.3, 2.2, 2.1]
    [lost, tuned] = losses(calm, diverged=True) + losses(calm)
    assert question4.judge_q4_vgg(lost, tuned, FULL).numbers == {
        "document": 7, "tuned": 0, "document_epochs": 28, "tuned_epochs": 21, "document_trainings": 7,
        "tuned_trainings": 0,
    }  # fmt: skip
    assert question4.judge_q4_vgg(losses([], diverged=True)[0], tuned, FULL).verdict == "depends"


@pytest.mark.parametrize(
    ("document", "tuned", "verdict"),
    [
        ([0.80, 0.81, 0.82], [0.970, 0.971, 0.972], "confirmed"),
        ([0.80, 0.81, 0.82], [0.980, 0.981, 0.982], "depends"),
        ([0.95, 0.951, 0.952], [0.980, 0.981, 0.982], "refuted"),
        ([0.80, 0.81, 0.82], [0.960, 0.975, 0.983], "not tested"),  # higher in the mean, but within the spread
    ],
)
def test_depth_pays_only_beyond_the_spread_of_seeds(document, tuned, verdict):
    accuracies = {
        "document": {"resnet18": [0.91, 0.911, 0.912], "resnet50": document},
        "tuned": {"resnet18": [0.970, 0.971, 0.972], "resnet50": tuned},
    }
    assert judge_q4_depth(accuracies, FULL).verdict == verdict


def test_one_seed_has_no_spread_and_equal_accuracies_no_winner():
    one = {"tuned": {"resnet18": [0.97], "resnet101": [0.99]}}
    assert judge_q4_depth(one, FULL).verdict == "not tested"
    equal = {"tuned": {"resnet18": [0.97, 0.97], "resnet101": [0.97, 0.97]}}
    assert judge_q4_depth(equal, FULL).verdict == "not tested"


@pytest.mark.parametrize(("seeds", "verdict"), [(3, "not tested"), (30, "confirmed")])
def test_a_mean_that_is_merely_below_confirms_nothing(seeds, verdict):
    shallow = [0.970, 0.973, 0.967] * (seeds // 3)
    accuracies = {"tuned": {"resnet18": shallow, "resnet50": [value - 0.0001 for value in shallow]}}
    assert judge_q4_depth(accuracies, FULL).verdict == verdict


LOST, GOOD = [None] * 3, [0.90, 0.91, 0.90]  # a training that diverged has no accuracy


@pytest.mark.parametrize(
    ("shallow", "deep", "verdict", "told"),
    [
        ([0.9, 0.91] * 3, [None] * 5, "confirmed", "resnet50 diverged with all 5 seeds"),  # it surpasses nothing
        (GOOD, LOST, "not tested", "takes more seeds"),  # 3 of 3 beside 0 of 3: p = 1/20
        (GOOD, [0.80, 0.81, None], "confirmed", "resnet50 80.5% ± 0.7% (1 of 3 seeds diverged)"),
        (GOOD, [0.95, None, None], "not tested", "takes more seeds"),  # one that came through is no proof
        (GOOD, [0.95, 0.951, None], "refuted", "resnet50 95.0% ± 0.1% (1 of 3 seeds diverged)"),
        ([0.90, None, None], [0.80, 0.81, 0.80], "not tested", "takes more seeds"),  # the shallow one fails more often
        ([None] * 5, [0.80] * 5, "refuted", "resnet18 diverged with all 5 seeds"),  # 5 of 5 beside 0 of 5: p = 1/252
        ([None] * 4, [0.80] * 4, "not tested", "takes more seeds"),  # p = 1/70
        (LOST[:2], [0.80, 0.81], "not tested", "takes more seeds"),
        (LOST, LOST, "not tested", "nothing to compare"),
        (GOOD, [None], "not tested", "takes more seeds"),
    ],
)
def test_a_deeper_network_that_diverges_does_not_surpass(shallow, deep, verdict, told):
    found = judge_q4_depth({"tuned": {"resnet18": shallow, "resnet50": deep}}, FULL)
    assert found.verdict == verdict
    assert told in found.reason
    assert found.numbers["tuned"] == {"resnet18": shallow, "resnet50": deep}


def test_a_recipe_by_which_every_network_diverges_says_nothing_of_depth():
    close = [0.9000, 0.9005, 0.9010] * 4
    accuracies = {"document": {"resnet18": LOST, "resnet50": LOST}, "tuned": {"resnet18": close, "resnet50": close}}
    assert judge_q4_depth(accuracies, FULL).verdict == "confirmed"
    accuracies["tuned"]["resnet50"] = [0.95, 0.951, 0.95]
    assert judge_q4_depth(accuracies, FULL).verdict == "refuted"


def test_trainings_that_diverged_reach_the_judge_of_depth():
    runs = [trained(name, "tuned", 0.97) for name in ["resnet18"] * 5 + ["resnet50"] * 5]
    for run in runs[5:]:
        run["diverged"] = True
        del run["test_accuracy"]
    [depth] = [verdict for verdict in claims.judge_q4(runs, 0.19, FULL) if verdict.claim == "Q4-depth"]
    assert depth.verdict == "confirmed"
    assert "resnet50 diverged with all 5 seeds" in depth.reason


def trained(network, recipe, accuracy, weights="random"):
    curve = [accuracy - 0.2, accuracy - 0.1, accuracy]
    return {
        "network": network, "recipe": recipe, "val_accuracy": curve, "val_loss": [2.0, 1.0, 0.5], "val_images": 6000,
        "test_accuracy": accuracy, "initial_weights": weights, "diverged": False, "short": False,
    }  # fmt: skip


def test_every_claim_gets_the_runs_that_it_speaks_of():
    runs = [trained("lenet5", "document", 0.84), *[trained("vgg16", "tuned", 0.97)] * 7]
    runs += [trained("vgg16", "document", 0.9, "VGG16_Weights.IMAGENET1K_V1")] * 7
    runs += [trained("resnet18", "document", 0.91, "random (ResNet18_Weights.IMAGENET1K_V1 not to be had)")]
    runs += [trained(name, "tuned", 0.97) for name in ("resnet18", "resnet50") for _ in range(2)]
    ablation = arms(0.19, 0.19, 0.9, 0.19, 0.9)[1].items()
    runs += [trained("alexnet", arm, run["test_accuracy"]) for arm, repeats in ablation for run in repeats]
    runs += [trained("alexnet", "document", 0.19, "AlexNet_Weights.IMAGENET1K_V1")]
    verdicts = {verdict.claim: verdict for verdict in claims.judge_q4(runs, 0.19, FULL)}
    assert set(verdicts) == {claim.id for claim in claims.CLAIMS.values() if claim.question == 4}
    assert verdicts["Q4-lenet"].numbers["last"] == pytest.approx(0.84)
    assert verdicts["Q4-alexnet"].verdict == "refuted"
    assert verdicts["Q4-alexnet"].numbers["another learning rate"] == [0.9] * 5
    assert verdicts["Q4-vgg"].verdict == "refuted"
    assert verdicts["Q4-resnet18"].verdict == "not tested"  # the document began with ImageNet's weights
    assert "ImageNet weights" in verdicts["Q4-resnet18"].reason


def test_generated_digits_have_verdicts_of_their_own():
    setting = FULL | {"dataset": "street-digits", "preset": "quick", "changed": True}
    accuracies = {"resnet18": (0.97, 0.971, 0.969, 0.9705, 0.9695), "resnet50": (0.94, 0.941, 0.939, 0.9405, 0.9395)}
    runs = [trained(name, "tuned", value) for name, values in accuracies.items() for value in values]
    runs += [trained("vgg16", "document", 0.9, "random (VGG16_Weights.IMAGENET1K_V1 not to be had)")] * 7
    runs += [trained("vgg16", "tuned", 0.97) | {"short": True}] * 7

    def judged(**more) -> dict:
        return {verdict.claim: verdict for verdict in claims.judge_q4(runs, 0.19, setting | more)}

    assert {verdict.verdict for verdict in judged().values()} == {"not tested"}  # they say nothing of SVHN
    found = judged(generated=True)
    assert found["Q4-depth"].verdict == "confirmed"
    assert found["Q4-vgg"].verdict == "not tested"  # one of the two recipes was short
    assert "-P images=14651 -P epochs=10" in found["Q4-vgg"].decision.change
    runs[-7:] = [trained("vgg16", "tuned", 0.97)] * 7
    assert judged(generated=True)["Q4-vgg"].verdict == "refuted"
