"""One network: trained in a child run, scored once on the test images, and registered."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from dl.checkpoint import Checkpoints
from dl.data import Data
from dl.device import training_precision
from dl.evaluate import predict
from dl.models import Preprocessed, flops, parameters
from dl.plots import zoo as plots
from dl.plots.live import live_page
from dl.plots.live.zoo import hover_mistakes
from dl.probe import first_steps
from dl.recipes import ZOO
from dl.train import DivergedError, Epoch, fit
from entrypoints.svhn_zoo.data import NOTICE
from entrypoints.svhn_zoo.distributed import announce, world_size
from entrypoints.svhn_zoo.sheets import Sheets
from entrypoints.svhn_zoo.variants import Variant
from tracking.machine import machine_watched
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import Run


@dataclass(frozen=True)
class Setup:
    """What all trainings of a zoo have in common."""

    data: Data
    device: torch.device
    folder: Path  # of the checkpoints
    on_images: Callable[[int], None] | None = None  # told how many were learnt from, instead of a bar on the terminal

    def of(self, variant: Variant) -> "Setup":
        """Return the setup with the images that this network takes."""
        return replace(self, data=variant.plan.subsample(self.data))


@dataclass
class Trained:
    """One training, and what is left of it."""

    variant: Variant
    checkpoints: Checkpoints
    row: dict = field(default_factory=dict)  # of the table; with "error" where it failed
    history: list[Epoch] = field(default_factory=list)
    model: Preprocessed | None = None  # None: trained by an earlier process

    @property
    def failed(self) -> bool:
        return "error" in self.row

    def result(self) -> dict:
        """Return what a resumed run needs to know of it, as JSON."""
        return {"row": self.row, "history": list(map(asdict, self.history))}

    def describe(self, setup: Setup, model: Preprocessed, weights: str) -> None:
        """Begin the row of the table with what is known before the training. setup: `Setup.of` this network."""
        plan = self.variant.plan
        self.row = {
            "network": self.variant.title,
            "parameters": parameters(model),
            "flops": flops(plan.build, plan.size),
            "images": len(setup.data.train),
            "initial_weights": weights,
        }


def begin(variant: Variant, setup: Setup) -> Trained:
    """Return a training of which nothing is known yet."""
    return Trained(variant, Checkpoints(setup.folder / variant.folder))


def settings(variant: Variant, setup: Setup) -> dict:
    """Return the parameters of a network's run, from its beginning on: what stands there cannot be changed.

    setup: `Setup.of` this network.
    """
    plan = variant.plan
    return asdict(plan.recipe) | {"size": plan.size, "images": len(setup.data.train)}


def run_tags(variant: Variant) -> dict[str, str]:
    """Return the tags of a network's run."""
    return {
        "kind": "ablation" if variant.is_ablation else "network",
        "network": variant.network,
        "recipe": variant.recipe,
        # left to itself, the UI gives some networks the same colour
        "mlflow.runColor": plots.COLOURS[list(ZOO).index(variant.network) % len(plots.COLOURS)],
    }


def train_variant(run: Run, variant: Variant, setup: Setup) -> Trained:
    """Train one network in a child run and score it once on the test data; one that was over is only read."""
    trained = begin(variant, setup)
    if over := run.result(variant.run_name, "result.json"):
        trained.row, trained.history = over["row"], [Epoch(**epoch) for epoch in over["history"]]
        return trained
    setup = setup.of(variant)
    model, weights = variant.plan.prepare(setup.data)
    trained.describe(setup, model, weights)
    params = settings(variant, setup) | {key: trained.row[key] for key in ("parameters", "flops")}
    params["precision"] = training_precision(setup.device)
    with run.child(variant.run_name, params, run_tags(variant)) as child, machine_watched(child):
        trained.row["run_id"] = child.id
        log_datasets(child, setup.data)  # its own images: a network may take fewer than the others
        child.tags({"initial_weights": weights})
        fit_logged(child, trained, model, setup)
        if trained.failed:
            child.fail(trained.row["error"])
            return trained
        score(child, trained, model, setup)
    trained.model = model.cpu()
    return trained


def fit_logged(child: Run, trained: Trained, model: Preprocessed, setup: Setup) -> None:
    """Train `model`, with its epochs in `child` and on the terminal. What went wrong is in the row afterwards."""
    recipe, data, row = trained.variant.plan.recipe, setup.data, trained.row
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    sheets = Sheets(child, data, recipe)
    an_epoch = len(data.train) // recipe.batch_size * recipe.batch_size
    seen = 0  # images: a bar counts only where a terminal shows it
    hidden = True if setup.on_images else None  # None: where there is no terminal
    probe = first_steps(model.net) if trained.variant.is_ablation else nullcontext(lambda: None)
    with (
        probe as watched,
        tqdm(total=recipe.epochs * an_epoch, desc=row["network"], unit="img", unit_scale=True, disable=hidden) as bar,
    ):

        def log_first_steps() -> None:
            if steps := watched():
                child.log_json("first_steps.json", asdict(steps))

        def step(images: int) -> None:
            nonlocal seen
            seen += images
            bar.update(images)
            if setup.on_images:
                setup.on_images(images)

        def report(epoch: Epoch) -> None:
            trained.history.append(epoch)
            best = max(each.val_accuracy for each in trained.history)
            if epoch.micro_batch < recipe.batch_size // world_size():
                child.tags({"micro_batch": epoch.micro_batch})
            # first what the page of comparison is to draw first
            child.metrics({"best_val_accuracy": best} | epoch.metrics(), epoch.index)
            if unseen := epoch.index * an_epoch - seen:  # an epoch of a checkpoint comes without its steps
                step(unseen)
            else:
                sheets.log(model, epoch)
                if epoch.index == 1:
                    log_first_steps()
            bar.set_postfix(loss=f"{epoch.train_loss:.3f}", val=f"{epoch.val_accuracy:.1%}")

        try:
            announce(trained.variant)
            fit(model, data, recipe, setup.device, report, step, trained.checkpoints)
        except torch.OutOfMemoryError:
            row["error"] = f"out of memory with batches of {recipe.batch_size}, and with parts of them"
        except DivergedError as error:
            row |= {"error": str(error), "diverged": True}
            if not trained.history:
                log_first_steps()
            child.log_json("result.json", trained.result())
            trained.checkpoints.remove()


