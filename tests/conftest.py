import os
import shutil
import time
from pathlib import Path

# Before torch: a thread each, theirs and their commands', as several test at a time; and networks train in this process
os.environ["OMP_NUM_THREADS"] = "1"

import mlflow
import numpy as np
import pytest
import torch

BEGAN = time.monotonic()
OWN_RUN, OWN_STORE = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("MLFLOW_TRACKING_URI")

# `mlflow run . -e tests` hands its own run and store down: the tests must neither read nor write there
for name in [name for name in os.environ if name.startswith("MLFLOW_") and name != "MLFLOW_ENV_ROOT"]:
    del os.environ[name]

REAL_CROPS = Path(__file__).resolve().parents[2] / "shared" / "svhn-sample" / "svhn_train_head_700.npz"


def pytest_terminal_summary(terminalreporter):
    """Tell the run of `mlflow run . -e tests`, which ends with this process, how many tests passed."""
    if OWN_RUN:
        client, stats = mlflow.MlflowClient(OWN_STORE), terminalreporter.stats
        counts = {name: len(stats.get(name, [])) for name in ("passed", "failed", "skipped", "error")}
        counts["failed"] += counts.pop("error")
        for key, value in {**counts, "seconds": time.monotonic() - BEGAN}.items():
            client.log_metric(OWN_RUN, key, value)
        client.update_run(OWN_RUN, name="tests")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def float32(monkeypatch):
    """Training in float32 on every CPU: for comparisons closer than bfloat16 can be."""
    monkeypatch.setattr("dl.device.has_bf16", lambda device: False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database with MLflow's tables and nothing in them: making it takes seconds, copying it milliseconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path, monkeypatch, empty_store) -> str:
    """An empty tracking store and working directory; ends runs that a failed test left open."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.end_run()
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def crops() -> tuple[np.ndarray, np.ndarray]:
    """Street digits in (N, 32, 32, 3) uint8 with labels 0..9: SVHN's own where they are at hand, else generated."""
    if REAL_CROPS.exists():
        with np.load(REAL_CROPS) as content:
            return content["images"], content["labels"].astype(np.int64)
    from dl.data.street import draw

    split = draw(700, 0)
    return split.x.permute(0, 2, 3, 1).numpy(), split.y.numpy()
