"""The main job, whole: from SVHN's files to registered models."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from torch import nn

from dl import claims
from dl.checkpoint import Checkpoints
from dl.data import Data, svhn
from dl.data.split import Split
from dl.device import pick_device, training_precision
from dl.recipes import ZOO
from dl.recipes.document import ABLATION, DOCUMENT
from dl.train import Epoch
from entrypoints.svhn_zoo.__main__ import main
from entrypoints.svhn_zoo.data import NOTICE, load_data
from entrypoints.svhn_zoo.options import ZooOptions
from entrypoints.svhn_zoo.summary import Results, judge_question_4
from entrypoints.svhn_zoo.training import Setup, Trained
from entrypoints.svhn_zoo.variants import Variant, shipped_plan
from tests.test_svhn import write_pair
from tracking.resume import lock

EPOCH_METRICS = {
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "images_per_second", "epoch_seconds",
    "grad_norm", "best_val_accuracy",
}  # fmt: skip
# AlexNet's recipe on LeNet-5, which cannot grow: for what is about runs, not about the network
AS_ALEXNET = replace(ZOO["alexnet"].quick, recipe=replace(ZOO["alexnet"].quick.recipe, grow=0.0))
SMALL = replace(ZOO["alexnet"], quick=replace(AS_ALEXNET, build=ZOO["lenet5"].quick.build))
FINAL_METRICS = {"test_loss", "test_accuracy", "seconds"}


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
    assert {item.path for item in client.list_artifacts(top.info.run_id)} >= {
        "comparison.png", "comparison.html", "errors.png", "errors.html", "zoo.json",
    }  # fmt: skip
    for name, run in found.items():
        assert run.info.status == "FINISHED"
        given = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
        assert given["svhn-train"] == svhn(root).train.subsample(256).digest()  # not all that lies there
        assert given["svhn-test"] == svhn(root).test.digest()
        assert set(run.data.metrics) >= EPOCH_METRICS | FINAL_METRICS
        assert "peak_memory_bytes" not in run.data.metrics  # on a CPU nothing tells one network's from the process's
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")] == [1, 2]
        assert run.data.params["parameters"] == str({"lenet5": 62006, "resnet18": 11181642}[name])
        assert float(run.data.params["lr"]) == ZOO[name].quick.recipe.lr
        paths = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert paths >= {"curves.png", "confusion.png", "errors.png", "recipe.json", "images"}  # with no terminal too
        version = client.get_model_version_by_alias(f"svhn-{name}", "champion")
        assert version.run_id == run.info.run_id
        assert float(version.tags["test_accuracy"]) == pytest.approx(run.data.metrics["test_accuracy"])
        facts = (f"digest `{given['svhn-train']}`", "non-commercial", run.info.run_id, f"lr {run.data.params['lr']}")
        assert all(fact in version.description for fact in facts)
    names = [*(f"svhn-{name}" for name in found), "svhn-zoo"]
    *accuracies, best = (client.get_model_version_by_alias(name, "champion").tags["val_accuracy"] for name in names)
    assert float(best) == max(map(float, accuracies))
    ranked = client.search_logged_models(
        ["0"],
        datasets=[{"dataset_name": "svhn-test"}],
        order_by=[{"field_name": "metrics.test_accuracy", "ascending": False, "dataset_name": "svhn-test"}],
    )
    assert [model.name for model in ranked] == sorted(
        found, key=lambda name: -found[name].data.metrics["test_accuracy"]
    )

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
    monkeypatch.setitem(ZOO, "alexnet", SMALL)
    result = zoo(
        "--models", "alexnet,lenet5", "--data-dir", str(root), "--epochs", "2", "--recipe", "both", "--seeds", "2"
    )
    assert result.exit_code == 0, result.output
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    trained = [(run.data.tags["network"], run.data.tags["recipe"]) for run in found if "network" in run.data.tags]
    expected = [(name, recipe) for name in ("alexnet", "lenet5") for recipe in ("tuned", "document")] * 2
    assert sorted(trained) == sorted(expected + [("alexnet", arm) for arm in ABLATION] * 2)
    top = parent()
    client = MlflowClient()
    assert {item.path for item in client.list_artifacts(top.info.run_id)} >= {
        "comparison.png", "recipes.png", "ablation.png", "first_steps.png", "claims.json", "zoo.json",
    }  # fmt: skip
    assert not [tag for tag in top.data.tags if tag.startswith("generated_claim.")]
    logged = mlflow.artifacts.load_dict(f"runs:/{top.info.run_id}/claims.json")
    assert [row["claim"] for row in logged] == [claim.id for claim in claims.CLAIMS.values() if claim.question == 4]
    for row in logged:
        assert top.data.tags[f"claim.{row['claim']}"] == row["verdict"]
        assert row["quote"] in top.data.tags["mlflow.note.content"]
    watched = [
        run for run in found if "first_steps.json" in {each.path for each in client.list_artifacts(run.info.run_id)}
    ]
    assert {run.data.tags["recipe"] for run in watched} == set(ABLATION)
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
    how = f"({torch.get_num_threads()} threads, {training_precision(pick_device())})"
    assert f"{how}; images of street-digits; runs in {store}\n" in result.output
    top = parent()
    assert top.data.tags["dataset"] == "street-digits"
    assert "street-digits" in top.info.run_name
    assert NOTICE in top.data.tags["mlflow.note.content"]
    for about in ("", "generated_"):
        logged = mlflow.artifacts.load_dict(f"runs:/{top.info.run_id}/{about}claims.json")
        assert {f"{about}claim.{row['claim']}" for row in logged} <= set(top.data.tags)
        assert {row["verdict"] for row in logged} == {"not tested"}
    names = {model.name for model in MlflowClient().search_registered_models()}
    assert names == {"street-digits-lenet5", "street-digits-zoo"}


def test_who_trains_on_more_than_the_quick_presets_images_scores_on_all_of_the_test_images(monkeypatch):
    monkeypatch.setattr("entrypoints.svhn_zoo.data.SIZES", {"full": (80, 30, 40), "quick": (50, 10, 20)})
    options = {field.name: None for field in fields(ZooOptions)} | {"dataset": "street-digits", "preset": "quick"}
    for images, sizes in ((0, (50, 10, 20)), (50, (50, 10, 20)), (51, (51, 30, 40))):
        data = load_data(ZooOptions(**options | {"images": images}))
        assert tuple(map(len, (data.train, data.val, data.test))) == sizes


def test_what_was_trained_on_the_extra_images_is_called_so_and_judged_by_no_claim(store, tmp_path, crops, monkeypatch):
    write_pair(tmp_path / "svhn", crops, monkeypatch, extra=300)
    arguments = ["--models", "lenet5", "--data-dir", str(tmp_path / "svhn"), "--extra", "True", "--epochs", "1"]
    result = zoo(*arguments, "--recipe", "both")
    assert result.exit_code == 0, result.output
    assert NOTICE not in result.output
    top = parent()
    assert top.data.tags["dataset"] == "svhn-extra"
    rows = {given.dataset.name: given.dataset.profile for given in top.inputs.dataset_inputs}
    assert rows["svhn-extra-train"] == '{"num_rows": 750}'
    names = {model.name for model in MlflowClient().search_registered_models()}
    assert names == {"svhn-extra-lenet5", "svhn-extra-zoo"}
    assert {value for key, value in top.data.tags.items() if key.startswith("claim.")} == {"not tested"}
    assert "SVHN (these are svhn-extra)" in top.data.tags["mlflow.note.content"]


def test_a_network_that_diverges_fails_alone(store, root, monkeypatch):
    broken = replace(SMALL.quick, recipe=replace(SMALL.quick.recipe, lr=1e30))
    monkeypatch.setitem(ZOO, "alexnet", replace(SMALL, quick=broken))
    result = zoo("--models", "alexnet,lenet5", "--data-dir", str(root), "--epochs", "1")
    assert result.exit_code == 1
    assert "1 of 2 networks failed: AlexNet" in result.output
    found = children()
    assert found["alexnet"].info.status == "FAILED"
    assert "loss" in found["alexnet"].data.tags["error"]
    lenet, top = found["lenet5"], parent()
    assert lenet.info.status == "FINISHED"
    assert {model.name for model in MlflowClient().search_registered_models()} == {"svhn-lenet5", "svhn-zoo"}
    compared = {key: value for key, value in top.data.metrics.items() if "/" in key}
    assert compared == {"test_accuracy/lenet5": lenet.data.metrics["test_accuracy"]}
    assert 0 < lenet.data.metrics["system/system_memory_usage_percentage"] < 100
    assert f"/#/experiments/0/runs/{top.info.run_id}?workflowType=machine_learning\n" in result.output


def test_a_zoo_of_which_every_network_diverged_is_judged_too(store, root, monkeypatch):
    plan = replace(ZOO["lenet5"].quick, recipe=replace(ZOO["lenet5"].quick.recipe, lr=1e30))
    monkeypatch.setitem(DOCUMENT, "lenet5", plan)
    arguments = ["--models", "lenet5", "--data-dir", str(root), "--epochs", "1", "--recipe", "document"]
    assert zoo(*arguments).exit_code == 1
    top = parent()
    assert top.info.status == "FAILED"
    [row] = [
        row for row in mlflow.artifacts.load_dict(f"runs:/{top.info.run_id}/claims.json") if row["id"] == "Q4-lenet"
    ]
    assert "1 of 1 trainings diverged" in row["reason"]
    assert "1 of 1 trainings diverged" in top.data.tags["mlflow.note.content"]


def test_seeds_are_reported_as_mean_and_deviation_and_the_best_on_validation_is_registered(store, root):
    result = zoo("--models", "lenet5", "--data-dir", str(root), "--epochs", "1", "--seed", "5", "--seeds", "3")
    assert result.exit_code == 0, result.output
    found = mlflow.search_runs(search_all_experiments=True, output_format="list", filter_string="tags.kind = 'network'")
    assert {run.info.run_name for run in found} == {f"LeNet-5, seed {seed}" for seed in (5, 6, 7)}
    table = mlflow.artifacts.load_dict(f"runs:/{parent().info.run_id}/zoo.json")
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    for key in ("val_accuracy", "test_accuracy"):
        values = [run.data.metrics[key] for run in found]
        assert row[key] == pytest.approx(np.mean(values))
        assert row[f"{key}_std"] == pytest.approx(np.std(values, ddof=1))
    [version] = MlflowClient().search_model_versions("name = 'svhn-lenet5'")
    accuracies = {run.info.run_id: run.data.metrics["val_accuracy"] for run in found}
    assert accuracies[version.run_id] == max(accuracies.values())
    assert "standard deviation over 3 seeds" in parent().data.tags["mlflow.note.content"]


class Hungry(nn.Module):
    """Runs out of memory, as CUDA does, where more than `most` images come at once in training."""

    def __init__(self, most: int):
        super().__init__()
        self.body, self.most = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)), most

    def forward(self, x):
        if self.training and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.body(x)


def test_a_network_that_does_not_fit_into_memory_is_trained_in_parts_and_says_so(store, root, monkeypatch):
    for name, most in (("alexnet", 20), ("vgg16", 1)):
        quick = replace(ZOO["lenet5"].quick, build=partial(Hungry, most))  # batches of 64
        monkeypatch.setitem(ZOO, name, replace(ZOO[name], quick=quick))
    result = zoo("--models", "alexnet,vgg16", "--data-dir", str(root), "--epochs", "1")
    assert result.exit_code == 1
    assert "1 of 2 networks failed: VGG-16" in result.output
    found = children()
    assert found["alexnet"].info.status == "FINISHED"
    assert found["alexnet"].data.tags["micro_batch"] == "16"
    assert found["vgg16"].info.status == "FAILED"
    assert "out of memory with batches of 64" in found["vgg16"].data.tags["error"]


@pytest.fixture
def interrupted(store, root, monkeypatch) -> str:
    """A zoo that ended after LeNet-5 as if by Ctrl-C."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(ZOO, "alexnet", replace(ZOO["alexnet"], quick=replace(ZOO["lenet5"].quick, build=stop)))
        patch.setattr("entrypoints.svhn_zoo.training.flops", lambda *_: 0)
        assert zoo("--models", "lenet5,alexnet", "--data-dir", str(root), "--epochs", "1").exit_code != 0
    return parent().info.run_id


