"""The training loop of every network; nothing in the hot path waits for the device."""

import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dl.augment import Augmentation, augment
from dl.backward import backward
from dl.checkpoint import Checkpoints, capture, on_cpu, restore
from dl.data.split import Data, Split
from dl.device import default_generator, training_precision
from dl.evaluate import evaluate
from dl.models.growing import Growing, growing
from dl.muon import Muon
from dl.parallel import Group


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, besides the model and the data. Raises ValueError where it cannot train."""

    epochs: int = 10
    batch_size: int = 512
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"  # sgd: Nesterov momentum where momentum > 0; dl/muon.py
    lr: float = 0.1  # the peak
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4  # on weights of two and more dimensions only: not on biases and batch norms
    schedule: Literal["linear", "constant"] = "linear"  # linear: warm-up to the peak, then down to zero
    warmup: float = 0.25  # share of all steps
    label_smoothing: float = 0.1
    clip: float = 1.0  # largest norm of the gradient; 0: unlimited
    ema: float = 0.0  # decay a step of the averaged weights that are evaluated; 0: none
    grow: float = 0.0  # share of all steps without the later layers, which join as identities (dl/models/growing.py)
    translate: int = 4  # augmentation: see `augment`
    rotate: float = 0.0
    colour: float = 0.2
    invert: float = 0.0
    cutout: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "epochs >= 1": self.epochs >= 1,
            "batch_size >= 2 (batch norm needs two)": self.batch_size >= 2,
            "optimizer one of sgd, adam, adamw, muon": self.optimizer in ("sgd", "adam", "adamw", "muon"),
            "lr > 0 and finite": 0 < self.lr < math.inf,
            "0 <= momentum < 1": 0 <= self.momentum < 1,
            "weight_decay >= 0": self.weight_decay >= 0,
            "schedule one of linear, constant": self.schedule in ("linear", "constant"),
            "0 <= warmup < 1": 0 <= self.warmup < 1,
            "0 <= label_smoothing < 1": 0 <= self.label_smoothing < 1,
            "clip >= 0": self.clip >= 0,
            "0 <= ema < 1": 0 <= self.ema < 1,
            "0 <= grow < 1, and 0 where weights are averaged": 0 <= self.grow < 1 and not (self.grow and self.ema),
            "0 <= translate < 16 pixels": 0 <= self.translate < 16,
            "0 <= rotate < 45 degrees": 0 <= self.rotate < 45,
            "0 <= colour <= 1": 0 <= self.colour <= 1,
            "0 <= invert <= 1": 0 <= self.invert <= 1,
            "0 <= cutout <= 32 pixels": 0 <= self.cutout <= 32,
            "seed >= 0": self.seed >= 0,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"this recipe cannot train, it needs {'; '.join(broken)}: {self}")


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data brought. Losses in nats an image, accuracies in 0..1."""

    index: int  # from 1
    train_loss: float  # mean over the epoch, on augmented images, in training mode
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float  # at the epoch's last step
    grad_norm: float  # mean over the steps, before clipping
    images_per_second: float  # training only
    epoch_seconds: float  # training and validation
    micro_batch: int  # images that went through at once: less than the recipe's batch where memory ran out

    def metrics(self) -> dict[str, float]:
        """Return what is logged of the epoch, under its index."""
        return {key: value for key, value in asdict(self).items() if key not in ("index", "micro_batch")}


class DivergedError(ArithmeticError):
    """The loss is not finite any more."""


