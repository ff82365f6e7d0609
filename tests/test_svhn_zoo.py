"""The main job, whole: from SVHN's files to registered models."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient

from dl import claims
from dl.data import svhn
from dl.models import ZOO
from dl.models.document import ABLATION, DOCUMENT
from entrypoints.svhn_zoo import NOTICE, main
from tests.test_svhn import write_pair

EPOCH_METRICS = {
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "images_per_second", "epoch_seconds",
    "grad_norm", "best_val_accuracy",
}  # fmt: skip
FINAL_METRICS = {"test_loss", "test_accuracy", "seconds", "peak_memory_bytes"}


def zoo(*arguments: str):
    return CliRunner().invoke(main, [*arguments, "--device", "cpu"])


def children() -> dict[str, mlflow.entities.Run]:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return {run.data.tags["network"]: run for run in found if "network" in run.data.tags}


def parent() -> mlflow.entities.Run:
    [found] = mlflow.search_runs(search_all_experiments=True, output_format="list", filter_string="tags.kind = 'zoo'")
    return found


@pytest.fixture
def root(tmp_path, crops, monkeypatch) -> Path:
    write_pair(tmp_path / "svhn", crops, monkeypatch)
    return tmp_path / "svhn"


def test_from_svhns_files_to_models_that_are_pulled_back(store, root, tmp_path):
    result = zoo("--models", "lenet5,resnet18", "--data-dir", str(root), "--epochs", "2", "--images", "256")
    assert result.exit_code == 0, result.output
    assert NOTICE not in result.output
    assert "| LeNet-5 |" in result.output
    found, top = children(), parent()
    assert set(found) == {"lenet5", "resnet18"}
    assert top.info.status == "FINISHED"
    assert top.data.tags["dataset"] == "svhn"
    assert "| ResNet-18 |" in top.data.tags["mlflow.note.content"]
    assert {given.dataset.name for given in top.inputs.dataset_inputs} == {"svhn-train", "svhn-val", "svhn-test"}
    client = MlflowClient()
    assert {item.path for item in client.list_artifacts(top.info.run_id)} >= {"comparison.png", "zoo.json"}
    for name, run in found.items():
        assert run.info.status == "FINISHED"
        assert set(run.data.metrics) >= EPOCH_METRICS | FINAL_METRICS
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")] == [1, 2]
        assert run.data.params["parameters"] == str({"lenet5": 62006, "resnet18": 11181642}[name])
        assert float(run.data.params["lr"]) == ZOO[name].quick.recipe.lr
        paths = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert paths >= {"curves.png", "confusion.png", "errors.png", "recipe.json"}
        version = client.get_model_version_by_alias(f"svhn-{name}", "champion")
        assert version.run_id == run.info.run_id
        assert float(version.tags["test_accuracy"]) == pytest.approx(run.data.metrics["test_accuracy"])
    champion = client.get_run(client.get_model_version_by_alias("svhn-zoo", "champion").run_id)
    accuracies = [run.data.metrics["val_accuracy"] for run in found.values()]
    assert champion.data.metrics["val_accuracy"] == max(accuracies)

    # the logged accuracy is what the pulled model has, on raw pixels, in a process without our code
    data = svhn(root)
    np.savez(tmp_path / "test.npz", x=data.test.x.numpy(), y=data.test.y.numpy())
    program = """
        import json, mlflow, numpy as np
        test = np.load("test.npz")
        result = {}
        for name in ("lenet5", "resnet18"):
            logits = mlflow.pyfunc.load_model(f"models:/svhn-{name}@champion").predict(test["x"])
            result[name] = float((logits.argmax(1) == test["y"]).mean())
        print(json.dumps(result))
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(program)], check=True, cwd=tmp_path, capture_output=True,
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
    )  # fmt: skip
    pulled = json.loads(done.stdout.splitlines()[-1])
    for name, accuracy in pulled.items():
        assert accuracy == pytest.approx(found[name].data.metrics["test_accuracy"], abs=0.006)  # one image of 200


