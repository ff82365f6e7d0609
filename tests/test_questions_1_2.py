"""Both entry points for real, small; and what they answer to bad input."""

import json

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow.artifacts import download_artifacts

import entrypoints.convexity
from dl.cells import Finding, cells
from dl.landscape import Witness
from dl.logistic.losses import LOSSES
from dl.logistic.problems import breast_cancer, split_problem
from entrypoints.convexity import main as convexity
from entrypoints.convexity import record_cell
from entrypoints.loss_surfaces.__main__ import main as loss_surfaces
from tracking.run import start


def run(command, *arguments):
    return CliRunner().invoke(command, arguments)


def question(number):
    """The one finished parent run of that question, its children by kind, and its artifacts' names."""
    client = mlflow.MlflowClient()
    runs = client.search_runs(["0"])
    (parent,) = [r for r in runs if r.data.tags["kind"] == "question"]
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["question"] == str(number)
    children = {}
    for child in runs:
        if child.data.tags.get("mlflow.parentRunId") == parent.info.run_id:
            assert child.info.status == "FINISHED"
            children.setdefault(child.data.tags["kind"], []).append(child)
    return parent, children, {file.path for file in client.list_artifacts(parent.info.run_id)}


def verdicts(parent):
    with open(download_artifacts(run_id=parent.info.run_id, artifact_path="claims.json")) as file:
        return {row["id"]: row["verdict"] for row in json.load(file)}


def test_loss_surfaces(store):
    result = run(loss_surfaces, "--seeds", "2", "--trials", "1", "--steps", "20")
    assert result.exit_code == 0, result.output
    parent, children, artifacts = question(1)
    assert {kind: len(found) for kind, found in children.items()} == {"trial": 48, "race": 48, "network": 2}
    assert {
        "surfaces.png",
        "surfaces.html",
        "logit.png",
        "weights.png",
        "weights.html",
        "race_95.png",
        "race_99.png",
        "race_gradient.png",
    } <= artifacts
    tables = {"races.json", "races_equal_lr.json", "races_digits.json", "corners.json", "claims.json"}
    assert {"learning_rates.png", "faster.png"} | tables <= artifacts
    note = parent.data.tags["mlflow.note.content"]
    assert note.count("| digits | ") == 6  # each start with each optimiser
    assert "of 18 races" in note
    found = verdicts(parent)
    assert found["Q1-unique"] == "depends"
    assert found["Q1-penalty"] == found["Q1-corner-gradient"] == "confirmed"
    assert found["Q1-convergence"] in note
    with open(download_artifacts(run_id=parent.info.run_id, artifact_path="claims.json")) as file:
        [numbers] = [row["numbers"] for row in json.load(file) if row["id"] == "Q1-convergence"]
    assert numbers.get("races", 54) == 54  # the claim is about two classes
    assert {key: parent.data.tags[f"claim.{key}"] for key in found} == found
    assert parent.data.metrics["sklearn_coefficient_gap"] < 1e-4
    curve = mlflow.MlflowClient().get_metric_history(children["race"][0].info.run_id, "train_loss")
    assert [point.step for point in curve][-1] == 20

    _, val, _ = split_problem(breast_cancer())
    raw = val.x.float().numpy()
    for loss in LOSSES:  # loadable as torch and as pyfunc, raw features in, logits out
        uri = f"models:/logistic-{loss}@champion"
        logits = mlflow.pyfunc.load_model(uri).predict(raw)
        assert logits.shape == (114,)
        with torch.no_grad():
            module = mlflow.pytorch.load_model(uri)
            assert np.allclose(module(torch.from_numpy(raw)).numpy(), logits, atol=1e-5)
        accuracy = ((logits > 0) == (val.y.numpy() > 0.5)).mean()
        tags = mlflow.MlflowClient().get_model_version_by_alias(f"logistic-{loss}", "champion").tags
        assert float(tags["val_accuracy"]) == pytest.approx(accuracy, abs=1e-6)
        assert accuracy > 0.85


def test_convexity(store, monkeypatch):
    monkeypatch.setattr(entrypoints.convexity, "cells", lambda: cells()[:10])  # one hidden layer of three: faster
    result = run(convexity, "--trials", "4", "--points", "20")
    assert result.exit_code == 0, result.output
    parent, children, artifacts = question(2)
    assert len(children["cell"]) == 10
    assert {
        "convexity.png",
        "spectra.png",
        "witnesses.png",
        "witnesses.html",
        "witnesses.json",
        "cells.json",
    } <= artifacts
    assert verdicts(parent) == {"Q2-ce": "refuted", "Q2-mse": "refuted", "Q2-none": "depends"}
    assert "Which loss gives a convex problem?" in parent.data.tags["mlflow.note.content"]
    assert sorted(c.data.tags["verdict"] for c in children["cell"]) == ["convex"] * 5 + ["not convex"] * 5
    with open(download_artifacts(run_id=parent.info.run_id, artifact_path="witnesses.json")) as file:
        witnesses = json.load(file)
    assert len(witnesses) == 5
    for witness in witnesses:
        assert witness["proven_gap_above"] > 0
        assert all(value.endswith("/64") for value in witness["a"] + witness["b"])


def test_every_trial_of_a_witness_search_is_on_record(store):
    cell, gaps = cells()[0], tuple(float(i) for i in range(700))
    witness = Witness((0.25, 0.5), (0.5, 0.25), -1.0, -0.5, gaps, torch.zeros(2100, 2))
    with start("convexity") as parent:
        record_cell(parent, Finding(cell, witness, torch.ones(5, 2)))
    [child] = [r for r in mlflow.MlflowClient().search_runs(["0"]) if r.info.run_name.startswith("convexity / ")]
    history = mlflow.MlflowClient().get_metric_history(child.info.run_id, "gap")
    assert [(point.step, point.value) for point in history] == list(enumerate(gaps))


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        (loss_surfaces, ["--seeds", "0"], "0 is not in the range x>=1"),
        (loss_surfaces, ["--trials", "0"], "0 is not in the range x>=1"),
        (loss_surfaces, ["--steps", "-1"], "-1 is not in the range x>=1"),
        (loss_surfaces, ["--seed", "-1"], "'--seed'"),
        (convexity, ["--trials", "0"], "0 is not in the range x>=1"),
        (convexity, ["--points", "-5"], "-5 is not in the range x>=1"),
        (convexity, ["--device", "abacus"], "'abacus' is not one of"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(store, command, arguments, says):
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output
    assert not mlflow.MlflowClient().search_runs(["0"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [loss_surfaces, convexity])
def test_a_gpu_that_is_not_there_is_said_before_anything_starts(store, command):
    result = run(command, "--device", "cuda")
    assert result.exit_code == 2
    assert "no device 'cuda' here" in result.output
    assert not mlflow.MlflowClient().search_runs(["0"])
