"""Every speed claim of docs/speed.md as a measured ratio, both sides in one process, taking turns.

    mlflow run . -e benchmark --env-manager uv

    pip install -r requirements-benchmark.txt

    mlflow run . -e benchmark --env-manager local -P only=training,digits

It ends with one table: medians, with the smallest and the largest. Lightning, KerasTuner and Optuna are optional peers
(requirements-benchmark.txt): the row of one that is not there says so.
"""

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import torch
import torchvision
from mlflow import MlflowClient
from scipy.io import savemat
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from torchvision.datasets import SVHN

from dl import engine
from dl.data import Data, digits, street_digits, svhn
from dl.data.street import draw
from dl.models import ZOO, Raw
from dl.models.mlp import MLP
from dl.population import TABLE1, Config, Repeat, ordinary
from dl.population import train as train_stacked
from dl.search import suggest
from dl.train import Recipe, fit
from tracking.registry import register
from tracking.run import Run, start
from tracking.trials import recording

ROOT = Path(__file__).resolve().parents[2]
# Images of an epoch: one to three seconds of `fit` on two cores. Both sides train the quick preset's network.
IMAGES = {"lenet5": 16_384, "alexnet": 512, "vgg16": 384, "resnet18": 768, "resnet50": 256, "resnet101": 128}
BATCH = 64  # the usual loop's, and ours too, but for LeNet-5, whose own recipe asks for another
# What the peers train: the network as a tutorial writes it; AlexNet's and VGG's, not made for 32 pixels, are ours
STOCK = {
    name: partial(torchvision.models.get_model, name, num_classes=10) for name in ("resnet18", "resnet50", "resnet101")
}
STOCK["lenet5"] = lambda: nn.Sequential(
    nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
)  # fmt: skip
WORKERS = (0, os.cpu_count())  # numbers of DataLoader workers of which the better one counts
SVHN_SIZE = {"train": 73_257, "test": 26_032}
EPOCHS, TRIALS = 5, 6  # of a search on the digits; 33 steps an epoch
SHAPES = [(128, 16), (256, 64), (384, 24), (1024, 128)]  # of table 1, all 40 settings each
STEPS = 30  # a tracked trial's epochs
REQUESTS = 300  # to a served model, a repeat


@click.command(help=__doc__)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", default="all", show_default=True, help="Groups of rows, comma-separated, or all.")
def main(repeats: int, only: str) -> None:
    groups = list(GROUPS) if only == "all" else [name.strip() for name in only.split(",")]
    if unknown := [name for name in groups if name not in GROUPS]:
        raise click.BadParameter(f"unknown {', '.join(unknown)}: known are {', '.join(GROUPS)}", param_hint="--only")
    rows = []
    with start("benchmark", {"repeats": repeats, "only": only}, {"kind": "benchmark", "device": "cpu"}) as run:
        for name in groups:
            for row in GROUPS[name](run, repeats):
                rows.append(row)
                click.echo(as_markdown([row]).splitlines()[-1])  # a log file shows how far it is
        run.log_table("benchmark.json", rows)
        run.metrics({row["key"]: row["ratio"] for row in rows if row["ratio"] is not None})
        table = as_markdown(rows)
        run.note(f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}\n\n{table}")
    click.echo(f"\n{table}")