def test_a_resumed_run_takes_its_options_from_the_run_and_leaves_what_is_finished(interrupted, root, monkeypatch):
    assert parent().info.status == "KILLED"
    lenet = children()["lenet5"]
    monkeypatch.setitem(ZOO, "alexnet", SMALL)
    other = CliRunner().invoke(main, ["--resume", interrupted, "--epochs", "3", "--seed", "1"])
    assert other.exit_code == 2
    assert "was started with --epochs 1 (here 3), --seed 0 (here 1)" in other.output
    result = zoo("--resume", interrupted)
    assert result.exit_code == 0, result.output
    assert parent().info.run_id == interrupted
    assert parent().info.status == "FINISHED"
    assert not Path("checkpoints").exists()
    assert {name: run.info.status for name, run in children().items()} == dict.fromkeys(
        ("lenet5", "alexnet"), "FINISHED"
    )
    assert children()["lenet5"].to_dictionary() == lenet.to_dictionary()
    assert "| LeNet-5 |" in parent().data.tags["mlflow.note.content"]
    again = zoo("--resume", interrupted)
    assert again.exit_code == 2
    assert "is finished: there is nothing to resume" in again.output


def test_a_run_that_still_goes_on_is_not_resumed(interrupted):
    with lock(Path("checkpoints", interrupted).absolute()):
        result = zoo("--resume", interrupted)
    assert result.exit_code == 2
    assert f"run {interrupted} is still going on in another process" in result.output.splitlines()[-1]
    assert parent().info.status == "KILLED"


