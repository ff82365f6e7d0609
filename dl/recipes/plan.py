"""What it takes to train one network: the network, its recipe, how many images, at which size."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from dl.data.split import Data
from dl.models.preprocessed import Preprocessed
from dl.models.stock import load_weights
from dl.train import Recipe


@dataclass(frozen=True)
class Plan:
    build: Callable[[], nn.Module]
    recipe: Recipe
    images: int | None = None  # training images at most; None: all
    size: int = 32  # side that the network sees, pixels; other than 32: scaled up on the device
    weights: str | None = None  # torchvision's name for the weights to start from, such as "AlexNet_Weights.DEFAULT"

    def subsample(self, data: Data) -> Data:
        """Return `data` with as many training images as the plan takes."""
        return replace(data, train=data.train.subsample(self.images))

    def prepare(self, data: Data) -> tuple[Preprocessed, str]:
        """Return the untrained network with its preprocessing, and which weights it starts from, such as "random"."""
        torch.manual_seed(self.recipe.seed)  # the same initialisation in any order of networks
        net, start_from = self.build(), "random"
        if self.weights:
            found = load_weights(net, self.weights)
            start_from = self.weights if found else f"random ({self.weights} not to be had)"
        train = self.subsample(data).train
        size = self.size if self.size != train.x.shape[-1] else None
        return Preprocessed(net, *train.moments(), size), start_from

    def shorten(self) -> "Plan":
        """Return the plan of a trial: half the epochs, under the same schedule."""
        return replace(self, recipe=replace(self.recipe, epochs=math.ceil(self.recipe.epochs / 2)))

    def at(self, point: Mapping) -> "Plan":
        """Return the plan with what a point of its `recipe_space` says about the recipe."""
        return replace(self, recipe=replace(self.recipe, **point))


@dataclass(frozen=True)
class Architecture:
    title: str  # as in a figure's legend
    full: Plan  # the tuned recipe: all images, ten epochs, a GPU
    quick: Plan  # the tuned recipe for two CPU cores: about a minute