def take_turns(sides: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each side measures, in turns after one warm-up each: what disturbs the machine disturbs all."""
    for side in sides.values():
        side()
    values = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            values[name].append(side())
    return values


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(key: str, what: str, unit: str, ours: list[float], theirs: list[float] | str = "") -> dict:
    """A line of the table. theirs: measured values, or why there are none; ratio: how many times faster ours is."""

    def spread(values: list[float]) -> str:
        digits = ",.0f" if median(values) > 100 else ".3g"
        return f"{median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}}) {unit}"

    if isinstance(theirs, str):
        return {"key": key, "what": what, "ours": spread(ours), "theirs": theirs or "-", "ratio": None}
    ratio = median(ours) / median(theirs)
    if unit == "seconds":
        ratio = 1 / ratio
    return {"key": key, "what": what, "ours": spread(ours), "theirs": spread(theirs), "ratio": ratio}


def as_markdown(rows: list[dict]) -> str:
    lines = ["| what | ours: median (range) | peer: median (range) | times faster |", "|---|---|---|---|"]
    for r in rows:
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.3g}"
        lines.append(f"| {r['what']} | {r['ours']} | {r['theirs']} | {ratio} |")
    return "\n".join(lines)


def absent(*packages: str) -> str:
    """Why a peer cannot be measured; empty where it can."""
    missing = [package for package in packages if find_spec(package) is None]
    return f"no {', '.join(missing)} here: pip install -r requirements-benchmark.txt" if missing else ""


# --- Training ----------------------------------------------------------------------------------------------------
def training(run: Run, repeats: int) -> Iterator[dict]:
    """One epoch of each network: `fit` beside the usual loop and Lightning, with the same images and augmentation."""
    everything = street_digits(max(IMAGES.values()), n_val=1, n_test=1)
    mean, std = everything.train.moments()
    for name, images in IMAGES.items():
        plan = ZOO[name].full if name == "lenet5" else ZOO[name].quick
        if name == "lenet5":  # an epoch takes us a second, the usual loop ten: three, so that both are warm
            recipe = replace(plan.recipe, epochs=3)
        else:
            recipe = replace(plan.recipe, epochs=1, batch_size=BATCH)
        data = replace(everything, train=everything.train.thin(images))
        dataset = as_torchvision(data, recipe, mean, std)
        build = STOCK.get(name, plan.build)

        def ours(plan=plan, recipe=recipe, data=data) -> float:
            torch.manual_seed(0)
            seen = []
            fit(Raw(plan.build(), mean, std), data, recipe, on_epoch=seen.append)
            return median(epoch.images_per_second for epoch in seen)

        def loop(workers: int, dataset=dataset, build=build, recipe=recipe) -> float:
            torch.manual_seed(0)
            return usual_loop(dataset, build(), recipe.lr, workers)

        def lightning(workers: int, dataset=dataset, build=build, recipe=recipe) -> float:
            torch.manual_seed(0)
            return lightning_loop(dataset, build(), recipe.lr, workers)

        workers = max(WORKERS, key=loop)
        sides = {"ours": ours, "loop": lambda loop=loop, workers=workers: loop(workers)}
        if name == "lenet5" and workers:
            sides["single"] = lambda loop=loop: loop(0)
        if not (missing := absent("lightning")):
            sides["lightning"] = lambda lightning=lightning, workers=workers: lightning(workers)
        measured = take_turns(sides, repeats)
        title = ZOO[name].title
        if "single" in measured:
            what = f"{title}, training, beside the usual loop in one process"
            yield row(f"{name}_training_single", what, "images/s", measured["ours"], measured["single"])
        what = f"{title}, training, beside the usual loop, DataLoader with {workers} workers (the best number)"
        yield row(f"{name}_training", what, "images/s", measured["ours"], measured["loop"])
        what = f"{title}, training, beside Lightning's Trainer, {workers} workers"
        yield row(f"{name}_lightning", what, "images/s", measured["ours"], measured.get("lightning", missing))


def as_torchvision(data: Data, recipe: Recipe, mean: list[float], std: list[float]) -> SVHN:
    """torchvision's SVHN over our images, with the same augmentation as PIL transforms."""
    dataset = SVHN.__new__(SVHN)  # its constructor wants the published files; what is timed is reading items
    dataset.data, dataset.labels = data.train.x.numpy(), data.train.y.numpy()
    dataset.target_transform = None
    jitter = [transforms.ColorJitter(brightness=recipe.colour, contrast=recipe.colour)] if recipe.colour else []
    dataset.transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=recipe.translate, padding_mode="reflect"),
            *jitter,
            transforms.ToTensor(),
            transforms.Normalize([value / 255 for value in mean], [value / 255 for value in std]),
        ]
    )
    return dataset


