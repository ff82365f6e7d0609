"""What convolutions of small maps as matrix products are worth to a training step, beside torch's own, in turns.

    python docs/results/small_maps.py

Prints a Markdown table: images a second of forward, backward and AdamW step, median and range of the repeats.
"""

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from dl.device import autocast, training_precision
from dl.models.conv import SmallMapConv2d
from dl.recipes import ZOO

REPEATS, CPU = 5, torch.device("cpu")
PRODUCTS = SmallMapConv2d.forward


def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the seconds of one training step."""
    began = time.perf_counter()
    net.zero_grad()
    with autocast(CPU):
        loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return time.perf_counter() - began


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {training_precision(CPU)}\n")
    print(
        "| network, batch | matrix products, images/s | torch's convolutions, images/s | times faster |\n"
        "|---|---|---|---|"
    )
    for name in ("vgg16", "resnet18", "resnet50", "resnet101"):
        plan = ZOO[name].quick
        torch.manual_seed(0)
        net = plan.build().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)
        x = torch.randn(plan.recipe.batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        y = torch.randint(0, 10, (len(x),))
        rates: dict[bool, list[float]] = {True: [], False: []}
        for repeat in range(REPEATS + 1):
            for ours in rates:
                chosen: Any = PRODUCTS if ours else nn.Conv2d.forward
                SmallMapConv2d.forward = chosen  # type: ignore[method-assign]
                seconds = step(net, optimizer, x, y)
                if repeat:  # the first is warm-up
                    rates[ours].append(len(x) / seconds)
        told = [f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})" for values in rates.values()]
        print(
            f"| {ZOO[name].title}, {len(x)} | {' | '.join(told)} | {median(rates[True]) / median(rates[False]):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
