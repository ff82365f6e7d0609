"""A tracking server that is away: what waits, what is told, and how fast a signal ends a process. Real servers, real
signals; where a server must come back within a second, a relay before it is taken away instead."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.figure
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests import faults
from tests.test_faults import server
from tests.test_registry import ABOUT, VAL, network
from tracking import patience
from tracking.errors import StoreError
from tracking.registry import register
from tracking.run import Run, start

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def behind(tmp_path_factory) -> Iterator[int]:
    """The port of a server that stays."""
    port = faults.free_port()
    with server(port, tmp_path_factory.mktemp("server")):
        yield port


@pytest.fixture
def relay(behind, tmp_path, monkeypatch) -> Iterator[faults.Relay]:
    """The way to that server. MLflow's own patience is cut down, so that ours is what is tested."""
    relay = faults.Relay(behind)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{relay.port}")
    yield relay
    mlflow.set_tracking_uri(None)


def child(run: Run) -> None:
    with run.child("child", {"lr": 1}):
        pass


def written(run: Run) -> mlflow.entities.Run:
    return MlflowClient().get_run(run.id)


def artifacts(run: Run) -> set[str]:
    return {item.path for item in MlflowClient().list_artifacts(run.id)}


def table(run: Run) -> list:
    return mlflow.artifacts.load_dict(f"runs:/{run.id}/table.json")["data"]


WRITES = {
    "params": (lambda run: run.params({"lr": 1}), lambda run: written(run).data.params == {"lr": "1"}),
    "tags": (lambda run: run.tags({"a": 1}), lambda run: written(run).data.tags["a"] == "1"),
    "a note": (lambda run: run.note("answer"), lambda run: written(run).data.tags["mlflow.note.content"] == "answer"),
    "metrics": (
        lambda run: (run.metrics({"loss": 1.0}, 1), run.flush()), lambda run: written(run).data.metrics == {"loss": 1},
    ),
    "a figure": (lambda run: run.figure("f.png", matplotlib.figure.Figure()), lambda run: artifacts(run) == {"f.png"}),
    "a table": (lambda run: run.log_table("table.json", [{"a": 1}]), lambda run: table(run) == [[1]]),
    "json": (lambda run: run.log_json("a.json", {}), lambda run: artifacts(run) == {"a.json"}),
    "text": (lambda run: run.text("a.txt", "a"), lambda run: artifacts(run) == {"a.txt"}),
    "a file": (lambda run: run.file(__file__), lambda run: artifacts(run) == {Path(__file__).name}),
    "a data set": (
        lambda run: run.dataset("d", "s", "abc", 1, "train"),
        lambda run: [each.dataset.digest for each in written(run).inputs.dataset_inputs] == ["abc"],
    ),
    "a child": (child, lambda run: [each.info.status for each in run.children()] == ["FINISHED"]),
    "a child in bulk": (
        lambda run: run.record("trial", {"lr": 1}, {"kind": "trial"}, [(1, {"loss": 1.0})]),
        lambda run: [(each.info.status, each.data.metrics) for each in run.children()] == [("FINISHED", {"loss": 1})],
    ),
    "a failure": (lambda run: run.fail("why"), lambda run: written(run).data.tags["error"] == "why"),
    "reading": (lambda run: run.children(), lambda run: True),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITES)
def test_a_server_that_is_away_for_a_while_costs_no_write(relay, kind, capfd):
    write, there = WRITES[kind]
    with start("parent") as run:
        with relay.away_for(1.0):
            write(run)
        assert there(run)
    assert written(run).info.status == ("FAILED" if kind == "a failure" else "FINISHED")
    if kind != "metrics":
        assert f"the tracking server http://127.0.0.1:{relay.port} is away: waiting for it" in capfd.readouterr().err


def test_the_end_of_a_run_waits_for_a_server_that_is_away(relay):
    with start("parent") as run, run.child("child") as child:
        relay.away()
        child.metrics({"loss": 1.0}, 1)
        threading.Timer(1.0, relay.back).start()
    assert [written(each).info.status for each in (run, child)] == ["FINISHED"] * 2
    assert written(child).data.metrics == {"loss": 1.0}


def test_a_network_is_registered_although_the_server_is_away_at_first(relay):
    with start("parent") as run:
        with relay.away_for(1.0):
            assert register(run, network(), ("away",), VAL, ABOUT) == "1"
        assert MlflowClient().get_model_version_by_alias("away", "champion").run_id == run.id


