"""All questions in one command: one that fails or is killed does not take the others along."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
from click.testing import CliRunner
from mlflow import MlflowClient

from entrypoints import main as command

ROOT = Path(__file__).resolve().parents[1]


def runs() -> list[mlflow.entities.Run]:
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def test_a_step_that_fails_does_not_stop_the_others(store, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "STEPS", {"nothing": (), "report": ()})
    result = CliRunner().invoke(command.main)
    assert result.exit_code == 1
    assert "1/2 nothing: failed" in result.output
    assert "No module named entrypoints.nothing" in result.output
    assert "2/2 report: " in result.output
    assert "1 of 2 steps failed: nothing" in result.output
    found = {run.data.tags["kind"]: run for run in runs()}
    assert {kind: run.info.status for kind, run in found.items()} == {"main": "FAILED", "report": "FINISHED"}
    top = found["main"]
    assert found["report"].data.tags["main"] == top.info.run_id
    assert found["report"].info.run_id in top.data.tags["mlflow.note.content"]
    assert (tmp_path / "outputs/report/report.html").exists()
    client = MlflowClient()
    logs = {item.path for item in client.list_artifacts(top.info.run_id, "logs")}
    assert logs == {"logs/nothing.log", "logs/report.log"}
    text = Path(client.download_artifacts(top.info.run_id, "logs/report.log")).read_text()
    assert text.splitlines()[-2:] == ["outputs/report/report.html", "outputs/report/report.md"]


def test_the_run_of_the_tests_says_how_many_passed(store, tmp_path):
    run = MlflowClient().create_run("0").info.run_id
    (tmp_path / "test_some.py").write_text("""
import pytest

def test_right(): pass
def test_wrong(): assert 0
def test_error(nothing): pass
@pytest.mark.parametrize("n", range(3))
def test_left_out(n): pytest.skip()
""")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", tmp_path / "test_some.py"], cwd=tmp_path,
        env=os.environ | {"MLFLOW_RUN_ID": run, "PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    found = mlflow.get_run(run)
    assert found.info.run_name == "tests"
    assert found.data.metrics.pop("seconds") > 0
    assert found.data.metrics == {"passed": 1, "failed": 2, "skipped": 3}


def test_what_a_step_prints_is_shown_and_kept_without_its_bars(tmp_path, capsys):
    program = """
import sys, time
from tqdm import tqdm
print("first ±")
with tqdm(total=4, disable=None) as bar:
    bar.update(4)
print("last", file=sys.stderr)
sys.exit(3)
"""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    assert command.tee([sys.executable, "-c", program], environment, tmp_path / "log") == 3
    assert (tmp_path / "log").read_text("utf-8") == "first ±\nlast\n"
    assert capsys.readouterr().out == "first ±\nlast\n"


def test_a_killed_step_and_ctrl_c_leave_nothing_running(store, tmp_path):
    program = """
from entrypoints import main as command
command.STEPS = {"loss_surfaces": (), "convexity": ("--trials", "1000000")}
command.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_for(lambda: running("loss_surfaces"), process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        [step] = [int(child) for child in children if "loss_surfaces" in Path(f"/proc/{child}/cmdline").read_text()]
        os.kill(step, signal.SIGKILL)
        wait_for(lambda: running("convexity"), process)
        assert not running("loss_surfaces")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, None)
    assert "1/2 loss_surfaces: failed" in output
    assert {run.info.status for run in runs() if "mlflow.parentRunId" not in run.data.tags} == {"KILLED"}
    assert not [run for run in runs() if run.info.status == "RUNNING"]


def running(name: str) -> bool:
    return any(run.info.run_name == name and run.info.status == "RUNNING" for run in runs())


def wait_for(condition, process: subprocess.Popen, seconds: float = 90) -> None:
    began = time.monotonic()
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() - began < seconds
        time.sleep(0.2)