def usual_loop(dataset: Dataset, net: nn.Module, lr: float, workers: int) -> float:
    """Images a second of one epoch of the loop that most tutorials show."""
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers)
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


def lightning_loop(dataset: Dataset, net: nn.Module, lr: float, workers: int) -> float:
    """Images a second of one epoch of Lightning's Trainer, from its first batch to its last."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.took = net, 0.0

        def training_step(self, batch, _):
            x, y = batch
            logits = self.net(x)
            loss = nn.functional.cross_entropy(logits, y)
            self.log_dict({"loss": loss, "accuracy": (logits.argmax(1) == y).float().mean()}, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr)

        def on_train_epoch_start(self):
            self.began = time.perf_counter()

        def on_train_epoch_end(self):
            self.took = time.perf_counter() - self.began

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how many workers it would like
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet)
        trainer.fit(module, DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers))
    return len(dataset) / module.took


# --- The digits --------------------------------------------------------------------------------------------------
def digits_grid(run: Run, repeats: int) -> Iterator[dict]:
    """Question 3: perceptrons trained as stacks beside one after the other, and whole searches beside other tuners."""
    repeat = Repeat(digits(), 0)
    rest = [(lr, rate, act) for lr in TABLE1["lr"] for rate in TABLE1["dropout"] for act in TABLE1["activation"]]
    configs = [Config(h1, h2, *setting) for h1, h2 in SHAPES for setting in rest]
    sample = configs[::20]

    def stacked() -> float:
        return len(configs) / seconds(lambda: train_stacked(configs, [repeat], epochs=2))

    def sequential() -> float:  # one thread: more make such small steps slower
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        took = seconds(lambda: [ordinary(config, repeat, epochs=2) for config in sample])
        torch.set_num_threads(threads)
        return len(sample) / took

    values = take_turns({"ours": stacked, "theirs": sequential}, repeats)
    what = f"digits, {len(configs)} of table 1's networks as stacks, beside one after the other, two epochs"
    yield row("digits_stacked", what, "networks/s", values["ours"], values["theirs"])

    tuners = {"ours": lambda: TRIALS / seconds(lambda: our_search(repeat))}
    missing = {"keras_tuner": absent("keras_tuner", "keras"), "optuna": absent("optuna")}
    for package, search in (("keras_tuner", keras_search), ("optuna", optuna_search)):
        if not missing[package]:
            tuners[package] = lambda search=search: TRIALS / seconds(lambda: search(repeat.data))
    values = take_turns(tuners, repeats)
    for package, title in (("keras_tuner", "KerasTuner (torch)"), ("optuna", "Optuna")):
        what = f"digits, a search of {TRIALS} trials over table 1, {EPOCHS} epochs each, beside {title}"
        yield row(f"digits_{package}", what, "trials/s", values["ours"], values.get(package, missing[package]))


def our_search(repeat: Repeat) -> None:
    history = []
    while len(history) < TRIALS:
        batch = suggest(history, 6)
        losses = train_stacked(batch, [repeat], EPOCHS).val_loss[:, 0, -1].tolist()
        history += [(config, loss if loss == loss else None) for config, loss in zip(batch, losses, strict=True)]


def keras_search(data: Data) -> None:
    """As KerasTuner's guide does it."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import keras_tuner

    def build(hp):
        act, rate = hp.Choice("activation", list(TABLE1["activation"])), hp.Choice("dropout", list(TABLE1["dropout"]))
        net = keras.Sequential([keras.layers.Flatten()])
        for layer in ("h1", "h2"):
            net.add(keras.layers.Dense(hp.Choice(layer, list(TABLE1[layer])), activation=act))
            net.add(keras.layers.Dropout(rate))
        net.add(keras.layers.Dense(10))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        adam = keras.optimizers.Adam(hp.Choice("lr", list(TABLE1["lr"])))
        net.compile(adam, loss, metrics=["accuracy"])
        return net

    (x, y), validation = ((split.x.numpy() / 16, split.y.numpy()) for split in (data.train, data.val))
    with TemporaryDirectory() as folder:
        tuner = keras_tuner.BayesianOptimization(build, "val_loss", TRIALS, directory=folder, seed=0)
        tuner.search(x, y, epochs=EPOCHS, batch_size=32, validation_data=validation, verbose=0)