def test_a_resumed_run_refuses_another_precision_but_not_one_that_recorded_none(interrupted, monkeypatch):
    monkeypatch.setitem(ZOO, "alexnet", SMALL)
    began = parent().data.tags["precision"]
    assert children()["lenet5"].data.params["precision"] == began
    other = {"bfloat16": "float32", "float32": "bfloat16"}[began]
    monkeypatch.setattr("dl.device.has_bf16", lambda device: other == "bfloat16")
    result = zoo("--resume", interrupted)
    assert result.exit_code == 1
    assert f"trains in {began}, but this cpu would go on in {other}" in result.output.splitlines()[-1]
    assert "or start a new run" in result.output.splitlines()[-1]
    assert parent().info.status == "KILLED"
    MlflowClient().delete_tag(interrupted, "precision")  # as an older program left it
    assert zoo("--resume", interrupted).exit_code == 0
    assert children()["alexnet"].data.params["precision"] == other


def test_a_resumed_run_refuses_other_data(interrupted, root):
    [labels] = root.glob("*-test-y.npy")
    np.save(labels, 9 - np.load(labels))
    result = zoo("--resume", interrupted)
    assert result.exit_code == 2
    assert "had other svhn images (test: " in result.output.splitlines()[-1]
    assert parent().info.status == "KILLED"


