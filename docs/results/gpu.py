"""Everything that wants a GPU, in two commands of at most ten minutes each. See docs/speed.md.

    python docs/results/gpu.py zoo OUT     the six networks by their full recipes, ten epochs, bf16
    python docs/results/gpu.py rest OUT    the digits grid, GPU beside CPU in questions 1 to 3, profiles, torch.compile

OUT gets a Markdown table and the numbers as JSON after every step, so that a command which is cut short loses nothing.
Needs torch, torchvision, numpy, scipy, scikit-learn and matplotlib, neither mlflow nor hyperopt.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[2]))

from dl import landscape
from dl.cells import cells
from dl.data import Data, digits, street_digits
from dl.data.digits import resplit
from dl.evaluate import evaluate
from dl.logistic.descent import STARTS
from dl.logistic.losses import LOSSES
from dl.logistic.problems import synthetic
from dl.logistic.race import OPTIMISERS, PreparedProblem, Race
from dl.models import Preprocessed, flops, parameters
from dl.population import Repeat, Stack
from dl.population import train as train_stacked
from dl.recipes import ZOO, Plan
from dl.table1 import GRID
from dl.train import fit

PEAK = 790e12  # bf16 FLOP/s that matrix products reach on one H100 or H200: measured, the data sheet says 989
# Seconds that ten epochs of 73,257 images cannot go below at 790 TFLOP/s and 3.0 TB/s, with fused batch norm and ReLU
FLOOR = {"lenet5": 0.03, "alexnet": 1.25, "vgg16": 1.7, "resnet18": 3.9, "resnet50": 21.0, "resnet101": 32.0}
FLOOR_IMAGES = 10 * 73_257


@dataclass
class GpuSession:
    """One command: where it runs, until when it begins something new, and its rows, written anew after each."""

    device: torch.device
    path: Path  # of the results, without ending
    until: float  # time.monotonic()
    miniature: bool  # proves the script in seconds, on a CPU too
    rows: list[dict] = field(default_factory=list)

    @property
    def late(self) -> bool:
        return time.monotonic() > self.until

    def add(self, **row: object) -> None:
        self.rows.append(row)
        print(row, flush=True)
        gpu = self.device.type == "cuda"
        where = {
            "device": torch.cuda.get_device_name(self.device) if gpu else f"CPU, {platform.machine()}",
            "torch": torch.__version__, "torchvision": torchvision.__version__, "python": platform.python_version(),
            "command": " ".join(sys.argv), "date": time.strftime("%Y-%m-%d"),
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.with_suffix(".json").write_text(json.dumps({"where": where, "rows": self.rows}, indent=1))
        lines, heads = ["; ".join(f"{key}: {value}" for key, value in where.items())], list[str]()
        for each in self.rows:
            cells = {key: value for key, value in each.items() if not isinstance(value, list)}
            if heads != list(cells):  # rows of another kind: a table of their own
                heads = list(cells)
                lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
            told = (f"{cell:,.4g}" if isinstance(cell, float) else str(cell) for cell in cells.values())
            lines.append("| " + " | ".join(told) + " |")
        self.path.with_suffix(".md").write_text("\n".join(lines) + "\n")

    def plan(self, name: str, seed: int = 0, epochs: int = 10) -> Plan:
        """Return the network's full plan, or a miniature of its quick one."""
        plan = ZOO[name].quick if self.miniature else ZOO[name].full
        recipe = replace(plan.recipe, seed=seed, epochs=epochs)
        if self.miniature:
            recipe = replace(recipe, epochs=1, batch_size=min(recipe.batch_size, 16))
        return replace(plan, recipe=recipe)

    def street_digits(self, n: int, n_val: int, n_test: int) -> Data:
        return street_digits(128, 0, 100, 100) if self.miniature else street_digits(n, 0, n_val, n_test)


def measure_zoo(session: GpuSession) -> None:
    """Train all six, seed after seed while the time lasts."""
    data = session.street_digits(67_257, 6_000, 26_032)
    for seed in range(1 if session.miniature else 3):
        for name in ZOO:
            if seed == 0 or not session.late:
                add_network(session, name, session.plan(name, seed=seed), data)


def measure_rest(session: GpuSession) -> None:
    """Time the digits grid, compare GPU and CPU in questions 1 to 3, profile each network, and compile it."""
    grid, epochs = (GRID[::100], 1) if session.miniature else (GRID, 30)
    repeat = [Repeat(resplit(digits(), 0), 0)]
    for attempt in ("cold", "warm"):
        began = time.perf_counter()
        history = train_stacked(grid, repeat, epochs, session.device.type)
        session.add(what=f"digits grid, {attempt}", configurations=len(grid), epochs=epochs,
                    seconds=time.perf_counter() - began,
                    best_val_loss=float(history.val_loss[..., -1].nan_to_num(9).min()))  # fmt: skip
    # without dropout, whose noise differs between devices, and over few steps: beyond them rounding is chaotic
    calm = [c for c in GRID if (c.h1, c.h2, c.dropout) == (384, 24, 0.0) and c.lr <= 0.001]
    add_agreement(session, "digits stack, validation loss", lambda kind: Stack(calm, repeat, kind).fit(2).val_loss)
    compare_questions_1_and_2(session)
    data = session.street_digits(20_000, 1_000, 1_000)
    for name in ZOO:
        add_profile(session, name, session.plan(name, epochs=1), data)
    for name in reversed(ZOO):  # the deepest first: there it should pay most
        for compiled in () if session.late else (False, True):
            add_network(session, name, session.plan(name, epochs=3), data, compiled)


