"""Whatever kills a zoo or a search: resumed, it ends with the numbers of one that nothing happened to.

20 kills by default; `KILLS=100 python -m pytest tests/test_faults.py` for more.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from torchvision.datasets import SVHN

from tests import faults
from tracking.run import start

KILLS = int(os.environ.get("KILLS", 20))
TIMES = {"images_per_second", "epoch_seconds", "seconds", "peak_memory_bytes", "search_seconds"}


@pytest.fixture
def images(tmp_path, crops) -> Path:
    """SVHN as it lies once it is prepared, but small."""
    x, y = crops[0].transpose(0, 3, 1, 2), crops[1]
    (tmp_path / "svhn").mkdir()
    at = 0
    for part, size in (("train", 192), ("val", 48), ("test", 100)):
        stem = tmp_path / "svhn" / f"svhn-{SVHN.split_list['test' if part == 'test' else 'train'][2][:8]}-{part}"
        np.save(f"{stem}-x.npy", np.ascontiguousarray(x[at : at + size]))
        np.save(f"{stem}-y.npy", y[at : at + size])
        at += size
    return tmp_path / "svhn"


def records(kind: str, parent: str = "") -> list[mlflow.entities.Run]:
    query = f"tags.kind = '{kind}'" + (f" and tags.mlflow.parentRunId = '{parent}'" if parent else "")
    return MlflowClient().search_runs(["0"], query, order_by=["attributes.start_time ASC"])


def finish(
    entry: str, arguments: list[str], kind: str, rng: random.Random, events: int, kills: int, **how
) -> tuple[str, int]:
    """Start, kill, resume, kill, ... until the run ends by itself: its id, and how often it was killed."""
    killed, known = 0, {run.info.run_id for run in records(kind)}
    command = arguments
    while True:
        # a third of the way at most: many deaths a run, and as it gets on they come to all of its parts
        process = faults.run(entry, command, rng.randint(1, events // 3) if killed < kills else 0, **how)
        process.join(120)
        output = Path("output.txt").read_text() if Path("output.txt").exists() else ""
        if process.exitcode == 0:
            [made] = [run for run in records(kind) if run.info.run_id not in known]
            return made.info.run_id, killed
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            assert "died before it had recorded its options" in output.splitlines()[-1], output
            known.add(command[1])
        new = [run.info.run_id for run in records(kind) if run.info.run_id not in known]
        assert len(new) <= 1
        command = ["--resume", new[0], "--device", "cpu"] if new else arguments


def histories(run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric with its steps, but for the times and the machine's load."""
    client = MlflowClient()
    keys = sorted(
        key for key in client.get_run(run_id).data.metrics if key not in TIMES and not key.startswith("system/")
    )
    return {key: sorted((m.step, m.value) for m in client.get_metric_history(run_id, key)) for key in keys}


def by_name(kind: str, parent: str, status: str = "FINISHED") -> dict[str, dict]:
    """Histories of the children by name; each name once."""
    found = [run for run in records(kind, parent) if run.info.status == status]
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: histories(run.info.run_id) for run in found}


def weights(name: str, run_ids: set[str]) -> dict[str, torch.Tensor]:
    """Of the one version of `name` that one of these runs registered."""
    [version] = [v for v in MlflowClient().search_model_versions(f"name = '{name}'") if v.run_id in run_ids]
    path = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}/extra_files/state_dict.pt")
    return torch.load(path, weights_only=True)


def nothing_runs() -> bool:
    return not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")


def whole(entry: str, arguments: list[str], kind: str, **how) -> tuple[str, int]:
    """A run that nothing happens to: its id, and its number of events."""
    run_id, _ = finish(entry, arguments, kind, random.Random(0), 0, kills=0, **how)
    return run_id, int(Path("events.txt").read_text())


def test_a_zoo_that_is_killed_again_and_again_loses_and_doubles_nothing(store, images):
    arguments = [
        "--models", "lenet5", "--seeds", "2", "--epochs", "3", "--dataset", "svhn", "--data-dir", str(images),
        "--device", "cpu",
    ]  # fmt: skip
    reference, events = whole("svhn_zoo", arguments, "zoo")
    expected = by_name("network", reference)
    assert len(expected) == 2
    bits = weights("svhn-lenet5", {run.info.run_id for run in records("network", reference)})
    rng, kills = random.Random(1), 0
    while kills < KILLS * 2 // 3:
        run_id, killed = finish("svhn_zoo", arguments, "zoo", rng, events, kills=13)
        kills += killed
        children = records("network", run_id)
        assert [run.info.status for run in children] == ["FINISHED"] * 2
        found = by_name("network", run_id)
        assert found == expected
        for history in found.values():
            assert [step for step, _ in history["val_loss"]] == [1, 2, 3]
        assert histories(run_id) == histories(reference)
        ours = weights("svhn-lenet5", {run.info.run_id for run in children})
        assert all(torch.equal(ours[key], bits[key]) for key in bits)
        assert len(mlflow.artifacts.load_dict(f"runs:/{run_id}/zoo.json")["data"]) == 1
        assert not Path("checkpoints", run_id).exists()
        assert nothing_runs()


