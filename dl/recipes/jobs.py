"""Networks as jobs of dl.tuning: what a worker trains, here or on another machine."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dl.checkpoint import Checkpoints
from dl.data.split import Data
from dl.models.preprocessed import Raw
from dl.population import History, Repeat
from dl.population import train as train_stacked
from dl.recipes.document import load_weights
from dl.recipes.plan import Plan
from dl.table1 import Config
from dl.train import Epoch, fit
from dl.tuning import short_hash


def build(plan: Plan, data: Data) -> tuple[Raw, str | None]:
    """The untrained network with its preprocessing, and which weights it starts from, if not at random."""
    torch.manual_seed(plan.recipe.seed)  # the same initialisation in any order of networks
    net, start_from = plan.build(), None
    if plan.weights:
        found = load_weights(net, plan.weights)
        start_from = plan.weights if found else f"random ({plan.weights} not to be had)"
    train = thinned(plan, data).train
    mean, std = train.moments()
    return Raw(net, mean, std, size=plan.size if plan.size != train.x.shape[-1] else None), start_from


def thinned(plan: Plan, data: Data) -> Data:
    return replace(data, train=data.train.thin(plan.images))


def shortened(plan: Plan) -> Plan:
    """For a trial: half the epochs, under the same schedule."""
    return replace(plan, recipe=replace(plan.recipe, epochs=math.ceil(plan.recipe.epochs / 2)))


def with_point(plan: Plan, point: Mapping) -> Plan:
    """The plan with what a point of its `space` says about the recipe."""
    return replace(plan, recipe=replace(plan.recipe, **point))


def train_plan(point: dict, report: Callable[[dict], None], plans: Mapping[str, Plan], **work: Any) -> None:
    """Train plans[point["network"]]; `work` as of `train`."""
    train(plans[point["network"]], report, name=point["network"], **work)


def try_recipe(point: dict, report: Callable[[dict], None], plan: Plan, **work: Any) -> None:
    """Train `plan` with the recipe of `point`; `work` as of `train`."""
    train(with_point(plan, point), report, name=short_hash(point), **work)


def train(plan: Plan, report: Callable[[dict], None], name: str, data: Data, device: str, folder: Path) -> None:
    """Score: validation accuracy. The checkpoints lie in folder/name, and training goes on behind those it finds there:
    across machines, `folder` has to be storage that they share."""

    def tell(epoch: Epoch) -> None:
        report({"epoch": epoch.index, "score": epoch.val_accuracy, "metrics": metrics(epoch)})

    fit(build(plan, data)[0], thinned(plan, data), plan.recipe, device, tell, checkpoints=Checkpoints(folder / name))


def metrics(epoch: Epoch) -> dict[str, float]:
    """What is logged of an epoch, under its index."""
    return {key: value for key, value in asdict(epoch).items() if key not in ("index", "micro_batch")}


def try_config(point: dict, report: Callable[[dict], None], repeats: list[Repeat], epochs: int, device: str) -> None:
    """One configuration on all repeats, a job of dl.tuning: reports once, the curves as (repeats, epochs) arrays."""
    began = time.perf_counter()
    history = train_stacked([Config(**point)], repeats, epochs, device)
    curves = {f.name: getattr(history, f.name)[0].numpy() for f in fields(History)}
    loss = float(curves["val_loss"][:, -1].mean())
    score = -loss if np.isfinite(loss) else -np.inf
    report({"epoch": epochs, "score": score, "metrics": curves | {"seconds": time.perf_counter() - began}})