def add_network(session: GpuSession, name: str, plan: Plan, data: Data, compiled: bool = False) -> None:
    """Train one network by its recipe."""
    gpu = session.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(plan.recipe.seed)
    model = Preprocessed(plan.build(), *data.train.moments())
    backend = "inductor" if gpu else "aot_eager"  # a miniature need not wait for a C++ compiler
    began = time.perf_counter()
    history = fit(Compiled(model, backend) if compiled else model, data, plan.recipe, session.device)
    if gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began  # everything from the untrained network to the last epoch, compiling included
    images_per_second = median(epoch.images_per_second for epoch in history)
    test_loss, test_accuracy = evaluate(model, data.test, session.device)
    seen = plan.recipe.epochs * len(data.train)
    session.add(
        network=name, compiled=compiled, seed=plan.recipe.seed, epochs=plan.recipe.epochs, images=len(data.train),
        test_accuracy=test_accuracy, test_loss=test_loss, val_accuracy=history[-1].val_accuracy,
        seconds=seconds, images_per_second=images_per_second,
        mfu=3 * flops(plan.build, plan.size) * images_per_second / PEAK,
        share_of_floor=FLOOR[name] * seen / FLOOR_IMAGES / seconds, parameters=parameters(model),
        peak_gib=torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0,
        epochs_=[asdict(epoch) for epoch in history],
    )  # fmt: skip


def add_agreement(session: GpuSession, what: str, compute: Callable[[str], Tensor]) -> None:
    """Compute the same numbers on the CPU and on the GPU."""
    found, seconds = [], []
    for kind in ("cpu", session.device.type):
        compute(kind)  # warm
        began = time.perf_counter()
        found.append(compute(kind).cpu())
        seconds.append(time.perf_counter() - began)
    session.add(what=f"{what}, GPU beside CPU", largest_difference=(found[0] - found[1]).abs().max().item(),
                largest=found[0].abs().max().item(), cpu_seconds=seconds[0], gpu_seconds=seconds[1])  # fmt: skip


def compare_questions_1_and_2(session: GpuSession) -> None:
    """Time the races of question 1 and the Hessians of question 2."""
    problem = PreparedProblem.of(synthetic(separable=False))
    race, rates = Race(steps=20 if session.miniature else 1000), np.full((len(STARTS), 4), 0.5)
    for loss, optimiser in product(LOSSES, OPTIMISERS):

        def raced(kind: str, loss: str = loss, optimiser: str = optimiser) -> Tensor:
            there = replace(problem, x=problem.x.to(kind), y=problem.y.to(kind))
            return there.descend(race, loss, optimiser, rates).loss

        add_agreement(session, f"races, {loss}, {optimiser}, loss", raced)
    for cell in cells():
        low, high = (torch.tensor(v, dtype=torch.float64) for v in cell.box)
        count, rng = 20 if session.miniature else 2000, torch.Generator().manual_seed(0)
        points = low + (high - low) * torch.rand(count, len(low), generator=rng).double()

        def curved(kind: str, f: Callable = cell.f, points: Tensor = points) -> Tensor:
            return landscape.spectra(f, points.to(kind))

        add_agreement(session, f"Hessians, {cell.loss}, {cell.place}, eigenvalues", curved)


def add_profile(session: GpuSession, name: str, plan: Plan, data: Data) -> None:
    """Name the five operations that take most of an epoch."""
    gpu, model = session.device.type == "cuda", Preprocessed(plan.build(), *data.train.moments())
    fit(model, data, plan.recipe, session.device)  # warm
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu) as profiler:
        fit(model, data, plan.recipe, session.device)
    events, key = list(profiler.key_averages()), "self_cpu_time_total"
    if gpu:  # kernels alone: the operations that started them carry their time once more
        events = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
        key = "self_device_time_total"
    total = sum(getattr(event, key) for event in events)
    top = sorted(events, key=lambda event: -getattr(event, key))[:5]
    told = "; ".join(f"{event.key[:40]} {getattr(event, key) / total:.0%}" for event in top)
    session.add(what=f"where {name}'s epoch goes", seconds=total / 1e6, top=told)


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["zoo", "rest"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0, help="nothing new is begun after so long")
    parser.add_argument("--miniature", action="store_true", help="proves the script in seconds, on a CPU too")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not asked.miniature:
        parser.error("no GPU here: only --miniature")
    path = asked.out / f"{'miniature-' * asked.miniature}{asked.part}"
    session = GpuSession(device, path, time.monotonic() + 60 * asked.minutes, asked.miniature)
    {"zoo": measure_zoo, "rest": measure_rest}[asked.part](session)