def test_a_search_that_is_killed_again_and_again_loses_and_doubles_nothing(store):
    arguments = ["--trials", "6", "--batch", "3", "--repeats", "2", "--epochs", "1", "--device", "cpu"]
    reference, events = whole("digits_search", arguments, "search")
    kinds = ("trial", "rerun", "network")
    expected = {kind: by_name(kind, reference) for kind in kinds}
    rng, kills = random.Random(2), 0
    while kills < KILLS - KILLS * 2 // 3:
        run_id, killed = finish("digits_search", arguments, "search", rng, events, kills=7)
        kills += killed
        assert {kind: by_name(kind, run_id) for kind in kinds} == expected
        assert histories(run_id) == histories(reference)
        assert nothing_runs()


def pair(arguments: list[str], die_at: int = 0) -> list[int | None]:
    """Two processes as torchrun starts them, and ends them where the first one dies; their exit codes."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(faults.free_port())}
    started = [
        faults.run(
            "svhn_zoo", arguments, die_at * (rank == 0), group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            dtype=torch.float64,
        )
        for rank in range(2)
    ]  # fmt: skip
    started[0].join(120)
    if started[0].exitcode:
        started[1].kill()
    started[1].join(120)
    return [process.exitcode for process in started]


def test_two_processes_train_as_one_and_resume_as_one(store, images):
    """In float64: the order of a sum's terms lets float32 weights differ in their last digits, and where a maximum is
    all but tied that hands a gradient from one pixel to another."""
    arguments = [
        "--models", "lenet5", "--epochs", "2", "--dataset", "svhn", "--data-dir", str(images), "--device", "cpu",
    ]  # fmt: skip
    _, events = whole("svhn_zoo", arguments, "zoo", dtype=torch.float64)
    assert pair(arguments) == [0, 0], Path("output.txt").read_text()
    assert pair(arguments, events // 2)[0] == -signal.SIGKILL
    assert pair(["--resume", records("zoo")[2].info.run_id, "--device", "cpu"]) == [0, 0]
    alone, both, resumed = (by_name("network", run.info.run_id) for run in records("zoo"))
    assert resumed == both
    [one], [two] = alone.values(), both.values()
    for key in ("train_loss", "val_loss", "grad_norm"):
        np.testing.assert_allclose([v for _, v in two[key]], [v for _, v in one[key]], rtol=1e-6)
    assert nothing_runs()


@contextmanager
def server(port: int, folder: Path) -> Iterator[subprocess.Popen]:
    """A real `mlflow server`, the leader of its process group; killed in the end."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(600):
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_tracking_server_may_be_away_for_a_while(store, tmp_path, monkeypatch):
    """Away for a second or two and the time of a start; `OUTAGE=30` for longer. mlflow's own patience is cut down, so
    that ours is what is tested."""
    port = faults.free_port()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    longest = 0.0
    with ExitStack() as stack:
        up = stack.enter_context(ExitStack())
        up.enter_context(server(port, tmp_path))
        with start("parent") as run, run.child("child") as child:
            for epoch in range(1, 31):
                if epoch == 6:
                    up.close()
                if epoch == 26:
                    stack.enter_context(server(port, tmp_path))
                clock = time.perf_counter()
                child.metrics({"val_loss": 1 / epoch, "val_accuracy": epoch / 100}, epoch)
                longest = max(longest, time.perf_counter() - clock)
                time.sleep(float(os.environ.get("OUTAGE", 2)) / 20)
        client = MlflowClient()
        for key, value in (("val_loss", lambda e: 1 / e), ("val_accuracy", lambda e: e / 100)):
            history = client.get_metric_history(child.id, key)
            assert sorted((m.step, m.value) for m in history) == [(e, value(e)) for e in range(1, 31)]
        assert {client.get_run(each.id).info.status for each in (run, child)} == {"FINISHED"}
    assert longest < 0.5  # training does not wait


def test_a_store_that_refuses_is_not_asked_again(store):
    """A deleted run takes no metrics, however often they are sent."""
    with start("parent") as run:
        child = run.view(MlflowClient().create_run("0").info.run_id)
        run.client.delete_run(child.id)
        child.metrics({"val_loss": 1.0}, 1)
        clock = time.perf_counter()
        with pytest.raises(MlflowException, match="deleted"):
            child.flush()
    assert time.perf_counter() - clock < 5
