"""Runs and models as a user finds them afterwards."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from torch import nn

from dl.models import Raw
from tracking import patience
from tracking.errors import StoreError
from tracking.registry import register
from tracking.run import start

ROOT = Path(__file__).resolve().parents[1]


def runs() -> dict[str, mlflow.entities.Run]:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return {run.info.run_name: run for run in found}


def statuses() -> dict[str, str]:
    return {name: run.info.status for name, run in runs().items()}


def test_a_child_carries_its_parents_parameters_and_tags(store):
    with start("parent", {"seed": 1, "lr": 0.1}, {"question": 4, "kind": "zoo"}) as run:
        with run.child("child", {"lr": 0.001}, {"kind": "network"}) as child:
            child.metrics({"val_loss": 1.0, "val_accuracy": 0.5}, step=1)
            child.metrics({"val_loss": 0.5, "val_accuracy": 0.75}, step=2)
        with pytest.raises(KeyError), run.child("broken"):
            raise KeyError("why")
    found = runs()
    assert statuses() == {"parent": "FINISHED", "child": "FINISHED", "broken": "FAILED"}
    child = found["child"]
    assert child.data.params == {"seed": "1", "lr": "0.001"}
    assert child.data.tags["question"] == "4"
    assert child.data.tags["kind"] == "network"
    assert child.data.tags["mlflow.parentRunId"] == found["parent"].info.run_id
    assert child.data.tags["mlflow.source.name"] == found["parent"].data.tags["mlflow.source.name"]
    assert "KeyError" in found["broken"].data.tags["error"]
    history = MlflowClient().get_metric_history(child.info.run_id, "val_loss")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5)]


def test_a_failure_that_was_handled_is_a_failed_run(store):
    with start("parent") as run, run.child("child") as child:
        child.fail("loss nan in epoch 3 of 10")
    assert statuses() == {"parent": "FINISHED", "child": "FAILED"}
    assert runs()["child"].data.tags["error"] == "loss nan in epoch 3 of 10"


def test_values_that_are_not_finite_become_nan(store):
    with start("parent") as run:
        run.metrics({"a": math.inf, "b": math.nan, "c": 1.0})
    metrics = runs()["parent"].data.metrics
    assert math.isnan(metrics["a"])
    assert math.isnan(metrics["b"])
    assert metrics["c"] == 1.0


def test_the_run_of_mlflow_run_is_adopted_and_its_parameters_stay(store, monkeypatch):
    made = MlflowClient().create_run("0")
    MlflowClient().log_param(made.info.run_id, "lr", "1e-3")  # as typed: `mlflow run` logs the raw text
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    with start("parent", {"lr": 0.001, "seed": 0}) as run:
        assert run.id == made.info.run_id
        assert "MLFLOW_RUN_ID" not in os.environ  # a worker would write into this run
    assert runs()["parent"].data.params == {"lr": "1e-3", "seed": "0"}


def test_finished_children_in_bulk(store):
    with start("parent", {"seed": 0}, {"question": 3}) as run:
        series = [(step, {"val_loss": 1 / step}) for step in range(1, 31)]
        for trial in range(3):
            run.record(f"trial {trial}", {"lr": trial}, {"kind": "trial"}, series, {"test_loss": 0.1}, "FINISHED")
        run.record("trial 3", {"lr": 3}, {"kind": "trial"}, status="FAILED")
        run.record("other", {}, {"kind": "repeat"})
        trials = run.children("trial")
        assert len(run.children()) == 5
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 3 + ["FAILED"]
    assert trials[1].data.params == {"seed": "0", "lr": "1"}
    assert trials[0].data.tags["question"] == "3"
    assert len(MlflowClient().get_metric_history(trials[0].info.run_id, "val_loss")) == 30


def test_data_sets_are_told_apart(store):
    with start("parent") as run:
        run.dataset("digits-train", "sklearn", "abc", 1797, "train")
    [logged] = runs()["parent"].inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("digits-train", "abc")
    assert logged.tags[0].value == "train"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_run_as_killed(store, number, tmp_path):
    program = """
        import time
        from tracking.run import start
        with start("parent") as run, run.child("child") as child:
            child.metrics({"val_loss": 1.0}, 1)
            print("ready", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # what `mlflow run` does while we clean up: it must not hurt
    assert process.wait(30) != 0
    assert statuses() == {"parent": "KILLED", "child": "KILLED"}
    assert runs()["child"].data.metrics == {"val_loss": 1.0}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_killed_launcher_takes_the_training_with_it(store):
    program = """
        import time
        from tracking.run import start
        with start("parent") as run, run.child("child"):
            print("ready", flush=True)
            time.sleep(60)
    """
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {textwrap.dedent(program)!r}])"
    fresh = MlflowClient().create_run("0", run_name="fresh")
    process = subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_RUN_ID": fresh.info.run_id},
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.stdout.read()  # ends when the training has closed it as well
    assert statuses() == {"parent": "KILLED", "child": "KILLED"}