def optuna_search(data: Data) -> None:
    """As Optuna's PyTorch example does it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    x, y = data.train.x / 16, data.train.y
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)

    def objective(trial) -> float:
        config = Config(**{name: trial.suggest_categorical(name, values) for name, values in TABLE1.items()})
        net = MLP(config.h1, config.h2, config.dropout, config.activation)
        adam = torch.optim.Adam(net.parameters(), config.lr)
        for _ in range(EPOCHS):
            net.train()
            for images, labels in loader:
                adam.zero_grad()
                nn.functional.cross_entropy(net(images), labels).backward()
                adam.step()
            net.eval()
            with torch.no_grad():
                loss = nn.functional.cross_entropy(net(data.val.x / 16), data.val.y).item()
        return loss

    optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).optimize(objective, n_trials=TRIALS)


# --- Data --------------------------------------------------------------------------------------------------------
def data_rows(run: Run, repeats: int) -> Iterator[dict]:
    with svhn_sized_files() as folder:

        def cold() -> float:
            for prepared in Path(folder).glob("*.npy"):
                prepared.unlink()
            return seconds(lambda: svhn(folder))

        def theirs() -> float:
            return seconds(lambda: [SVHN(folder, split=part) for part in SVHN_SIZE])

        values = take_turns({"cold": cold, "theirs": theirs}, repeats)
        what = "SVHN, the first load (checks and prepares), beside torchvision's (random pixels of SVHN's size)"
        yield row("svhn_first_load", what, "seconds", values["cold"], values["theirs"])
        values = take_turns({"warm": lambda: seconds(lambda: svhn(folder)), "theirs": theirs}, repeats)
        what = "SVHN, every later load, beside torchvision's"
        yield row("svhn_loading", what, "seconds", values["warm"], values["theirs"])
    images = 1024 * torch.get_num_threads()
    values = take_turns({"ours": lambda: images / seconds(lambda: draw(images, 1))}, repeats)
    what = f"street digits, generated on {torch.get_num_threads()} cores"
    yield row("street_digits", what, "images/s", values["ours"])


@contextmanager
def svhn_sized_files():
    """A folder with random pixels in SVHN's layout and size, which torchvision takes for the published files.

    85 grey levels compress as photographs do there: to 183 MB of 225 (the published train file has 182).
    """
    published = SVHN.split_list
    with TemporaryDirectory() as folder:
        files = {}
        for part, n in SVHN_SIZE.items():
            path = Path(folder, f"{part}_32x32.mat")
            pixels = torch.randint(0, 85, (32, 32, 3, n), dtype=torch.uint8).numpy()
            labels = (torch.arange(n) % 10 + 1).to(torch.uint8).numpy()[:, None]
            savemat(path, {"X": pixels, "y": labels}, do_compression=True)
            with path.open("rb") as file:
                files[part] = ["", path.name, hashlib.file_digest(file, "md5").hexdigest()]
        SVHN.split_list = files
        try:
            yield folder
        finally:
            SVHN.split_list = published


# --- Tracking ----------------------------------------------------------------------------------------------------
def tracking_rows(run: Run, repeats: int) -> Iterator[dict]:
    """LeNet-5, ten epochs of less than a second each, is the zoo's worst case for logging by epoch."""
    data = street_digits(8192, n_val=1, n_test=1)
    recipe = replace(ZOO["lenet5"].full.recipe, epochs=10)
    mean, std = data.train.moments()

    def timed(log: Callable) -> float:
        torch.manual_seed(0)
        model = Raw(ZOO["lenet5"].full.build(), mean, std)
        return seconds(lambda: fit(model, data, recipe, on_epoch=log))

    def logged() -> float:
        with run.child("benchmark / logging", tags={"kind": "repeat"}) as child:
            return timed(lambda epoch: child.metrics(asdict(epoch), epoch.index))

    values = take_turns({"logged": logged, "bare": lambda: timed(lambda epoch: None)}, repeats)
    what = "LeNet-5, ten epochs of training with every epoch logged, beside no logging"
    yield row("logging_overhead", what, "seconds", values["logged"], values["bare"])
    with TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        yield trial_cost("sqlite", "SQLite", uri, repeats)
        store = ("--backend-store-uri", uri, "--artifacts-destination", folder, "--workers", "1")
        with served("/health", "server", *store) as address:
            yield trial_cost("http", "HTTP", address, repeats)


