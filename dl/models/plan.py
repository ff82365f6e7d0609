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