def test_a_result_is_not_taken_for_missing_because_the_server_is_away(relay):
    with start("parent") as run, run.child("child") as made:
        made.log_json("result.json", {"a": 1})
    with start("parent", resume=run.id) as again:
        with relay.away_for(1.0):
            assert again.result("child", "result.json") == {"a": 1}
        assert again.result("child", "another.json") is None


def test_a_child_whose_creation_was_taken_but_not_answered_is_one_child(relay, monkeypatch):
    inner = MlflowClient.create_run

    def unanswered(*args, **kwargs):
        monkeypatch.setattr(MlflowClient, "create_run", inner)
        inner(*args, **kwargs)
        raise MlflowException("API request to http://host/api failed with exception the answer was lost")

    with start("parent") as run:
        monkeypatch.setattr(MlflowClient, "create_run", unanswered)
        child(run)
        assert [each.info.status for each in run.children()] == ["FINISHED"]


def test_a_server_that_stays_away_ends_the_command_in_one_line(relay, monkeypatch, capfd):
    monkeypatch.setattr(patience, "PATIENCE", 1)
    monkeypatch.setattr(patience, "LAST_SECONDS", 1)
    opened = []

    def command():
        with start("parent") as run, run.child("child") as child:
            opened.extend([run, child])
            relay.away()
            child.tags({"a": 1})

    began = time.monotonic()
    with pytest.raises(StoreError, match=r"stays away, after \d+ seconds of waiting: API request to ") as caught:
        command()
    assert time.monotonic() - began < 15
    assert "\n" not in str(caught.value)
    said = capfd.readouterr().err
    for each in opened:
        assert f"Not written to run {each.name} ({each.id}): error, status FAILED" in said
    relay.back()


PROGRAM = """
    import time
    from tracking.run import start
    try:
        with start("parent") as run, run.child("child") as child:
            print(run.id, child.id, flush=True)
            for step in range(1, 10_000):
                child.metrics({"val_loss": 1.0}, step)
                time.sleep(0.1)
    finally:
        print("ended", flush=True)
"""


def program(port: int) -> tuple[subprocess.Popen, list[str]]:
    """A training that writes to the server at `port`; the ids of its runs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    environment.pop("MLFLOW_HTTP_REQUEST_MAX_RETRIES", None)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    ids = process.stdout.readline().split()
    time.sleep(0.5)  # let it write
    return process, ids


@pytest.mark.parametrize(
    ("how", "number"),
    [(signal.SIGSTOP, signal.SIGINT), (signal.SIGKILL, signal.SIGTERM)],
    ids=["hangs, Ctrl-C", "dead, SIGTERM"],
)
def test_a_signal_ends_a_run_in_seconds_although_its_server_is_gone(tmp_path, how, number):
    """And the exception that ends it is the signal's, not the server's; what was not written is told."""
    port = faults.free_port()
    with server(port, tmp_path) as served:
        process, ids = program(port)
        os.killpg(served.pid, how)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
        assert time.monotonic() - began < 15  # ten, and what this machine takes to end a process
    assert process.returncode == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 128 + signal.SIGTERM}[number]
    assert out == "ended\n"
    for name, run_id in zip(("parent", "child"), ids, strict=True):
        assert re.search(rf"^Not written to run {name} \({run_id}\): .*status KILLED\.", said, re.M)
    assert "MlflowException" not in said.splitlines()[-1]


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    port = faults.free_port()
    with server(port, tmp_path) as served:
        process, _ = program(port)
        os.killpg(served.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)
        assert process.poll() is None  # it tries to write what is left
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert time.monotonic() - began < 1.5
    assert process.returncode == -signal.SIGINT


def test_after_a_signal_a_server_that_comes_back_within_seconds_is_told_all(relay):
    process, ids = program(relay.port)
    relay.away()
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    relay.back()
    process.communicate(timeout=60)
    parent, child = (MlflowClient().get_run(each) for each in ids)
    assert (parent.info.status, child.info.status) == ("KILLED", "KILLED")
    steps = [metric.step for metric in MlflowClient().get_metric_history(child.info.run_id, "val_loss")]
    assert sorted(steps) == list(range(1, len(steps) + 1))
