"""Question 4's judges: each verdict can come out otherwise."""

import pytest

from dl import claims

FULL = {"dataset": "svhn", "preset": "full", "test_images": 26_032}
RISE = [0.71, 0.78, 0.82, 0.85, 0.87, 0.88, 0.89, 0.90, 0.905, 0.91]


def rise(curve, setting=FULL, images=6000):
    runs = [{"val_accuracy": curve, "val_images": images}]
    return claims.judge_q4_rise("Q4-resnet18", runs, setting, 0.71, 0.91)


def test_a_steady_rise_between_the_documents_accuracies_confirms_it():
    assert rise(RISE).verdict == "confirmed"


@pytest.mark.parametrize(
    "curve",
    [
        [0.51, *RISE[1:]],  # starts elsewhere
        [*RISE[:-1], 0.97],  # ends elsewhere
        [*RISE[:4], 0.80, *RISE[5:]],  # falls by five points
    ],
)
def test_another_start_another_end_or_a_fall_refutes_it(curve):
    assert rise(curve).verdict == "refuted"


def test_a_fall_within_the_noise_of_so_few_images_is_none():
    falling = [*RISE[:4], 0.84, *RISE[5:]]
    assert rise(falling, images=600).verdict == "confirmed"
    assert rise([*RISE[:4], 0.80, *RISE[5:]], images=600).numbers["drops"] == 0
    assert rise([*RISE[:4], 0.80, *RISE[5:]], images=60_000).numbers["drops"] == 1


@pytest.mark.parametrize("lacks", [{"dataset": "street-digits"}, {"preset": "quick"}])
def test_other_data_or_a_smaller_budget_cannot_speak_for_the_document(lacks):
    setting = FULL | lacks
    verdicts = [
        rise(RISE, setting),
        claims.judge_q4_vgg([{"val_loss": [2, 1]}], [{"val_loss": [2, 1]}], setting),
        claims.judge_q4_depth({"tuned": {"resnet18": [0.9, 0.91], "resnet50": [0.8, 0.81]}}, setting),
        claims.judge_q4_alexnet(arms(0.9, 0.9, 0.9, 0.9), 0.19, setting),  # that it does not stick here says nothing
    ]
    assert {verdict.verdict for verdict in verdicts} == {"not tested"}
    assert "71.0%" in verdicts[0].reason  # yet the numbers are told


def test_what_was_not_run_is_not_tested():
    assert claims.judge_q4_rise("Q4-lenet", [], FULL, 0.17, 0.84).verdict == "not tested"
    assert claims.judge_q4_alexnet({}, 0.19, FULL).verdict == "not tested"
    assert claims.judge_q4_vgg([], [{"val_loss": [2, 1]}], FULL).verdict == "not tested"
    assert claims.judge_q4_depth({"tuned": {"resnet18": [0.9]}}, FULL).verdict == "not tested"


def arms(document, rate, start, shape):
    values = {
        "random weights": document, "another learning rate": rate, "another initialisation": start,
        "another architecture": shape,
    }  # fmt: skip
    return {name: {"test_accuracy": value} for name, value in values.items()}


@pytest.mark.parametrize(
    ("accuracies", "verdict", "because"),
    [
        ((0.19, 0.90, 0.19, 0.92), "refuted", "another learning rate:"),
        ((0.19, 0.19, 0.85, 0.92), "refuted", "another initialisation:"),
        ((0.19, 0.90, 0.85, 0.92), "refuted", "another learning rate or another initialisation:"),
        ((0.19, 0.19, 0.19, 0.92), "confirmed", "Only another architecture"),
        ((0.19, 0.19, 0.19, 0.19), "not tested", "Nothing learns"),
        ((0.90, 0.90, 0.90, 0.92), "refuted", "does not stick"),
    ],
)
def test_the_ablation_tells_learning_rate_initialisation_and_architecture_apart(accuracies, verdict, because):
    result = claims.judge_q4_alexnet(arms(*accuracies), 0.19, FULL)
    assert result.verdict == verdict
    assert because in result.reason