def score(child: Run, trained: Trained, model: Preprocessed, setup: Setup) -> None:
    """Score a trained network on the test images, and log its final metrics, figures and result."""
    data, history, device = setup.data, trained.history, setup.device
    logits, truth = predict(model, data.test.x, device), data.test.y.cpu()
    accuracy = (logits.argmax(1) == truth).double().mean().item()
    final = {
        "test_accuracy": accuracy,
        "test_accuracy_se": (accuracy * (1 - accuracy) / len(truth)) ** 0.5,
        "test_loss": cross_entropy(logits, truth).item(),
        "seconds": sum(epoch.epoch_seconds for epoch in history),
    }
    if device.type == "cuda":  # elsewhere only the whole process's memory is known, which says nothing of one network
        final["peak_memory_bytes"] = float(torch.cuda.max_memory_allocated(device))
    child.metrics(final, history[-1].index)
    speed = float(np.median([epoch.images_per_second for epoch in history]))
    trained.row |= {"val_accuracy": history[-1].val_accuracy, **final, "images_per_second": speed}
    heading = f"{trained.row['network']} on {data.name}, test accuracy {accuracy:.1%}"
    child.figure("curves.png", plots.curves(history, heading))
    child.figure("confusion.png", plots.confusion(truth.numpy(), logits.argmax(1).numpy(), heading))
    answers = (data.test.x.numpy(), truth.numpy(), logits.softmax(1).numpy(), heading)
    child.figure("errors.png", plots.mistakes(*answers))
    child.text("errors.html", live_page(hover_mistakes(*answers)))
    child.log_json("recipe.json", asdict(trained.variant.plan.recipe))
    child.log_json("result.json", trained.result())


def log_datasets(run: Run, data: Data) -> None:
    """Log the three splits with their digests as the inputs of `run`."""
    for part, digest in data.digests().items():
        run.dataset(f"{data.name}-{part}", data.source, digest, len(getattr(data, part)), part)


def register_best(run: Run, trained: list[Trained], setup: Setup) -> dict:
    """Register the best of an entry's seeds by validation accuracy, but no ablation's; returns the row of the table."""
    done = [each for each in trained if not each.failed]
    if not done:
        return trained[0].row
    best = max(done, key=lambda each: each.row["val_accuracy"])
    child = run.view(best.row["run_id"])
    version = child.tag("registered")
    if version is None and not best.variant.is_ablation:
        version = register_network(child, best, setup)
        child.tags({"registered": version})
    for each in done:
        each.checkpoints.remove()
    row = best.row | {"version": version, "seeds": len(done)}
    if len(done) > 1:
        for key in ("val_accuracy", "test_accuracy", "test_loss", "images_per_second", "seconds"):
            row[key] = float(np.mean([each.row[key] for each in done]))
        for key in ("val_accuracy", "test_accuracy"):
            row[f"{key}_std"] = float(np.std([each.row[key] for each in done], ddof=1))
    return row


def register_network(child: Run, trained: Trained, setup: Setup) -> str:
    """Register a network under its own name and as a candidate for the best of the zoo; returns its version."""
    variant, data = trained.variant, trained.variant.plan.subsample(setup.data)
    if trained.model is None:  # an earlier process has trained it: its last checkpoint holds the weights
        trained.model, _ = variant.plan.prepare(data)
        announce(variant)
        fit(trained.model, data, variant.plan.recipe, setup.device, checkpoints=trained.checkpoints)
    val = HeldOut(f"{data.name}-val", data.val.digest(), data.val.x.numpy(), data.val.y.numpy())
    names = f"{data.name}-{variant.network}", f"{data.name}-zoo"
    return register(child, trained.model, names, val, about(variant, data))


def about(variant: Variant, data: Data) -> About:
    """Return what the model card says of a network beyond its run."""
    licence, unfit = {
        True: ("MIT, as the program of this project that generates them", f". {NOTICE}"),
        False: ("SVHN is for non-commercial use only (Netzer et al., 2011)", ""),
    }[data.name == "street-digits"]
    return About(
        reads="RGB crops of a digit, channels first, values 0..255; scaling is the model's own business",
        returns="float32 `(N, 10)`, the logits of the digits 0 to 9",
        licence=licence,
        unfit="finding digits in a photograph, reading whole numbers, handwriting, or a crop without a digit: "
        f"one of ten is always the answer{unfit}",
        recipe=asdict(variant.plan.recipe),
    )
