"""One way to go on with a run, for both searches: what may be raised, what is refused, and one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Run as Record

from entrypoints.digits_search import search
from entrypoints.digits_search.__main__ import main
from entrypoints.options import Command, options_to_resume
from tests.test_svhn_zoo import root as root  # a fixture
from tests.test_svhn_zoo import zoo
from tracking.errors import ResumeError
from tracking.resume import Option, lock, reopen

ROOT = Path(__file__).resolve().parents[1]
BEST_CONFIGURATIONS = search.best_configurations
ARGUMENTS = "--trials", "2", "--batch", "2", "--repeats", "2", "--epochs", "1", "--device", "cpu"


def digits(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def stop(*_, **__):
    raise KeyboardInterrupt


def parent(kind: str) -> Record:
    [found] = MlflowClient().search_runs(["0"], f"tags.kind = '{kind}' and attributes.status != 'RUNNING'")
    return found


def trials() -> list[Record]:
    return MlflowClient().search_runs(["0"], "tags.kind = 'trial'", order_by=["attributes.start_time ASC"])


@pytest.fixture
def interrupted(store, monkeypatch) -> Iterator[str]:
    """A search of two trials that Ctrl-C ended when they were over; so ends whatever resumes it."""
    monkeypatch.setattr(search, "best_configurations", stop)
    digits(*ARGUMENTS)
    assert parent("search").info.status == "KILLED"
    return parent("search").info.run_id


def test_a_resumed_search_may_get_more_trials_and_says_so_and_keeps_them(interrupted, monkeypatch):
    raised = digits("--resume", interrupted, "--trials", "4")
    assert "--trials raised from 2 to 4" in raised.output
    assert parent("search").data.tags["raised.trials"] == "4"
    assert parent("search").data.params["trials"] == "2"
    assert [run.data.params["trials"] for run in trials()] == ["2", "2", "4", "4"]
    lower = digits("--resume", interrupted, "--trials", "3")
    assert lower.exit_code == 2
    assert "--trials 4, which can be raised but not lowered: 3 is not possible" in lower.output.splitlines()[-1]
    monkeypatch.setattr(search, "best_configurations", BEST_CONFIGURATIONS)
    assert digits("--resume", interrupted).exit_code == 0
    run = MlflowClient().get_run(interrupted)
    assert "is the winner of 4 trials" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["search_seconds"] == pytest.approx(sum(each.data.metrics["seconds"] for each in trials()))
    assert not Path("checkpoints").exists()


def test_any_other_option_that_differs_is_refused(interrupted):
    result = digits("--resume", interrupted, "--epochs", "2", "--seed", "1", "--batch", "2")
    assert result.exit_code == 2
    assert "was started with --epochs 1 (here 2), --seed 0 (here 1): leave that out" in result.output.splitlines()[-1]
    default = digits("--resume", interrupted, "--trials", "30", "--repeats", "3")
    assert "was started with --repeats 2 (here 3)" in default.output.splitlines()[-1]
    assert parent("search").info.status == "KILLED"
    assert "raised.trials" not in parent("search").data.tags


def test_a_value_that_an_option_takes_no_more_is_said(store):
    run = MlflowClient().create_run("0", tags={"question": "3", "kind": "search"}).info.run_id
    MlflowClient().log_param(run, "algo", "anneal")
    result = digits("--resume", run)
    assert result.exit_code == 2
    assert "was started with --algo anneal, which is no more: start a new run" in result.output.splitlines()[-1]


def test_a_search_whose_finalists_are_known_gets_no_more_trials(interrupted):
    client = MlflowClient()
    tags = {"mlflow.parentRunId": interrupted, "kind": "rerun"}
    client.set_terminated(client.create_run("0", tags=tags).info.run_id)
    result = digits("--resume", interrupted, "--trials", "4")
    assert result.exit_code == 2
    assert "has gone on from the 2 trials of its search" in result.output.splitlines()[-1]


def test_a_search_that_still_goes_on_is_not_resumed_until_its_process_is_dead(interrupted):
    folder = parent("search").data.tags["checkpoints"]
    program = f"""
import time
from pathlib import Path
from tracking.resume import lock
with lock(Path({folder!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout.readline() == "held\n"
    result = digits("--resume", interrupted)
    assert result.exit_code == 2
    assert f"run {interrupted} is still going on in another process: end that first" in result.output.splitlines()[-1]
    assert parent("search").info.status == "KILLED"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock(Path(folder)):
        pass
    assert not Path(folder).exists()


def test_a_folder_that_cannot_be_written_is_said_in_a_line(tmp_path):
    Path(tmp_path, "checkpoints").touch()  # where a folder should be; another machine's path fails alike
    with pytest.raises(ResumeError, match="which cannot be written here"), lock(tmp_path / "checkpoints" / "123"):
        pass


def test_the_zoos_search_is_raised_the_same_way(store, root, monkeypatch):
    monkeypatch.setattr("entrypoints.svhn_zoo.side_by_side.train_variant", stop)
    zoo("--models", "lenet5", "--data-dir", str(root), "--epochs", "1", "--search", "1")
    run_id = parent("zoo").info.run_id
    assert len(trials()) == 1
    lower = zoo("--resume", run_id, "--search", "0")
    assert "--search 1, which can be raised but not lowered" in lower.output.splitlines()[-1]
    raised = zoo("--resume", run_id, "--search", "2")
    assert "--search raised from 1 to 2" in raised.output
    assert len(trials()) == 2
    zoo("--resume", run_id)
    assert len(trials()) == 2


def test_an_option_that_is_younger_than_the_run_had_its_default_and_the_run_is_left_alone(store):
    run = MlflowClient().create_run("0", tags={"kind": "zoo"}).info.run_id
    MlflowClient().log_param(run, "seed", "1")
    options = {"seed": Option(0, 0, int, False), "search": Option(0, 0, int, False)}
    assert reopen(run, "svhn_zoo", {"kind": "zoo"}, options, "search").params == {"seed": 1, "search": 0}
    options["search"] = Option(5, 0, int, True)
    with pytest.raises(ResumeError, match="was started without --search"):
        reopen(run, "svhn_zoo", {"kind": "zoo"}, options, "search")
    assert MlflowClient().get_run(run).info.status == "RUNNING"


@pytest.mark.parametrize(("launcher", "given"), [("", ["a", "b"]), ("run", ["b"])])
def test_under_mlflow_run_an_option_with_its_default_was_not_asked_for(launcher, given):
    @click.command(cls=Command)
    @click.option("--a", default=1)
    @click.option("--b", default=1)
    @click.option("--c", default=1)
    def main(**_):
        click.echo(" ".join(name for name, option in options_to_resume().items() if option.given))

    arguments = ["--a", "1", "--b", "2"]
    result = CliRunner().invoke(main, arguments, env={"MLFLOW_RUN_ID": launcher} if launcher else {})
    assert result.output.split() == given
