"""Runs and models as a user finds them afterwards."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import tracking.run
from tracking.errors import StoreError
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
            run.record(f"trial {trial}", {"lr": trial}, {"kind": "trial"}, series, {"test_loss": 0.1})
        run.record("trial 3", {"lr": 3}, {"kind": "trial", "error": "diverged"})
        run.record("other", {}, {"kind": "repeat"})
        trials = run.children("trial")
        assert len(run.children()) == 5
    assert [trial.info.status for trial in trials] == ["FINISHED"] * 3 + ["FAILED"]
    assert trials[1].data.params == {"seed": "0", "lr": "1"}
    assert trials[0].data.tags["question"] == "3"
    assert len(MlflowClient().get_metric_history(trials[0].info.run_id, "val_loss")) == 30


@pytest.mark.parametrize("rows", [10, 1000])
def test_a_note_is_whole_or_says_where_it_is(store, rows):
    note = "\n".join(["| a | b |", "|---|---|", *[f"| row {number} | 0.123 |" for number in range(rows)]])
    with start("parent") as run:
        run.note(note)
    shown, _, rest = runs()["parent"].data.tags["mlflow.note.content"].partition("\n\n")
    assert note == shown or (note.startswith(shown + "\n") and "`note.md`" in rest)  # whole rows
    if rest:
        assert mlflow.artifacts.load_text(f"runs:/{run.id}/note.md") == note
    assert bool(rest) == (rows == 1000)


@pytest.mark.parametrize("name", ["MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"])
def test_a_run_that_cannot_be_started_is_one_clear_line(store, monkeypatch, name):
    monkeypatch.setenv(name, "404")
    with pytest.raises(StoreError, match=r"no run can be started on .*404") as caught, start("parent"):
        pass
    assert "\n" not in str(caught.value)
    assert statuses() == {}


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


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("no disk"), "FAILED")])
def test_what_ends_a_run_right_after_its_creation_is_told(store, monkeypatch, error, status):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("tracking.run.Inherited", broken)  # between mlflow's own start of the run and the block
    with pytest.raises(type(error)), start("parent"):
        pass
    assert statuses() == {"parent": status}
    assert mlflow.active_run() is None


@pytest.mark.parametrize("open_child", [
    lambda run: run.child("child").__enter__(), lambda run: run.record("child", {}, {}, [(1, {"val_loss": 1.0})]),
])  # fmt: skip
@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("no disk"), "FAILED")])
def test_a_child_that_is_created_and_no_more_is_ended_with_its_parent(store, monkeypatch, open_child, error, status):
    create = MlflowClient.create_run

    def broken(self, experiment, *about):
        create(self, experiment, *about)
        raise error

    with suppress(type(error)), start("parent") as run:
        monkeypatch.setattr(MlflowClient, "create_run", broken)
        open_child(run)
    assert statuses() == {"parent": status, "child": "KILLED"}


@pytest.mark.parametrize("step", ["end_orphans", "logged_steps", "run_again"])
def test_a_signal_while_a_run_is_opened_again_leaves_none_running(store, monkeypatch, step):
    with start("parent") as run, run.child("child") as child:
        child.metrics({"val_loss": 1.0}, 1)
        run.fail("why")
    done = getattr(tracking.run, step)
    for name in ("parent", "child"):

        def interrupted(client, record, name=name):
            result = done(client, record)
            if record.info.run_name == name:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(tracking.run, step, interrupted)
        with suppress(KeyboardInterrupt), start("parent", resume=run.id) as again, again.child("child"):
            pass
        assert "RUNNING" not in statuses().values()


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


def test_an_experiment_whose_files_go_through_a_server_is_refused_without_it(store, monkeypatch):
    experiment = MlflowClient().create_experiment("served", artifact_location="mlflow-artifacts:/1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    with pytest.raises(StoreError, match="set MLFLOW_TRACKING_URI to its address"), start("parent"):
        pass
    assert statuses() == {"parent": "FAILED"}
