"""Question 4: six networks on SVHN, trained, compared, registered.

    mlflow run . -e svhn_zoo --env-manager uv

trains LeNet-5, AlexNet, VGG-16, ResNet-18, -50 and -101, each in a child run with its curves, confusion matrix and most
confident errors, and registers every network with its preprocessing. On a GPU: all images, ten epochs. On a CPU: a
subset, about six minutes on two cores. Without SVHN's files, and without a way to download them, it trains on generated
street digits and says so.

A run that was killed goes on with `-P resume=RUN_ID`, in the same runs, and ends as if it had not been. Every epoch
leaves a checkpoint in `checkpoints/RUN_ID/`, on the local disk, as to an artifact store it would be hundreds of
megabytes an epoch over the network; they are deleted when the network is registered.

On several GPUs: `torchrun --nproc-per-node 4 -m entrypoints.svhn_zoo --models resnet101`.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
import torch.distributed as dist
from mlflow import MlflowClient
from mlflow.entities import Run as Record
from tqdm import tqdm

from dl.checkpoint import Checkpoints
from dl.data import Data, MissingError, street_digits, svhn
from dl.models import ZOO, Plan, Raw, flops, parameters
from dl.models.document import DOCUMENT, load_weights, shrunk
from dl.plots import zoo as plots
from dl.train import DivergedError, Epoch, Recipe, fit, pick_device, predict
from tracking.registry import register
from tracking.run import Run, find, start

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
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings a network, from --seed on."
)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--resume", default="", help="Id of an interrupted run; its other options are taken from there.")
def main(resume: str, **asked) -> None:
    before = reopen(resume, asked) if resume else None
    options = asked | decided(before) if before else asked
    names, seeds = pick_networks(options["models"]), range(options["seed"], options["seed"] + options["seeds"])
    try:
        device = pick_device(options["device"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--device") from error
    preset, recipe = options["preset"], options["recipe"]
    if preset == "auto":
        preset = "full" if device.type == "cuda" else "quick"
    with processes(device) as (rank, world):
        plans = {
            name: [plan(name, recipe, preset, options["epochs"], options["images"], seed, world) for seed in seeds]
            for name in names
        }
        data = load(options["dataset"], options["data_dir"], preset, options["images"], rank)
        if before:
            check(before, data)
        if rank:
            follow(plans, data, device)
        else:
            lead(plans, data, device, preset, recipe, before, recorded(before, asked))


def lead(
    plans: dict[str, list[Plan]],
    data: Data,
    device: torch.device,
    preset: str,
    recipe: str,
    before: Record | None,
    asked: dict,
) -> None:
    """The whole run, and all that is written; of several processes the first one does this."""
    tags = {
        "question": 4, "kind": "zoo", "dataset": data.name, "preset": preset, "recipe": recipe, "device": device.type,
    }  # fmt: skip
    rows, histories, failed = [], {}, {}
    with start(f"svhn_zoo / {data.name} / {recipe} / {preset}", asked, tags, before and before.info.run_id) as run:
        folder = Path("checkpoints", run.id).absolute()
        if before:  # where it lay, wherever this command was started
            folder = Path(before.data.tags.get("checkpoints", folder))
        run.tags({"checkpoints": folder})
        click.echo(f"If this is interrupted, --resume {run.id} goes on with it.", err=True)
        for part in ("train", "val", "test"):
            split = getattr(data, part)
            run.dataset(f"{data.name}-{part}", data.source, split.digest(), len(split), part)
        for name, repeats in plans.items():
            trained = [
                train(run, name, number, plan, data, device, Checkpoints(folder / f"{name}-seed{plan.recipe.seed}"))
                for number, plan in enumerate(repeats)
            ]
            row, histories[ZOO[name].title] = crown(run, name, trained, data, device)
            rows.append(row)
            failed |= {each.label: each.row["error"] for each in trained if "error" in each.row}
            click.echo(one_line(row))  # a log file has no progress bar
        share(None)
        summarise(run, rows, histories, failed, data, preset)
    for empty in (folder, folder.parent):
        with suppress(OSError):  # checkpoints of a network that may still succeed, or of other runs
            empty.rmdir()
    click.echo(as_markdown(rows))
    if data.name != "svhn":
        click.secho(NOTICE, fg="yellow", err=True)
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {sum(map(len, plans.values()))} networks failed: {', '.join(failed)}"
        )


# ------------------------------------------------------------------------------------------ going on with a run


def reopen(run_id: str, asked: dict) -> Record:
    """The run that is to go on. UsageError where it cannot, or was asked for something else."""
    client = MlflowClient()
    try:
        record = find(client, run_id)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error
    if record.data.tags.get("kind") != "zoo":
        raise click.UsageError(f"run {run_id} is no run of svhn_zoo")
    if record.info.status == "FINISHED":
        raise click.UsageError(f"run {run_id} is finished: there is nothing to resume")
    if not set(asked) <= set(record.data.params):
        client.set_terminated(run_id, "KILLED")
        raise click.UsageError(f"run {run_id} died before it had recorded its options: start a new one")
    there = recorded(record, asked)
    defaults = {option.name: option.default for option in main.params}
    # `mlflow run` passes every option: one that has its default was not asked for
    other = [key for key in asked if asked[key] not in (there[key], defaults[key])]
    if other:
        found = ", ".join(f"--{key.replace('_', '-')} {there[key]} (here {asked[key]})" for key in other)
        raise click.UsageError(f"run {run_id} was started with {found}: leave that out, or start a new run")
    return record


def recorded(record: Record | None, asked: dict) -> dict:
    """The options as the run has them."""
    if record is None:
        return asked
    types = {option.name: option for option in main.params}
    return {key: types[key].type.convert(record.data.params[key], types[key], None) for key in asked}


def decided(record: Record) -> dict:
    """The options of the run, and what it made of those that left a choice."""
    asked = recorded(record, {option.name: None for option in main.params if option.name != "resume"})
    return asked | {key: record.data.tags[key] for key in ("dataset", "preset", "device")}


def check(record: Record, data: Data) -> None:
    """ClickException where the run had other data than there is now."""
    there = {each.dataset.name: each.dataset.digest for each in record.inputs.dataset_inputs}
    for part in ("train", "val", "test"):
        digest = getattr(data, part).digest()
        if there.get(f"{data.name}-{part}", digest) != digest:
            raise click.ClickException(
                f"run {record.info.run_id} had other {data.name} images ({part}: {there[f'{data.name}-{part}']}, "
                f"here {digest}): bring those back, or start a new run"
            )


# ------------------------------------------------------------------------------------------ several processes


@contextmanager
def processes(device: torch.device) -> Iterator[tuple[int, int]]:
    """Rank and number of the processes that train each network together: torchrun's, else one."""
    if "RANK" not in os.environ:
        yield 0, 1
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def share(job: tuple[str, int] | None) -> tuple[str, int] | None:
    """The first process says to the others what is trained next: name of the network and number of its plan."""
    if not dist.is_initialized():
        return job
    box = [job]
    dist.broadcast_object_list(box)
    return box[0]


