"""The benchmark's own rules; its speeds are nobody's test."""

import sys

import mlflow
import pytest
import torch
from click.testing import CliRunner

from entrypoints.benchmark import __main__ as benchmark


def test_ratio_says_how_many_times_faster():
    assert benchmark.row("a", "a rate", "images/s", [200, 300, 100], [50, 40, 60])["ratio"] == 4
    assert benchmark.row("b", "a duration", "seconds", [2.0], [6.0])["ratio"] == 3
    alone = benchmark.row("c", "without a peer", "seconds", [1.0, 3.0, 2.0])
    assert (alone["ours"], alone["theirs"], alone["ratio"]) == ("2 (1 to 3) seconds", "-", None)
    assert benchmark.as_markdown([alone]).splitlines()[-1] == "| without a peer | 2 (1 to 3) seconds | - | - |"


def test_an_unknown_group_is_one_line():
    result = CliRunner().invoke(benchmark.main, ["--only", "digits,speed"])
    assert result.exit_code == 2
    assert "unknown speed: known are training, digits, data, tracking, serving, engine, startup" in result.output


def test_a_peer_that_is_not_installed_is_a_row_that_says_so(store, monkeypatch):
    for package in ("keras_tuner", "optuna"):
        monkeypatch.setitem(sys.modules, package, None)  # as good as not installed
    monkeypatch.setattr(benchmark, "SHAPES", benchmark.SHAPES[:1])
    monkeypatch.setattr(benchmark, "TRIALS", 2)
    monkeypatch.setattr(benchmark, "EPOCHS", 1)
    result = CliRunner().invoke(benchmark.main, ["--only", "digits", "--repeats", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    (run,) = mlflow.MlflowClient().search_runs(["0"])
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/benchmark.json")
    rows = [dict(zip(table["columns"], values, strict=True)) for values in table["data"]]
    assert [row["key"] for row in rows] == ["digits_stacked", "digits_keras_tuner", "digits_optuna"]
    assert all("requirements-benchmark.txt" in row["theirs"] for row in rows[1:])
    assert set(run.data.metrics) == {"digits_stacked"}
    assert run.data.metrics["digits_stacked"] == pytest.approx(rows[0]["ratio"])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_peers_loop_trains_on_the_same_images(workers):
    data = benchmark.street_digits(64, n_val=1, n_test=1)
    mean, std = data.train.moments()
    recipe = benchmark.Recipe(batch_size=16, translate=0, colour=0.0)
    dataset = benchmark.as_torchvision(data, recipe, mean, std)
    ours = (data.train.x[3].float() - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(dataset[3][0], ours, rtol=1e-4, atol=1e-4)
    assert dataset[3][1] == data.train.y[3]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    before = net[1].weight.detach().clone()
    assert benchmark.usual_loop(dataset, net, 1e-3, workers) > 0
    assert not torch.equal(net[1].weight, before)