def fit(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[int], None] = lambda images: None,
    checkpoints: Checkpoints | None = None,
) -> list[Epoch]:
    """Train `model` in place on `data.train`; report each epoch on `data.val`.

    model: takes (N, C, H, W) pixels in 0..255, returns logits (N, classes); it moves to `device`.
    data: lies on `device` as uint8 for the whole training (SVHN: 225 MB).
    on_step: called with the number of images of each step; it must not wait for the device.
    checkpoints: written after every epoch. Where one is there already, training goes on behind it, after `on_epoch` was
    called for the epochs that it holds: the caller must take an epoch twice. The end is that of a training that was
    never interrupted, bit for bit on a CPU; a finished one is only loaded.

    The same seed gives the same numbers on the same machine, bit for bit on a CPU. The last, incomplete batch of an
    epoch is left out. Where memory runs out, batches go through in halves, quarters, ... with their gradients added up:
    the same step, but batch norm then sees the parts (Epoch.micro_batch).

    In a process group (torchrun) each process takes every `world`-th image of each batch of one common order, drawn
    and augmented alike by all, and gradients are averaged: the steps of one process, but batch norm sees a process's
    share, and dropout differs between them. All start from the weights of process 0, which keeps the checkpoints.

    Raises, in all processes alike, DivergedError when an epoch's loss is not finite, ValueError where there are fewer
    images than one batch or it cannot be shared out evenly, torch.OutOfMemoryError where two images are too many.
    """
    group = Group.joined()
    if len(data.train) < recipe.batch_size:
        raise ValueError(f"{len(data.train)} training images, but batches of {recipe.batch_size}")
    if recipe.batch_size % group.world:
        raise ValueError(f"batches of {recipe.batch_size} cannot be shared out to {group.world} processes")
    with group.ends_alike():
        training = Training(model, data, recipe, torch.device(device), group)
        this = identity(model, data, recipe, training.device) if checkpoints else {}
        history = training.resume(checkpoints, this)
        for epoch in history:
            on_epoch(epoch)
        for index in range(len(history) + 1, recipe.epochs + 1):
            history.append(training.epoch(index, on_step))
            if checkpoints and group.rank == 0:
                state = {"identity": this, "history": list(map(asdict, history)), "parts": capture(training.parts)}
                checkpoints.save(index, state)
            on_epoch(history[-1])
        if checkpoints:
            checkpoints.wait()
        if training.growing:
            training.growing.skipped = False
        if training.average:
            model.load_state_dict(training.average.state_dict())
    return history