def follow(plans: dict[str, list[Plan]], data: Data, device: torch.device) -> None:
    """What the other processes do: train with the first one, and write nothing."""
    while job := share(None):
        name, number = job
        plan = plans[name][number]
        with suppress(DivergedError):  # in all of them alike
            fit(build(plan, data)[0], thinned(plan, data), plan.recipe, device)


# ------------------------------------------------------------------------------------------ one network


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


def plan(name: str, recipe: str, preset: str, epochs: int, images: int, seed: int, world: int = 1) -> Plan:
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
    if changed.batch_size % world:
        raise click.UsageError(f"{name}'s batches of {changed.batch_size} cannot be shared out to {world} processes")
    return replace(chosen, recipe=changed, images=images or chosen.images)


def load(dataset: str, data_dir: str, preset: str, images: int, rank: int = 0) -> Data:
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
            if rank == 0:
                click.secho(f"{error}\n{NOTICE}", fg="yellow", err=True)
        except ValueError as error:  # a file that is there, but wrong: never trained around
            raise click.ClickException(str(error)) from error
    return street_digits(images or train, n_val=val, n_test=test)


@dataclass
class Trained:
    """One training of one network, and what is left of it."""

    label: str  # as in a list of failures
    number: int  # among the trainings of that network
    plan: Plan
    row: dict  # of the table; with "error" where it failed
    history: list[Epoch]
    checkpoints: Checkpoints
    model: Raw | None = None  # None: trained by an earlier process


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


