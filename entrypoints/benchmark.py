"""Every speed claim of the README as a measured ratio, both sides in one process.

    mlflow run . -e benchmark --env-manager uv

On two CPU cores it takes about three minutes and ends with one table: medians over interleaved repeats, with
the smallest and the largest.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from scipy.io import savemat
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import SVHN

from dl.data import Data, street_digits, svhn
from dl.models import ZOO, Raw
from dl.train import Recipe, fit
from tracking.registry import register
from tracking.run import Run, start

IMAGES = 8192  # a training epoch here: LeNet-5's takes the better part of a second
SVHN_SIZE = {"train": 73_257, "test": 26_032}


@click.command(help=__doc__)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(repeats: int) -> None:
    data = street_digits(IMAGES, n_val=1, n_test=1)
    with start("benchmark", {"repeats": repeats}, {"kind": "benchmark", "device": "cpu"}) as run:
        rows = [
            training(data, repeats),
            loading(repeats),
            logging_overhead(run, data, repeats),
        ]
        served = serving(run, data)
        run.table("benchmark.json", rows)
        run.table("serving.json", served)
        run.metrics({row["key"]: row["ratio"] for row in rows})
        table = as_markdown(rows) + "\n\n" + serving_markdown(served)
        run.note(f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}\n\n{table}")
    click.echo(table)


def interleaved(ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> tuple[list, list]:
    """Seconds of both sides, taking turns after one warm-up each: what disturbs the machine disturbs both."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def row(key: str, what: str, unit: str, ours: list[float], theirs: list[float], ratio: float) -> dict:
    def spread(values: list[float]) -> str:
        digits = ",.0f" if median(values) > 100 else ".3g"
        return f"{median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"

    return {"key": key, "what": what, "unit": unit, "ours": spread(ours), "theirs": spread(theirs), "ratio": ratio}


def training(data: Data, repeats: int) -> dict:
    """LeNet-5, one epoch: `fit` beside the loop of most tutorials, with the same network and augmentation."""
    recipe = replace(ZOO["lenet5"].full.recipe, epochs=1)
    mean, std = data.train.moments()

    def ours() -> float:
        torch.manual_seed(0)
        model = Raw(ZOO["lenet5"].full.build(), mean, std)
        seen = []
        fit(model, data, recipe, on_epoch=seen.append)
        return seen[0].images_per_second

    def theirs() -> float:
        torch.manual_seed(0)
        return usual_loop(as_torchvision(data, recipe, mean, std), ZOO["lenet5"].full.build(), recipe.lr)

    mine, usual = interleaved(ours, theirs, repeats)
    return row(
        "lenet5_training", "LeNet-5, training, beside dataset + PIL transforms + DataLoader(64) + .item()", "images/s",
        mine, usual, median(mine) / median(usual),
    )  # fmt: skip


def as_torchvision(data: Data, recipe: Recipe, mean: list[float], std: list[float]) -> SVHN:
    """torchvision's SVHN over our images, with the same augmentation as PIL transforms."""
    dataset = SVHN.__new__(SVHN)  # its constructor wants the published files; what is timed is reading items
    dataset.data, dataset.labels = data.train.x.numpy(), data.train.y.numpy()
    dataset.target_transform = None
    dataset.transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=recipe.translate, padding_mode="reflect"),
            transforms.ColorJitter(brightness=recipe.colour, contrast=recipe.colour),
            transforms.ToTensor(),
            transforms.Normalize([value / 255 for value in mean], [value / 255 for value in std]),
        ]
    )
    return dataset


def usual_loop(dataset: SVHN, net: nn.Module, lr: float) -> float:
    """Images a second of one epoch of the loop that most tutorials show."""
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    optimizer, criterion = torch.optim.Adam(net.parameters(), lr), nn.CrossEntropyLoss()
    net.train()
    began, total, hits = time.perf_counter(), 0.0, 0
    for x, y in loader:
        optimizer.zero_grad()
        logits = net(x)
        loss = criterion(logits, y)
        loss.backward()
        optimizer.step()
        total += loss.item()
        hits += (logits.argmax(1) == y).sum().item()
    return len(dataset) / (time.perf_counter() - began)


@contextmanager
def svhn_sized_files():
    """A folder with random pixels in SVHN's layout and size, which torchvision takes for the published files."""
    published = SVHN.split_list
    with TemporaryDirectory() as folder:
        files = {}
        for part, n in SVHN_SIZE.items():
            path = Path(folder, f"{part}_32x32.mat")
            pixels = torch.randint(0, 256, (32, 32, 3, n), dtype=torch.uint8).numpy()
            savemat(path, {"X": pixels, "y": (torch.arange(n) % 10 + 1).to(torch.uint8).numpy()[:, None]})
            with path.open("rb") as file:
                files[part] = ["", path.name, hashlib.file_digest(file, "md5").hexdigest()]
        SVHN.split_list = files
        try:
            yield folder
        finally:
            SVHN.split_list = published


