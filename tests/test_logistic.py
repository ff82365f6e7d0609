"""Logistic regression under both losses: gradients, optima, races, survival curves, tuning."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dl.logistic.descent import STARTS, Descent, descend, initial_weights
from dl.logistic.losses import LOSSES, SOFTMAX_LOSSES, corner_gradients, is_right, residual, slope_in_p
from dl.logistic.model import Logistic
from dl.logistic.optimum import (
    best_accuracy,
    classes_overlap,
    hessian,
    is_separable,
    newton_optimum,
    sklearn_gap,
    uniqueness,
)
from dl.logistic.problems import breast_cancer, split_problem, synthetic, ten_digits
from dl.logistic.race import PreparedProblem, Race, first_step, goals
from dl.logistic.statistics import compare_steps, kaplan_meier

LOGITS = torch.tensor([-700.0, -40, -21, -8, -1, -1e-9, 0, 0.5, 3, 21, 40, 700], dtype=torch.float64)


@pytest.fixture(scope="module")
def overlapping():
    return synthetic(separable=False, n=200, d=4)


@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_slope_is_autograds(name, y):
    z, label = LOGITS.clone().requires_grad_(), torch.full_like(LOGITS, y)
    (expected,) = torch.autograd.grad(LOSSES[name].value(z, label).sum(), z)
    assert torch.allclose(LOSSES[name].slope(LOGITS, label), expected, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def three():
    """Features (30, 4) with a column of ones, and three classes as one-hot columns (3, 30)."""
    x = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[:, 3] = 1
    return x, torch.eye(3, dtype=x.dtype)[:, torch.arange(30) % 3].contiguous()


@pytest.mark.parametrize("name", SOFTMAX_LOSSES)
def test_slope_of_many_classes_is_autograds(name, three):
    z = (20 * torch.randn(2, 5, 3, 30, dtype=torch.float64)).requires_grad_()
    loss = SOFTMAX_LOSSES[name]
    (expected,) = torch.autograd.grad(loss.value(z, three[1]).sum(), z)
    assert torch.allclose(loss.slope(z.detach(), three[1]), expected, rtol=0, atol=1e-12)


def test_two_classes_by_softmax_are_logistic_regression():
    """With logits 0 and z: cross-entropy is the same, Brier's score counts the same error for both classes."""
    y, zero = (torch.arange(12) % 2).double(), torch.zeros(12, dtype=torch.float64)
    z, one_hot = torch.stack([zero, LOGITS]), torch.stack([1 - y, y])
    for name, factor in (("ce", 1), ("mse", 2)):
        both = SOFTMAX_LOSSES[name], LOSSES[name]
        assert torch.allclose(both[0].value(z, one_hot), factor * both[1].value(LOGITS, y), rtol=1e-9, atol=1e-12)
        assert torch.allclose(both[0].slope(z, one_hot)[1], factor * both[1].slope(LOGITS, y), rtol=1e-6, atol=1e-15)
    somewhere = LOGITS != 0  # there both classes are as probable
    assert torch.equal(is_right(z, one_hot)[somewhere], is_right(LOGITS, y)[somewhere])


@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_slope_in_p_is_autograds(name, y):
    p = torch.tensor([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999], dtype=torch.float64, requires_grad=True)
    label = torch.full_like(p, y)
    losses = (p - label) ** 2 if name == "mse" else -(label * p.log() + (1 - label) * torch.log1p(-p))
    (expected,) = torch.autograd.grad(losses.sum(), p)
    found = slope_in_p(name, torch.logit(p.detach()), label)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_survive_every_logit(name):
    for dtype in (torch.float32, torch.float64):
        z = torch.tensor([-1e4, -100, 0, 100, 1e4], dtype=dtype)
        for y in (torch.zeros_like(z), torch.ones_like(z)):
            assert LOSSES[name].value(z, y).isfinite().all()
            assert LOSSES[name].slope(z, y).isfinite().all()


def test_cross_entropy_matches_torch():
    y = torch.full_like(LOGITS, 0.3)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, y, reduction="none")
    assert torch.allclose(LOSSES["ce"].value(LOGITS, y), expected, rtol=1e-12)


