"""Where a training step's time goes: the six networks of the quick preset, whole, by kind of operation.

    python docs/results/operators.py

Prints a Markdown table: images a second and arithmetic a second of a step as `fit` makes it (three times the forward
pass's multiplications and additions), and each kind's share of the operations' own time, from torch.profiler.
"""

import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[2]))

from dl.data import street_digits
from dl.device import training_precision
from dl.models import flops
from dl.parallel import Group
from dl.recipes import ZOO
from dl.train import Training

STEPS, CPU = 5, torch.device("cpu")
# the first word that a name contains decides
KINDS = {
    "optimiser, clipping": ("adam", "foreach", "linalg_vector_norm"),
    "convolution, backward": ("convolution_backward",),
    "convolution, forward": ("convolution",),
    "batch norm": ("batch_norm",),
    "pooling": ("pool",),
    "matrix products": ("addmm", "aten::mm", "bmm", "linear"),
    "copies, casts": ("copy", "cat", "stack", "clone", "fill", "zero", "index"),
}
REST = "the rest"  # rectifiers, sums, augmentation, loss


def kind_of(operation: str) -> str:
    """Return the kind of an operation of torch.profiler's."""
    return next((kind for kind, words in KINDS.items() if any(word in operation for word in words)), REST)


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {training_precision(CPU)}\n")
    print(f"| network, batch | images/s | GFLOP/s | {' | '.join([*KINDS, REST])} |\n|{'---|' * (4 + len(KINDS))}")
    data = street_digits(512, n_val=1, n_test=1)
    for architecture in ZOO.values():
        plan = replace(architecture.quick, images=None)
        model, _ = plan.prepare(data)
        training = Training(model, data, replace(plan.recipe, grow=0.0), CPU, Group.joined())
        model.train()
        x, y = (part[: plan.recipe.batch_size] for part in (training.train.x, training.train.y))
        training.step(x, y)  # warm-up
        seconds = []
        for _ in range(STEPS):
            began = time.perf_counter()
            training.step(x, y)
            seconds.append(time.perf_counter() - began)
        spent = Counter[str]()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(STEPS):
                training.step(x, y)
        for event in profiler.key_averages():
            spent[kind_of(event.key.lower())] += event.self_cpu_time_total
        rate = len(x) / median(seconds)
        shares = " | ".join(f"{spent[kind] / spent.total():.0%}" for kind in [*KINDS, REST])
        arithmetic = 3 * flops(plan.build, plan.size) * rate / 1e9
        print(f"| {architecture.title}, {len(x)} | {rate:,.0f} | {arithmetic:.0f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
