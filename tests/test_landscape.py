"""The convexity instrument: held to what mathematics knows."""

from fractions import Fraction

import pytest
import torch

from dl.cells import LOSS_NAMES, PLACES, POINT_LABELS, POINTS, Cell, cells, examine_cell
from dl.landscape import INTERVAL, TENSOR, find_witness, iv, jensen_gap, proven_gap, spectra
from dl.logistic.optimum import is_separable

CE, MSE, REAL = LOSS_NAMES
CONVEX = {(CE, "p"), (CE, "logit"), (CE, "logistic weights"), (MSE, "p"), (REAL, "linear-regression weights")}


@pytest.fixture(scope="module")
def findings():
    return {(cell.loss, cell.place): examine_cell(cell, trials=8, points=50, seed=1) for cell in cells()}


def test_the_table_has_every_cell_that_is_defined(findings):
    assert len(findings) == 16
    assert {place for _, place in findings} == set(PLACES)


def test_the_table_is_the_known_truth(findings):
    for where, finding in findings.items():
        assert finding.verdict == ("convex" if where in CONVEX else "not convex"), where
        assert (finding.smallest > -1e-9) == (where in CONVEX), where


def test_every_witness_is_rational_within_its_box_and_positive(findings):
    for finding in findings.values():
        for end in (finding.witness.a, finding.witness.b):
            assert all((64 * value).is_integer() for value in end)
            assert all(low <= v <= high for v, low, high in zip(end, *finding.cell.box, strict=True))
        if finding.verdict == "not convex":
            a, b = (torch.tensor(end, dtype=torch.float64) for end in (finding.witness.a, finding.witness.b))
            assert finding.witness.lower > 0.1
            assert float(jensen_gap(finding.cell.f, a, b)) == pytest.approx(finding.witness.lower, rel=1e-9)


def test_polishing_only_improves(findings):
    for finding in findings.values():
        if finding.verdict == "not convex":
            assert finding.witness.lower >= max(finding.witness.gaps) - 0.1


def test_the_witness_of_the_deep_linear_network_by_fractions(findings):
    """A second arithmetic: identity activation and squares are polynomials, so fractions are exact."""
    finding = findings[REAL, "hidden, identity"]

    def f(w):
        total = Fraction(0)
        for (x, _), y in zip(POINTS, POINT_LABELS, strict=True):
            z = sum((w[i] * Fraction(x) + w[2 + i]) * w[4 + i] for i in range(2)) + w[6]
            total += (z - Fraction(y)) ** 2
        return total / len(POINTS)

    a, b = ([Fraction(v) for v in end] for end in (finding.witness.a, finding.witness.b))
    gap = f([(u + v) / 2 for u, v in zip(a, b, strict=True)]) - (f(a) + f(b)) / 2
    assert gap > 0
    assert finding.witness.lower <= gap <= finding.witness.upper


def test_search_is_deterministic():
    cell = cells()[3]
    one, two = (find_witness(cell.f, cell.box, 5, seed=2) for _ in range(2))
    assert (one.a, one.b, one.lower, one.gaps) == (two.a, two.b, two.lower, two.gaps)


def test_spectra_of_a_quadratic_are_its_matrix_s():
    f = lambda w, m: w[0] * w[0] + 3 * w[1] * w[1] - w[2] * w[2]  # noqa: E731
    points = torch.randn(4, 3)
    assert torch.allclose(spectra(f, points), torch.tensor([-2.0, 2.0, 6.0], dtype=torch.float64).expand(4, 3))


def test_proof_brackets_the_gap_and_rounds_outwards():
    cube = lambda w, m: w[0] * w[0] * w[0]  # noqa: E731
    lower, upper = proven_gap(cube, [-2.0], [0.0])  # -1 - (-8 + 0)/2 = 3
    assert lower < 3 < upper
    assert upper - lower < 1e-14
    linear = lambda w, m: w[0] / 3  # noqa: E731
    lower, upper = proven_gap(linear, [0.1], [0.7])
    assert lower <= 0 <= upper  # rounding alone can never prove


def test_a_gap_below_rounding_is_not_proven():
    """In float64 this convex function shows a positive gap at some pairs; intervals do not believe it."""
    f = lambda w, m: (w[0] + 1e8) * (w[0] + 1e8)  # noqa: E731
    a, b = torch.rand(2, 1, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-6
    gaps = jensen_gap(f, a, b)
    assert gaps.max() > 0
    worst = int(gaps.argmax())
    assert proven_gap(f, a[:, worst].tolist(), b[:, worst].tolist())[0] <= 0


@pytest.mark.parametrize("value", [-30.0, -2.5, -0.5, 0.0, 1.25, 30.0])
@pytest.mark.parametrize("name", TENSOR._fields)
def test_intervals_enclose_what_tensors_compute(name, value):
    value = abs(value) + 0.5 if name == "log" else value
    enclosed = getattr(INTERVAL, name)(iv.mpf(value))
    found = float(getattr(TENSOR, name)(torch.tensor(value, dtype=torch.float64)))
    assert float(enclosed.a.a) == pytest.approx(found, rel=1e-12, abs=1e-25)
    assert float(enclosed.b.b - enclosed.a.a) <= 1e-30


def test_relu_of_an_interval_across_zero():
    both = INTERVAL.relu(iv.mpf([-1, 2]))
    assert (float(both.a.a), float(both.b.b)) == (0, 2)


def test_without_a_reason_nothing_is_called_convex():
    bowl = lambda w, m: w[0] * w[0]  # noqa: E731
    assert examine_cell(Cell("x", "y", bowl, ((-1.0,), (1.0,))), 3, 5, 0).verdict == "undecided"
    assert examine_cell(Cell("x", "y", bowl, ((-1.0,), (1.0,)), "a square"), 3, 5, 0).verdict == "convex"


def test_a_witness_beats_a_stated_reason():
    dome = lambda w, m: -w[0] * w[0]  # noqa: E731
    assert examine_cell(Cell("x", "y", dome, ((-1.0,), (1.0,)), "so they say"), 3, 5, 0).verdict == "not convex"


def test_no_line_separates_the_table_s_points():
    x = torch.tensor([[*point, 1.0] for point in POINTS])
    assert not is_separable(x, torch.tensor(POINT_LABELS))
    assert not is_separable(x[:, [0, 2]], torch.tensor(POINT_LABELS))