def test_a_network_that_diverged_is_evidence_and_other_epochs_than_the_presets_are_none(monkeypatch):
    def epoch(index, accuracy):
        return Epoch(index, 1.0, 0.5, 2.0, accuracy, 0.1, 1.0, 1.0, 1.0, 64)

    data = Data("svhn", "", *[Split(torch.zeros(6000, 3, 32, 32, dtype=torch.uint8), torch.zeros(6000).long())] * 3)

    def judged(epochs: int, **row) -> claims.Verdict:
        plan = shipped_plan("lenet5", "document", "full", 0)
        plan = replace(plan, recipe=replace(plan.recipe, epochs=epochs or plan.recipe.epochs))
        row = {"initial_weights": "random", "images": 14_651} | row
        variant, checkpoints = Variant("lenet5", "document", plan), Checkpoints("none")
        trained = [
            Trained(variant, checkpoints, row, [epoch(1, 0.17 + seed / 1000), epoch(2, 0.84 - seed / 1000)])
            for seed in range(8)
        ]
        options = ZooOptions(preset="full", **{f.name: None for f in fields(ZooOptions) if f.name != "preset"})
        results = Results(options, Setup(data, torch.device("cpu"), Path()), {variant.entry: trained})
        return next(v for v in judge_question_4(results) if v.claim == "Q4-lenet")

    assert judged(0, test_accuracy=0.84).verdict == "confirmed"
    assert judged(0, error="loss nan", diverged=True).verdict == "refuted"
    assert "was not run" in judged(0, error="out of memory").reason
    assert judged(2, test_accuracy=0.84).verdict == "not tested"


