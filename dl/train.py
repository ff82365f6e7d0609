"""The training loop of every network: one screen, and nothing in the hot path waits for the device."""

import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dl.augment import augment
from dl.checkpoint import Checkpoints, capture, restore
from dl.data.split import Data, Split


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, besides the model and the data. Raises ValueError where it cannot train."""

    epochs: int = 10
    batch_size: int = 512
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"  # sgd: Nesterov momentum where momentum > 0
    lr: float = 0.1  # the peak
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4  # on weights of two and more dimensions only: not on biases and batch norms
    schedule: Literal["linear", "constant"] = "linear"  # linear: warm-up to the peak, then down to zero
    warmup: float = 0.25  # share of all steps
    label_smoothing: float = 0.1
    clip: float = 1.0  # largest norm of the gradient; 0: unlimited
    ema: float = 0.0  # decay a step of the averaged weights that are evaluated; 0: none
    translate: int = 4  # augmentation: see `augment`
    rotate: float = 0.0
    colour: float = 0.2
    invert: float = 0.0
    cutout: int = 8
    seed: int = 0

    def __post_init__(self):
        rules = {
            "epochs >= 1": self.epochs >= 1,
            "batch_size >= 2 (batch norm needs two)": self.batch_size >= 2,
            "optimizer one of sgd, adam, adamw": self.optimizer in ("sgd", "adam", "adamw"),
            "lr > 0 and finite": 0 < self.lr < math.inf,
            "0 <= momentum < 1": 0 <= self.momentum < 1,
            "weight_decay >= 0": self.weight_decay >= 0,
            "schedule one of linear, constant": self.schedule in ("linear", "constant"),
            "0 <= warmup < 1": 0 <= self.warmup < 1,
            "0 <= label_smoothing < 1": 0 <= self.label_smoothing < 1,
            "clip >= 0": self.clip >= 0,
            "0 <= ema < 1": 0 <= self.ema < 1,
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
    and augmented alike by all, and gradients are averaged: the steps of one process, but batch norm sees a
    process's share, and dropout differs between them. Process 0 keeps the checkpoints.

    Raises DivergedError when an epoch's loss is not finite, ValueError where the training images are fewer
    than one batch or a batch cannot be shared out evenly, torch.OutOfMemoryError where two images are too many.
    """
    device = torch.device(device)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if len(data.train) < recipe.batch_size:
        raise ValueError(f"{len(data.train)} training images, but batches of {recipe.batch_size}")
    if recipe.batch_size % world:
        raise ValueError(f"batches of {recipe.batch_size} cannot be shared out to {world} processes")
    model.to(device, memory_format=torch.channels_last)
    train, val = data.train.to(device), data.val.to(device)
    train = Split(train.x.contiguous(memory_format=torch.channels_last), train.y)
    steps = len(train) // recipe.batch_size
    optimizer = make_optimizer(model, recipe, fused=device.type in ("cuda", "cpu"))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_share(recipe, steps * recipe.epochs))
    average = deepcopy(model) if recipe.ema else None
    averaged = [floats(average), floats(model)] if average else []
    seeds = streams(recipe.seed)
    order, noise = torch.Generator().manual_seed(seeds[0]), torch.Generator(device).manual_seed(seeds[1])
    dropout = default_generator(device).manual_seed(seeds[2])
    state = {
        "model": model, "optimizer": optimizer, "schedule": schedule, "average": average,
        "order": order, "noise": noise, "dropout": dropout,
    }  # fmt: skip
    this = identity(model, data, recipe, device) if checkpoints else {}
    history = resume(checkpoints, this, state, rank, world)
    for epoch in history:
        on_epoch(epoch)
    micro = history[-1].micro_batch if history else recipe.batch_size // world
    net = DistributedDataParallel(model) if world > 1 else model
    for index in range(len(history) + 1, recipe.epochs + 1):
        began = time.perf_counter()
        model.train()
        if world > 1:  # a stream of its own, that needs no checkpoint
            dropout.manual_seed((recipe.seed * recipe.epochs + index) * world + rank)
        total = torch.zeros(3, device=device)  # loss, hits, gradient norm: summed on the device
        for x, y in batches(train, recipe.batch_size, order):
            x = augment(x, noise, recipe.translate, recipe.rotate, recipe.colour, recipe.invert, recipe.cutout)
            loss, hits, micro = backward(net, x[rank::world], y[rank::world], recipe.label_smoothing, micro)
            norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip or math.inf)
            optimizer.step()
            lr = schedule.get_last_lr()[0]
            schedule.step()
            if average:
                # torch's AveragedModel keeps its counter on the CPU and waits for the device twice a step
                torch._foreach_lerp_(*averaged, 1 - recipe.ema)
            total += torch.stack([loss, hits, norm])
            on_step(len(y))
        if world > 1:
            dist.all_reduce(total)
        loss, accuracy, norm = (total / (steps * world)).tolist()  # the epoch's only wait for the device
        seconds = time.perf_counter() - began
        if not math.isfinite(loss):
            raise DivergedError(f"loss {loss} in epoch {index} of {recipe.epochs}")
        val_loss, val_accuracy = evaluate(average or model, val, device)
        history.append(
            Epoch(
                index, loss, accuracy, val_loss, val_accuracy, lr, norm,
                steps * recipe.batch_size / seconds, time.perf_counter() - began, micro,
            )
        )  # fmt: skip
        if checkpoints and rank == 0:
            checkpoints.save(index, {"identity": this, "history": list(map(asdict, history)), "parts": capture(state)})
        on_epoch(history[-1])
    if checkpoints:
        checkpoints.wait()
    if average:
        model.load_state_dict(average.state_dict())
    return history