def train(
    run: Run, name: str, number: int, plan: Plan, data: Data, device: torch.device, checkpoints: Checkpoints
) -> Trained:
    """One network with one seed in a child run: fitted, and scored once on the test data."""
    recipe, title = plan.recipe, ZOO[name].title
    label, child_name = f"{title} seed {recipe.seed}", f"{name} / svhn_zoo / seed {recipe.seed}"
    trained = Trained(label, number, plan, {}, [], checkpoints)
    if over := run.result(child_name, "result.json"):
        trained.row, trained.history = over["row"], [Epoch(**epoch) for epoch in over["history"]]
        return trained
    data = thinned(plan, data)
    model, weights = build(plan, data)
    row = trained.row = {
        "network": title, "parameters": parameters(model), "flops": flops(plan), "images": len(data.train),
    }  # fmt: skip
    params = asdict(recipe) | {"size": plan.size} | {key: row[key] for key in ("parameters", "flops", "images")}
    history, best = trained.history, 0.0
    colour = plots.COLOURS[list(ZOO).index(name) % len(plots.COLOURS)]  # left to itself, the UI repeats some
    tags = {"kind": "network", "network": name, "mlflow.runColor": colour}
    with run.child(child_name, params, tags) as child:
        row["run_id"] = child.id
        if weights:
            child.tags({"initial_weights": weights})
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        an_epoch = len(data.train) // recipe.batch_size * recipe.batch_size
        with tqdm(total=recipe.epochs * an_epoch, desc=title, unit="img", unit_scale=True, disable=None) as bar:

            def report(epoch: Epoch) -> None:
                nonlocal best
                history.append(epoch)
                best = max(best, epoch.val_accuracy)
                values = asdict(epoch) | {"best_val_accuracy": best}
                micro_batch = values.pop("micro_batch")
                if micro_batch < recipe.batch_size // world_size():
                    child.tags({"micro_batch": micro_batch})
                child.metrics({key: values[key] for key in values if key != "index"}, epoch.index)
                bar.update(max(0, epoch.index * an_epoch - bar.n))  # epochs of a checkpoint come without their steps
                bar.set_postfix(loss=f"{epoch.train_loss:.3f}", val=f"{epoch.val_accuracy:.1%}")

            try:
                share((name, number))
                fit(model, data, recipe, device, report, bar.update, checkpoints)
            except torch.OutOfMemoryError:
                row["error"] = f"out of memory with batches of {recipe.batch_size}, and with parts of them"
            except DivergedError as error:
                row["error"] = str(error)
                child.json("result.json", {"row": row, "history": list(map(asdict, history))})
                checkpoints.remove()
        if "error" in row:
            child.fail(row["error"])
            return trained
        logits, truth = predict(model, data.test.x, device), data.test.y.cpu()
        accuracy = (logits.argmax(1) == truth).double().mean().item()
        row |= {
            "val_accuracy": history[-1].val_accuracy,
            "test_accuracy": accuracy,
            "test_accuracy_se": (accuracy * (1 - accuracy) / len(truth)) ** 0.5,
            "test_loss": torch.nn.functional.cross_entropy(logits, truth).item(),
            "images_per_second": float(np.median([epoch.images_per_second for epoch in history])),
            "seconds": sum(epoch.epoch_seconds for epoch in history),
            "peak_memory_bytes": peak_memory(device),
        }
        child.metrics({key: row[key] for key in row if isinstance(row[key], float)}, history[-1].index)
        heading = f"{title} on {data.name}, test accuracy {accuracy:.1%}"
        child.figure("curves.png", plots.curves(history, heading))
        child.figure("confusion.png", plots.confusion(truth.numpy(), logits.argmax(1).numpy(), heading))
        wrong = plots.mistakes(data.test.x.numpy(), truth.numpy(), logits.softmax(1).numpy(), heading)
        child.figure("errors.png", wrong)
        child.json("recipe.json", asdict(recipe))
        child.json("result.json", {"row": row, "history": list(map(asdict, history))})
    trained.model = model.cpu()
    return trained


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def crown(run: Run, name: str, trained: list[Trained], data: Data, device: torch.device) -> tuple[dict, list[Epoch]]:
    """Register the training with the best validation accuracy; the row of the table, and that training's history."""
    done = [each for each in trained if "error" not in each.row]
    if not done:
        return trained[0].row, trained[0].history
    best = max(done, key=lambda each: each.row["val_accuracy"])
    child = run.view(best.row["run_id"])
    version = child.tag("registered")
    if version is None:
        if best.model is None:
            best.model, _ = build(best.plan, data)
            share((name, best.number))
            fit(best.model, thinned(best.plan, data), best.plan.recipe, device, checkpoints=best.checkpoints)
        version = register(
            child, best.model, f"{data.name}-{name}", data.test.x[:2].numpy(), best.row["val_accuracy"],
            {
                "test_accuracy": f"{best.row['test_accuracy']:.6f}", "run": child.id,
                "data_digest": thinned(best.plan, data).train.digest(),
            },
            also=f"{data.name}-zoo",
        )  # fmt: skip
        child.tags({"registered": version})
    for each in done:
        each.checkpoints.remove()
    row = best.row | {"version": version, "seeds": len(done)}
    if len(done) > 1:
        for key in ("val_accuracy", "test_accuracy", "test_loss", "images_per_second", "seconds"):
            row[key] = float(np.mean([each.row[key] for each in done]))
        for key in ("val_accuracy", "test_accuracy"):
            row[f"{key}_std"] = float(np.std([each.row[key] for each in done], ddof=1))
    return row, best.history


