"""How often the judges are wrong on planted truths: docs/verdicts.md has 1,000 simulations of each, these are fewer."""

from collections import Counter

import pytest
from scipy.stats import binomtest

from dl.claims import CLAIMS, VERDICTS
from docs.results.verdicts import TRUTHS, Truth, rates, wrong

PROMISED = 0.01  # the rate of false verdicts that docs/verdicts.md promises
SLOW = {"Q1-convergence": 4, "Q2-ce": 0, "Q2-mse": 0, "Q2-none": 0, "Q3-table2": 2, "Q1-unique": 2}
STATISTICAL = [truth for truth in TRUTHS if truth.ladder and truth.claim not in SLOW and truth.right]


def named(truth: Truth) -> str:
    return f"{truth.claim}, {truth.holds}"


def test_every_claim_is_planted_true_and_false():
    right = {claim: {truth.right for truth in TRUTHS if truth.claim == claim} for claim in CLAIMS}
    assert {claim for claim, found in right.items() if not {"confirmed", "refuted"} <= found} == set()


@pytest.mark.parametrize("truth", [t for t in TRUTHS if SLOW.get(t.claim, 1)], ids=named)
def test_false_verdicts_are_as_rare_as_the_level_says(truth):
    simulations = SLOW.get(truth.claim, 30 if truth.claim == "Q4-depth" else 200)  # at 5% ten of 200 would be wrong
    found = rates(truth, simulations)
    assert set(found) <= set(VERDICTS)
    if truth.right:
        false = binomtest(wrong(truth, found), simulations, PROMISED, "greater")
        assert false.pvalue > 1e-3, found
    if truth.right and not truth.ladder:
        assert found == Counter({truth.right: simulations})  # exact: no luck in it


@pytest.mark.parametrize("truth", STATISTICAL, ids=named)
def test_more_seeds_decide_more_often(truth):
    few, many = (rates(truth, 8, n)[truth.right] for n in (2, 60))
    assert few <= many >= 6


def test_a_judge_that_trusts_the_sample_means_would_be_found_out():
    """Deeper is better by one recipe. Two seeds confirm nothing; whoever compares means is wrong too often."""
    depth = next(t for t in TRUTHS if t.claim == "Q4-depth")._replace(right="depends", plant=(-0.02, 0.004), n=2)
    assert wrong(depth, rates(depth, 20)) == 0
    hasty = depth._replace(judge=hasty_depth)
    assert binomtest(wrong(hasty, rates(hasty, 60)), 60, PROMISED, "greater").pvalue < 1e-3


def hasty_depth(rng, seeds, gaps):
    """What the judge of depth once did where nothing was proven: the sample means alone decide."""
    judged = TRUTHS[-1].judge(rng, seeds, gaps)
    means = {recipe: [sum(values) / len(values) for values in nets.values()] for recipe, nets in judged.numbers.items()}
    below = all(max(deeper) < shallow for shallow, *deeper in means.values())
    return type(judged)("Q4-depth", "confirmed", "means") if below else judged


@pytest.mark.parametrize("truth", [t for t in TRUTHS if SLOW.get(t.claim, 1)], ids=named)
def test_a_verdict_carries_what_decided_it(truth):
    import numpy as np

    for n in {truth.n} if truth.claim in SLOW else {truth.n, 30}:
        verdict = truth.judge(np.random.default_rng(0), n, truth.plant)
        decision = verdict.decision
        assert decision.change
        if verdict.verdict == "not tested":
            assert (decision.test, decision.n, decision.p) == ("none", 0, None)
        else:
            value, low, high = decision.interval
            assert low <= value <= high
            assert decision.n > 0
            assert decision.effect
            assert (decision.p is None) == decision.test.startswith("exact")
            assert decision.p is None or verdict.verdict == "depends" or 0 <= decision.p <= PROMISED
