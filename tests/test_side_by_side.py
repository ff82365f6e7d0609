"""Networks side by side in processes: what one process would have trained, and no process or run left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from mlflow import MlflowClient

from dl.data.split import Data, Split
from dl.recipes import ZOO
from entrypoints.svhn_zoo import side_by_side
from entrypoints.svhn_zoo.side_by_side import pick_workers
from entrypoints.svhn_zoo.training import Setup
from entrypoints.svhn_zoo.variants import Variant, shipped_plan
from tests.test_svhn_zoo import SMALL, children, parent, zoo
from tests.test_svhn_zoo import root as root  # a fixture

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_two_processes_train_what_one_would_have_trained_and_a_network_fails_alone(store, root, monkeypatch):
    broken = replace(SMALL.quick, recipe=replace(SMALL.quick.recipe, lr=1e30))
    monkeypatch.setitem(ZOO, "alexnet", replace(SMALL, quick=broken))
    arguments = "--models", "alexnet,lenet5,resnet18", "--data-dir", str(root), "--epochs", "2", "--images", "256"
    values = []
    for count in (1, 2):
        with threads(count):
            result = zoo(*arguments)
        assert result.exit_code == 1, result.output
        assert "1 of 3 networks failed: AlexNet" in result.output
        assert ("2 networks train at a time, 1 of 2 threads each." in result.output) == (count == 2)
        found = MlflowClient().search_runs(["0"], f"tags.mlflow.parentRunId = '{newest_zoo()}'")
        assert {run.data.tags["network"]: run.info.status for run in found} == {
            "alexnet": "FAILED", "lenet5": "FINISHED", "resnet18": "FINISHED",
        }  # fmt: skip
        values.append({
            run.info.run_name: {
                key: value for key, value in run.data.metrics.items()
                if "seconds" not in key and "per_second" not in key and "/" not in key
            } for run in found
        })  # fmt: skip
    assert values[0] == values[1]  # bit for bit
    assert not Path("checkpoints").exists()
    assert len(MlflowClient().search_model_versions("name = 'svhn-resnet18'")) == 2


def newest_zoo() -> str:
    return MlflowClient().search_runs(["0"], "tags.kind = 'zoo'")[0].info.run_id  # newest first


ENDLESS = """
import torch
from dl.data.split import Data, Split
from entrypoints.svhn_zoo import zoo
from entrypoints.svhn_zoo.__main__ import main

noise = Split(torch.randint(256, (6000, 3, 32, 32), dtype=torch.uint8), torch.arange(6000) % 10)
zoo.load_alike = lambda options: Data("street-digits", "", noise, noise.subsample(100), noise.subsample(100))
torch.set_num_threads(2)
main(["--models", "lenet5,vgg16", "--dataset", "street-digits", "--device", "cpu", "--epochs", "100000"])
"""


@pytest.fixture
def at_work(store) -> Iterator[subprocess.Popen]:
    """A zoo whose two processes have both begun to train; what is left of it in the end goes."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        client, until = MlflowClient(), time.monotonic() + 300
        while len(client.search_runs(["0"], "tags.kind = 'network'")) < 2:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def statuses() -> dict[str, str]:
    return {run.info.run_name.partition(" / ")[0]: run.info.status for run in MlflowClient().search_runs(["0"])}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_processes_and_their_runs(at_work, number):
    workers = workers_of(at_work)
    assert len(workers) == 2
    if number == signal.SIGINT:  # Ctrl-C: to all that the terminal has in front
        os.killpg(at_work.pid, number)
    else:
        at_work.send_signal(number)
    output, _ = at_work.communicate(timeout=120)
    assert at_work.returncode != 0
    assert "Traceback" not in output
    assert statuses() == dict.fromkeys(["svhn_zoo", "LeNet-5, seed 0", "VGG-16, seed 0"], "KILLED")
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])  # the first as Linux does where memory ran out
def test_a_process_that_is_killed_ends_the_run_in_a_line(at_work, number):
    workers = workers_of(at_work)
    workers[0].send_signal(number)
    output, _ = at_work.communicate(timeout=120)
    assert at_work.returncode == 1
    [last] = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert "a process that trained a network was killed" in last
    assert f"--resume {newest_zoo()}" in last
    assert "Traceback" not in output
    assert statuses() == {"svhn_zoo": "FAILED", "LeNet-5, seed 0": "KILLED", "VGG-16, seed 0": "KILLED"}
    assert not any(worker.is_running() for worker in workers)


