"""A GPU's discipline without a GPU: tensors on "meta" have shapes and no values.

They refuse to meet a tensor of the CPU, as CUDA's do, and to tell a value: the first wait for the device shows.
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torchgen
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dl import landscape
from dl.cells import cells
from dl.data import Data
from dl.data.split import Split
from dl.logistic.descent import Descent, descend
from dl.logistic.race import goals
from dl.models import Preprocessed
from dl.population import Repeat, Stack
from dl.recipes import ZOO
from dl.recipes.document import DOCUMENT, shrunk
from dl.table1 import Config
from dl.train import Recipe, fit


@pytest.fixture
def device(monkeypatch):
    class Generator(torch.Generator):  # there is none for meta
        def __new__(cls, device="cpu"):
            return super().__new__(cls)

    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    return torch.device("meta")


def test_two_devices_do_not_mix(device):
    with pytest.raises(RuntimeError, match="not on the expected device meta"):
        torch.rand(2, device=device) + torch.rand(2)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_an_epoch_of_training_stays_on_the_gpu_and_waits_for_it_once(device, name):
    split = Split(torch.zeros(64, 3, 32, 32, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64))
    recipe = Recipe(epochs=1, batch_size=16, rotate=5, invert=0.1, ema=0.9)
    seen = []
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):  # where the epoch's sums are read
        fit(
            Preprocessed(ZOO[name].full.build(), 100.0, 50.0),
            Data("x", "", split, split, split),
            recipe,
            device,
            on_step=seen.append,
        )
    assert seen == [16] * 4


@pytest.mark.parametrize("optimiser", ["GD", "SGD"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_races_stay_on_the_gpu(device, loss, optimiser):
    x, y = torch.zeros(50, 3, device=device), torch.zeros(50, device=device)
    start, lr = torch.zeros(2, 4, 3, device=device), torch.ones(2, device=device)
    trace = descend(x, y, lr, start, Descent(loss, 5, batch=None if optimiser == "GD" else 16))
    met = goals(trace, 0.9)
    assert {tensor.device.type for tensor in (trace.weights, trace.loss, *met.values())} == {"meta"}


def test_a_stack_of_perceptrons_stays_on_the_gpu(device):
    split = Split(torch.zeros(64, 8, 8, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64))
    members = [Config(8, 4, 0.1, 0.0, "relu"), Config(8, 4, 0.01, 0.3, "tanh")]
    stack = Stack(members, [Repeat(Data("x", "", split, split, split), 0)], device)
    assert stack.epoch().device.type == "meta"


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: f"{cell.loss}, {cell.place}")
def test_hessians_stay_on_the_gpu(device, cell):
    point = torch.zeros(3, len(cell.box[0]), dtype=torch.float64, device=device)
    assert landscape.spectra(cell.f, point).device.type == "meta"


# ------------------------------------------------------------------------------------------ Apple's GPUs


@cache
def kernels() -> dict[str, set[str]]:
    """Which kernels torch says that it has, an operation: its table native_functions.yaml."""
    path = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    table = {entry["func"].split("(")[0]: entry for entry in yaml.load(path.read_text(), yaml.CSafeLoader)}
    found = {}
    for name, entry in table.items():
        rows = table[entry.get("structured_delegate", name)].get("dispatch", {"CompositeImplicitAutograd": ""})
        found[name] = {key.strip() for row in rows for key in row.split(",")}
    return found


class Recorder(TorchDispatchMode):
    """Notes each operation of torch, and the types of numbers that it returns on the device."""

    def __init__(self):
        super().__init__()
        self.operations, self.types = set(), set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        namespace, name = operation._schema.name.split("::")
        if namespace == "aten":
            overload = operation._overloadname
            self.operations.add(name if overload == "default" else f"{name}.{overload}")
        self.types |= {each.dtype for each in tree_leaves(result) if isinstance(each, torch.Tensor) and each.is_meta}
        return result


@pytest.mark.parametrize(
    "plan", [*(ZOO[name].full for name in ("lenet5", "alexnet", "vgg16", "resnet18")), shrunk(DOCUMENT["alexnet"])]
)
def test_a_training_needs_nothing_that_apples_gpus_have_not(device, plan):
    """No operation without a kernel for MPS or one that is put together from others, and no float64.

    The table is torch's own, this machine has no such GPU: it tells that a kernel is there, not what it computes.
    """
    split = Split(torch.zeros(32, 3, 32, 32, dtype=torch.uint8), torch.zeros(32, dtype=torch.int64))
    recipe = replace(plan.recipe, epochs=1, batch_size=16, rotate=5, invert=0.1, ema=0.9)
    model = Preprocessed(plan.build(), 100.0, 50.0, plan.size if plan.size != 32 else None)
    with Recorder() as seen, pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        fit(model, Data("x", "", split, split, split), recipe, device)
    assert "convolution_backward" in seen.operations
    there = {"MPS", "CompositeImplicitAutograd", "CompositeExplicitAutograd"}
    assert {name for name in seen.operations if not kernels()[name] & there} == set()
    assert torch.float64 not in seen.types
