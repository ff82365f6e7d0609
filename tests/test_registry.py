"""Registered models as a user finds them: champions, versions, cards, and the numbers that rank them."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from torch import nn

from dl.models import Preprocessed
from tests.test_server import serving
from tracking import patience
from tracking.errors import StoreError
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import start

README = Path(__file__).resolve().parents[1] / "README.md"
[README_CALL] = re.findall(r"<!-- tests/test_registry\.py[^>]*-->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
ABOUT = About("RGB pixels", "logits", "MIT", "diagnoses", {"epochs": 3, "lr": 0.1})


class Reader(nn.Module):
    """Answers with the number that stands in one pixel: how often it is right is written into the images."""

    def __init__(self, place: int):
        super().__init__()
        self.register_buffer("place", torch.tensor([place]))

    def forward(self, x):  # uint8 (N, 3, 32, 32) -> (N, 10)
        return F.one_hot(x[:, 0, 0].index_select(1, self.place)[:, 0].long(), 10).float()


def images(name: str, count: int, *right: int) -> HeldOut:
    """`count` validation images, of which `Reader(place)` gets `right[place]` right."""
    x = np.zeros((count, 3, 32, 32), np.uint8)
    for place, hits in enumerate(right):
        x[hits:, 0, 0, place] = 1
    return HeldOut(name, f"digest of {name}", x, np.zeros(count, np.int64))


QUICK, FULL = images("quick", 20, 20, 19, 19), images("full", 100, 60, 90, 89)


def enter(place: int, val: HeldOut, names: tuple[str, ...] = ("net",)) -> str:
    """Register `Reader(place)` from a run of its own; its version."""
    with start(f"reader {place}", {}, {"network": f"reader{place}"}) as run:
        return register(run, Reader(place), names, val, ABOUT)


def champion(name: str = "net") -> str:
    return str(MlflowClient().get_model_version_by_alias(name, "champion").version)


def tags_of(version: str, name: str = "net") -> dict[str, str]:
    return MlflowClient().get_model_version(name, version).tags


def test_a_quick_runs_luck_does_not_displace_a_better_full_one(store):
    """Reader 1 has 90 of 100 images; reader 2 comes with 19 of 20, which is more, but reader 1 has as many there."""
    enter(1, FULL)
    assert enter(2, QUICK) == "2"
    assert champion() == "1"
    said = tags_of("2")
    assert (said["val_digest"], said["val_images"]) == (QUICK.digest, "20")
    assert (float(said["val_accuracy"]), float(said["champion_accuracy"])) == (0.95, 0.95)
    assert said["champion_version"] == "1"


def test_a_full_run_displaces_a_quick_one_that_was_lucky(store):
    """Reader 0 has all of 20 images, but 60 of the 100 on which reader 1 has 90."""
    enter(0, QUICK)
    enter(1, FULL)
    assert champion() == "2"
    said = tags_of("2")
    assert (float(said["val_accuracy"]), float(said["champion_accuracy"])) == (0.9, 0.6)
    assert "champion_version" not in tags_of("1")


def test_an_equal_one_does_not_become_champion_and_one_image_decides(store):
    val = images("val", 3000, 565, 565, 566)
    for place, expected in ((0, "1"), (1, "1"), (2, "3"), (0, "3")):
        enter(place, val)
        assert champion() == expected


def test_a_champion_of_older_versions_of_this_program_is_compared_all_the_same(store):
    """Those have the tag `val_accuracy` only, and that of other images."""
    enter(1, FULL)
    client = MlflowClient()
    for key in ("val_digest", "val_images"):
        client.delete_model_version_tag("net", "1", key)
    client.set_model_version_tag("net", "1", "val_accuracy", "0.1")
    enter(2, FULL)
    assert champion() == "1"


def test_a_store_that_fails_does_not_cost_the_champion_its_place(store, monkeypatch):
    enter(2, FULL)

    def locked(*_):
        raise MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_model_version_by_alias", locked)
        patch.setattr(patience, "PATIENCE", 0)
        with pytest.raises(StoreError, match="locked"):
            enter(1, FULL)
    assert champion() == "1"


def test_a_champion_that_cannot_be_loaded_keeps_its_place_and_that_is_said(store, capsys):
    enter(0, QUICK)
    [model] = MlflowClient().search_logged_models(["0"])
    shutil.rmtree(model.artifact_location)
    enter(1, FULL)
    assert champion() == "1"
    [line] = [line for line in capsys.readouterr().err.splitlines() if "stays champion" in line]
    assert line.startswith("models:/net/1 stays champion, not compared: ")
    assert tags_of("2")["champion_accuracy"] == "not compared"


def test_a_champion_that_takes_other_input_keeps_its_place_and_that_is_said(store, capsys):
    with start("small") as run:
        val = HeldOut("digits", "d", np.zeros((2, 8, 8), np.uint8), np.zeros(2, int))
        register(run, Preprocessed(nn.Flatten(), 0.0, 16.0), ("net",), val, ABOUT)
    enter(1, FULL)
    assert champion() == "1"
    [line] = [line for line in capsys.readouterr().err.splitlines() if "stays champion" in line]
    assert line.endswith("not uint8 arrays (N, 3, 32, 32)")


def test_a_champion_under_two_names_is_scored_once(store, monkeypatch):
    enter(0, QUICK, ("net", "zoo"))
    loaded, load = [], mlflow.pyfunc.load_model
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda uri: loaded.append(uri) or load(uri))
    enter(1, FULL, ("net", "zoo"))
    assert (champion("net"), champion("zoo")) == ("2", "2")
    assert len(loaded) == len(set(loaded)) == 2  # the champion and the challenger


def test_networks_of_other_kinds_compete_for_the_best_of_all(store):
    enter(0, FULL, ("svhn-a", "svhn-zoo"))
    enter(1, FULL, ("svhn-b", "svhn-zoo"))
    enter(2, FULL, ("svhn-c", "svhn-zoo"))
    assert (champion("svhn-zoo"), champion("svhn-a"), champion("svhn-c")) == ("2", "1", "1")


def test_a_model_of_one_logit_competes_by_its_sign(store):
    x = np.float32([[-1, 0], [1, 0], [2, 0], [-3, 1]])
    val = HeldOut("val", "d", x, np.array([False, True, True, True]))

    class First(nn.Module):
        def forward(self, x):
            return x[:, 0]

    with start("logistic") as run:
        version = register(run, First(), ("logistic",), val, ABOUT)
    assert float(tags_of(version, "logistic")["val_accuracy"]) == 0.75


WRITES = (
    "log_batch", "create_logged_model", "log_outputs", "log_model_artifacts", "finalize_logged_model",
    "create_registered_model", "create_model_version", "update_model_version", "set_model_version_tag",
    "set_registered_model_alias",
)  # fmt: skip


def test_a_registration_that_is_cut_short_anywhere_is_completed_once(store, monkeypatch):
    """After each of its writes; resumed, there is one logged model, and one version of each name."""
    client, names = MlflowClient(), ("net", "zoo")
    enter(0, FULL, names)

    class KilledError(BaseException):
        pass

    def attempt(run, die_at: int) -> int:
        """Register; dies after write number `die_at`. The number of writes."""
        count = 0

        def dying(write):
            def outer(*args, **kwargs):
                nonlocal count
                result = write(*args, **kwargs)
                count += 1
                if count == die_at:
                    raise KilledError
                return result

            return outer

        with monkeypatch.context() as patch:
            for write in WRITES:
                patch.setattr(MlflowClient, write, dying(getattr(MlflowClient, write)))
            register(run, Reader(1), names, FULL, ABOUT)
        return count

    die_at = writes = 1
    while die_at <= writes:
        with start("challenger", {}, {"network": "reader1"}) as run:
            run.metrics({"val_accuracy": 0.9, "test_accuracy": 0.8}, 3)
            for name in names:  # as if this were the first challenger
                client.set_registered_model_alias(name, "champion", "1")
            try:
                writes = attempt(run, die_at)
            except KilledError:
                writes = die_at + 1
                attempt(run, 0)
        models = client.search_logged_models(["0"], f"source_run_id = '{run.id}'")
        assert {model.status for model in models} <= {"READY", "FAILED"}
        [ready] = [model for model in models if model.status == "READY"]
        assert {metric.key: metric.value for metric in ready.metrics} == {"val_accuracy": 0.9, "test_accuracy": 0.8}
        assert [m.step for m in client.get_metric_history(run.id, "val_accuracy")] == [3]
        for name in names:
            [version] = client.search_model_versions(f"name = '{name}' and run_id = '{run.id}'")
            assert version.source == ready.model_uri
            assert version.description
            assert tags_of(version.version, name)["champion_version"] == "1"
            assert champion(name) == str(version.version)
        die_at += 1
    assert writes > 10


def test_a_version_whose_creation_was_taken_but_not_answered_is_one_version(store, monkeypatch):
    create = MlflowClient.create_model_version

    def unanswered(*args, **kwargs):
        monkeypatch.setattr(MlflowClient, "create_model_version", create)
        create(*args, **kwargs)
        raise MlflowException("the answer was lost", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(MlflowClient, "create_model_version", unanswered)
    assert enter(0, FULL) == "1"
    assert len(MlflowClient().search_model_versions("name = 'net'")) == 1


def test_one_example_row_is_refused(store):
    with start("parent") as run, pytest.raises(ValueError, match="two rows"):
        register(run, Reader(0), ("net",), images("one", 1, 1), ABOUT)


@pytest.mark.parametrize("over", ["sqlite", "http"])
def test_one_call_ranks_the_networks_by_their_accuracy_on_a_named_test_set(store, over, tmp_path):
    with serving(tmp_path) if over == "http" else nullcontext(store) as uri:
        mlflow.set_tracking_uri(uri)
        client, accuracies = MlflowClient(), {"lenet5": 0.85, "resnet18": 0.95, "alexnet": 0.9, "elsewhere": 0.99}
        for name, accuracy in accuracies.items():
            data = "other" if name == "elsewhere" else "svhn"
            tags = {"network": name, "recipe": "tuned", "dataset": data}
            with start("zoo", {"models": "all"}) as run, run.child(name, {"lr": 0.1, "parameters": 7}, tags) as child:
                for part in ("train", "val", "test"):
                    child.dataset(f"{data}-{part}", "drawn", f"{part} digest", 20, part)
                child.metrics({"train_loss": 1.0, "val_accuracy": 0.5, "test_accuracy": 0.1}, 1)
                child.metrics({"train_loss": 0.5, "val_accuracy": 0.9, "test_accuracy": accuracy}, 2)
                register(child, Reader(0), ("net",), images(f"{data}-val", 20, 20), ABOUT)
        ranked = client.search_logged_models(
            ["0"],
            filter_string="metrics.test_accuracy > 0",
            datasets=[{"dataset_name": "svhn-test", "dataset_digest": "test digest"}],
            order_by=[{"field_name": "metrics.test_accuracy", "ascending": False, "dataset_name": "svhn-test"}],
        )
        assert [model.name for model in ranked] == ["resnet18", "alexnet", "lenet5"]
        shown: dict = {}  # what a reader gets who copies the block
        exec(README_CALL.replace("street-digits", "svhn"), shown)
        assert [model.name for model in shown["ranked"]] == ["resnet18", "alexnet", "lenet5"]
        best = ranked[0]
        assert best.params["lr"] == "0.1"
        assert best.params["parameters"] == "7"
        assert {key: best.tags[key] for key in ("network", "dataset", "recipe")} == {
            "network": "resnet18", "dataset": "svhn", "recipe": "tuned",
        }  # fmt: skip
        assert {(m.key, m.value, m.step, m.dataset_name, m.dataset_digest) for m in best.metrics} == {
            ("test_accuracy", 0.95, 2, "svhn-test", "test digest"),
            ("val_accuracy", 0.9, 2, "svhn-val", "digest of svhn-val"),
        }
        assert len(client.get_metric_history(best.source_run_id, "test_accuracy")) == 2  # none twice
        mlflow.set_tracking_uri(None)


def test_a_versions_card_says_what_its_run_says(store):
    val = images("svhn-val", 20, 19)
    with start("resnet18 / seed 0", {"parameters": 1234567}, {"network": "resnet18", "dataset": "svhn"}) as run:
        for part, count in (("train", 67257), ("val", 20), ("test", 2000)):
            run.dataset(f"svhn-{part}", "http://ufldl.stanford.edu/housenumbers", f"{part} digest", count, part)
        run.tags({"recipe": "tuned"})
        run.metrics({"test_accuracy": 0.9})
        version = register(run, Reader(0), ("net",), val, ABOUT)
    card = MlflowClient().get_model_version("net", version).description
    facts = dict(re.findall(r"^- \*\*(.+?):\*\* (.+)$", card, re.MULTILINE))
    assert card.startswith("resnet18 on svhn\n\n")
    assert facts == {
        "Reads": "uint8 `(N, 3, 32, 32)`, RGB pixels",
        "Returns": "logits",
        "Trained on": "svhn-train, 67,257 examples, digest `train digest`; source: "
        "http://ufldl.stanford.edu/housenumbers",
        "Validation accuracy": "95.00% ± 4.87% of 20 examples (svhn-val, digest `digest of svhn-val`)",
        "Test accuracy": "90.00% ± 0.67% of 2,000 examples (svhn-test, digest `test digest`)",
        "Recipe": "tuned: epochs 3, lr 0.1",
        "Parameters": "1,234,567",
        "Run": f"resnet18 / seed 0 (`{run.id}`)",
        "Licence of the data": "MIT",
        "Not for": "diagnoses",
    }
    [code] = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    there = {}
    exec(code, there)  # the lines on how to load it do
    assert (there["model"].predict(val.x).argmax(1) == val.y).mean() == 0.95
    assert there["module"](torch.from_numpy(val.x)).shape == (20, 10)


def network(seed: int = 0) -> Preprocessed:
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(16, 10),
    )  # fmt: skip
    return Preprocessed(body, [110.0, 111.0, 112.0], [50.0, 51.0, 52.0])


PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)


VAL = HeldOut("pixels", "d", PIXELS, np.zeros(len(PIXELS), np.int64))


@pytest.mark.filterwarnings("error:No complete tensor")  # weights that pt2 does not take as they lie in memory
def test_a_fresh_process_without_our_code_predicts_the_same(store, tmp_path):
    model = network().eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(PIXELS)).numpy()
    with start("parent") as run:
        trained = network().train().to(memory_format=torch.channels_last)  # as `fit` leaves it
        register(run, trained, ("net",), VAL, ABOUT)
    np.save(tmp_path / "pixels.npy", PIXELS)
    program = """
        import sys, mlflow, numpy as np, torch
        assert not any(name.split(".")[0] in ("dl", "tracking") for name in sys.modules)
        pixels = np.load("pixels.npy")
        uri = "models:/net@champion"
        np.save("pyfunc.npy", mlflow.pyfunc.load_model(uri).predict(pixels))
        module = mlflow.pytorch.load_model(uri)
        np.save("pytorch.npy", module(torch.from_numpy(pixels)).detach().numpy())
        torch.cuda.is_available = lambda: True  # a host with a GPU: mlflow would refuse what was exported elsewhere
        np.save("cuda.npy", mlflow.pyfunc.load_model(uri).predict(pixels))
        module.to("meta")  # and the graph itself runs wherever it is moved to
        assert module(torch.empty(7, 3, 32, 32, dtype=torch.uint8, device="meta")).shape == (7, 10)
        path = mlflow.artifacts.download_artifacts(uri + "/extra_files/state_dict.pt")
        torch.save(torch.load(path, weights_only=True), "state.pt")
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(program)], check=True, cwd=tmp_path,
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
    )  # fmt: skip
    for name in ("pyfunc", "pytorch", "cuda"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-4)
    tuned = network(seed=1)
    tuned.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))  # fine-tuning starts here
    with torch.no_grad():
        np.testing.assert_allclose(tuned.eval()(torch.from_numpy(PIXELS)).numpy(), expected, atol=1e-5)