@pytest.mark.parametrize(("images", "verdict"), [(12_000, "not tested"), (14_651, "refuted")])
def test_what_had_fewer_images_than_the_document_says_nothing_of_its_claims_on_generated_digits(images, verdict):
    blank = Split(torch.zeros(images, 3, 32, 32, dtype=torch.uint8), torch.zeros(images).long())
    setup = Setup(Data("street-digits", "", blank, blank, blank), torch.device("cpu"), Path())
    variant = Variant("lenet5", "document", shipped_plan("lenet5", "document", "quick", 0))
    trained = Trained(variant, Checkpoints("none"))
    model, weights = variant.plan.prepare(setup.data)
    trained.describe(setup.of(variant), model, weights)
    trained.row |= {"error": "loss nan", "diverged": True}  # a counterexample, where it counts
    options = ZooOptions(preset="quick", **{f.name: None for f in fields(ZooOptions) if f.name != "preset"})
    verdicts = judge_question_4(Results(options, setup, {variant.entry: [trained]}), generated=True)
    assert {v.claim: v.verdict for v in verdicts}["Q4-lenet"] == verdict


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"kind": "search"}, "is no zoo run of svhn_zoo"),
        ({"kind": "zoo"}, "died before it had recorded its options"),
    ],
)
def test_a_run_that_cannot_go_on_is_refused_in_a_line(store, tags, message):
    run = MlflowClient().create_run("0", tags=tags).info.run_id
    result = zoo("--resume", run)
    assert result.exit_code == 2
    assert message in result.output.splitlines()[-1]
    assert "no run 'nothing'" in zoo("--resume", "nothing").output


def test_a_network_that_the_document_has_not_is_refused_by_its_recipe(store, root, monkeypatch):
    monkeypatch.setitem(ZOO, "mine", ZOO["lenet5"])
    for recipe in ("document", "both"):
        result = zoo("--models", "lenet5,mine", "--data-dir", str(root), "--recipe", recipe)
        assert result.exit_code == 2
        assert f"--recipe {recipe}: the document has none for mine" in result.output.splitlines()[-1]


def test_more_images_than_there_are_is_refused(store, root):
    result = zoo("--models", "lenet5", "--data-dir", str(root), "--images", "100000")
    assert result.exit_code == 2
    assert "--images 100000: svhn has " in result.output.splitlines()[-1]
    assert not mlflow.search_runs(search_all_experiments=True, output_format="list")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "lenet6"], "unknown network lenet6: known are lenet5, alexnet"),
        (["--models", ","], "names no network"),
        (["--dataset", "svhn", "--data-dir", "nothing"], "Put train_32x32.mat (md5"),
        (["--images", "3", "--models", "lenet5"], "at least 64"),
        (["--dataset", "street-digits", "--data-dir", "x"], "--data-dir and --extra are about SVHN: they do nothing"),
        (["--dataset", "street-digits", "--extra", "True"], "--data-dir and --extra are about SVHN"),
        (["--extra", "True", "--data-dir", "nothing"], "Put train_32x32.mat (md5"),  # no generated digits instead
        (["--seed", "-1"], "--seed"),
        (["--seeds", "0"], "--seeds"),
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
