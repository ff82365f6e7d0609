"""Question 4: six networks on SVHN, trained, compared, registered.

    mlflow run . -e svhn_zoo --env-manager uv

trains LeNet-5, AlexNet, VGG-16, ResNet-18, -50 and -101, each in a child run with its curves, confusion matrix and most
confident errors, and registers every network with its preprocessing. On a GPU: all images, ten epochs. On a CPU: a
subset, about six minutes on two cores. Without SVHN's files, and without a way to download them, it trains on generated
street digits and says so.
"""

import os
import resource
import time
from dataclasses import asdict, replace

import click
import numpy as np
import torch
from tqdm import tqdm

from dl.data import Data, MissingError, street_digits, svhn
from dl.models import ZOO, Plan, Raw, flops, parameters
from dl.models.document import DOCUMENT, load_weights, shrunk
from dl.plots import zoo as plots
from dl.train import DivergedError, Epoch, Recipe, fit, pick_device, predict
from tracking.registry import register
from tracking.run import Run, start

SIZES = {"full": (67_257, 6_000, 26_032), "quick": (6_000, 600, 2_000)}  # train, validation, test; full: SVHN's
NOTICE = "NOT SVHN: trained and scored on generated street digits; these numbers say nothing about SVHN."


@click.command(help=__doc__)
@click.option("--models", default="all", show_default=True, help="Comma-separated names, or all.")
@click.option("--dataset", type=click.Choice(["auto", "svhn", "street-digits"]), default="auto", show_default=True)
@click.option("--data-dir", default="auto", show_default=True, help="Where SVHN lies; auto: $SVHN_ROOT, else ./data.")
@click.option("--preset", type=click.Choice(["auto", *SIZES]), default="auto", show_default=True)
@click.option("--recipe", type=click.Choice(["tuned", "document"]), default="tuned", show_default=True)
@click.option("--epochs", type=click.IntRange(min=0), default=0, show_default=True, help="0: the preset's.")
@click.option(
    "--images", type=click.IntRange(min=0), default=0, show_default=True, help="To train on; 0: the preset's."
)
@click.option("--seed", type=click.IntRange(min=0), default=Recipe.seed, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
def main(models, dataset, data_dir, preset, recipe, epochs, images, seed, device) -> None:
    asked = click.get_current_context().params
    names = pick_networks(models)
    try:
        device = pick_device(device)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--device") from error
    if preset == "auto":
        preset = "full" if device.type == "cuda" else "quick"
    plans = {name: plan(name, recipe, preset, epochs, images, seed) for name in names}
    data = load(dataset, data_dir, preset, images)
    tags = {
        "question": 4, "kind": "zoo", "dataset": data.name, "preset": preset, "recipe": recipe, "device": device.type,
    }  # fmt: skip
    rows, histories = [], {}
    with start(f"svhn_zoo / {data.name} / {recipe} / {preset}", asked, tags) as run:
        for part in ("train", "val", "test"):
            split = getattr(data, part)
            run.dataset(f"{data.name}-{part}", data.source, split.digest(), len(split), part)
        for name in names:
            row, history = train(run, name, plans[name], data, device)
            rows.append(row)
            histories[row["network"]] = history
            click.echo(one_line(row))  # a log file has no progress bar
        summarise(run, rows, histories, data, preset)
    click.echo(as_markdown(rows))
    if data.name != "svhn":
        click.secho(NOTICE, fg="yellow", err=True)
    if failed := [row["network"] for row in rows if "error" in row]:
        raise click.ClickException(f"{len(failed)} of {len(rows)} networks failed: {', '.join(failed)}")


def pick_networks(models: str) -> list[str]:
    if models == "all":
        return list(ZOO)
    names = [name.strip() for name in models.split(",") if name.strip()]
    if unknown := [name for name in names if name not in ZOO]:
        raise click.BadParameter(
            f"unknown network {', '.join(unknown)}: known are {', '.join(ZOO)}, and all", param_hint="--models"
        )
    if not names:
        raise click.BadParameter(f"names no network: known are {', '.join(ZOO)}, and all", param_hint="--models")
    return list(dict.fromkeys(names))


def plan(name: str, recipe: str, preset: str, epochs: int, images: int, seed: int) -> Plan:
    """The shipped plan of that network, with what the command line overrides."""
    if recipe == "document":
        chosen = DOCUMENT[name] if preset == "full" else shrunk(DOCUMENT[name])
    else:
        chosen = getattr(ZOO[name], preset)
    changed = replace(chosen.recipe, seed=seed, epochs=epochs or chosen.recipe.epochs)
    if images and images < changed.batch_size:
        raise click.BadParameter(
            f"{images} are fewer than one batch of {name}: at least {changed.batch_size}", param_hint="--images"
        )
    return replace(chosen, recipe=changed, images=images or chosen.images)


def load(dataset: str, data_dir: str, preset: str, images: int) -> Data:
    """The data set that was asked for; `auto` falls back to generated digits, loudly."""
    train, val, test = SIZES[preset]
    if dataset != "street-digits":
        root = (os.environ.get("SVHN_ROOT") or "data") if data_dir == "auto" else data_dir
        try:
            data = svhn(root)
            if preset == "full":
                return data
            return replace(data, val=data.val.thin(val), test=data.test.thin(test))
        except MissingError as error:
            if dataset == "svhn":
                raise click.ClickException(str(error)) from error
            click.secho(f"{error}\n{NOTICE}", fg="yellow", err=True)
        except ValueError as error:  # a file that is there, but wrong: never trained around
            raise click.ClickException(str(error)) from error
    return street_digits(images or train, n_val=val, n_test=test)


def train(run: Run, name: str, plan: Plan, data: Data, device: torch.device) -> tuple[dict, list[Epoch]]:
    """One network in a child run: fitted, scored once on the test data, registered. Returns its row of the table."""
    recipe, title = plan.recipe, ZOO[name].title
    data = replace(data, train=data.train.thin(plan.images))
    torch.manual_seed(recipe.seed)  # the same initialisation in any order of networks
    net = plan.build()
    row = {"network": title, "parameters": parameters(net), "flops": flops(plan), "images": len(data.train)}
    params = asdict(recipe) | {"size": plan.size} | {key: row[key] for key in ("parameters", "flops", "images")}
    history, best = [], 0.0
    with run.child(f"svhn_zoo / {name} / seed {recipe.seed}", params, {"kind": "network", "network": name}) as child:
        row["run_id"] = child.id
        if plan.weights:
            found = load_weights(net, plan.weights)
            child.tags({"initial_weights": plan.weights if found else f"random ({plan.weights} not to be had)"})
        mean, std = data.train.moments()
        model = Raw(net, mean, std, size=plan.size if plan.size != data.train.x.shape[-1] else None)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        began = time.perf_counter()
        total = recipe.epochs * (len(data.train) // recipe.batch_size) * recipe.batch_size
        with tqdm(total=total, desc=title, unit="img", unit_scale=True, disable=None) as bar:

            def report(epoch: Epoch) -> None:
                nonlocal best
                history.append(epoch)
                best = max(best, epoch.val_accuracy)
                values = asdict(epoch) | {"best_val_accuracy": best}
                child.metrics({key: values[key] for key in values if key != "index"}, epoch.index)
                bar.set_postfix(loss=f"{epoch.train_loss:.3f}", val=f"{epoch.val_accuracy:.1%}")

            try:
                fit(model, data, recipe, device, report, bar.update)
            except DivergedError as error:
                child.fail(str(error))
                return row | {"error": str(error)}, history
        seconds = time.perf_counter() - began
        logits, truth = predict(model, data.test.x, device), data.test.y.cpu()
        accuracy = (logits.argmax(1) == truth).double().mean().item()
        row |= {
            "val_accuracy": history[-1].val_accuracy,
            "test_accuracy": accuracy,
            "test_accuracy_se": (accuracy * (1 - accuracy) / len(truth)) ** 0.5,
            "test_loss": torch.nn.functional.cross_entropy(logits, truth).item(),
            "images_per_second": float(np.median([epoch.images_per_second for epoch in history])),
            "seconds": seconds,
            "peak_memory_bytes": peak_memory(device),
        }
        child.metrics({key: row[key] for key in row if isinstance(row[key], float)}, history[-1].index)
        heading = f"{title} on {data.name}, test accuracy {accuracy:.1%}"
        child.figure("curves.png", plots.curves(history, heading))
        child.figure("confusion.png", plots.confusion(truth.numpy(), logits.argmax(1).numpy(), heading))
        wrong = plots.mistakes(data.test.x.numpy(), truth.numpy(), logits.softmax(1).numpy(), heading)
        child.figure("errors.png", wrong)
        child.json("recipe.json", asdict(recipe))
        row["version"] = register(
            child, model, f"{data.name}-{name}", data.test.x[:2].numpy(), row["val_accuracy"],
            {"test_accuracy": f"{accuracy:.6f}", "run": child.id, "data_digest": data.train.digest()},
            also=f"{data.name}-zoo",
        )  # fmt: skip
    return row, history


def peak_memory(device: torch.device) -> float:
    """Bytes: of the device for a GPU, else of this process since its start."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def summarise(run: Run, rows: list[dict], histories: dict[str, list[Epoch]], data: Data, preset: str) -> None:
    """Comparison figure, table and the note that answers the question, on the parent run."""
    done = [row for row in rows if "error" not in row]
    run.table("zoo.json", rows)
    if failed := [f"{row['network']} ({row['error']})" for row in rows if "error" in row]:
        run.fail(f"{len(failed)} of {len(rows)} networks failed: {', '.join(failed)}")
    if not done:
        return
    best = max(done, key=lambda row: row["val_accuracy"])
    run.metrics({"best_val_accuracy": best["val_accuracy"], "test_accuracy": best["test_accuracy"]})
    majority = data.test.y.bincount().max().item() / len(data.test)
    title = f"Question 4 on {data.name} ({preset} preset)" + ("" if data.name == "svhn" else ": not SVHN")
    run.figure("comparison.png", plots.comparison(done, histories, majority, title))
    run.note(answer(done, best, majority, data, preset) + "\n\n" + as_markdown(rows))


def answer(done: list[dict], best: dict, majority: float, data: Data, preset: str) -> str:
    """The question's answer in a few sentences, all from the measured rows."""
    stuck = [row["network"] for row in done if row["test_accuracy"] < majority + 3 * row["test_accuracy_se"]]
    lines = [
        f"**{best['network']}** has the best validation accuracy ({best['val_accuracy']:.1%}) and a test accuracy of "
        f"{best['test_accuracy']:.1%} ± {best['test_accuracy_se']:.1%} (standard error).",
        f"{'Always' if stuck else 'None ends at'} the most frequent digit ({majority:.1%} of the test images)"
        + (f": {', '.join(stuck)}." if stuck else "."),
        f"Data: {data.name}; preset: {preset}.",
    ]
    if data.name != "svhn":
        lines.insert(0, f"**{NOTICE}**")
    if preset == "quick":
        lines.append("A quick run shows that everything works; it does not rank the networks: see the `full` preset.")
    return "\n\n".join(lines)


def one_line(row: dict) -> str:
    if "error" in row:
        return f"{row['network']}: failed: {row['error']}"
    return (
        f"{row['network']}: test accuracy {row['test_accuracy']:.1%} ± {row['test_accuracy_se']:.1%} "
        f"after {row['seconds']:,.0f} s, registered version {row['version']}"
    )


def as_markdown(rows: list[dict]) -> str:
    lines = [
        "| network | test accuracy | val accuracy | parameters | MFLOP an image | images | images/s | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['network']} | failed: {row['error']} | | {row['parameters']:,} | | | | |")
            continue
        lines.append(
            f"| {row['network']} | {row['test_accuracy']:.1%} ± {row['test_accuracy_se']:.1%} "
            f"| {row['val_accuracy']:.1%} | {row['parameters']:,} | {row['flops'] / 1e6:,.1f} | {row['images']:,} "
            f"| {row['images_per_second']:,.0f} | {row['seconds']:,.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