def test_a_run_goes_on_in_processes_behind_its_checkpoints(store, root, monkeypatch):
    arguments = "--models", "lenet5,resnet18", "--data-dir", str(root), "--epochs", "2", "--images", "256"
    with threads(1), monkeypatch.context() as patch:
        patch.setattr("entrypoints.svhn_zoo.training.score", lambda *_: signal.raise_signal(signal.SIGINT))
        assert zoo(*arguments).exit_code != 0
    assert children()["lenet5"].info.status == "KILLED"
    began = children()["lenet5"].info.run_id
    with threads(2):
        result = zoo("--resume", newest_zoo())
    assert result.exit_code == 0, result.output
    assert {name: run.info.status for name, run in children().items()} == dict.fromkeys(
        ("lenet5", "resnet18"), "FINISHED"
    )
    assert children()["lenet5"].info.run_id == began
    assert len(MlflowClient().get_metric_history(began, "val_loss")) == 2  # not once more
    assert parent().info.status == "FINISHED"


def threads_here(parcel: bytes, variant: Variant) -> tuple[dict, list]:
    return {"threads": torch.get_num_threads()}, []


def test_the_last_network_of_a_resumed_run_has_the_threads_that_it_had_beside_the_others(monkeypatch, tmp_path):
    """With others its numbers would differ."""

    class Resumed:
        id, inherited = "id", None

        def result(self, name: str, path: str) -> dict | None:
            return None if name.startswith("ResNet-18") else {"row": {}, "history": []}

    noise = Split(torch.zeros(64, 3, 32, 32, dtype=torch.uint8), torch.arange(64) % 10)
    setup = Setup(Data("street-digits", "", noise, noise, noise), torch.device("cpu"), tmp_path)
    variants = [Variant(name, "tuned", shipped_plan(name, "tuned", "quick", 0)) for name in ("lenet5", "resnet18")]
    monkeypatch.setattr(side_by_side, "train_apart", threads_here)
    with threads(2), side_by_side.trainings(Resumed(), variants, setup, 2) as training:
        assert training(variants[1]).row == {"threads": 1}


def test_one_at_a_time_on_a_gpu_with_long_recipes_with_the_documents_or_where_memory_is_short(monkeypatch):
    def variants(recipe: str) -> list[Variant]:
        return [
            Variant(name, recipe, shipped_plan(name, recipe, "quick", 0)) for name in ("lenet5", "alexnet", "vgg16")
        ]

    def setup(device: str) -> Setup:
        return Setup(None, torch.device(device), Path())

    with threads(2):
        assert pick_workers(variants("tuned"), setup("cpu"), "quick") == 2
        assert pick_workers(variants("tuned")[:1], setup("cpu"), "quick") == 1
        assert pick_workers(variants("tuned"), setup("cuda"), "quick") == 1
        assert pick_workers(variants("tuned"), setup("cpu"), "full") == 1
        assert pick_workers(variants("document"), setup("cpu"), "quick") == 1
        memory = psutil.virtual_memory()
        monkeypatch.setattr(side_by_side.psutil, "virtual_memory", lambda: memory._replace(available=10**9))
        assert pick_workers(variants("tuned"), setup("cpu"), "quick") == 1
    with threads(1):
        assert pick_workers(variants("tuned"), setup("cpu"), "quick") == 1
