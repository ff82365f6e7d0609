"""What it takes to train one network: the network, its recipe, how many images, at which size; and where to look for
a better recipe."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from dl.train import Recipe
from dl.tuning import Choice, Integer, LogUniform, Space, Uniform


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


def space(plan: Plan) -> Space:
    """Return where to look for a better recipe, by field, around `plan.recipe`, which is a point of the space.

    Optimiser, momentum, schedule and epochs stay: they decide what the others mean, or what a run costs. What is off
    may come on. Raises ValueError where there is no weight decay to search around.
    """
    recipe = plan.recipe
    if not recipe.weight_decay:
        raise ValueError("the search is around a tuned recipe; this one has no weight decay")

    def around(middle: float, factor: float) -> LogUniform:
        return LogUniform(middle / factor, middle * factor)

    def up_to(name: str, limit: float) -> Uniform:
        return Uniform(0.0, max(limit, getattr(recipe, name)))

    sizes = [size for size in (recipe.batch_size // 2, recipe.batch_size, 2 * recipe.batch_size) if size >= 2]
    return {
        "lr": around(recipe.lr, 5),
        "weight_decay": around(recipe.weight_decay, 10),
        "batch_size": Choice([size for size in sizes if size <= (plan.images or math.inf)]),
        "warmup": up_to("warmup", 0.4),
        "label_smoothing": up_to("label_smoothing", 0.2),
        "ema": Choice(sorted({recipe.ema, 0.0, 0.9, 0.99, 0.998})),
        "translate": Integer(0, max(6, recipe.translate)),
        "rotate": up_to("rotate", 15.0),
        "colour": up_to("colour", 0.4),
        "invert": up_to("invert", 0.5),
        "cutout": Integer(0, max(16, recipe.cutout)),
    }


# On two CPU cores images are what is short: some ten thousand looks a network. Found by trial on generated digits: many
# small steps of AdamW leave the plateau of the most frequent digit soonest (SGD at 0.05 with batches of 64 was still
# on it after 25,000 images), and what only pays in long trainings (cutout, smoothing, colour) is off.
QUICK_RECIPE = Recipe(
    epochs=5, batch_size=16, optimizer="adamw", lr=5e-4, weight_decay=0.05, warmup=0.1, label_smoothing=0.0,
    translate=2, colour=0.0, cutout=0,
)  # fmt: skip
