"""The snippet of docs/models.md for other projects, word for word, where nothing of this project is installed."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dl.models import Preprocessed
from dl.recipes import ZOO
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import start

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
SEED = "import torch; torch.manual_seed(0)\n"
LOOK = """
import importlib.util
there = [name for name in ("torchvision", "hyperopt", "dl", "tracking") if importlib.util.find_spec(name)]
np.savez("seen.npz", there=there, images=images, digits=digits, logits=logits)
"""


@pytest.fixture
def clean_python(tmp_path):
    """A Python with mlflow, torch and numpy, as they are here, and what these need; from uv's cache where it can."""
    uv, folder = shutil.which("uv"), tmp_path / "clean"
    if uv is None:
        pytest.skip("uv is not there: the README's command installs it")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    pins = [f"{name}=={version(name).split('+')[0]}" for name in ("mlflow", "torch", "numpy")]
    install = [uv, "pip", "install", "--quiet", "--python", python, *pins]
    if subprocess.run([*install, "--offline"], capture_output=True).returncode:
        subprocess.run(install, check=True)
    yield python
    shutil.rmtree(folder)


def test_the_snippet_runs_in_another_project(store, tmp_path, clean_python):
    [snippet] = re.findall(r"<!-- tests/test_snippet\.py[^>]*-->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    name = re.search(r"models:/([\w-]+)@champion", snippet)[1]
    net = Preprocessed(ZOO["resnet18"].quick.build(), [110.0, 110.0, 120.0], [50.0, 50.0, 50.0])
    with start("trainer") as run:
        val = HeldOut("val", "digest", np.zeros((2, 3, 32, 32), np.uint8), np.zeros(2, np.int64))
        register(run, net, (name,), val, About("images", "logits", "MIT", "use", {}))

    elsewhere = tmp_path / "another project"
    elsewhere.mkdir()
    (elsewhere / "snippet.py").write_text(SEED + snippet + LOOK)
    subprocess.run([clean_python, "-I", "snippet.py"], cwd=elsewhere, check=True)

    with np.load(elsewhere / "seen.npz") as seen:
        assert not seen["there"].size
        x, y, logits = (torch.from_numpy(seen[key]) for key in ("images", "digits", "logits"))
    with torch.no_grad():
        assert torch.allclose(net(x), logits, atol=1e-4)
        net.load_state_dict(torch.load(elsewhere / "fine-tuned.pt", weights_only=True))  # into our own class
        assert F.cross_entropy(net(x), y) < 0.95 * F.cross_entropy(logits, y)