def backward(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, micro: int) -> tuple[Tensor, Tensor, int]:
    """Gradients of the mean loss of a batch, at most `micro` images at a time.

    Returns the loss and the share of hits, on the device, and how many images fitted in the end. One process of several
    cannot halve its share alone: there the error is raised.
    """
    while True:
        try:
            return *accumulate(model, x, y, smoothing, -(-len(x) // micro)), micro
        except torch.OutOfMemoryError:
            micro = -(-micro // 2)
            if isinstance(model, DistributedDataParallel) or len(x) // -(-len(x) // micro) < 2:  # batch norm needs two
                raise
        if x.is_cuda:  # out here the error has let go of what it held
            torch.cuda.empty_cache()


def accumulate(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, parts: int) -> tuple[Tensor, Tensor]:
    """Gradients of the mean loss of a batch that goes through in `parts`; the loss and the share of hits."""
    model.zero_grad()
    losses, hits = [], []
    for some, truth in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=has_bf16(x.device)):
            logits = model(some)
            loss = F.cross_entropy(logits, truth, label_smoothing=smoothing) * (len(truth) / len(y))
        loss.backward()
        losses.append(loss.detach())
        hits.append((logits.argmax(1) == truth).sum() / len(y))
    return sum(losses), sum(hits)


def floats(model: nn.Module) -> list[Tensor]:
    """What an average of weights is taken of: all parameters and batch norms' statistics, not their counters."""
    return [value for value in model.state_dict().values() if value.is_floating_point()]


@cache
def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 faster than float32: GPUs from Ampere on, CPUs with instructions for it.

    The others would emulate it. Both accumulate in float32, and weights, gradients and their averages stay float32.
    """
    if device.type == "cpu":
        there = torch.cpu.get_capabilities()
        return bool(there.get("avx512_bf16") or there.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def identity(model: nn.Module, data: Data, recipe: Recipe, device: torch.device) -> dict:
    """What a checkpoint must have been written for, to be of use: plain strings and numbers."""
    shapes = " ".join(f"{name} {tuple(value.shape)}" for name, value in model.state_dict().items())
    return {
        **asdict(recipe), "train": data.train.digest(), "val": data.val.digest(), "device": device.type,
        "network": sha256(shapes.encode()).hexdigest()[:16],
    }  # fmt: skip


def resume(checkpoints: Checkpoints | None, this: dict, state: dict, rank: int, world: int) -> list[Epoch]:
    """Fill `state` from the newest checkpoint of `this` training, in all processes; the epochs that it holds."""
    found = [checkpoints.load(this) if checkpoints and rank == 0 else None]
    if world > 1:
        dist.broadcast_object_list(found)
    if found[0] is None:
        return []
    restore(state, found[0]["parts"])
    return [Epoch(**epoch) for epoch in found[0]["history"]]


def streams(seed: int) -> list[int]:
    """Derive the seeds of the independent streams that the order of images, augmentation and dropout draw from."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(3)]


def default_generator(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    return torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator


def batches(split: Split, size: int, order: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Full batches in an order drawn from `order`; the incomplete last one is left out."""
    index = torch.randperm(len(split), generator=order).to(split.x.device)
    images = split.x.permute(0, 2, 3, 1)  # as they lie in memory: index_select then copies whole images
    for part in index[: len(index) // size * size].split(size):
        yield images.index_select(0, part).permute(0, 3, 1, 2), split.y[part]


def make_optimizer(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only: on biases and batch norms it would only change their scale."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=nesterov, fused=fused)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, recipe.lr, fused=fused)


def lr_share(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Step -> share of the peak learning rate: up over the warm-up, then linearly down to zero after the last step."""
    if recipe.schedule == "constant":
        return lambda step: 1.0
    warmup = max(1, round(recipe.warmup * steps))
    return lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


@torch.inference_mode()
def predict(model: nn.Module, x: Tensor, device: torch.device | str = "cpu", batch_size: int = 256) -> Tensor:
    """Raw pixels (N, C, H, W) -> float32 logits (N, classes) on the CPU, in evaluation mode."""
    device = torch.device(device)
    model.eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" and has_bf16(device)):
        return torch.cat([model(part.to(device)).float() for part in x.split(batch_size)]).cpu()


def evaluate(model: nn.Module, split: Split, device: torch.device | str = "cpu") -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (0..1) of `model` on `split`."""
    logits, y = predict(model, split.x, device), split.y.cpu()
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).double().mean().item()


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: cuda, else mps, else cpu. ValueError where a named device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if not there.get(name, False):
        raise ValueError(f"no device {name!r} here: choose auto or {', '.join(k for k, v in there.items() if v)}")
    return torch.device(name)
