"""The command: it survives kill -9, registers a network that reads raw digits, and refuses nonsense in a line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient

from dl.data.digits import digits
from dl.population import History
from dl.table1 import GRID, TABLE2, Config, suggest
from entrypoints.digits_search import grid, records
from entrypoints.digits_search.__main__ import main
from entrypoints.digits_search.experiment import SPACE
from entrypoints.digits_search.options import DigitsOptions
from entrypoints.digits_search.records import Setting, finished_trials, train_on_record
from entrypoints.digits_search.search import best_configurations
from tracking.run import start

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--trials", "12", "--batch", "4", "--repeats", "2", "--epochs", "1", "--device", "cpu"]


def invoke(*arguments: str):
    return CliRunner().invoke(main, [*arguments])


def trials(client: MlflowClient, parent: str) -> list:
    query = f"tags.mlflow.parentRunId = '{parent}' and tags.kind = 'trial'"
    return client.search_runs(["0"], query)


def killed_search(client: MlflowClient) -> str:
    """Start a search in another process and kill it once some trials are on record; the run's id."""
    command = [sys.executable, "-m", "entrypoints.digits_search", *TINY]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            for run in client.search_runs(["0"], "tags.kind = 'search'"):
                if sum(trial.info.status == "FINISHED" for trial in trials(client, run.info.run_id)) >= 3:
                    return run.info.run_id
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    raise AssertionError(f"the search ended by itself: {process.returncode}")


def test_a_killed_search_resumes_from_the_tracking_server_alone(store):
    client = MlflowClient()
    client.search_experiments()  # creates the store, which two processes must not do at once
    parent = killed_search(client)
    before = {run.info.run_id: run for run in trials(client, parent) if run.info.status == "FINISHED"}
    assert client.get_run(parent).info.status == "RUNNING"
    tags = {"mlflow.parentRunId": parent, "kind": "trial"}
    orphan = client.create_run("0", tags=tags).info.run_id  # as if killed while this trial was written

    result = invoke("--resume", parent)
    assert result.exit_code == 0, result.output
    assert client.get_run(parent).info.status == "FINISHED"
    assert client.get_run(orphan).info.status == "KILLED"

    after = {run.info.run_id: run for run in trials(client, parent) if run.info.status == "FINISHED"}
    assert sorted(int(run.data.params["trial"]) for run in after.values()) == list(range(12))
    for run_id, run in before.items():  # none lost, none repeated, none touched
        assert after[run_id].info.end_time == run.info.end_time
        assert after[run_id].data.metrics == run.data.metrics

    # every batch is what an uninterrupted search would have suggested on the same history
    run = next(run for run in client.search_runs(["0"], "tags.kind = 'search'"))
    with start("look", resume=parent) as run:
        finished = finished_trials(run)
    for begin in range(0, 12, 4):
        history = [finished[n] for n in range(begin)]
        assert suggest(history, 4, "tpe", 0) == [finished[n][0] for n in range(begin, begin + 4)]

    trial = next(iter(after.values()))
    assert {"h1", "h2", "lr", "dropout", "activation", "trial", "seed"} <= set(trial.data.params)
    assert {"train_loss", "val_loss", "val_accuracy", "val_loss_std", "seconds"} <= set(trial.data.metrics)
    check_artifacts_and_model(client, parent)
    again = invoke("--resume", parent)
    assert again.exit_code == 2
    assert "is finished" in again.output


def check_artifacts_and_model(client: MlflowClient, parent: str) -> None:
    assert {"claims.json", "finalists.json", "search.png"} <= {a.path for a in client.list_artifacts(parent)}
    verdicts = json.loads(
        Path(mlflow.artifacts.download_artifacts(run_id=parent, artifact_path="claims.json")).read_text()
    )
    assert [verdict["claim"] for verdict in verdicts] == ["Q3-data", "Q3-table2"]
    assert client.get_run(parent).data.tags["claim.Q3-data"] == "refuted"
    images = digits().test.x[:5].numpy()
    logits = mlflow.pyfunc.load_model("models:/digits-mlp@champion").predict(images)
    assert logits.shape == (5, 10)
    networks = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{parent}' and tags.kind = 'network'")
    assert len(networks) == 5
    assert all(0 <= net.data.metrics["test_accuracy"] <= 1 for net in networks)


def test_a_trial_costs_little_tracking(store):
    """At most 60 ms on SQLite. Processor time of the quickest: the machine may have other work as well."""
    shape = 1, 3, 30
    history = History(*(torch.rand(shape, dtype=torch.float64) for _ in range(3)))
    with start("search", {}, {"kind": "search"}) as run, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "train", lambda *_: history)
        patch.setattr(run, "children", lambda kind: [])
        setting, seconds = Setting(run, DigitsOptions(epochs=30), digits(), "cpu"), []
        for number in range(12):
            clock = time.process_time()
            train_on_record(setting, "trial", {number: GRID[number]}, [])
            seconds.append(time.process_time() - clock)
    assert min(seconds) < 0.06