@pytest.mark.parametrize(
    ("document", "tuned", "verdict"),
    [
        ([2.3, 1.0, 1.9, 0.8], [2.0, 1.0, 0.5, 0.3], "depends"),
        ([2.3, 1.0, 1.9, 0.8], [2.0, 1.0, 1.5, 0.3], "confirmed"),
        ([2.3, 2.3, 2.3, 2.3], [2.0, 1.0, 1.1, 0.3], "refuted"),
        ([2.3, 1.0, float("nan"), 0.8], [2.0, 1.0, 0.5, 0.3], "depends"),  # a loss that is none is no calm one
    ],
)
def test_spikes_are_counted_by_recipe(document, tuned, verdict):
    assert claims.judge_q4_vgg([{"val_loss": document}], [{"val_loss": tuned}], FULL).verdict == verdict


@pytest.mark.parametrize(
    ("document", "tuned", "verdict"),
    [
        ([0.80, 0.81, 0.82], [0.970, 0.971, 0.972], "confirmed"),
        ([0.80, 0.81, 0.82], [0.980, 0.981, 0.982], "depends"),
        ([0.95, 0.951, 0.952], [0.980, 0.981, 0.982], "refuted"),
        ([0.80, 0.81, 0.82], [0.960, 0.975, 0.983], "confirmed"),  # higher in the mean, but within the spread
    ],
)
def test_depth_pays_only_beyond_the_spread_of_seeds(document, tuned, verdict):
    accuracies = {
        "document": {"resnet18": [0.91, 0.911, 0.912], "resnet50": document},
        "tuned": {"resnet18": [0.970, 0.971, 0.972], "resnet50": tuned},
    }
    assert claims.judge_q4_depth(accuracies, FULL).verdict == verdict


def test_one_seed_has_no_spread_and_equal_accuracies_no_winner():
    one = {"tuned": {"resnet18": [0.97], "resnet101": [0.99]}}
    assert claims.judge_q4_depth(one, FULL).verdict == "not tested"
    equal = {"tuned": {"resnet18": [0.97, 0.97], "resnet101": [0.97, 0.97]}}
    assert claims.judge_q4_depth(equal, FULL).verdict == "confirmed"


def trained(network, recipe, accuracy, weights="random"):
    curve = [accuracy - 0.2, accuracy - 0.1, accuracy]
    return {
        "network": network, "recipe": recipe, "val_accuracy": curve, "val_loss": [2.0, 1.0, 0.5], "val_images": 6000,
        "test_accuracy": accuracy, "initial_weights": weights,
    }  # fmt: skip


def test_every_claim_gets_the_runs_that_it_speaks_of():
    runs = [trained("lenet5", "document", 0.84), trained("vgg16", "tuned", 0.97)]
    runs += [trained("vgg16", "document", 0.9, "VGG16_Weights.IMAGENET1K_V1")]
    runs += [trained("resnet18", "document", 0.91, "random (ResNet18_Weights.IMAGENET1K_V1 not to be had)")]
    runs += [trained(name, "tuned", 0.97) for name in ("resnet18", "resnet50") for _ in range(2)]
    runs += [trained("alexnet", arm, arm_["test_accuracy"]) for arm, arm_ in arms(0.19, 0.9, 0.19, 0.9).items()]
    verdicts = {verdict.claim: verdict for verdict in claims.judge_q4(runs, 0.19, FULL)}
    assert set(verdicts) == {claim.id for claim in claims.CLAIMS.values() if claim.question == 4}
    assert verdicts["Q4-lenet"].numbers["last"] == pytest.approx(0.84)
    assert verdicts["Q4-alexnet"].verdict == "refuted"
    assert verdicts["Q4-vgg"].verdict == "refuted"
    assert verdicts["Q4-resnet18"].verdict == "not tested"  # the document began with ImageNet's weights
    assert "ImageNet weights" in verdicts["Q4-resnet18"].reason