def trial_cost(key: str, title: str, uri: str, repeats: int) -> dict:
    """Seconds that it takes to track one trial of a search: five parameters, two metrics an epoch, 30 epochs."""
    client = MlflowClient(uri)
    experiment = client.create_experiment(f"benchmark-{key}")
    parent = Run(client, client.create_run(experiment), {"params": {}, "tags": {}})
    params = asdict(Config(384, 24, 0.01, 0.0, "relu"))
    series = [(step, {"val_loss": 1 / (step + 1), "val_accuracy": 0.9}) for step in range(STEPS)]

    def usual() -> None:
        trial = client.create_run(experiment, tags={"mlflow.parentRunId": parent.id}).info.run_id
        for name, value in params.items():
            client.log_param(trial, name, value)
        for step, metrics in series:
            for name, value in metrics.items():
                client.log_metric(trial, name, value, step=step)
        client.set_terminated(trial)

    sides = {
        "ours": lambda: seconds(lambda: parent.record("trial", params, {"kind": "trial"}, series)),
        "theirs": lambda: seconds(usual),
    }
    values = take_turns(sides, repeats)
    what = f"tracking a trial of {STEPS} epochs over {title}, beside one log_metric a value"
    return row(f"trial_{key}", what, "seconds", values["ours"], values["theirs"])