def test_residual_keeps_what_subtraction_loses():
    z = torch.tensor(40.0, dtype=torch.float64)
    assert residual(z, torch.ones_like(z)).item() == pytest.approx(-math.exp(-40), rel=1e-12)
    assert torch.sigmoid(z) - 1 == 0


def test_corners_say_what_the_formulas_say():
    for row in corner_gradients():
        error = row["distance"]
        assert row["mse_dp"] == pytest.approx(2 * (1 - error))
        assert row["ce_dp"] == pytest.approx(1 / error if error else math.inf, rel=1e-9)
        assert row["mse_dz"] == pytest.approx(2 * (1 - error) ** 2 * error, rel=1e-9)
        assert row["ce_dz"] == pytest.approx(1 - error, rel=1e-12)
        assert row["ce_loss"] == pytest.approx(-math.log(error) if error else math.inf, rel=1e-9)
        assert row["mse_loss"] == pytest.approx((1 - error) ** 2)


def test_problems_are_what_their_names_say():
    data = breast_cancer()
    assert data.x.shape == (569, 30)
    assert is_separable(data.design(), data.y)  # as its authors say
    assert is_separable(synthetic(True).design(), synthetic(True).y)
    assert not is_separable(synthetic(False).design(), synthetic(False).y)
    assert not is_separable(data.only(("mean radius", "mean texture")).design(), data.y)
    x = synthetic(False).standardised()
    assert torch.allclose(x.mean(0), torch.zeros(10, dtype=x.dtype), atol=1e-12)
    assert torch.allclose(x.std(0, correction=0), torch.ones(10, dtype=x.dtype))


def test_split_is_a_stratified_partition():
    data = breast_cancer()
    parts = split_problem(data)
    assert [len(part) for part in parts] == [341, 114, 114]
    assert torch.equal(torch.cat([p.x for p in parts]).sort(0).values, data.x.sort(0).values)
    for part in parts:
        assert float(part.y.mean()) == pytest.approx(float(data.y.mean()), abs=0.01)


def test_optimum_is_scikit_learns():
    assert sklearn_gap(synthetic(separable=False)) < 1e-4


def test_optimum_refuses_separable_classes():
    data = synthetic(separable=True)
    with pytest.raises(ValueError, match="no minimum at finite weights"):
        newton_optimum(data.design(), data.y)


def test_points_of_both_classes_upon_the_plane_that_separates_the_others_are_no_overlap(overlapping):
    assert classes_overlap(overlapping.design(), overlapping.y)
    x, y = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.ones(40)
    x[:, 2], y[x[:, 0] < 0] = 1.0, 0.0
    assert not classes_overlap(x, y)
    x[:2], y[:2] = torch.tensor([0.0, 0.5, 1.0], dtype=x.dtype), torch.tensor([0.0, 1.0])
    assert not is_separable(x, y)  # not with a margin
    assert not classes_overlap(x, y)
    y[(x[:, 0] > 0).nonzero()[:5]] = 0.0
    assert classes_overlap(x, y)


def test_hessian_is_autograds(overlapping):
    x, y, w = overlapping.design(), overlapping.y, torch.randn(5, dtype=torch.float64)
    expected = torch.func.jacrev(torch.func.grad(lambda w: LOSSES["ce"].value(x @ w, y).mean()))(w)
    assert torch.allclose(hessian(x, w), expected, atol=1e-12)


def test_descent_from_every_start_ends_at_the_one_newton_optimum(overlapping):
    found = uniqueness(overlapping, seeds=3, seed=0, steps=1500)
    assert not found["separable"]
    assert found["rank_deficit"] == 0
    assert found["smallest_eigenvalue"] > 0
    assert found["spread"] < 1e-6
    assert found["growth"] == pytest.approx(1, abs=1e-3)
    start = initial_weights("saturated wrong", overlapping.design(), overlapping.y, 1, 0)[None]
    end = descend(overlapping.design(), overlapping.y, torch.tensor([2.0]), start, Descent("ce", 1500)).weights[0, 0]
    assert torch.allclose(end, newton_optimum(overlapping.design(), overlapping.y), atol=1e-6)


