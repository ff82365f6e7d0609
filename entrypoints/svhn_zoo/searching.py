"""A search for a better recipe than the shipped one, and the choice between the two."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import click
import numpy as np

from dl.recipes.jobs import Place, try_recipe
from dl.recipes.space import recipe_space
from dl.tuning import Cluster, Search, Trial, explain_failure, fingerprint, run_search
from entrypoints.svhn_zoo.training import Setup, Trained
from entrypoints.svhn_zoo.variants import Variant
from tracking.run import Run
from tracking.trials import SearchLog


@dataclass(frozen=True)
class RecipeSearch:
    """The searches of a zoo, one a network."""

    count: int  # trials a network; 0: none
    spaces: dict[str, str]  # network -> fingerprint of the space that is searched
    cluster: Cluster | None


@dataclass(frozen=True)
class Searched:
    """What a network's search came to."""

    found: Sequence[Variant] = ()  # with the recipe that was best, if that is not the shipped one
    remark: str = ""  # where no trial was trained to its end, why
    error: str = ""  # where every trial failed, of what


def fingerprints(variants: Sequence[Variant]) -> dict[str, str]:
    """Return what tells whether a resumed search still has the spaces that it began with, by network.

    Raises ValueError where nothing is trained by a recipe that can be searched around.
    """
    tuned = {variant.network: variant.plan.shorten() for variant in variants if variant.recipe == "tuned"}
    if not tuned:
        raise ValueError("--search is around a tuned recipe; the document's is not searched")
    return {network: fingerprint(recipe_space(plan)) for network, plan in tuned.items()}


def search_recipe(run: Run, seeds: Sequence[Variant], setup: Setup, search: RecipeSearch) -> Searched:
    """Search for a better recipe for a network, and keep what is on record of an earlier search of this run.

    seeds: the shipped variants of the network, which differ in their seed.
    """
    network, title, short = seeds[0].network, seeds[0].title, seeds[0].plan.shorten()
    space = recipe_space(short)
    shipped = {key: getattr(short.recipe, key) for key in space}
    folder = setup.folder / f"{network}-trials"
    data = replace(setup.data, test=setup.data.val)  # no trial sees the test images
    job = partial(try_recipe, plan=short, data=data, place=Place(setup.device.type, folder))

    def say(trial: Trial) -> None:
        end = trial.error or f"validation accuracy {trial.score:.1%} after {max(trial.scores)} epochs"
        click.echo(f"{title} trial {trial.number}: {end}" + (", stopped early" if trial.stopped else ""))

    def params(point: Mapping) -> dict[str, object]:
        return asdict(short.at(point).recipe)

    with SearchLog(run, f"svhn_zoo / {network}", {"network": network}, params, say) as log:
        known = [Trial(**row) for row in log.recall(shipped)]
        plan = Search(space, search.count, short.recipe.epochs, shipped, short.recipe.seed)
        trials = run_search(job, plan, known, log, search.cluster)
    shutil.rmtree(folder, ignore_errors=True)
    whole = [trial for trial in trials if trial.score is not None and not trial.stopped]
    if not whole:
        errors = [trial.error for trial in trials if trial.error]
        error = explain_failure(errors) if len(errors) == len(trials) else ""
        why = error or f"no trial was trained to its end, {len(errors)} failed and the others were stopped early"
        return Searched(remark=f"{title}, search for a recipe: {why}. The shipped recipe goes on.", error=error)
    best = max(whole, key=lambda trial: trial.scores[max(trial.scores)])
    if best.point == shipped:
        return Searched(remark=f"{title}: no trial of the search was better than the shipped recipe.")
    return Searched([Variant(network, "found", seed.plan.at(best.point)) for seed in seeds])


def choose_recipe(shipped: list[Trained], found: list[Trained]) -> tuple[list[Trained], str]:
    """Return the trainings by the recipe that is better on validation data, and what is to be said of the choice."""
    scores = [
        float(np.mean([each.row.get("val_accuracy", np.nan) for each in trained])) for trained in (shipped, found)
    ]
    came_to = ["failed" if np.isnan(score) else f"has a validation accuracy of {score:.1%}" for score in scores]
    better = np.nan_to_num(scores[1], nan=-1) > np.nan_to_num(scores[0], nan=-1)  # the shipped one among equals
    for each in shipped if better else found:
        each.checkpoints.remove()
    old, new = (asdict(trained[0].variant.plan.recipe) for trained in (shipped, found))
    changes = ", ".join(f"{key} {value:.3g}" for key, value in new.items() if value != old[key])
    return found if better else shipped, (
        f"{shipped[0].variant.title}: trained in full, the best recipe of the search ({changes}) {came_to[1]}, the "
        f"shipped one {came_to[0]}: the {'found' if better else 'shipped'} one goes on."
    )