def test_both_recipes_and_the_ablation_are_judged(store, root, monkeypatch):
    small = ZOO["lenet5"].quick.build
    for name in DOCUMENT:  # small networks: this is about what is trained, compared and judged
        monkeypatch.setitem(DOCUMENT, name, replace(DOCUMENT[name], build=small, size=32, weights=None))
    for arm, plan in ABLATION.items():
        monkeypatch.setitem(ABLATION, arm, replace(plan, build=small, size=32))
    quick = replace(ZOO["alexnet"].quick, build=small)
    monkeypatch.setitem(ZOO, "alexnet", replace(ZOO["alexnet"], quick=quick))
    result = zoo(
        "--models", "alexnet,lenet5", "--data-dir", str(root), "--epochs", "2", "--recipe", "both", "--seeds", "2"
    )
    assert result.exit_code == 0, result.output
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    trained = [(run.data.tags["network"], run.data.tags["recipe"]) for run in found if "network" in run.data.tags]
    expected = [(name, recipe) for name in ("alexnet", "lenet5") for recipe in ("tuned", "document")] * 2
    assert sorted(trained) == sorted(expected + [("alexnet", arm) for arm in ABLATION])
    top = parent()
    client = MlflowClient()
    assert {item.path for item in client.list_artifacts(top.info.run_id)} >= {
        "comparison.png", "recipes.png", "ablation.png", "claims.json", "zoo.json",
    }  # fmt: skip
    logged = mlflow.artifacts.load_dict(f"runs:/{top.info.run_id}/claims.json")
    assert [row["claim"] for row in logged] == [claim.id for claim in claims.CLAIMS.values() if claim.question == 4]
    for row in logged:
        assert top.data.tags[f"claim.{row['claim']}"] == row["verdict"]
        assert row["quote"] in top.data.tags["mlflow.note.content"]
    assert {model.name for model in client.search_registered_models()} == {"svhn-alexnet", "svhn-lenet5", "svhn-zoo"}
    assert len(client.search_model_versions("name = 'svhn-lenet5'")) == 2  # one of each recipe


def test_the_same_seed_gives_the_same_run(store, root):
    losses = []
    for _ in range(2):
        assert zoo("--models", "lenet5", "--data-dir", str(root), "--epochs", "1").exit_code == 0
    for run in mlflow.search_runs(
        search_all_experiments=True, output_format="list", filter_string="tags.kind = 'network'"
    ):
        losses.append((run.data.metrics["train_loss"], run.data.metrics["test_loss"]))
    assert len(losses) == 2
    assert losses[0] == losses[1]


def test_generated_digits_never_pass_for_svhn(store, tmp_path):
    result = zoo(
        "--models", "lenet5", "--dataset", "auto", "--data-dir", str(tmp_path / "nothing"), "--epochs", "1",
        "--images", "128",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.output.count(NOTICE) == 2  # at the start and at the end
    assert "train_32x32.mat is missing" in result.output
    top = parent()
    assert top.data.tags["dataset"] == "street-digits"
    assert "street-digits" in top.info.run_name
    assert NOTICE in top.data.tags["mlflow.note.content"]
    names = {model.name for model in MlflowClient().search_registered_models()}
    assert names == {"street-digits-lenet5", "street-digits-zoo"}


def test_a_network_that_diverges_fails_alone(store, root, monkeypatch):
    broken = replace(ZOO["alexnet"].quick, recipe=replace(ZOO["alexnet"].quick.recipe, lr=1e30))
    broken = replace(broken, build=ZOO["lenet5"].quick.build)  # the small network: this is about the failure
    monkeypatch.setitem(ZOO, "alexnet", replace(ZOO["alexnet"], quick=broken))
    result = zoo("--models", "alexnet,lenet5", "--data-dir", str(root), "--epochs", "1")
    assert result.exit_code == 1
    assert "1 of 2 networks failed: AlexNet" in result.output
    found = children()
    assert found["alexnet"].info.status == "FAILED"
    assert "loss" in found["alexnet"].data.tags["error"]
    assert found["lenet5"].info.status == "FINISHED"
    assert {model.name for model in MlflowClient().search_registered_models()} == {"svhn-lenet5", "svhn-zoo"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "lenet6"], "unknown network lenet6: known are lenet5, alexnet"),
        (["--models", ","], "names no network"),
        (["--dataset", "svhn", "--data-dir", "nothing"], "Put train_32x32.mat (md5"),
        (["--images", "3", "--models", "lenet5"], "at least 64"),
        (["--seed", "-1"], "--seed"),
        (["--device", "tpu"], "choose auto or"),
        (["--preset", "slow"], "full"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_no_run(store, arguments, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert not mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert not Path("nothing").exists()