def test_a_diverged_trial_is_a_failed_child_with_its_reason(store, monkeypatch):
    history = History(*(torch.full((1, 2, 3), torch.nan, dtype=torch.float64) for _ in range(3)))
    monkeypatch.setattr(records, "train", lambda *_: history)
    with start("search", {}, {"kind": "search"}) as run:
        [outcome], _ = train_on_record(Setting(run, DigitsOptions(epochs=3), digits(), "cpu"), "trial", {0: TABLE2}, [])
        assert {0: (outcome.config, outcome.loss)} == finished_trials(run) == {0: (TABLE2, None)}
        (child,) = run.children("trial")
    assert child.info.status == "FAILED"
    assert child.data.tags["error"] == "diverged"


def test_a_search_whose_trials_all_failed_names_the_reason(store, monkeypatch):
    def diverging(configs, repeats, epochs, device):
        return History(*(torch.full((len(configs), len(repeats), epochs), torch.nan).double() for _ in range(3)))

    monkeypatch.setattr(records, "train", diverging)
    result = invoke("--trials", "3", "--repeats", "2", "--epochs", "1")
    assert result.exit_code == 1
    assert "all 3 trials failed, 3 of them with: diverged" in result.output.splitlines()[-1]
    (parent,) = MlflowClient().search_runs(["0"], "tags.kind = 'search'")
    assert parent.info.status == "FAILED"
    assert "all 3 trials failed" in parent.data.tags["error"]


def test_the_finalists_are_different_configurations():
    a, b, c, *rest = GRID[:8]
    trials = [(a, 0.2), (b, 0.1), (a, 0.2), (b, 0.1), (b, 0.1), (b, 0.1), (c, None)]
    assert best_configurations(trials) == [b, a]
    trials += [(config, 0.3 + i) for i, config in enumerate(rest)]
    assert best_configurations(trials) == [b, a, *rest[:3]]
    assert best_configurations([(a, None)]) == []


def test_the_exhaustive_mode_logs_tables_figures_and_verdicts(store, monkeypatch):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.05, 2.0, 1400)

    def fake(configs, repeats, epochs, device, on_progress):  # training is tested elsewhere
        loss = torch.from_numpy(base * rng.lognormal(0, 0.1, 1400))[:, None, None].expand(1400, 1, epochs)
        return History(loss, loss, 1 - loss / 3)

    monkeypatch.setattr(records, "train", fake)
    monkeypatch.setattr(grid, "SIMULATED", (2, 100))
    monkeypatch.setattr(grid, "ALGORITHMS", ("random",))
    monkeypatch.setattr(grid, "usual_seconds", lambda *_: 1.0)
    result = invoke("--exhaustive", "True", "--repeats", "2", "--epochs", "1")
    assert result.exit_code == 0, result.output
    client = MlflowClient()
    (parent,) = client.search_runs(["0"], "tags.kind = 'grid'")
    names = {a.path for a in client.list_artifacts(parent.info.run_id)}
    figures = {"marginals.png", "shapes.png", "ranks.png", "regret.png"}
    assert figures | {"claims.json", "standings.json"} <= names
    assert "claim.Q3-table2" in parent.data.tags
    children = client.search_runs(["0"], "tags.kind = 'repeat'")
    assert len(children) == 2
    path = mlflow.artifacts.download_artifacts(run_id=children[0].info.run_id, artifact_path="grid.npz")
    with np.load(path) as table:
        assert table["val_loss"].shape == (1400, 1)
        first = Config(**{key: table[key][0].item() for key in ("h1", "h2", "lr", "dropout", "activation")})
    assert first == GRID[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--trials", "0"], "--trials"),
        (["--trials", "1401"], "--trials"),
        (["--algo", "genetic"], "'genetic' is not one of"),
        (["--repeats", "1"], "--repeats"),
        (["--resume", "no-such-run"], "no run 'no-such-run'"),
        (["--resume", "x", "--exhaustive", "True"], "nothing to resume"),
        (["--exhaustive", "True", "--trials", "3"], "--trials would do nothing: --exhaustive trains every"),
        (["--exhaustive", "True", "--algo", "random", "--trials", "3"], "--trials and --algo would do nothing"),
    ],
)
def test_nonsense_is_refused_in_a_line(store, arguments, complaint):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert complaint in result.output.splitlines()[-1]
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("tags", "status", "complaint"),
    [
        ({"kind": "zoo"}, "KILLED", "is no search"),
        ({"question": 3, "kind": "search", "table1": "{}"}, "KILLED", "another space"),
        ({"question": 3, "kind": "search", "table1": SPACE}, "FINISHED", "is finished"),
    ],
)
def test_only_an_unfinished_search_of_this_table_resumes_and_others_stay_untouched(store, tags, status, complaint):
    with start("other", asdict(DigitsOptions()), tags) as run:
        pass
    MlflowClient().set_terminated(run.id, status)
    before = MlflowClient().get_run(run.id)
    result = invoke("--resume", run.id)
    assert result.exit_code == 2
    assert complaint in result.output.splitlines()[-1]
    assert MlflowClient().get_run(run.id).to_dictionary() == before.to_dictionary()