def test_resuming_opens_the_run_again_and_ends_orphans(store, monkeypatch):
    with start("parent", {"seed": 0}) as run:
        run.record("done", {}, {"kind": "trial"})
        parent = run.id
    orphan = MlflowClient().create_run("0", run_name="orphan", tags={"mlflow.parentRunId": parent})
    fresh = MlflowClient().create_run("0", run_name="fresh")
    monkeypatch.setenv("MLFLOW_RUN_ID", fresh.info.run_id)
    with start("parent", {"seed": 0}, resume=parent) as run:
        assert run.id == parent
        assert statuses()["parent"] == "RUNNING"
    assert statuses()["parent"] == "FINISHED"
    assert statuses()["done"] == "FINISHED"
    assert MlflowClient().get_run(orphan.info.run_id).info.status == "KILLED"
    assert MlflowClient().get_run(fresh.info.run_id).data.tags["resumes"] == parent
    with pytest.raises(LookupError, match="no run 'nonsense'"), start("parent", resume="nonsense"):
        pass


def test_a_resumed_child_is_the_same_run_and_takes_no_value_twice(store):
    with start("parent") as run:
        with run.child("child", {"lr": 1}) as child:
            child.metrics({"val_loss": 1.0}, 1)
            child.metrics({"val_loss": 0.5}, 2)
            child.log_table("table.json", [{"a": 1, "b": "x"}])
            child.fail("why")
        run.fail("child")
    assert statuses() == {"parent": "FAILED", "child": "FAILED"}
    with start("parent", resume=run.id) as again, again.child("child", {"lr": 1, "seed": 0}) as same:
        assert (again.id, same.id) == (run.id, child.id)
        assert statuses() == {"parent": "RUNNING", "child": "RUNNING"}
        for epoch in (1, 2, 3):
            same.metrics({"val_loss": 9.0 / epoch, "lr": 0.1}, epoch)
        same.log_table("table.json", [{"a": 2, "b": "y"}, {"a": 3, "b": "z"}])
    assert statuses() == {"parent": "FINISHED", "child": "FINISHED"}
    assert "error" not in runs()["child"].data.tags
    assert runs()["child"].data.params == {"lr": "1", "seed": "0"}
    for key, values in (("val_loss", [1.0, 0.5, 3.0]), ("lr", [0.1] * 3)):
        history = MlflowClient().get_metric_history(child.id, key)
        assert [(m.step, m.value) for m in history] == list(zip((1, 2, 3), values, strict=True))
    assert MlflowClient().load_table("0", "table.json")["a"].tolist() == [2, 3]


def network(seed: int = 0) -> Raw:
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(16, 10),
    )  # fmt: skip
    return Raw(body, [110.0, 111.0, 112.0], [50.0, 51.0, 52.0])


PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("address", ["http://me:secret@127.0.0.1:9", "foo://bar"])
def test_a_tracking_server_that_is_not_there_is_one_clear_line_at_once(store, address):
    mlflow.set_tracking_uri(address)
    began = time.monotonic()
    with pytest.raises(StoreError) as caught, start("parent"):
        pass
    assert time.monotonic() - began < 30  # mlflow's own patience is four minutes
    message = str(caught.value)
    assert "cannot be reached: start it, or set MLFLOW_TRACKING_URI" in message
    assert "\n" not in message
    assert "secret" not in message
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.parametrize("accuracy", [565 / 3000, 0.7192982456140351])  # rounded to six digits one falls, one rises
def test_an_equal_network_does_not_become_champion(store, accuracy):
    client = MlflowClient()
    with start("parent") as run:
        for name in ("first", "second"):
            with run.child(name) as child:
                register(child, network(), "net", PIXELS[:2], accuracy)
    assert int(client.get_model_version_by_alias("net", "champion").version) == 1


def test_a_store_that_fails_does_not_cost_the_champion_its_place(store, monkeypatch):
    client = MlflowClient()
    with start("parent") as run:
        with run.child("good") as child:
            register(child, network(), "net", PIXELS[:2], 0.9)

        def locked(*_):
            raise MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)

        monkeypatch.setattr(patience, "PATIENCE", 0)
        with run.child("bad") as child, monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "get_model_version_by_alias", locked)
            with pytest.raises(StoreError, match="locked"):
                register(child, network(), "net", PIXELS[:2], 0.1)
    assert int(client.get_model_version_by_alias("net", "champion").version) == 1


def test_only_a_better_network_becomes_champion(store):
    client = MlflowClient()
    with start("parent") as run:
        for seed, (accuracy, expected) in enumerate(((0.5, 1), (0.4, 1), (0.5, 1), (0.6, 4))):
            with run.child(f"seed {seed}") as child:
                for _ in range(2):  # a run that was killed in here, resumed: still one version
                    register(child, network(), "net", PIXELS[:2], accuracy, {"test_accuracy": 0.3}, also="zoo")
            assert int(client.get_model_version_by_alias("net", "champion").version) == expected
            assert int(client.get_model_version_by_alias("zoo", "champion").version) == expected
        register(run, network(), "other", PIXELS[:2], 0.55, also="zoo")
    assert int(client.get_model_version_by_alias("zoo", "champion").version) == 4
    version = client.get_model_version("net", "1")
    assert version.tags["test_accuracy"] == "0.3"
    assert version.run_id == runs()["seed 0"].info.run_id
    assert len(client.search_model_versions("name = 'net'")) == 4


def test_a_registration_that_was_cut_short_is_completed_with_the_same_model(store):
    client = MlflowClient()
    with start("parent") as run:
        register(run, network(), "net", PIXELS[:2], 0.5)  # and here it was killed
        assert register(run, network(), "net", PIXELS[:2], 0.5, also="zoo") == "1"
    [net], [zoo] = (client.search_model_versions(f"name = '{name}'") for name in ("net", "zoo"))
    assert net.source == zoo.source
    assert client.get_model_version_by_alias("zoo", "champion").version == zoo.version
    assert mlflow.pyfunc.load_model("models:/zoo@champion").predict(PIXELS).shape == (7, 10)


def test_one_example_row_is_refused(store):
    with start("parent") as run, pytest.raises(ValueError, match="two rows"):
        register(run, network(), "net", PIXELS[:1], 0.5)


@pytest.mark.filterwarnings("error:No complete tensor")  # weights that pt2 does not take as they lie in memory
def test_a_fresh_process_without_our_code_predicts_the_same(store, tmp_path):
    model = network().eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(PIXELS)).numpy()
    with start("parent") as run:
        trained = network().train().to(memory_format=torch.channels_last)  # as `fit` leaves it
        register(run, trained, "net", PIXELS[:2], 0.5)
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