def loading(repeats: int) -> dict:
    """Prepared data of SVHN's size, all three splits, beside torchvision's SVHN (train and test)."""
    with svhn_sized_files() as folder:

        def ours() -> float:
            began = time.perf_counter()
            svhn(folder)
            return time.perf_counter() - began

        def theirs() -> float:
            began = time.perf_counter()
            for part in SVHN_SIZE:
                SVHN(folder, split=part)
            return time.perf_counter() - began

        mine, usual = interleaved(ours, theirs, repeats)
    return row(
        "svhn_loading", "loading SVHN once it is prepared, beside torchvision's SVHN", "seconds",
        mine, usual, median(usual) / median(mine),
    )  # fmt: skip


def logging_overhead(run: Run, data: Data, repeats: int) -> dict:
    """LeNet-5, ten epochs of a few tenths of a second each: the zoo's worst case for logging by epoch."""
    recipe = replace(ZOO["lenet5"].full.recipe, epochs=10)
    mean, std = data.train.moments()

    def timed(log: Callable) -> float:
        torch.manual_seed(0)
        model = Raw(ZOO["lenet5"].full.build(), mean, std)
        began = time.perf_counter()
        fit(model, data, recipe, on_epoch=log)
        return time.perf_counter() - began

    def logged() -> float:
        with run.child("benchmark / logging", tags={"kind": "repeat"}) as child:
            return timed(lambda epoch: child.metrics(asdict(epoch), epoch.index))

    mine, bare = interleaved(logged, lambda: timed(lambda epoch: None), repeats)
    return row(
        "logging_overhead", "LeNet-5, ten epochs of training with every epoch logged, beside no logging", "seconds",
        mine, bare, median(mine) / median(bare),
    )  # fmt: skip


def serving(run: Run, data: Data, requests: int = 300) -> list[dict]:
    """LeNet-5 behind `mlflow models serve`: latency and throughput with one and with four clients on this machine.

    A request is the JSON of two raw images (model's logged input example), over a connection that each client keeps.
    """
    mean, std = data.train.moments()
    model = Raw(ZOO["lenet5"].full.build(), mean, std)  # untrained: as fast as any
    version = register(run, model, "benchmark-lenet5", data.train.x[:2].numpy(), val_accuracy=0.0)
    body = json.dumps({"inputs": data.train.x[:2].tolist()})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def client(count: int) -> list[float]:
        connection, seconds = HTTPConnection("127.0.0.1", port, timeout=60), []
        for _ in range(count):
            began = time.perf_counter()
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            seconds.append(time.perf_counter() - began)
            if answer.status != 200:
                raise RuntimeError(f"the served model answered {answer.status}: {content[:200]}")
        return seconds

    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/benchmark-lenet5/{version}",
         "--env-manager", "local", "-p", str(port)],
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # it calls uvicorn by name
    )  # fmt: skip
    try:
        wait_for(server, port)
        rows = []
        for clients in (1, 4):
            client(10)
            began = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                seconds = [each for batch in pool.map(client, [requests // clients] * clients) for each in batch]
            wall = time.perf_counter() - began
            p50, p99 = np.percentile(seconds, [50, 99]) * 1000
            rows.append({"clients": clients, "requests": len(seconds), "requests_per_second": len(seconds) / wall,
                         "p50_ms": float(p50), "p99_ms": float(p99)})  # fmt: skip
        return rows
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # mlflow, and the server that it has started
        server.wait()


def wait_for(server: subprocess.Popen, port: int, patience: float = 120) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError("`mlflow models serve` did not come up")


def serving_markdown(rows: list[dict]) -> str:
    lines = ["| LeNet-5 behind `mlflow models serve` | requests/s | p50, ms | p99, ms |", "|---|---|---|---|"]
    lines += [
        f"| clients: {r['clients']} | {r['requests_per_second']:.0f} | {r['p50_ms']:.1f} | {r['p99_ms']:.1f} |"
        for r in rows
    ]
    return "\n".join(lines)


def as_markdown(rows: list[dict]) -> str:
    lines = ["| what | ours: median (range) | peer: median (range) | ratio |", "|---|---|---|---|"]
    lines += [f"| {r['what']} | {r['ours']} {r['unit']} | {r['theirs']} {r['unit']} | {r['ratio']:.3g} |" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
