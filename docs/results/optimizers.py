"""What Muon and a whitened stem are worth to the `full` recipe, beside SGD, where a CPU can afford it.

    python docs/results/optimizers.py resnet18 --images 8000 --epochs 6 --seeds 3
    python docs/results/optimizers.py alexnet --images 8000 --epochs 6 --seeds 3

The quick preset's network (a stem of stride 2) by the full preset's recipe (SGD, batches of 512), all of it from the
first step on. Muon: dl/muon.py. The whitened stem: K. Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024, section 3.2.
Prints a row of a Markdown table per seed and way; seconds are of the processor, validation included, so that other
programs beside it hardly count.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from dl.data.split import Data
from dl.data.street import draw
from dl.evaluate import evaluate
from dl.models import Preprocessed
from dl.recipes import ZOO
from dl.recipes.plan import Plan
from dl.train import Epoch, Recipe, fit

GOAL = 0.85  # of the validation images
RATES = {"resnet18": 0.2, "alexnet": 0.05}  # SGD's, in the full recipes (AlexNet's: until Muon took its place)
MUON = {"optimizer": "muon", "lr": 4e-3, "weight_decay": 0.01}  # instead of SGD's
WAYS = ("sgd", "muon", "whitened")


def whiten(model: Preprocessed, images: Tensor) -> None:
    """Set the first convolution to eigenvectors of the images' patches, each with its negative, and freeze it."""
    stem = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    size, count = stem.kernel_size[0], stem.out_channels // 2
    pixels = (images.float() - model.mean) / model.std
    patches = F.unfold(pixels, size).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    largest = (vectors / (values + 1e-2).sqrt()).T.flip(0)[:count].view(count, *stem.weight.shape[1:])
    stem.weight.data = torch.cat([largest, -largest])
    stem.weight.requires_grad_(False)


def train(plan: Plan, data: Data, way: str) -> tuple[list[Epoch], list[float], float]:
    """Return the epochs, the seconds until the end of each, and the test accuracy."""
    if way == "muon":
        plan = plan.at(MUON)
    model, _ = plan.prepare(data)
    if way == "whitened":
        whiten(model, data.train.x[:500])
    began, ends = time.process_time(), []
    history = fit(model, data, plan.recipe, on_epoch=lambda epoch: ends.append(time.process_time() - began))
    return history, ends, evaluate(model, data.test)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=RATES)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    ends = [f"after epoch {index + 1}" for index in range(options.epochs)]
    print("| | seed |", " | ".join(ends), f"| seconds to {GOAL:.0%} | seconds | test images |")
    print("|---" * (options.epochs + 5) + "|")
    architecture = ZOO[options.network]
    for seed in range(options.seeds):
        data = Data("generated", "", draw(options.images, seed), draw(1000, seed, 1), draw(2000, seed, 2))
        recipe = Recipe(lr=RATES[options.network], epochs=options.epochs, seed=seed)
        for way in options.ways:
            history, until, accuracy = train(Plan(architecture.quick.build, recipe), data, way)
            reached = [f"{at:.0f}" for epoch, at in zip(history, until, strict=True) if epoch.val_accuracy >= GOAL]
            shares = " | ".join(f"{epoch.val_accuracy:.1%}" for epoch in history)
            told = f"{reached[0] if reached else 'not'} | {until[-1]:.0f} | {accuracy:.1%}"
            print(f"| {way} | {seed} | {shares} | {told} |", flush=True)


if __name__ == "__main__":
    main()