def peak_memory(device: torch.device) -> float:
    """Bytes: of the device for a GPU, else of this process since its start."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def summarise(
    run: Run, rows: list[dict], histories: dict[str, list[Epoch]], failed: dict[str, str], data: Data, preset: str
) -> None:
    """Comparison figure, table and the note that answers the question, on the parent run."""
    done = [row for row in rows if "error" not in row]
    run.table("zoo.json", rows)
    if failed:
        run.fail("; ".join(f"{label} failed: {error}" for label, error in failed.items()))
    if not done:
        return
    best = max(done, key=lambda row: row["val_accuracy"])
    run.metrics({"best_val_accuracy": best["val_accuracy"], "test_accuracy": best["test_accuracy"]})
    if "test_accuracy_std" in best:
        run.metrics({"test_accuracy_std": best["test_accuracy_std"]})
    majority = data.test.y.bincount().max().item() / len(data.test)
    title = f"Question 4 on {data.name} ({preset} preset)" + ("" if data.name == "svhn" else ": not SVHN")
    run.figure("comparison.png", plots.comparison(done, histories, majority, title))
    run.note(answer(done, best, majority, data, preset) + "\n\n" + as_markdown(rows))


def answer(done: list[dict], best: dict, majority: float, data: Data, preset: str) -> str:
    """The question's answer in a few sentences, all from the measured rows."""
    stuck = [row["network"] for row in done if row["test_accuracy"] < majority + 3 * row["test_accuracy_se"]]
    lines = [
        f"**{best['network']}** has the best validation accuracy ({best['val_accuracy']:.1%}) and a test accuracy of "
        f"{best['test_accuracy']:.1%} ± {scatter(best):.1%} ("
        + (f"standard deviation over {best['seeds']} seeds)." if best["seeds"] > 1 else "standard error)."),
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
        f"{row['network']}: test accuracy {row['test_accuracy']:.1%} ± {scatter(row):.1%} "
        + (f"over {row['seeds']} seeds, " if row["seeds"] > 1 else "")
        + f"after {row['seconds']:,.0f} s, registered version {row['version']}"
    )


def scatter(row: dict) -> float:
    """Standard deviation over the seeds; of one seed the standard error over the test images."""
    return row.get("test_accuracy_std", row["test_accuracy_se"])


def as_markdown(rows: list[dict]) -> str:
    lines = [
        "| network | seeds | test accuracy | val accuracy | parameters | MFLOP an image | images | images/s "
        "| seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['network']} | | failed: {row['error']} | | {row['parameters']:,} | | | | |")
            continue
        lines.append(
            f"| {row['network']} | {row['seeds']} | {row['test_accuracy']:.1%} ± {scatter(row):.1%} "
            f"| {row['val_accuracy']:.1%} | {row['parameters']:,} | {row['flops'] / 1e6:,.1f} | {row['images']:,} "
            f"| {row['images_per_second']:,.0f} | {row['seconds']:,.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
