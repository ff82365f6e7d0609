"""Networks that are trained side by side on a Ray cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import click

from dl.recipes.jobs import Place, train_plan
from dl.train import DivergedError, Epoch
from dl.tuning import Cluster, Trial, run_points
from entrypoints.svhn_zoo.training import Setup, Trained, begin, run_tags, settings
from entrypoints.svhn_zoo.variants import Variant
from tracking.run import Run
from tracking.trials import ChildOf, TrialLog


class NetworkLog(TrialLog):
    """Child runs of networks that workers train; those that failed are collected in `lost`."""

    def __init__(self, run: Run, variants: dict[str, Variant], setup: Setup):
        super().__init__(run)
        self.setup = setup
        self.trained = {name: begin(variant, setup) for name, variant in variants.items()}
        self.lost: dict[Variant, Trained] = {}

    def describe(self, trial: Trial) -> ChildOf:
        variant = self.trained[trial.point["network"]].variant
        return ChildOf(variant.run_name, settings(variant, self.setup.of(variant)), run_tags(variant))

    def epoch(self, trial: Trial, epoch: int, metrics: Mapping[str, float]) -> None:
        super().epoch(trial, epoch, metrics)
        trained = self.trained[trial.point["network"]]
        whole = trained.variant.plan.recipe.batch_size  # where memory was short, only the worker knows
        trained.history.append(Epoch(epoch, **metrics, micro_batch=whole))

    def over(self, trial: Trial, child: Run) -> None:
        if not trial.error:
            return
        trained = self.trained[trial.point["network"]]
        setup = self.setup.of(trained.variant)
        trained.describe(setup, *trained.variant.plan.prepare(setup.data))
        trained.row |= {"run_id": child.id, "error": trial.error}
        if trial.error.startswith(DivergedError.__name__):  # evidence on the document's claims
            trained.row["diverged"] = True
            child.log_json("result.json", trained.result())
            trained.checkpoints.remove()
        self.lost[trained.variant] = trained
        click.echo(f"{trained.variant.run_name}: {trial.error}", err=True)


def train_on_ray(run: Run, variants: Sequence[Variant], setup: Setup, cluster: Cluster) -> dict[Variant, Trained]:
    """Train networks side by side, each up to the checkpoint of its last epoch, from which `train_variant` goes on.

    Returns those that failed: they are FAILED, and not to be trained again here.
    """
    waiting = {each.folder: each for each in variants if not run.result(each.run_name, "result.json")}
    plans = {name: variant.plan for name, variant in waiting.items()}
    data = replace(setup.data, test=setup.data.val)  # the workers do not score
    job = partial(train_plan, plans=plans, data=data, place=Place(cluster.device, setup.folder))
    with NetworkLog(run, waiting, setup) as log:
        run_points(job, [{"network": name} for name in waiting], log, cluster)
    run.reread()
    return log.lost
