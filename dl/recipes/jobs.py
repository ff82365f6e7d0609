"""Networks as jobs of dl.tuning: what a worker trains, here or on another machine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from dl.checkpoint import Checkpoints
from dl.data.split import Data
from dl.population import History, Repeat
from dl.population import train as train_stacked
from dl.recipes.plan import Plan
from dl.table1 import Config
from dl.train import Epoch, fit
from dl.tuning import Report, short_hash


@dataclass(frozen=True)
class Place:
    """Where a worker trains, and the folder of its checkpoints: across machines storage that they share."""

    device: str
    folder: Path

    def below(self, name: str) -> "Place":
        return Place(self.device, self.folder / name)


def train_plan(point: dict, report: Report, plans: Mapping[str, Plan], data: Data, place: Place) -> None:
    """Train plans[point["network"]]; its checkpoints lie under that name."""
    network = point["network"]
    train_reporting(plans[network], report, data, place.below(network))


def try_recipe(point: dict, report: Report, plan: Plan, data: Data, place: Place) -> None:
    """Train `plan` with the recipe of `point`; its checkpoints lie under the point's hash."""
    train_reporting(plan.at(point), report, data, place.below(short_hash(point)))


def train_reporting(plan: Plan, report: Report, data: Data, place: Place) -> None:
    """Train by `plan`, behind the checkpoints found, and report each epoch, scored by its validation accuracy."""

    def tell(epoch: Epoch) -> None:
        report({"epoch": epoch.index, "score": epoch.val_accuracy, "metrics": epoch.metrics()})

    model, _ = plan.prepare(data)
    fit(model, plan.subsample(data), plan.recipe, place.device, tell, checkpoints=Checkpoints(place.folder))


def try_config(point: dict, report: Report, repeats: list[Repeat], epochs: int, device: str) -> None:
    """Train one configuration of table 1 on all repeats; report once, the curves as (repeats, epochs) arrays."""
    began = time.perf_counter()
    history = train_stacked([Config(**point)], repeats, epochs, device)
    curves = {f.name: getattr(history, f.name)[0].numpy() for f in fields(History)}
    loss = float(curves["val_loss"][:, -1].mean())
    score = -loss if np.isfinite(loss) else -np.inf
    report({"epoch": epochs, "score": score, "metrics": curves | {"seconds": time.perf_counter() - began}})
