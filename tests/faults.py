"""Processes that die on purpose. They are forked from a server that has imported torch and mlflow once: an attempt
costs what it does, not the five seconds of its imports."""

import importlib
import itertools
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from tests.test_project import ROOT, module_of

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["pytest", "tests.faults", "entrypoints.svhn_zoo.zoo", "entrypoints.digits_search.experiment",
     "torchvision.datasets",
     "torch._dynamo", "torch.export._trace", "torch.export.pt2_archive._package", "matplotlib.backends.backend_agg",
     "mlflow.pytorch", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_workspace_store",
     "mlflow.store.model_registry.sqlalchemy_workspace_store", "git", "sympy.combinatorics"]
)  # fmt: skip
WORK = {  # where each command trains and registers: module and function
    "svhn_zoo": [("svhn_zoo.side_by_side", "train_variant"), ("svhn_zoo.training", "register")],
    "digits_search": [("digits_search.records", "train"), ("digits_search.winner", "register")],
}
WRITES = (
    "create_run", "update_run", "log_batch", "log_inputs", "log_figure", "log_dict", "log_table", "set_terminated",
    "create_registered_model", "create_model_version", "set_registered_model_alias",
)  # fmt: skip


def run(
    entry: str,
    arguments: list[str],
    die_at: int = 0,
    environment: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
):
    """Start `python -m entrypoints.ENTRY ARGUMENTS` here; it kills itself (-9) at its event number `die_at`. Networks
    of svhn_zoo compute in `dtype`."""
    given = {"MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"], **(environment or {})}
    process = CONTEXT.Process(target=attempt, args=(entry, arguments, die_at, given, os.getcwd(), dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the server, which the first start starts
        process.start()
    return process


def attempt(
    entry: str, arguments: list[str], die_at: int, environment: dict[str, str], folder: str, dtype: torch.dtype
) -> None:
    import mlflow

    import dl.device
    from dl.recipes import Plan

    os.setpgrp()
    os.chdir(folder)
    os.environ.update(environment)
    mlflow.set_tracking_uri(environment["MLFLOW_TRACKING_URI"])
    torch.set_num_threads(1)
    dl.device.has_bf16 = lambda device: False
    log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    main = importlib.import_module(module_of(entry)).main
    if dtype != torch.float32:
        prepare = Plan.prepare
        Plan.prepare = lambda plan, data: ((made := prepare(plan, data))[0].to(dtype), made[1])
    count = arm(entry, die_at)
    try:
        main(arguments, standalone_mode=True)
    finally:
        Path("events.txt").write_text(str(next(count)))


def arm(entry: str, die_at: int) -> itertools.count:
    """Count the events at which a process may die: optimiser steps, and the time before and after every write."""
    from mlflow import MlflowClient
    from torch.optim.optimizer import register_optimizer_step_post_hook

    count, lock = itertools.count(1), threading.Lock()

    def tick(*_) -> None:
        with lock:
            if next(count) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(owner, name: str) -> None:
        inner = getattr(owner, name)

        def outer(*args, **kwargs):
            tick()
            result = inner(*args, **kwargs)
            tick()
            return result

        setattr(owner, name, outer)

    register_optimizer_step_post_hook(tick)
    for name in WRITES:
        around(MlflowClient, name)
    work = [(importlib.import_module(f"entrypoints.{module}"), name) for module, name in WORK[entry]]
    for owner, name in ((os, "replace"), (os, "fsync"), (os, "unlink"), *work):
        around(owner, name)
    return count


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Relay:
    """A port that leads to another one, and can be taken away: to its clients the server behind it is then gone."""

    def __init__(self, target: int):
        self.port, self.target = free_port(), target
        self.connections: list[socket.socket] = []
        self.back()

    def away(self) -> None:
        """Refuse connections, and cut those that stand."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def back(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    @contextmanager
    def away_for(self, seconds: float) -> Iterator[None]:
        """Away from now on; back after `seconds`, whatever the block does meanwhile."""
        self.away()
        timer = threading.Timer(seconds, self.back)
        timer.start()
        try:
            yield
        finally:
            timer.join()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.connections += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65_536):
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)