def test_on_separable_classes_the_weights_only_grow():
    found = uniqueness(synthetic(separable=True, n=100, d=3), seeds=2, seed=0, steps=1000)
    assert found["separable"]
    assert found["growth"] > 1.2


def test_starts_are_what_their_names_say(overlapping):
    x, y = overlapping.design(), overlapping.y
    placed = {kind: initial_weights(kind, x, y, 8, seed=1) for kind in STARTS}
    logits = {kind: w @ x.T for kind, w in placed.items()}
    assert logits["well placed"].abs().max() < 0.2
    assert torch.allclose(logits["saturated wrong"].abs().median(1).values, torch.tensor(8.0, dtype=x.dtype))
    assert ((logits["saturated wrong"] > 0) == (y > 0.5)).double().mean() < 0.4
    assert torch.equal(placed["random"], initial_weights("random", x, y, 8, seed=1))
    assert not torch.equal(placed["random"], initial_weights("random", x, y, 8, seed=2))
    with pytest.raises(ValueError, match="no such start"):
        initial_weights("lucky", x, y, 1, 0)


@pytest.mark.parametrize("batch", [None, 32, 1000])
@pytest.mark.parametrize("loss", LOSSES)
def test_stacked_descent_is_plain_descent(overlapping, loss, batch):
    """Configuration and seed by seed against a loop with autograd, on the same batches."""
    x, y = overlapping.design(), overlapping.y
    start = torch.randn(2, 3, 5, dtype=x.dtype)
    lrs = torch.tensor([0.1, 1.0], dtype=x.dtype)
    trace = descend(x, y, lrs, start, Descent(loss, 12, batch, seed=4))
    rng = torch.Generator().manual_seed(4)
    per_epoch = 1 if batch is None else math.ceil(len(x) / batch)
    w = start.clone()
    for step in range(12):
        if batch is not None and step % per_epoch == 0:
            rank = torch.rand(3, len(x), generator=rng).argsort(1).argsort(1)
        for k in range(2):
            for s in range(3):
                rows = slice(None) if batch is None else rank[s] // batch == step % per_epoch
                here = w[k, s].clone().requires_grad_()
                LOSSES[loss].value(x[rows] @ here, y[rows]).mean().backward()
                w[k, s] -= lrs[k] * here.grad
    assert torch.allclose(trace.weights, w, atol=1e-12)
    assert trace.loss[-1, 1, 2] == pytest.approx(LOSSES[loss].value(x @ w[1, 2], y).mean().item())
    assert trace.marks[-1] == 12


@pytest.mark.parametrize("batch", [None, 8])
@pytest.mark.parametrize("loss", SOFTMAX_LOSSES)
def test_stacked_descent_of_many_classes_is_plain_descent(three, loss, batch):
    x, y = three
    start, lrs = torch.randn(2, 3, 3, 4, dtype=x.dtype), torch.tensor([0.1, 1.0], dtype=x.dtype)
    trace = descend(x, y, lrs, start, Descent(loss, 9, batch, seed=4))
    rng, w = torch.Generator().manual_seed(4), start.clone()
    for step in range(9):
        if batch is not None and step % 4 == 0:
            rank = torch.rand(3, 30, generator=rng).argsort(1).argsort(1)
        for k in range(2):
            for s in range(3):
                rows = slice(None) if batch is None else rank[s] // batch == step % 4
                here = w[k, s].clone().requires_grad_()
                SOFTMAX_LOSSES[loss].value(here @ x[rows].T, y[:, rows]).mean().backward()
                w[k, s] -= lrs[k] * here.grad
    assert torch.allclose(trace.weights, w, atol=1e-12)
    says = (w[1, 2] @ x.T).argmax(0) == y.argmax(0)
    assert trace.accuracy[-1, 1, 2].item() == pytest.approx(says.double().mean().item())


