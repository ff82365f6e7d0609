"""The ledger: fourteen claims, and judges that can come out either way."""

import json

import pytest

from dl.cells import LOSS_NAMES
from dl.claims import (
    CE,
    CLAIMS,
    MSE,
    REAL,
    VERDICTS,
    Verdict,
    at_least,
    holm,
    judge_q1_convergence,
    judge_q1_corner_gradient,
    judge_q1_penalty,
    judge_q1_unique,
    judge_q2_ce,
    judge_q2_mse,
    judge_q2_none,
    markdown,
    rows,
    tally,
)
from dl.claims.verdict import holm_adjusted
from dl.logistic.losses import corner_gradients


def problem(name="data", separable=False, spread=1e-9, eigenvalue=0.1):
    return {
        "dataset": name, "separable": separable, "spread": spread, "smallest_eigenvalue": eigenvalue, "starts": 60,
        "growth": 2.0 if separable else 1.0,
    }  # fmt: skip


def cell(loss, place, verdict):
    gap, eigenvalue = (0.3, -1.0) if verdict == "not convex" else (-0.1, 0.5)
    return {
        "loss": loss, "as a function of": place, "verdict": verdict, "proven_gap": gap,
        "smallest_eigenvalue": eigenvalue, "trials": 50,
    }  # fmt: skip


def table():
    """What the instrument finds."""
    return [
        cell(CE, "p", "convex"),
        cell(CE, "logit", "convex"),
        cell(CE, "logistic weights", "convex"),
        cell(MSE, "p", "convex"),
        cell(MSE, "logistic weights", "not convex"),
        cell(REAL, "linear-regression weights", "convex"),
        *(
            cell(loss, place, "not convex")
            for loss in (CE, MSE, REAL)
            for place in ("hidden, identity", "hidden, tanh")
        ),
    ]


def altered(verdict, *where):
    """The true table with `verdict` in the cells (loss, place) of `where`."""
    return [
        cell(c["loss"], c["as a function of"], verdict) if (c["loss"], c["as a function of"]) in where else c
        for c in table()
    ]


def race(start="random", goal="99% accuracy", ce=20, mse=0):
    seeds = ce + mse
    return {"start": start, "goal": goal, "ce_faster": ce, "mse_faster": mse, "p": 2.0**-18 if seeds else 1.0}


def test_the_ledger_holds_the_fourteen():
    assert list(CLAIMS) == [
        "Q1-unique", "Q1-penalty", "Q1-corner-gradient", "Q1-convergence", "Q2-ce", "Q2-mse", "Q2-none",
        "Q3-data", "Q3-table2", "Q4-lenet", "Q4-alexnet", "Q4-vgg", "Q4-resnet18", "Q4-depth",
    ]  # fmt: skip
    for key, claim in CLAIMS.items():
        assert key == claim.id
        assert claim.id.startswith(f"Q{claim.question}-")
        assert claim.quote
        assert claim.refuted_by


def test_the_table_s_names_are_the_instrument_s():
    assert LOSS_NAMES == (CE, MSE, REAL)


def test_a_verdict_is_one_of_four_on_a_known_claim():
    with pytest.raises(ValueError, match="no such claim: Q9; known: Q1-unique"):
        Verdict("Q9", "confirmed", "because")
    with pytest.raises(ValueError, match="no such verdict: maybe; known: confirmed"):
        Verdict("Q1-unique", "maybe", "because")


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        ([problem("a"), problem("b")], "confirmed"),
        ([problem("a"), problem("b", separable=True)], "depends"),
        ([problem("a", separable=True)], "refuted"),
        ([problem("a", spread=0.5)], "not tested"),  # descents that have not arrived decide nothing
        ([problem("a", eigenvalue=0.0)], "refuted"),
        ([], "not tested"),
    ],
)
def test_unique(measured, verdict):
    assert judge_q1_unique(measured).verdict == verdict


def swapped(rows):
    """The same measurements with the losses' names exchanged."""
    other = {"ce": "mse", "mse": "ce"}
    return [
        {f"{other[key.split('_')[0]]}_{key.split('_')[1]}" if "_" in key else key: v for key, v in row.items()}
        for row in rows
    ]


def test_penalty():
    assert judge_q1_penalty(corner_gradients()).verdict == "confirmed"
    assert judge_q1_penalty(swapped(corner_gradients())).verdict == "refuted"
    light = [row | {"ce_loss": 0.01} if 0 < row["distance"] < 1e-7 else row for row in corner_gradients()]
    assert judge_q1_penalty(light).verdict == "depends"
    scaled = [row | {"ce_loss": row["ce_loss"] / 1000} for row in corner_gradients()]
    assert judge_q1_penalty(scaled).verdict == "refuted"  # a loss in small units is no heavier penalty
    assert judge_q1_penalty([]).verdict == "not tested"


