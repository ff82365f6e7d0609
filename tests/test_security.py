"""What comes from others harms nobody: checkpoints, names given to a command; and a run leaves no secret behind."""

import hashlib
import io
import os
import pickle
import subprocess
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch
from click.testing import CliRunner
from mlflow.projects.utils import load_project

from dl.checkpoint import Checkpoints
from dl.data.svhn import PUBLISHED
from entrypoints.report.__main__ import main as report
from entrypoints.svhn_zoo.__main__ import main as svhn_zoo
from tests.test_project import ENTRIES, ROOT

SECRET = "s3cret-9f2c71"


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("write", [torch.save, pickle.dump])
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(tmp_path, write):
    victim, buffer, said = tmp_path / "pwned", io.BytesIO(), []
    write({"identity": {}, "history": [], "parts": Hostile(victim)}, buffer)
    content = buffer.getvalue()
    torch.load(io.BytesIO(content), weights_only=False) if write is torch.save else pickle.loads(content)
    assert victim.exists()  # it would
    victim.unlink()
    name = f"epoch-0001-{hashlib.sha256(content).hexdigest()[:16]}.pt"  # as if it had been written here
    (tmp_path / name).write_bytes(content)
    assert Checkpoints(tmp_path, said.append).load({}) is None
    assert not victim.exists()
    [line] = said
    assert "refused" in line
    assert "\n" not in line
    assert (tmp_path / name).with_suffix(".refused").exists()


HOSTILE = ["a; touch pwned", "$(touch pwned)", "`touch pwned`", "a' ; touch pwned ; '", 'a" && touch pwned #',
           "a\ntouch pwned\n", "a | touch pwned", "> pwned", "two words", "*", "~", "$HOME", ""]  # fmt: skip
TEXTS = {
    entry: [key for key, spec in about.get("parameters", {}).items() if spec == "string" or spec["type"] == "string"]
    for entry, about in ENTRIES.items()
}


@pytest.mark.skipif(os.name == "nt", reason="MLflow hands the command to bash, on Windows to cmd")
@pytest.mark.parametrize("entry", [entry for entry, keys in TEXTS.items() if keys])
def test_whatever_mlflow_run_is_given_for_a_parameter_arrives_as_one_word(tmp_path, entry):
    """The command is MLflow's own, from MLproject; a `python` that writes down its words stands in for ours."""
    (tmp_path / "python").write_text('#!/bin/sh\nprintf \'%s\\0\' "$@" > "$WORDS"\n')
    (tmp_path / "python").chmod(0o755)
    project = load_project(str(ROOT)).get_entry_point(entry)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WORDS": str(tmp_path / "words")}
    empty = tmp_path / "empty"
    empty.mkdir()
    for value in HOSTILE:
        command = project.compute_command(dict.fromkeys(TEXTS[entry], value), None)
        subprocess.run(["bash", "-c", command], cwd=empty, env=environment, check=True)
        words = (tmp_path / "words").read_text().split("\0")
        for key in TEXTS[entry]:
            assert words[words.index(f"--{key.replace('_', '-')}") + 1] == value
        assert not list(empty.iterdir()), value


@pytest.mark.parametrize(
    "arguments", [["--models", "lenet5; touch pwned"], ["--data-dir", "$(touch pwned)", "--dataset", "svhn"]]
)
def test_a_hostile_name_is_refused_in_a_line(store, monkeypatch, arguments):
    monkeypatch.setitem(PUBLISHED, "train", replace(PUBLISHED["train"], home="http://127.0.0.1:9"))
    before = set(Path().iterdir())
    result = CliRunner().invoke(svhn_zoo, [*arguments, "--device", "cpu"])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert set(Path().iterdir()) == before


def test_no_secret_of_the_environment_gets_into_runs_files_or_output(store, tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setitem(PUBLISHED, "train", replace(PUBLISHED["train"], home="http://127.0.0.1:9"))
    monkeypatch.setenv("SVHN_MIRROR", f"http://reader:{SECRET}@127.0.0.1:9")
    arguments = ["--models", "lenet5", "--images", "64", "--epochs", "1", "--device", "cpu", "--preset", "quick"]
    result = CliRunner().invoke(svhn_zoo, [*arguments, "--data-dir", str(tmp_path / "none")])
    assert result.exit_code == 0, result.output
    assert "http://127.0.0.1:9/train_32x32.mat: " in result.output  # the mirror was asked
    assert SECRET not in result.output
    for run in mlflow.search_runs(search_all_experiments=True, output_format="list"):
        mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(tmp_path / "pulled" / run.info.run_id))
    mlflow.artifacts.download_artifacts("models:/street-digits-lenet5@champion", dst_path=str(tmp_path / "pulled"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_an_unreachable_servers_password_is_not_in_the_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://admin:{SECRET}@127.0.0.1:9")
    result = CliRunner().invoke(report, [])
    assert result.exit_code != 0
    assert "http://127.0.0.1:9 cannot be reached" in result.output
    assert SECRET not in result.output