def test_starts_of_many_classes_are_what_their_names_say(three):
    x, y = three
    placed = {kind: initial_weights(kind, x, y, 4, seed=1) for kind in STARTS}
    assert {w.shape for w in placed.values()} == {(4, 3, 4)}
    assert (placed["well placed"] @ x.T).abs().max() < 0.2
    z = placed["saturated wrong"] @ x.T  # (4, 3, 30)
    lacks = z.amax(1) - (z * y).sum(1)
    assert torch.allclose(lacks.median(1).values, torch.tensor(8.0, dtype=x.dtype))
    assert is_right(z, y).double().mean() < 0.3


def test_the_ten_digits_are_separable_and_their_constant_pixels_are_zero():
    digits = ten_digits()
    course = PreparedProblem.of(digits)
    assert course.y.shape == (10, 1077)
    assert course.best == 1
    assert torch.equal(course.y.argmax(0), digits.y.long())
    assert course.x.isfinite().all()
    assert not course.x[:, 0].any()  # a corner that nobody writes in


def test_an_epoch_of_batches_shows_every_example_once():
    x, y = torch.eye(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    trace = descend(
        x, y, torch.ones(1), torch.zeros(1, 2, 10, dtype=x.dtype), Descent("ce", 4, batch=3, keep_path=True)
    )
    moved = (trace.path[1:] != trace.path[:-1])[:, 0]  # (4, seeds, 10): weight i moves when example i is shown
    assert moved.sum(0).tolist() == [[1] * 10] * 2
    assert sorted(moved[:, 0].sum(1).tolist()) == [1, 3, 3, 3]


def test_descent_is_deterministic(overlapping):
    x, y = overlapping.design().float(), overlapping.y.float()
    start = initial_weights("random", x, y, 4, 0)[None]
    one, two = (descend(x, y, torch.tensor([1.0]), start, Descent("mse", 50, 16, seed=3)) for _ in range(2))
    assert torch.equal(one.weights, two.weights)
    assert torch.equal(one.accuracy, two.accuracy)


def test_a_plateau_is_no_convergence(overlapping):
    x, y = overlapping.design(), overlapping.y
    start = 50 * initial_weights("saturated wrong", x, y, 2, 0)[None]  # |logit| about 400
    trace = descend(x, y, torch.tensor([0.1]), start, Descent("mse", 3))
    assert trace.gradient.max() < 1e-3
    assert not any(met.any() for met in goals(trace, best_accuracy(overlapping)).values())


def test_first_counts_the_unmet_as_censored():
    met = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)  # 3 steps, 3 seeds
    steps, reached = first_step(met)
    assert steps.tolist() == [2, 0, 2]
    assert reached.tolist() == [True, True, False]


