"""A network as ONNX: what the file takes and gives, and where it lies."""

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dl.models import Preprocessed
from dl.models.lenet import lenet5
from dl.onnx_program import open_onnx
from entrypoints import export
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import start

URI = "models:/net@champion"


@pytest.fixture
def registered(store):
    x, y = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8), np.zeros(8, np.int64)
    with start("zoo", tags={"network": "lenet5", "dataset": "none"}) as run:
        register(run, Preprocessed(lenet5(), 128.0, 64.0), ("net",), HeldOut("x", "0", x, y), About("", "", "", "", {}))
    return x


def exported(*arguments: str):
    return CliRunner().invoke(export.main, arguments)


def test_the_file_lies_beside_the_model_and_answers_as_it_for_any_number_of_images(registered):
    pytest.importorskip("onnxruntime")
    result = exported("--model", URI)
    assert result.exit_code == 0, result.output
    network = open_onnx(mlflow.artifacts.download_artifacts(f"{URI}/model.onnx"))
    model = mlflow.pyfunc.load_model(URI)
    for count in (1, 3, 8):
        assert np.abs(network(registered[:count]) - model.predict(registered[:count])).max() < 1e-4
    with pytest.raises(Exception, match="uint8"):
        network(registered.astype(np.float32) / 255)


def test_a_file_that_answers_otherwise_is_not_logged(registered, monkeypatch):
    pytest.importorskip("onnxruntime")
    other, batch = Preprocessed(lenet5(), 127.0, 64.0).eval(), {0: torch.export.Dim("batch")}
    wrong = torch.export.export(other, (torch.from_numpy(registered),), dynamic_shapes=(batch,))
    monkeypatch.setattr("tracking.registry.program_of", lambda uri: wrong)
    result = exported("--model", URI)
    assert result.exit_code == 1
    assert f"\nError: {URI} as ONNX gives other logits" in result.output
    with pytest.raises(mlflow.exceptions.MlflowException):
        mlflow.artifacts.download_artifacts(f"{URI}/model.onnx")


def test_a_missing_package_and_a_missing_model_are_a_line_each(store, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda package: None if package == "onnx" else package)
    assert exported().output == "Error: no onnx here: pip install -r requirements-export.txt\n"
    monkeypatch.setattr(export, "find_spec", lambda package: package)
    missing = exported("--model", "models:/nothing@champion")
    assert missing.exit_code == 1
    assert missing.output.splitlines()[-1].startswith("Error: no model 'models:/nothing@champion'")
