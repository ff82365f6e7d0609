"""Everything that wants a GPU, in two commands of at most ten minutes each. See docs/speed.md.

    python docs/results/gpu.py zoo OUT     the six networks by their full recipes, ten epochs, bf16
    python docs/results/gpu.py rest OUT    the digits grid, GPU beside CPU in questions 1 to 3, profiles, torch.compile

It needs torch, torchvision, numpy, scipy, scikit-learn and matplotlib, neither mlflow nor hyperopt. OUT gets a
Markdown table and the numbers as JSON after every step, so that a command which is cut short loses nothing.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from dl import landscape
from dl.data import Data, digits, street_digits
from dl.data.digits import resplit
from dl.logistic.descent import STARTS
from dl.logistic.losses import LOSSES
from dl.logistic.problems import synthetic
from dl.logistic.race import OPTIMISERS, PreparedProblem, Race
from dl.models import ZOO, Raw, flops, parameters
from dl.population import GRID, Repeat, Stack, train
from dl.train import evaluate, fit

PEAK = 790e12  # bf16 FLOP/s of one H100 or H200 that matrix products reach (FACTS: measured, not the data sheet's 989)
# Seconds that ten epochs of 73,257 images cannot go below at 790 TFLOP/s and 3.0 TB/s, with fused batch norm and ReLU
FLOOR = {"lenet5": 0.03, "alexnet": 1.25, "vgg16": 1.7, "resnet18": 3.9, "resnet50": 21.0, "resnet101": 32.0}
IMAGES = 73_257


class Results:
    """Rows of one command; written anew after each."""

    def __init__(self, folder: Path, name: str, device: torch.device):
        self.path, self.rows = folder / name, []
        self.where = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}",
            "torch": torch.__version__, "torchvision": torchvision.__version__, "python": platform.python_version(),
            "command": " ".join(sys.argv), "date": time.strftime("%Y-%m-%d"),
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, **row) -> None:
        self.rows.append(row)
        print(row, flush=True)
        self.path.with_suffix(".json").write_text(json.dumps({"where": self.where, "rows": self.rows}, indent=1))
        lines, heads = ["; ".join(f"{key}: {value}" for key, value in self.where.items())], None
        for each in self.rows:
            cells = {key: value for key, value in each.items() if not isinstance(value, list)}
            if heads != list(cells):  # rows of another kind: a table of their own
                heads = list(cells)
                lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
            told = (f"{cell:,.4g}" if isinstance(cell, float) else str(cell) for cell in cells.values())
            lines.append("| " + " | ".join(told) + " |")
        self.path.with_suffix(".md").write_text("\n".join(lines) + "\n")


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


def plan_of(name: str, small: bool):
    plan = ZOO[name].quick if small else ZOO[name].full
    recipe = replace(plan.recipe, epochs=1, batch_size=min(plan.recipe.batch_size, 16)) if small else plan.recipe
    return replace(plan, recipe=recipe)


def one(results: Results, name: str, data: Data, device: torch.device, small: bool, compiled: bool = False, **also):
    """One network, trained by its recipe; seconds are everything from the untrained network on, compiling included."""
    plan = plan_of(name, small)
    recipe = replace(plan.recipe, **also)
    torch.manual_seed(recipe.seed)
    model = Raw(plan.build(), *data.train.moments())
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    backend = "inductor" if device.type == "cuda" else "aot_eager"  # a miniature need not wait for a C++ compiler
    history = fit(Compiled(model, backend) if compiled else model, data, recipe, device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    test_loss, test_accuracy = evaluate(model, data.test, device)
    speed = sorted(epoch.images_per_second for epoch in history)[len(history) // 2]
    seen = recipe.epochs * len(data.train)
    results.add(
        network=name, compiled=compiled, seed=recipe.seed, epochs=recipe.epochs, images=len(data.train),
        test_accuracy=test_accuracy, test_loss=test_loss, val_accuracy=history[-1].val_accuracy, seconds=seconds,
        images_per_second=speed, mfu=3 * flops(plan) * speed / PEAK,
        share_of_floor=FLOOR[name] * seen / (10 * IMAGES) / seconds, parameters=parameters(model),
        peak_gib=torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0,
        epochs_=[asdict(epoch) for epoch in history],
    )  # fmt: skip


def zoo(results: Results, device: torch.device, small: bool, until: float) -> None:
    """All six, seed after seed while the time lasts."""
    data = street_digits(*((128, 0, 100, 100) if small else (67_257, 0, 6_000, 26_032)))
    for seed in range(3):
        for name in ZOO:
            if seed == 0 or time.monotonic() < until:
                one(results, name, data, device, small, seed=seed)
        if small:
            break


def agree(results: Results, what: str, device: torch.device, compute: Callable[[str], Tensor]) -> None:
    """The same numbers on the CPU and on `device`."""
    found, seconds = [], []
    for kind in ("cpu", device.type):
        compute(kind)  # warm
        began = time.perf_counter()
        found.append(compute(kind).cpu())
        seconds.append(time.perf_counter() - began)
    results.add(what=f"{what}, GPU beside CPU", largest_difference=(found[0] - found[1]).abs().max().item(),
                largest=found[0].abs().max().item(), cpu_seconds=seconds[0], gpu_seconds=seconds[1])  # fmt: skip


def agreements(results: Results, device: torch.device, small: bool, repeat: list[Repeat]) -> None:
    """The population trainer, the races of question 1 and the Hessians of question 2."""
    # without dropout, whose noise differs between devices, and over few steps: beyond them rounding is chaotic
    calm = [c for c in GRID if (c.h1, c.h2, c.dropout) == (384, 24, 0.0) and c.lr <= 0.001]
    agree(results, "digits stack, validation loss", device, lambda kind: Stack(calm, repeat, kind).fit(2).val_loss)
    problem = PreparedProblem.of(synthetic(separable=False))
    race, rates = Race(steps=20 if small else 1000), np.full((len(STARTS), 4), 0.5)
    for loss, optimiser in product(LOSSES, OPTIMISERS):

        def raced(kind: str, loss=loss, optimiser=optimiser) -> Tensor:
            there = replace(problem, x=problem.x.to(kind), y=problem.y.to(kind))
            return there.descend(race, loss, optimiser, rates).loss

        agree(results, f"races, {loss}, {optimiser}, loss", device, raced)
    for cell in landscape.cells():
        low, high = (torch.tensor(v, dtype=torch.float64) for v in (cell.low, cell.high))
        share = torch.rand(20 if small else 2000, len(low), generator=torch.Generator().manual_seed(0)).double()

        def curved(kind: str, f=cell.f, points=low + (high - low) * share) -> Tensor:
            return landscape.spectra(f, points.to(kind))

        agree(results, f"Hessians, {cell.loss}, {cell.place}, eigenvalues", device, curved)


def rest(results: Results, device: torch.device, small: bool, until: float) -> None:
    source = digits()
    grid, epochs = (GRID[::100], 1) if small else (GRID, 30)
    repeat = [Repeat(resplit(source, 0), 0)]
    for attempt in ("cold", "warm"):
        began = time.perf_counter()
        history = train(grid, repeat, epochs, device.type)
        seconds = time.perf_counter() - began
        results.add(what=f"digits grid, {attempt}", configurations=len(grid), epochs=epochs, seconds=seconds,
                    best_val_loss=float(history.val_loss[..., -1].nan_to_num(9).min()))  # fmt: skip
    agreements(results, device, small, repeat)

    data = street_digits(*((128, 0, 100, 100) if small else (20_000, 0, 1_000, 1_000)))
    for name in ZOO:
        plan = plan_of(name, small)
        model = Raw(plan.build(), *data.train.moments())
        fit(model, data, replace(plan.recipe, epochs=1), device)  # warm
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        with profile(activities=kinds) as profiler:
            fit(model, data, replace(plan.recipe, epochs=1), device)
        events, key = profiler.key_averages(), "self_cpu_time_total"
        if device.type == "cuda":  # kernels alone: the operations that started them carry their time once more
            events = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
            key = "self_device_time_total"
        total = sum(getattr(event, key) for event in events)
        top = sorted(events, key=lambda event: -getattr(event, key))[:5]
        told = "; ".join(f"{event.key[:40]} {getattr(event, key) / total:.0%}" for event in top)
        results.add(what=f"where {name}'s epoch goes", seconds=total / 1e6, top=told)
    for name in reversed(ZOO):  # the deepest first: there it should pay most
        if time.monotonic() < until:
            for compiled in (False, True):
                one(results, name, data, device, small, compiled, epochs=1 if small else 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["zoo", "rest"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0, help="nothing new is begun after so long")
    parser.add_argument("--miniature", action="store_true", help="proves the script in seconds, on a CPU too")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not asked.miniature:
        parser.error("no GPU here: only --miniature")
    until = time.monotonic() + 60 * asked.minutes
    name = f"{'miniature-' * asked.miniature}{asked.part}"
    {"zoo": zoo, "rest": rest}[asked.part](Results(asked.out, name, device), device, asked.miniature, until)


if __name__ == "__main__":
    main()
