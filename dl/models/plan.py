"""What it takes to train one network: the network, its recipe, how many images, at which size."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from dl.train import Recipe


@dataclass(frozen=True)
class Plan:
    build: Callable[[], nn.Module]
    recipe: Recipe
    images: int | None = None  # training images at most; None: all
    size: int = 32  # side that the network sees, pixels; other than 32: scaled up on the device
    weights: str | None = None  # torchvision's name for the weights to start from, such as "AlexNet_Weights.DEFAULT"


@dataclass(frozen=True)
class Architecture:
    title: str  # as in a figure's legend
    full: Plan  # the tuned recipe: all images, ten epochs, a GPU
    quick: Plan  # the tuned recipe for two CPU cores: about a minute


# On two CPU cores images are what is short: some ten thousand looks a network. Found by trial on generated digits: many
# small steps of AdamW leave the plateau of the most frequent digit soonest (SGD at 0.05 with batches of 64 was still
# on it after 25,000 images), and what only pays in long trainings (cutout, smoothing, colour) is off.
QUICK_RECIPE = Recipe(
    epochs=5, batch_size=16, optimizer="adamw", lr=5e-4, weight_decay=0.05, warmup=0.1, label_smoothing=0.0,
    translate=2, colour=0.0, cutout=0,
)  # fmt: skip