def test_penalty_names_the_errors_where_it_fails():
    assert judge_q1_penalty(corner_gradients()).numbers["lighter_at"] == [0.2]


def test_corner_gradient():
    assert judge_q1_corner_gradient(corner_gradients()).verdict == "confirmed"
    assert judge_q1_corner_gradient(swapped(corner_gradients())).verdict == "refuted"
    only_p = [row | {"mse_dz": 5.0} for row in corner_gradients()]
    assert judge_q1_corner_gradient(only_p).verdict == "depends"
    assert judge_q1_corner_gradient(corner_gradients((0.5,))).verdict == "not tested"


@pytest.mark.parametrize(
    ("races", "verdict"),
    [
        ([race()] * 4, "confirmed"),
        ([race(ce=0, mse=20)] * 4, "refuted"),
        ([race()] * 3 + [race("well placed", ce=0, mse=20)], "depends"),
        ([race()] + [race(ce=0, mse=0)] * 3, "depends"),
        ([race(ce=0, mse=0)] * 4, "not tested"),
        ([], "not tested"),
    ],
)
def test_convergence(races, verdict):
    assert judge_q1_convergence(races).verdict == verdict


def test_equal_rates_are_told_but_do_not_decide():
    told = judge_q1_convergence([race(ce=0, mse=20)] * 4, equal=[race()] * 9)
    assert told.verdict == "refuted"
    assert told.numbers["equal_lr"] == {"ce": 9}
    assert "9:0 of 9" in told.reason


def test_holm_rejects_step_by_step():
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values, 0.05) == [True, False, False, True]  # 0.05/4, /3, then 0.03 > 0.05/2 stops
    assert holm_adjusted(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert tally([race() | {"p": 0.008}] * 2) == ["undecided"] * 2  # each would be sure alone


def test_q2_ce():
    places = [(CE, "p"), (CE, "logit"), (CE, "logistic weights")]
    assert judge_q2_ce(table()).verdict == "refuted"
    assert judge_q2_ce(altered("not convex", *places)).verdict == "confirmed"
    assert judge_q2_ce(altered("not convex", places[2])).verdict == "depends"
    assert judge_q2_ce(altered("undecided", places[0])).verdict == "not tested"
    assert judge_q2_ce([]).verdict == "not tested"


def test_q2_mse():
    alone = [(MSE, "p"), (REAL, "linear-regression weights")]
    assert judge_q2_mse(table()).verdict == "refuted"
    assert "the sigmoid is the cause" in judge_q2_mse(table()).reason
    assert "the sigmoid is the cause" not in judge_q2_mse(altered("convex", (MSE, "logistic weights"))).reason
    assert judge_q2_mse(altered("not convex", *alone)).verdict == "confirmed"
    assert judge_q2_mse(altered("not convex", alone[1])).verdict == "depends"
    assert judge_q2_mse(altered("undecided", alone[1])).verdict == "not tested"
    assert judge_q2_mse([]).verdict == "not tested"


def test_q2_none():
    assert judge_q2_none(table()).verdict == "depends"
    assert judge_q2_none(altered("not convex", (CE, "logistic weights"))).verdict == "confirmed"
    assert judge_q2_none(altered("convex", (MSE, "hidden, tanh"))).verdict == "refuted"
    assert judge_q2_none(altered("undecided", (CE, "hidden, tanh"))).verdict == "not tested"
    assert judge_q2_none([]).verdict == "not tested"


def test_what_is_proven_is_rounded_down():
    assert [at_least(v) for v in (0.37099, 2.9532, 11.57, 348.9, 1039.99)] == ["0.37", "2.95", "11.5", "348", "1030"]


def test_verdicts_become_json_and_a_table():
    verdicts = [judge_q1_corner_gradient(corner_gradients()), judge_q2_none(table())]
    content = json.loads(json.dumps(rows(verdicts), allow_nan=False))
    assert content[0]["id"] == "Q1-corner-gradient"
    assert content[0]["quote"] == CLAIMS["Q1-corner-gradient"].quote
    assert {row["verdict"] for row in content} <= set(VERDICTS)
    lines = markdown(verdicts).splitlines()
    assert len(lines) == 4
    assert all(line.replace("\\|", "").count("|") == 6 for line in lines)
    assert all(json.dumps(rows([judge_q1_penalty(corner_gradients())]), allow_nan=False) for _ in lines)
