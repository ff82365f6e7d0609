"""Networks trained side by side, in processes of their own: two small ones keep two cores busier than one does."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import c_byte
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.sharedctypes import Synchronized

import click
import psutil
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from dl.train import Epoch
from entrypoints.svhn_zoo.distributed import world_size
from entrypoints.svhn_zoo.training import Setup, Trained, begin, train_variant
from entrypoints.svhn_zoo.variants import Variant
from tracking.errors import StoreError
from tracking.resume import reach
from tracking.run import Run
from tracking.signals import end_with_the_launcher
from tracking.store import end_orphans

MEMORY = 3 * 2**30  # bytes a process may take: ResNet-101, its checkpoint in the making, takes 2.9 GB


def pick_workers(variants: Sequence[Variant], setup: Setup, preset: str) -> int:
    """Return how many networks to train at a time: several on a CPU, by recipes that are made for one."""
    made_for_it = setup.device.type == "cpu" and preset == "quick" and all(each.is_tuned for each in variants)
    if not made_for_it or world_size() > 1:
        return 1
    return max(1, min(len(variants), torch.get_num_threads(), psutil.virtual_memory().available // MEMORY))


@contextmanager
def trainings(
    run: Run, variants: Sequence[Variant], setup: Setup, workers: int
) -> Iterator[Callable[[Variant], Trained]]:
    """Yield what trains each of `variants` as `train_variant` does, or returns what one of several `workers` trained.

    They begin in the order of `variants`. However the block ends, so does what they are training.
    """
    waiting = [each for each in variants if not run.result(each.run_name, "result.json")]
    here = partial(train_variant, run, setup=setup)
    if workers == 1 or not waiting:  # one that a resumed run has left keeps its threads: other ones, other numbers
        yield here
        return
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    shared = Shared(context.Value("q", 0), context.Value("b", 0, lock=False))
    pool = ProcessPoolExecutor(workers, context, begin_worker, (threads // workers, shared))
    futures: dict[str, Future] = {}

    def training(variant: Variant) -> Trained:
        if variant.run_name not in futures:
            return here(variant)
        done = begin(variant, setup)
        done.row, done.history = futures[variant.run_name].result()
        return done

    click.echo(f"{workers} networks train at a time, {threads // workers} of {threads} threads each.")
    torch.set_num_threads(1)  # the others are taken
    try:
        with pool, common_bar(waiting, len(setup.data.train), shared):
            try:
                # by plain pickle: torch's own puts images into shared memory, of which containers have little
                parcel = pickle.dumps((run.id, run.inherited, setup))
                futures |= {each.run_name: pool.submit(train_apart, parcel, each) for each in waiting}
                yield training
            except BaseException:
                shared.over.value = 1
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    except BaseException as error:
        with suppress(MlflowException, StoreError):  # which must not take the place of `error`
            client = MlflowClient()  # by one try: after a signal the patience of `run.client` may be over by now
            end_orphans(client, client.get_run(run.id))
        if isinstance(error, BrokenProcessPool):
            raise click.ClickException(
                "a process that trained a network was killed, perhaps because memory ran out: OMP_NUM_THREADS=1 "
                f"trains one network at a time, and --resume {run.id} goes on"
            ) from error
        raise
    finally:
        torch.set_num_threads(threads)


@contextmanager
def common_bar(waiting: Sequence[Variant], images: int, shared: "Shared") -> Iterator[None]:
    """Show on a terminal how many images all trainings have learnt from. images: that there are to train on."""
    total, over = 0, threading.Event()
    for plan in (each.plan for each in waiting):
        batch = plan.recipe.batch_size
        total += plan.recipe.epochs * (min(plan.images or images, images) // batch * batch)
    with tqdm(total=total, desc=f"{len(waiting)} networks", unit="img", unit_scale=True, disable=None) as bar:

        def watch() -> None:
            while not over.wait(0.5):
                # without the lock, which a process that is killed may hold for ever
                bar.update(shared.images.get_obj().value - bar.n)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


# ------------------------------------------------------------------------------------------ in a worker


@dataclass(frozen=True)
class Shared:
    """What all processes see."""

    images: Synchronized  # that were learnt from so far
    over: c_byte  # 1: nothing new is to begin


_shared: Shared


def begin_worker(threads: int, shared: Shared) -> None:
    """Set up a process that trains with so many threads, and ends when the one that has started it does."""
    global _shared
    _shared = shared
    torch.set_num_threads(threads)
    end_with_the_launcher()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between two networks; while one trains, `reach` ends it in order


def train_apart(parcel: bytes, variant: Variant) -> tuple[dict, list[Epoch]]:
    """Train a network below the run of another process; returns its row of the table and its epochs."""
    if _shared.over.value:
        raise SystemExit
    run_id, inherited, setup = pickle.loads(parcel)
    try:
        with reach(run_id, inherited) as run:
            trained = train_variant(run, variant, replace(setup, on_images=count))
    except (KeyboardInterrupt, SystemExit):  # a signal, and the run is ended: the pool would have it wait for more work
        os._exit(1)
    return trained.row, trained.history


def count(images: int) -> None:
    with _shared.images.get_lock():
        _shared.images.value += images
