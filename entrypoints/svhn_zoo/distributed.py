"""Several processes that train each network together, as torchrun starts them: the first leads and writes."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import click
import torch
import torch.distributed as dist

from dl.data import Data
from dl.train import DivergedError, fit
from entrypoints.svhn_zoo.variants import Variant


@contextmanager
def processes(device: torch.device) -> Iterator[tuple[int, int]]:
    """Join the processes that torchrun has started, if it has; yields rank and number of processes."""
    if "RANK" not in os.environ:
        yield 0, 1
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # an hour: the first process may download SVHN, or wait for the tracking server
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=1))
    try:
        yield dist.get_rank(), dist.get_world_size()
    except click.ClickException as error:
        if dist.get_rank():
            sys.exit(error.exit_code)  # the first process says it
        raise
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def announce(variant: Variant | None) -> None:
    """Say to the other processes what is trained next; None: nothing more."""
    exchange(variant.run_name if variant else None)


def exchange(name: str | None) -> str | None:
    """Return what the first process has said; the others' own `name` does not count."""
    if not dist.is_initialized():
        return name
    box = [name]
    dist.broadcast_object_list(box)
    return box[0]


def run_worker(variants: Sequence[Variant], data: Data, device: torch.device) -> None:
    """Train with the first process what it announces, and write nothing."""
    named = {variant.run_name: variant for variant in variants}
    while name := exchange(None):
        plan = named[name].plan
        model, _ = plan.prepare(data)
        with suppress(DivergedError, torch.OutOfMemoryError):  # `fit` raises them in all processes alike
            fit(model, plan.subsample(data), plan.recipe, device)
