"""The benchmark's own rules; its speeds are nobody's test."""

import subprocess
import sys

import mlflow
import pytest
import torch
from click.testing import CliRunner

from dl.data import street_digits
from dl.train import Recipe
from entrypoints.benchmark import digits, training
from entrypoints.benchmark.__main__ import main
from entrypoints.benchmark.rows import SpeedRow, speed_table
from tests.test_project import ROOT


def test_ratio_says_how_many_times_faster():
    assert SpeedRow("a", "a rate", "images/s", [200, 300, 100], [50, 40, 60]).ratio == 4
    assert SpeedRow("b", "a duration", "seconds", [2.0], [6.0]).ratio == 3
    alone = SpeedRow("c", "without a peer", "seconds", [1.0, 3.0, 2.0])
    assert alone.ratio is None
    assert speed_table([alone]).splitlines()[-1] == "| without a peer | 2 (1 to 3) seconds | - | - |"


def test_an_unknown_group_is_one_line():
    result = CliRunner().invoke(main, ["--only", "digits,speed"])
    assert result.exit_code == 2
    assert "unknown speed: known are training, digits, data, tracking, latency" in result.output


def table_of(run) -> dict[str, dict]:
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/benchmark.json")
    rows = [dict(zip(table["columns"], values, strict=True)) for values in table["data"]]
    return {row["key"]: row for row in rows}


def test_the_run_keeps_the_table_and_the_ratios(store, monkeypatch):
    monkeypatch.setattr(digits, "SHAPES", digits.SHAPES[:1])
    CliRunner().invoke(main, ["--only", "digits", "--repeats", "1"], catch_exceptions=False)
    (run,) = mlflow.MlflowClient().search_runs(["0"])
    rows = table_of(run)
    assert run.data.metrics == {"digits_stacked": pytest.approx(rows["digits_stacked"]["ratio"])}


def test_a_peer_that_is_not_installed_is_a_row_that_says_so(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)  # as good as not installed
    monkeypatch.setattr(training, "EPOCH_IMAGES", {"lenet5": 512})
    monkeypatch.setattr(training, "WORKERS", (0,))
    result = CliRunner().invoke(main, ["--only", "training", "--repeats", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    (run,) = mlflow.MlflowClient().search_runs(["0"])
    rows = table_of(run)
    assert list(rows) == ["lenet5_training", "lenet5_lightning"]
    assert "requirements-benchmark.txt" in rows["lenet5_lightning"]["theirs"]
    assert set(run.data.metrics) == {"lenet5_training"}


@pytest.mark.parametrize("workers", [0, 1])
def test_the_peers_loop_trains_on_the_same_images(workers):
    data = street_digits(64, n_val=1, n_test=1)
    mean, std = data.train.moments()
    dataset = training.UsualDataset(data.train, Recipe(batch_size=16, translate=0, colour=0.0))
    ours = (data.train.x[3].float() - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(dataset[3][0], ours, rtol=1e-4, atol=1e-4)
    assert dataset[3][1] == data.train.y[3]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    before = net[1].weight.detach().clone()
    assert training.usual_epoch(dataset, net, 1e-3, workers) > 0
    assert not torch.equal(net[1].weight, before)


def test_the_gpu_script_needs_neither_mlflow_nor_hyperopt_nor_ray():
    code = "import sys, gpu; print({'mlflow', 'hyperopt', 'ray', 'click'} & set(sys.modules))"
    folder = ROOT / "docs" / "results"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