class Training:
    """Hold what a training consists of between two epochs, all of it on `device`."""

    def __init__(self, model: nn.Module, data: Data, recipe: Recipe, device: torch.device, group: Group):
        self.model, self.recipe, self.device, self.group = model, recipe, device, group
        model.to(device).to(memory_format=torch.channels_last)
        train, self.val = data.train.to(device), data.val.to(device)
        self.train = Split(train.x.contiguous(memory_format=torch.channels_last), train.y)
        self.steps = len(train) // recipe.batch_size  # an epoch
        self.micro = recipe.batch_size // group.world  # images that fit through at once
        self.optimizer = make_optimizer(model, recipe, fused=device.type in ("cuda", "cpu"))
        total = self.steps * recipe.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lr_share(recipe, total))
        self.growing = growing(model) if recipe.grow else None
        self.grown = min(round(recipe.grow * total), total - 1)  # the step at which the later layers join
        self.augmentation = Augmentation.of(recipe)
        self.lr = recipe.lr  # of the newest step
        self.average = deepcopy(model) if recipe.ema else None
        self.averaged = [floats(self.average), floats(model)] if self.average else []
        seeds = streams(recipe.seed)
        self.order, self.noise = torch.Generator().manual_seed(seeds[0]), torch.Generator(device).manual_seed(seeds[1])
        self.dropout = default_generator(device).manual_seed(seeds[2])

    @property
    def parts(self) -> dict:
        """Return what has a state, by its name in a checkpoint."""
        names = ("model", "optimizer", "schedule", "average", "order", "noise", "dropout")
        return {name: getattr(self, name) for name in names}

    def resume(self, checkpoints: Checkpoints | None, this: dict) -> list[Epoch]:
        """Take the state of the newest checkpoint of `this` training, in all processes; return the epochs it holds."""
        found = checkpoints.load(this) if checkpoints and self.group.rank == 0 else None
        if self.group.world > 1:
            found = self.group.from_first(found or {"parts": on_cpu(capture(self.parts)), "history": []})
        if found is None:
            return []
        restore(self.parts, found["parts"])
        history = [Epoch(**epoch) for epoch in found["history"]]
        self.micro = history[-1].micro_batch if history else self.micro
        return history

    def epoch(self, index: int, on_step: Callable[[int], None]) -> Epoch:
        """Train for one epoch, number `index`, and validate."""
        recipe, group = self.recipe, self.group
        began = time.perf_counter()
        self.model.train()
        if group.world > 1:  # a stream of its own, that needs no checkpoint
            self.dropout.manual_seed((recipe.seed * recipe.epochs + index) * group.world + group.rank)
        total = torch.zeros(3, device=self.device)  # loss, hits, gradient norm: summed on the device
        for x, y in batches(self.train, recipe.batch_size, self.order):
            total += torch.stack(self.step(x, y))
            on_step(len(y))
        group.sum(total)
        loss, accuracy, norm = (total / (self.steps * group.world)).tolist()  # the epoch's only wait for the device
        seconds = time.perf_counter() - began
        if not math.isfinite(loss):
            raise DivergedError(f"loss {loss} in epoch {index} of {recipe.epochs}")
        val_loss, val_accuracy = evaluate(self.average or self.model, self.val, self.device)
        return Epoch(
            index, loss, accuracy, val_loss, val_accuracy, self.lr, norm,
            self.steps * recipe.batch_size / seconds, time.perf_counter() - began, self.micro,
        )  # fmt: skip

    def grow(self, net: Growing, x: Tensor) -> None:
        """Leave `net`'s later layers out, or take them in at their step: by the batch `x`, whole in every process."""
        now = self.schedule.last_epoch  # it counts steps
        net.skipped = now < self.grown
        if now == self.grown:
            hook = net.register_forward_pre_hook(lambda net, images: net.join(*images))
            with torch.no_grad():
                self.model(x)
            hook.remove()

    def step(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Train on one batch; return its loss, share of hits and norm of the gradient, on the device."""
        recipe, group = self.recipe, self.group
        x = augment(x, self.noise, self.augmentation)
        if self.growing:
            self.grow(self.growing, x)
        loss, hits, micro = backward(self.model, group.share(x), group.share(y), recipe.label_smoothing, self.micro)
        self.micro = group.agree(micro)
        group.average_gradients(self.model)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip or math.inf)
        self.optimizer.step()
        self.lr = float(self.schedule.get_last_lr()[0])
        self.schedule.step()
        if self.average:  # torch's AveragedModel keeps its counter on the CPU and waits for the device twice a step
            torch._foreach_lerp_(self.averaged[0], self.averaged[1], 1 - recipe.ema)
        return [loss, hits, norm]


def floats(model: nn.Module) -> list[Tensor]:
    """Return what weights are averaged of: all parameters and batch norms' statistics, not their counters."""
    return [value for value in model.state_dict().values() if value.is_floating_point()]


def identity(model: nn.Module, data: Data, recipe: Recipe, device: torch.device) -> dict:
    """Return what a checkpoint must have been written for, to be of use: plain strings and numbers."""
    shapes = " ".join(f"{name} {tuple(value.shape)}" for name, value in model.state_dict().items())
    return {
        **asdict(recipe), "train": data.train.digest(), "val": data.val.digest(), "device": device.type,
        "precision": training_precision(device), "network": sha256(shapes.encode()).hexdigest()[:16],
    }  # fmt: skip


def streams(seed: int) -> list[int]:
    """Derive the seeds of the independent streams that the order of images, augmentation and dropout draw from."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(3)]


def batches(split: Split, size: int, order: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield full batches in an order drawn from `order`; the incomplete last one is left out."""
    index = torch.randperm(len(split), generator=order).to(split.x.device)
    images = split.x.permute(0, 2, 3, 1)  # as they lie in memory: index_select then copies whole images
    for part in index[: len(index) // size * size].split(size):
        yield images.index_select(0, part).permute(0, 3, 1, 2), split.y[part]


def make_optimizer(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.Optimizer:
    """Return the optimiser of `recipe`; weight decay on biases and batch norms would only change their scale."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=nesterov, fused=fused)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}[recipe.optimizer]
    return kind(groups, recipe.lr, fused=fused)


def lr_share(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Return step -> share of the peak learning rate: up over the warm-up, then down to zero after the last step."""
    if recipe.schedule == "constant":
        return lambda step: 1.0
    warmup = max(1, round(recipe.warmup * steps))
    return lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
