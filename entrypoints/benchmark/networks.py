"""Train one network of the zoo and time it, on a CPU beside peers and on a GPU beside its floor."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from dl.data import Data
from dl.models import Preprocessed
from dl.recipes import Plan
from dl.train import Epoch, fit


@dataclass(frozen=True)
class TimedTraining:
    """What one training gave, and how long it took."""

    model: nn.Module
    history: list[Epoch]
    seconds: float  # everything from the untrained network to the last epoch, compiling included

    @property
    def images_per_second(self) -> float:
        return median(epoch.images_per_second for epoch in self.history)


class Compiled(nn.Module):
    """Trains through torch.compile and is scored as it is: one shape and one mode, so one compilation.

    Whatever cannot be compiled, or is compiled too often, is an error, where torch would go on without compiling.
    """

    def __init__(self, model: nn.Module, backend: str):
        super().__init__()
        torch.compiler.reset()  # the limit of compilations of a function counts those of all networks
        self.model = model
        self.fast = torch.compile(model.forward, fullgraph=True, dynamic=False, backend=backend)

    def forward(self, x: Tensor) -> Tensor:
        return self.fast(x) if self.training else self.model(x)


def train_timed(plan: Plan, data: Data, device: torch.device, compiled: bool = False) -> TimedTraining:
    """Train the plan's network by its recipe, from the recipe's seed."""
    torch.manual_seed(plan.recipe.seed)
    model = Preprocessed(plan.build(), *data.train.moments())
    backend = "inductor" if device.type == "cuda" else "aot_eager"  # a miniature need not wait for a C++ compiler
    began = time.perf_counter()
    history = fit(Compiled(model, backend) if compiled else model, data, plan.recipe, device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return TimedTraining(model, history, time.perf_counter() - began)
