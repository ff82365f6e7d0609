"""Runs that an earlier version of this project left behind still go on, and still count as evidence."""

import importlib
import sqlite3
import tarfile
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow.entities import Run as Record

from dl.checkpoint import read_checkpoint
from tests.fixtures.make_old_runs import PLACE, write_images
from tests.test_project import module_of

ARCHIVE = Path(__file__).with_name("fixtures") / "old_runs.tar.xz"


@pytest.fixture
def old(tmp_path, store) -> Path:
    """The archive's store, artifacts, checkpoint and images, as they lay when their processes ended."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "mlflow.db").unlink()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.executescript((tmp_path / "mlflow.sql").read_text().replace(PLACE, str(tmp_path)))
    for path in tmp_path.glob("mlruns/**/*.json"):
        path.write_text(path.read_text().replace(PLACE, str(tmp_path)))
    write_images(tmp_path / "svhn")
    return tmp_path


def command(name: str, *arguments: str) -> Result:
    return CliRunner().invoke(importlib.import_module(module_of(name)).main, arguments)


def parents(kind: str, status: str) -> list[Record]:
    runs = mlflow.search_runs(
        filter_string=f"tags.kind = '{kind}' and attributes.status = '{status}'", output_format="list"
    )
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def children(parent: str, kind: str) -> list[Record]:
    query = f"tags.`mlflow.parentRunId` = '{parent}' and tags.kind = '{kind}'"
    return mlflow.search_runs(filter_string=query, order_by=["attributes.start_time ASC"], output_format="list")


def points(run: Record, metric: str) -> dict[int, float]:
    return {point.step: point.value for point in mlflow.MlflowClient().get_metric_history(run.info.run_id, metric)}


def trials(parent: str) -> dict[int, tuple[str, ...]]:
    """Of a search: number -> configuration and loss."""
    keys = ("h1", "h2", "lr", "dropout", "activation")
    return {
        int(run.data.params["trial"]): (*(run.data.params[key] for key in keys), run.data.metrics.get("val_loss"))
        for run in children(parent, "trial")
        if run.info.status == "FINISHED"
    }


def test_a_zoo_goes_on_from_its_checkpoint_in_its_old_runs(old):
    [parent] = parents("zoo", "RUNNING")
    [network] = children(parent.info.run_id, "network")
    [checkpoint] = old.glob(f"checkpoints/{parent.info.run_id}/*/epoch-0002-*.pt")
    losses = [epoch["val_loss"] for epoch in read_checkpoint(checkpoint)["history"]]
    result = command("svhn_zoo", "--resume", parent.info.run_id)
    assert result.exit_code == 0, result.output
    assert "refused" not in result.output
    [again] = children(parent.info.run_id, "network")
    assert again.info.run_id == network.info.run_id
    assert (network.info.run_name, again.info.run_name) == ("lenet5 / svhn_zoo / seed 0", "LeNet-5, seed 0")
    assert again.info.status == mlflow.get_run(parent.info.run_id).info.status == "FINISHED"
    found = points(again, "val_loss")
    assert sorted(found) == [1, 2, 3, 4]
    assert [found[1], found[2]] == pytest.approx(losses)
    assert again.data.metrics["test_accuracy"] > 0.1
    versions = mlflow.MlflowClient().search_model_versions("name = 'svhn-lenet5'")
    assert {version.run_id for version in versions} > {again.info.run_id}


def test_a_search_goes_on_with_the_trials_that_it_would_have_had(old):
    [whole], [killed] = parents("search", "FINISHED"), parents("search", "RUNNING")
    before = trials(killed.info.run_id)
    assert 0 < len(before) < 8
    result = command("digits_search", "--resume", killed.info.run_id)
    assert result.exit_code == 0, result.output
    after, expected = trials(killed.info.run_id), trials(whole.info.run_id)
    assert {number: after[number] for number in before} == before
    assert sorted(after) == list(range(8))
    assert {number: trial[:-1] for number, trial in after.items()} == {n: trial[:-1] for n, trial in expected.items()}
    assert [after[n][-1] for n in range(8)] == pytest.approx([expected[n][-1] for n in range(8)], rel=1e-3)


def test_the_report_finds_their_verdicts(old):
    result = command("report", "--out", "written")
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in (old / "written" / "report.md").read_text().splitlines()]
    told = {row[0].removeprefix("| "): row for row in rows if row[0].startswith("| Q")}
    verdicts = {}
    for kind in ("question", "grid", "zoo"):
        for run in parents(kind, "FINISHED"):
            tags = run.data.tags.items()
            verdicts |= {key.removeprefix("claim."): value for key, value in tags if key.startswith("claim.")}
    assert len(verdicts) == len(told) == 14
    for name, verdict in verdicts.items():
        assert f"**{verdict}**" in " ".join(told[name]), name
    assert "rank of 1,400" in (old / "written" / "report.md").read_text()