def test_survival_is_kaplan_and_meiers():
    """6-MP arm of Freireich et al. (1963); estimates and standard errors as in Kleinbaum and Klein, table 2.2."""
    events, censored = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    steps = np.array(events + censored)
    reached = np.arange(21) < len(events)
    times, share, lower, upper = kaplan_meier(steps, reached)
    assert times.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    assert share == pytest.approx([1, 0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)
    assert (lower[-1], upper[-1]) == pytest.approx((0.188, 0.680), abs=2e-3)  # R's conf.type = "log-log"


def test_survival_of_nobody_and_of_everybody():
    none = kaplan_meier(np.array([9, 9]), np.array([False, False]))
    assert [v.tolist() for v in none] == [[0], [1], [1], [1]]
    _, share, lower, upper = kaplan_meier(np.array([1, 2, 2]), np.array([True, True, True]))
    assert share == pytest.approx([1, 2 / 3, 0])
    assert ((lower <= share) & (share <= upper)).all()


def test_compare_counts_seeds_and_ties():
    reached = np.array([True, True, True, False])
    ce = (np.array([1, 2, 3, 9]), reached)
    mse = (np.array([5, 2, 9, 9]), np.array([True, True, False, False]))
    found = compare_steps(ce, mse)
    assert (found["ce_faster"], found["mse_faster"], found["ties"]) == (2, 0, 2)
    assert (found["ce_censored"], found["mse_censored"]) == (1, 2)
    assert found["speedup"] > 1
    mirrored = compare_steps(mse, ce)
    assert (mirrored["mse_faster"], mirrored["p"]) == (2, found["p"])
    assert mirrored["speedup"] == pytest.approx(1 / found["speedup"])


def test_the_chance_of_being_faster_leaves_ties_out_and_is_sure_where_the_sign_test_is():
    sure = np.ones(20, dtype=bool)
    for ahead in range(21):
        steps = np.where(np.arange(20) < ahead, 1, 5)
        found = compare_steps((steps, sure), (np.full(20, 3), sure))
        assert found["ce_share"] == ahead / 20
        assert found["ce_share_low"] <= found["ce_share"] <= found["ce_share_high"]
        assert (not found["ce_share_low"] <= 0.5 <= found["ce_share_high"]) == (found["p"] < 0.01)
    tied = compare_steps((np.array([1] * 5 + [3] * 15), sure), (np.full(20, 3), sure))
    assert (tied["ce_share"], tied["ties"]) == (1, 15)
    assert tied["ce_share_low"] == pytest.approx(0.005 ** (1 / 5))  # Clopper and Pearson's, 5 of 5
    none = compare_steps((steps, sure), (steps, sure))
    assert (none["ce_share_low"], none["ce_share"], none["ce_share_high"]) == (0, 0.5, 1)


def test_twenty_seeds_in_one_direction_are_beyond_chance():
    sure = np.ones(20, dtype=bool)
    found = compare_steps((np.full(20, 3), sure), (np.full(20, 30), sure))
    assert found["p"] == pytest.approx(2**-19)
    assert found["speedup_low"] == pytest.approx(31 / 4)
    assert compare_steps((np.full(20, 3), sure), (np.full(20, 3), sure))["p"] == 1


def test_tuning_finds_the_best_rate_of_each_start_within_bounds():
    race = Race(lr_min=1e-3, lr_max=1e3, trials=24)
    for place, target in enumerate((0.1, 30.0, 2.0)):
        history = []
        while len(history) < race.trials:
            asked = race.suggest(history, place)
            assert asked == race.suggest(history, place)  # by the trials alone
            history += [(lr, math.log10(lr / target) ** 2) for lr in asked]
        assert len(history) == 24
        assert all(1e-3 <= lr <= 1e3 for lr, _ in history)
        best = min(history, key=lambda trial: trial[1])[0]
        assert abs(math.log10(best / target)) < 0.4


def test_a_problem_is_tuned_on_other_seeds_than_it_races():
    race = Race(seeds=2, trials=2, steps=5, tuning_seeds=2)
    course = PreparedProblem.of(synthetic(separable=False, n=60, d=2))
    assert [len(history) for history in course.tune(race, "ce", "SGD")] == [2, 2, 2]
    raced = course.descend(replace(race, seeds=4), "ce", "GD", np.ones((3, 2)))
    assert raced.weights.shape == (6, 4, 3)
    tuned = course.descend(replace(race, seeds=4, seed=race.seed + 1_000_003), "ce", "GD", np.ones((3, 2)))
    assert not torch.equal(raced.weights, tuned.weights)


@pytest.mark.parametrize(
    "wrong",
    [{"seeds": 0}, {"trials": 0}, {"steps": 0}, {"batch": 0}, {"lr_min": -1}, {"lr_min": 2.0, "lr_max": 1.0}],
)
def test_a_race_that_cannot_be_run_is_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match=r"must be at least 1|0 < lr_min < lr_max") as error:
        replace(Race(), **wrong)
    assert "\n" not in str(error.value)


def test_equal_learning_rates_span_the_bounds():
    assert Race(lr_min=0.01, lr_max=100.0).equal_lrs() == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert len(Race(lr_min=1.0, lr_max=1.5).equal_lrs()) == 2


def test_model_takes_raw_features():
    train, val, _ = split_problem(breast_cancer())
    w = torch.randn(31, dtype=torch.float64)
    model = Logistic(train, w)
    assert torch.allclose(model(train.x.float()), (train.design() @ w).float(), atol=1e-3)
    assert model(val.x[:2].float()).shape == (2,)
    assert {"mean", "scale", "linear.weight", "linear.bias"} == set(model.state_dict())