@contextmanager
def served(health: str, *command: str) -> Iterator[str]:
    """`mlflow COMMAND` on a free port of the loopback address, until the block ends; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # it calls uvicorn by name
    )  # fmt: skip
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{address}{health}", timeout=5):
                break
            if time.monotonic() > until or server.poll() is not None:
                raise click.ClickException(f"`mlflow {' '.join(command[:2])}` did not come up within two minutes")
            time.sleep(0.2)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # it has workers
        server.wait()


# --- Scale-out ---------------------------------------------------------------------------------------------------
def engine_rows(run: Run, repeats: int) -> Iterator[dict]:
    """A search of eight trials that only wait, every one recorded: what Ray costs, and from which length on it pays."""
    from hyperopt import hp

    cluster = engine.pick("ray", cpus=1, gpus=0, device="cpu")
    yield row("ray_start", "starting Ray on this machine", "seconds", [seconds(lambda: engine.connect(cluster))])
    for pause in (0, 3):

        def search(where: engine.Cluster | None, pause=pause) -> float:
            job, space = partial(wait, pause=pause), {"x": hp.uniform("x", 0, 1)}
            with (
                run.child("benchmark / engine", tags={"kind": "repeat"}) as parent,
                recording(parent, "benchmark", {}, dict) as log,
            ):
                return seconds(lambda: engine.search(job, space, [], 8, log, cluster=where))

        values = take_turns({"here": partial(search, None), "ray": partial(search, cluster)}, repeats)
        what = f"eight trials of {pause} s on Ray, {os.cpu_count()} at a time, beside one after the other here"
        yield row(f"ray_{pause}", what, "seconds", values["ray"], values["here"])


def wait(point: dict, report: Callable[[dict], None], pause: float) -> None:
    time.sleep(pause)
    report({"epoch": 1, "score": point["x"], "metrics": {}})


# --- Serving -----------------------------------------------------------------------------------------------------
def serving(run: Run, repeats: int) -> Iterator[dict]:
    """LeNet-5 behind `mlflow models serve`, asked by one and by four clients on this machine.

    A request is the JSON of two raw images (the model's logged input example), over a connection that a client keeps.
    """
    data = street_digits(64, n_val=1, n_test=1)
    model = Raw(ZOO["lenet5"].full.build(), *data.train.moments())  # untrained: as fast as any
    version = register(run, model, "benchmark-lenet5", data.train.x[:2].numpy(), 0.0, {})
    body = json.dumps({"inputs": data.train.x[:2].tolist()})
    with served(
        "/ping", "models", "serve", "-m", f"models:/benchmark-lenet5/{version}", "--env-manager", "local"
    ) as at:

        def client(count: int) -> list[float]:
            connection, times = HTTPConnection(at.removeprefix("http://"), timeout=60), []
            for _ in range(count):
                began = time.perf_counter()
                connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                times.append(time.perf_counter() - began)
                if answer.status != 200:
                    raise click.ClickException(f"the served model answered {answer.status}: {content[:200]}")
            return times

        client(10)
        for clients in (1, 4):
            rates, times = [], []
            for _ in range(repeats):
                began = time.perf_counter()
                with ThreadPoolExecutor(clients) as pool:
                    some = [each for part in pool.map(client, [REQUESTS // clients] * clients) for each in part]
                rates.append(len(some) / (time.perf_counter() - began))
                times += some
            p50, p99 = (sorted(times)[int(share * len(times))] * 1000 for share in (0.5, 0.99))
            what = f"LeNet-5 behind `mlflow models serve`, {clients} clients: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            yield row(f"serving_{clients}", what, "requests/s", rates)


# --- Start-up ----------------------------------------------------------------------------------------------------
def startup(run: Run, repeats: int) -> Iterator[dict]:
    """From `mlflow run` to the first training step. MLflow's own records say what took how long."""
    spent: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        MlflowClient(uri).search_experiments()  # makes the tables: once in a store's life, some seconds
        for _ in range(repeats):
            for phase, took in first_step(uri, folder).items():
                spent.setdefault(phase, []).append(took)
    for number, (phase, values) in enumerate(spent.items()):
        yield row(f"startup_{number}", f"start-up, {phase}", "seconds", values)


def first_step(uri: str, folder: str) -> dict[str, float]:
    """One epoch of one step of LeNet-5 by `mlflow run --env-manager local`: phase -> seconds."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
    }
    environment |= {
        "MLFLOW_TRACKING_URI": uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    asked = {
        "models": "lenet5",
        "dataset": "street-digits",
        "preset": "quick",
        "images": 64,
        "epochs": 1,
        "device": "cpu",
    }
    parameters = [part for name, value in asked.items() for part in ("-P", f"{name}={value}")]
    command = ["mlflow", "run", str(ROOT), "-e", "svhn_zoo", "--env-manager", "local", *parameters]
    client, began = MlflowClient(uri), time.time()
    done = subprocess.run([sys.executable, "-m", *command], env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    network, project = client.search_runs(["0"], max_results=2, order_by=["attributes.start_time DESC"])
    stamps = client.get_metric_history(network.info.run_id, "train_loss")[0].timestamp
    imports = seconds(lambda: subprocess.run([sys.executable, "-c", "import entrypoints.zoo"], cwd=ROOT, check=True))
    data = seconds(lambda: [draw(n, 0, stream) for stream, n in enumerate((64, 600, 2000))])
    born, child, first = project.info.start_time / 1000, network.info.start_time / 1000, stamps / 1000
    return {
        "from `mlflow run --env-manager local` to the first training step": first - began,
        "of which mlflow's command line": born - began,
        "of which imports (a second process, timed alone)": imports,
        "of which generating 2,664 images (timed alone)": data,
        "of which the first step and its validation": first - child,
    }


GROUPS = {
    "training": training,
    "digits": digits_grid,
    "data": data_rows,
    "tracking": tracking_rows,
    "serving": serving,
    "engine": engine_rows,
    "startup": startup,
}


if __name__ == "__main__":
    main()
