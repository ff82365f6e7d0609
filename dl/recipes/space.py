"""Where a search looks for a better recipe."""

import math

from dl.recipes.plan import Plan
from dl.tuning import Choice, Integer, LogUniform, Space, Uniform


def recipe_space(plan: Plan) -> Space:
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
        # no average of layers that are not there yet
        **({} if recipe.grow else {"ema": Choice(sorted({recipe.ema, 0.0, 0.9, 0.99, 0.998}))}),
        "translate": Integer(0, max(6, recipe.translate)),
        "rotate": up_to("rotate", 15.0),
        "colour": up_to("colour", 0.4),
        "invert": up_to("invert", 0.5),
        "cutout": Integer(0, max(16, recipe.cutout)),
    }
