"""The work of `svhn_zoo`: networks trained, searched for, resumed, compared and registered."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
import torch.distributed as dist
from mlflow.entities import Run as Record
from tqdm import tqdm

from dl import claims, tuning
from dl.checkpoint import Checkpoints
from dl.data import Data, MissingError, street_digits, svhn
from dl.device import pick_device, training_precision
from dl.evaluate import predict
from dl.models import Preprocessed, flops, parameters
from dl.plots import zoo as plots
from dl.recipes import ZOO, Plan
from dl.recipes.document import ABLATION, DOCUMENT, shrunk
from dl.recipes.jobs import train_plan, try_recipe
from dl.recipes.space import recipe_space
from dl.train import DivergedError, Epoch, fit
from entrypoints.options import options_to_resume
from tracking.evidence import log_verdicts
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.resume import Earlier, refuse_other_data, refuse_other_spaces, reopen, start_or_resume
from tracking.run import Run
from tracking.trials import recording

SIZES = {"full": (67_257, 6_000, 26_032), "quick": (6_000, 600, 2_000)}  # train, validation, test; full: SVHN's
NOTICE = "NOT SVHN: trained and scored on generated street digits; these numbers say nothing about SVHN."


def run_zoo(resume: str, asked: dict) -> None:
    """The command, with its options. Raises click's exceptions where they make no sense."""
    before = reopen(resume, "svhn_zoo", {"kind": "zoo"}, options_to_resume(), "search") if resume else None
    options = before.options if before else asked
    names, seeds = pick_networks(options["models"]), range(options["seed"], options["seed"] + options["seeds"])
    try:
        cluster = tuning.pick_cluster(
            *(options[key] for key in ("engine", "cpus_per_trial", "gpus_per_trial", "device"))
        )
        device = pick_device(cluster.device if cluster else options["device"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if options["dataset"] == "street-digits" and options["data_dir"] != "auto" and not before:
        raise click.UsageError("--data-dir is where SVHN lies: it would do nothing with --dataset street-digits")
    if before:
        refuse_other_precision(before.record, device)
    preset, recipe = options["preset"], options["recipe"]
    if preset == "auto":
        preset = "full" if device.type == "cuda" else "quick"
    with processes(device) as (rank, world):
        if world > 1 and (options["search"] or cluster):
            raise click.UsageError("--search and --engine ray share the work out themselves: without torchrun")
        plans = {
            entry: [
                plan(entry, preset, options["epochs"], options["images"], seed, world)
                for seed in (seeds[:1] if ablated(entry) else seeds)
            ]
            for entry in entries(names, recipe)
        }
        data = load_alike(options["dataset"], options["data_dir"], preset, options["images"])
        if options["images"] > len(data.train):
            raise click.UsageError(f"--images {options['images']}: {data.name} has {len(data.train)} to train on")
        if cluster:
            init_ray(cluster)
        spaces = spaces_of(plans, options["search"])
        if before:
            refuse_other_spaces(before.record, spaces)
            digests = {part: getattr(data, part).digest() for part in ("train", "val", "test")}
            refuse_other_data(before.record, data.name, digests)
        if rank:
            follow(plans, data, device)
        else:
            search = RecipeSearch(options["search"], spaces, cluster)
            lead(plans, data, device, preset, recipe, before, asked, search)


def lead(
    plans: dict[str, list[Plan]],
    data: Data,
    device: torch.device,
    preset: str,
    recipe: str,
    before: Earlier | None,
    asked: dict,
    search: "RecipeSearch",
) -> None:
    """The whole run, and all that is written; of several processes the first one does this."""
    tags = {
        "question": 4, "kind": "zoo", "dataset": data.name, "preset": preset, "recipe": recipe, "device": device.type,
        "precision": training_precision(device),
    }  # fmt: skip
    done, rows, failed, remarks = {}, [], {}, []
    title = f"svhn_zoo / {data.name} / {recipe} / {preset}"
    with start_or_resume(title, asked, tags, before) as (run, folder):
        if search.spaces:
            run.tags({"spaces": json.dumps(search.spaces)})
        went_in(run, data)
        searched = {
            entry: search_recipe(run, entry, repeats, data, folder, device, search)
            for entry, repeats in plans.items()
            if search.count and shipped(entry)
        }
        unsearched = {f"{title_of(entry)} search": each.error for entry, each in searched.items() if each.error}
        contests = {
            entry: searched[entry].contest if entry in searched else {"": repeats} for entry, repeats in plans.items()
        }
        lost = train_on_ray(run, contests, data, folder, search.cluster) if search.cluster else {}
        for name, contest in contests.items():
            tried = {
                recipe: [
                    lost.get(name_of(name, plan, recipe))
                    or train(run, name, number, plan, data, device, folder, recipe)
                    for number, plan in enumerate(repeats)
                ]
                for recipe, repeats in contest.items()
            }
            trained, remark = better(title_of(name), tried)
            remarks += [searched[name].remark or remark] if name in searched else []
            rows.append(crown(run, name, trained, data, device))
            done[name] = trained
            failed |= {each.label: each.row["error"] for each in trained if "error" in each.row}
            click.echo(result_line(rows[-1]))  # a log file has no progress bar
        share(None)
        summarise_zoo(run, rows, done, failed | unsearched, data, preset, remarks)
    click.echo(zoo_table(rows))
    if data.name != "svhn":
        click.secho(NOTICE, fg="yellow", err=True)
    problems = [f"{label}: {error}" for label, error in unsearched.items()]
    if failed:
        problems.append(f"{len(failed)} of {sum(map(len, plans.values()))} networks failed: {', '.join(failed)}")
    if problems:
        raise click.ClickException("; ".join(problems))


# ------------------------------------------------------------------------------------------ going on with a run


def refuse_other_precision(record: Record, device: torch.device) -> None:
    """ClickException where `device` trains in another precision than that run did (before it was recorded: in any)."""
    here = training_precision(device)
    if (there := record.data.tags.get("precision", here)) != here:
        raise click.ClickException(
            f"run {record.info.run_id} trains in {there}, but this {device.type} would go on in {here}, with other "
            "numbers: resume it on a machine such as it began on, or start a new run"
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


def load_alike(dataset: str, data_dir: str, preset: str, images: int) -> Data:
    """Load the data set in all processes: the first decides which, and downloads and converts before the others begin.

    ClickException in all of them where one has other images than the first, or none.
    """

    def found(name: str) -> tuple[Data | None, dict[str, str]]:
        try:
            data = load(name, data_dir, preset, images)
        except click.ClickException as error:
            return None, {"error": error.message}
        return data, {"name": data.name} | {part: getattr(data, part).digest() for part in ("train", "val", "test")}

    if world_size() == 1:
        return load(dataset, data_dir, preset, images)
    data, there = found(dataset) if dist.get_rank() == 0 else (None, {})
    everywhere = [there]
    dist.broadcast_object_list(everywhere)
    [first] = everywhere
    if dist.get_rank() and "error" not in first:
        data, there = found(first["name"])
    everywhere = [None] * dist.get_world_size()
    dist.all_gather_object(everywhere, there)
    if "error" in first:
        raise click.ClickException(first["error"])
    for number, there in enumerate(everywhere):
        if "error" in there:
            raise click.ClickException(
                f"process {number} has not the {first['name']} images of process 0: {there['error']}"
            )
        if different := [part for part in first if there[part] != first[part]]:
            raise click.ClickException(
                f"process {number} has other {first['name']} images than process 0 ({', '.join(different)}): "
                "give all processes the same --data-dir, or the same files"
            )
    return data


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
        with suppress(DivergedError, torch.OutOfMemoryError):  # `fit` raises them in all processes alike
            fit(plan.prepare(data)[0], plan.subsample(data), plan.recipe, device)


# ------------------------------------------------------------------------------------------ search and scale-out


@dataclass(frozen=True)
class RecipeSearch:
    count: int  # trials a network; 0: none
    spaces: dict[str, str]  # digest of each network's space
    cluster: tuning.Cluster | None


def init_ray(cluster: tuning.Cluster) -> None:
    """ClickException where it cannot be reached, or is too small for one trial."""
    try:
        tuning.init_ray(cluster)
    except (ValueError, ConnectionError) as error:
        raise click.ClickException(str(error)) from error


def spaces_of(plans: dict[str, list[Plan]], count: int) -> dict[str, str]:
    """What tells whether a resumed search still has the space that it began with."""
    try:
        searched = {name: repeats for name, repeats in plans.items() if count and shipped(name)}
        if count and not searched:
            raise ValueError("the search is around a tuned recipe; the document's is not searched")
        found = {name: recipe_space(repeats[0].shorten()) for name, repeats in searched.items()}
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--search") from error
    return {name: tuning.fingerprint(each) for name, each in found.items()}


@dataclass(frozen=True)
class Searched:
    """What a search came to."""

    contest: dict[str, list[Plan]]  # plans that are to compete: the shipped ones (""), those with the recipe `found`
    remark: str = ""  # where no trial was trained to its end, why
    error: str = ""  # where every trial failed, of what


def search_recipe(
    run: Run, name: str, repeats: list[Plan], data: Data, folder: Path, device: torch.device, search: RecipeSearch
) -> Searched:
    """Search for a better recipe for a network, and keep what is on record of an earlier search of this run."""
    title, short = title_of(name), repeats[0].shorten()
    dimensions = recipe_space(short)
    shipped = {key: getattr(short.recipe, key) for key in dimensions}
    checkpoints = folder / f"{name}-trials"
    job = partial(try_recipe, plan=short, data=replace(data, test=data.val), device=device.type, folder=checkpoints)

    def say(trial: tuning.Trial) -> None:
        end = trial.error or f"validation accuracy {trial.score:.1%} after {max(trial.scores)} epochs"
        click.echo(f"{title} trial {trial.number}: {end}" + (", stopped early" if trial.stopped else ""))

    def params(point: Mapping) -> dict:
        return asdict(short.at(point).recipe)

    with recording(run, f"svhn_zoo / {name}", {"network": name}, params, say) as log:
        known = [tuning.Trial(**row) for row in log.recall(shipped)]
        what = tuning.Search(dimensions, search.count, short.recipe.epochs, shipped, short.recipe.seed)
        trials = tuning.run_search(job, what, known, log, search.cluster)
    shutil.rmtree(checkpoints, ignore_errors=True)
    whole = [trial for trial in trials if trial.score is not None and not trial.stopped]
    if not whole:
        errors = [trial.error for trial in trials if trial.error]
        error = tuning.explain_failure(errors) if len(errors) == len(trials) else ""
        why = error or f"no trial was trained to its end, {len(errors)} failed and the others were stopped early"
        return Searched({"": repeats}, f"{title}, search for a recipe: {why}. The shipped recipe goes on.", error)
    best = max(whole, key=lambda trial: trial.scores[max(trial.scores)])
    if best.point == shipped:
        return Searched({"": repeats})
    return Searched({"": repeats, "found": [plan.at(best.point) for plan in repeats]})


def better(title: str, tried: dict[str, list["Trained"]]) -> tuple[list["Trained"], str]:
    """The trainings with the recipe that is better on validation data, and what is to be said of it."""
    if "found" not in tried:
        return tried[""], f"{title}: no trial of the search was better than the shipped recipe."
    scores = {
        recipe: float(np.mean([each.row.get("val_accuracy", np.nan) for each in trained]))
        for recipe, trained in tried.items()
    }
    best = max(tried, key=lambda recipe: np.nan_to_num(scores[recipe], nan=-1))  # the shipped one among equals
    for recipe, trained in tried.items():
        if recipe != best:
            for each in trained:
                each.checkpoints.remove()
    shipped, found = (tried[recipe][0].plan.recipe for recipe in ("", "found"))
    changes = ", ".join(f"{key} {value:.3g}" for key, value in asdict(found).items() if value != getattr(shipped, key))
    came_to = {
        recipe: "failed" if np.isnan(score) else f"has a validation accuracy of {score:.1%}"
        for recipe, score in scores.items()
    }
    return tried[best], (
        f"{title}: trained in full, the best recipe of the search ({changes}) {came_to['found']}, the shipped one "
        f"{came_to['']}: the {best or 'shipped'} one goes on."
    )


def train_on_ray(
    run: Run, contests: dict[str, dict[str, list[Plan]]], data: Data, folder: Path, cluster: tuning.Cluster
) -> dict[str, "Trained"]:
    """Train all networks side by side, each up to the checkpoint of its last epoch, from which `train` goes on.

    Returns those that failed, by the name of their child run: they are FAILED, and not to be trained again here.
    """
    jobs: dict[str, tuple[str, str, int, Plan]] = {}  # by key_of: entry, recipe, number, plan
    for name, contest in contests.items():
        for recipe, repeats in contest.items():
            for number, plan in enumerate(repeats):
                if not run.result(name_of(name, plan, recipe), "result.json"):
                    jobs[key_of(name, plan, recipe)] = name, recipe, number, plan
    lost: dict[str, Trained] = {}

    class Log:
        def __init__(self, stack: ExitStack):
            self.stack = stack
            self.open: dict[int, tuple[Run, ExitStack]] = {}
            self.history: dict[int, list[Epoch]] = {}

        def began(self, trial: tuning.Trial) -> None:
            name, recipe, _, plan = jobs[trial.point["network"]]
            stack = self.stack.enter_context(ExitStack())
            tags = {"kind": "network", "network": name.partition(" / ")[0], "trial_id": trial.id}
            child = name_of(name, plan, recipe)
            network = stack.enter_context(run.child(child, settings(plan, plan.subsample(data)), tags))
            self.open[trial.number] = network, stack
            self.history[trial.number] = []

        def epoch(self, trial: tuning.Trial, epoch: int, metrics: Mapping) -> None:
            self.open[trial.number][0].metrics(metrics, epoch)
            whole = jobs[trial.point["network"]][3].recipe.batch_size  # where memory was short, only the worker knows
            self.history[trial.number].append(Epoch(epoch, **metrics, micro_batch=whole))

        def ended(self, trial: tuning.Trial) -> None:
            child, stack = self.open.pop(trial.number)
            if trial.error:
                name, recipe, number, plan = jobs[trial.point["network"]]
                trained, part = untrained(name, number, plan, folder, recipe), plan.subsample(data)
                trained.history.extend(self.history[trial.number])
                trained.row = first_row(title_of(name), plan, part, *plan.prepare(part))
                trained.row |= {"run_id": child.id, "error": trial.error}
                if trial.error.startswith(DivergedError.__name__):  # evidence on the document's claims, as in `train`
                    trained.row["diverged"] = True
                    content = {"row": trained.row, "history": list(map(asdict, trained.history))}
                    child.log_json("result.json", content)
                    trained.checkpoints.remove()
                child.fail(trial.error)
                lost[child.name] = trained
                click.echo(f"{trained.label}: {trial.error}", err=True)
            stack.close()

    plans = {key: plan for key, (*_, plan) in jobs.items()}
    job = partial(train_plan, plans=plans, data=replace(data, test=data.val), device=cluster.device, folder=folder)
    with ExitStack() as stack:
        tuning.run_points(job, [{"network": key} for key in plans], Log(stack), cluster)
    run.reread()
    return lost


def settings(plan: Plan, data: Data) -> dict:
    """The parameters of a network's run, from its beginning on: what stands there cannot be changed."""
    return asdict(plan.recipe) | {"size": plan.size, "images": len(data.train)}


def name_of(name: str, plan: Plan, recipe: str) -> str:
    """The child run's, of a network with a recipe: "" is the shipped one. The network first: the UI cuts long names."""
    return " / ".join(filter(None, (name, recipe, "svhn_zoo", f"seed {plan.recipe.seed}")))


def key_of(name: str, plan: Plan, recipe: str) -> str:
    """Of the folder of its checkpoints."""
    return "-".join(filter(None, (name, recipe, f"seed{plan.recipe.seed}"))).replace(" / ", "-").replace(" ", "-")


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


def entries(names: list[str], recipe: str) -> list[str]:
    """What is trained: "alexnet" by our recipe, "alexnet / document", "alexnet / another learning rate", ..."""
    found = []
    for name in names:
        found += [f"{name} / document"] * (recipe != "tuned") + [name] * (recipe != "document")
        if recipe == "both" and name == "alexnet":
            found += [f"{name} / {arm}" for arm in ABLATION]
    return found


def shipped(entry: str) -> bool:
    """Is it by our recipe?"""
    return " / " not in entry


def ablated(entry: str) -> bool:
    return entry.partition(" / ")[2] in ABLATION


def title_of(entry: str) -> str:
    name, _, variant = entry.partition(" / ")
    return ZOO[name].title + (f", {variant}" if variant else "")


def plan(entry: str, preset: str, epochs: int, images: int, seed: int, world: int = 1) -> Plan:
    """The plan of one of `entries`, with what the command line overrides."""
    name, _, variant = entry.partition(" / ")
    if variant:
        chosen = DOCUMENT[name] if variant == "document" else ABLATION[variant]
        chosen = chosen if preset == "full" else shrunk(chosen)
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


def load(dataset: str, data_dir: str, preset: str, images: int) -> Data:
    """The data set that was asked for; `auto` falls back to generated digits, loudly."""
    train, val, test = SIZES[preset]
    if dataset != "street-digits":
        root = (os.environ.get("SVHN_ROOT") or "data") if data_dir == "auto" else data_dir
        try:
            data = svhn(root)
            if preset == "full":
                return data
            return replace(data, val=data.val.subsample(val), test=data.test.subsample(test))
        except MissingError as error:
            if dataset == "svhn":
                raise click.ClickException(str(error)) from error
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
    model: Preprocessed | None = None  # None: trained by an earlier process


def untrained(name: str, number: int, plan: Plan, folder: Path, found: str) -> Trained:
    label = " ".join(filter(None, (title_of(name), found, f"seed {plan.recipe.seed}")))
    return Trained(label, number, plan, {}, [], Checkpoints(folder / key_of(name, plan, found)))


def first_row(title: str, plan: Plan, data: Data, model: Preprocessed, weights: str) -> dict:
    """What the table says of a network before it is trained."""
    return {
        "network": title, "parameters": parameters(model), "flops": flops(plan.build, plan.size),
        "images": len(data.train), "initial_weights": weights,
    }  # fmt: skip


def train(
    run: Run, name: str, number: int, plan: Plan, data: Data, device: torch.device, folder: Path, found: str = ""
) -> Trained:
    """One network with one seed in a child run: fitted, and scored once on the test data."""
    recipe, title = plan.recipe, title_of(name)
    architecture, _, variant = name.partition(" / ")
    child_name, trained = name_of(name, plan, found), untrained(name, number, plan, folder, found)
    checkpoints = trained.checkpoints
    if over := run.result(child_name, "result.json"):
        trained.row, trained.history = over["row"], [Epoch(**epoch) for epoch in over["history"]]
        return trained
    data = plan.subsample(data)
    model, weights = plan.prepare(data)
    row = trained.row = first_row(title, plan, data, model, weights)
    params = settings(plan, data) | {key: row[key] for key in ("parameters", "flops")}
    params["precision"] = training_precision(device)
    history, best = trained.history, 0.0
    colour = plots.COLOURS[list(ZOO).index(architecture) % len(plots.COLOURS)]  # left to itself, the UI repeats some
    tags = {"kind": "ablation" if ablated(name) else "network", "network": architecture, "mlflow.runColor": colour}
    tags["recipe"] = found or variant or "tuned"
    with run.child(child_name, params, tags) as child:
        row["run_id"] = child.id
        went_in(child, data)  # its own images: a network may take fewer than the others
        child.tags({"initial_weights": row["initial_weights"]})
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        an_epoch = len(data.train) // recipe.batch_size * recipe.batch_size
        with tqdm(total=recipe.epochs * an_epoch, desc=title, unit="img", unit_scale=True, disable=None) as bar:

            def report(epoch: Epoch) -> None:
                nonlocal best
                history.append(epoch)
                best = max(best, epoch.val_accuracy)
                if epoch.micro_batch < recipe.batch_size // world_size():
                    child.tags({"micro_batch": epoch.micro_batch})
                child.metrics(epoch.metrics() | {"best_val_accuracy": best}, epoch.index)
                bar.update(max(0, epoch.index * an_epoch - bar.n))  # epochs of a checkpoint come without their steps
                bar.set_postfix(loss=f"{epoch.train_loss:.3f}", val=f"{epoch.val_accuracy:.1%}")

            try:
                share((name, number))
                fit(model, data, recipe, device, report, bar.update, checkpoints)
            except torch.OutOfMemoryError:
                row["error"] = f"out of memory with batches of {recipe.batch_size}, and with parts of them"
            except DivergedError as error:
                row |= {"error": str(error), "diverged": True}
                child.log_json("result.json", {"row": row, "history": list(map(asdict, history))})
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
            **peak_memory(device),
        }
        final = {key: row[key] for key in row if isinstance(row[key], float) and not hasattr(history[-1], key)}
        child.metrics(final, history[-1].index)  # the last epoch's own are there: no key twice in a step
        heading = f"{title} on {data.name}, test accuracy {accuracy:.1%}"
        child.figure("curves.png", plots.curves(history, heading))
        child.figure("confusion.png", plots.confusion(truth.numpy(), logits.argmax(1).numpy(), heading))
        wrong = plots.mistakes(data.test.x.numpy(), truth.numpy(), logits.softmax(1).numpy(), heading)
        child.figure("errors.png", wrong)
        child.log_json("recipe.json", asdict(recipe))
        child.log_json("result.json", {"row": row, "history": list(map(asdict, history))})
    trained.model = model.cpu()
    return trained


def went_in(run: Run, data: Data) -> None:
    """Log the three splits with their digests as the inputs of `run`."""
    for part in ("train", "val", "test"):
        split = getattr(data, part)
        run.dataset(f"{data.name}-{part}", data.source, split.digest(), len(split), part)


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def crown(run: Run, name: str, trained: list[Trained], data: Data, device: torch.device) -> dict:
    """Register the training with the best validation accuracy, but for an ablation's; the row of the table."""
    done = [each for each in trained if "error" not in each.row]
    if not done:
        return trained[0].row
    best = max(done, key=lambda each: each.row["val_accuracy"])
    child = run.view(best.row["run_id"])
    version = child.tag("registered")
    if version is None and not ablated(name):
        if best.model is None:
            best.model, _ = best.plan.prepare(data)
            share((name, best.number))
            fit(best.model, best.plan.subsample(data), best.plan.recipe, device, checkpoints=best.checkpoints)
        used = best.plan.subsample(data)
        val = HeldOut(f"{data.name}-val", used.val.digest(), used.val.x.numpy(), used.val.y.numpy())
        names = f"{data.name}-{name.partition(' / ')[0]}", f"{data.name}-zoo"
        version = register(child, best.model, names, val, about(data, best.plan))
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


def about(data: Data, plan: Plan) -> About:
    """Say what the model card of a network of this zoo says beyond its run."""
    licence, unfit = {
        "svhn": ("SVHN is for non-commercial use only (Netzer et al., 2011)", ""),
        "street-digits": ("MIT, as the program of this project that generates them", f". {NOTICE}"),
    }[data.name]
    return About(
        reads="RGB crops of a digit, channels first, values 0..255; scaling is the model's own business",
        returns="float32 `(N, 10)`, the logits of the digits 0 to 9",
        licence=licence,
        unfit="finding digits in a photograph, reading whole numbers, handwriting, or a crop without a digit: "
        f"one of ten is always the answer{unfit}",
        recipe=asdict(plan.recipe),
    )


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the network's `peak_memory_bytes` on a GPU. Elsewhere only the whole process's memory could be measured,
    which says nothing about one network: there is no such metric then."""
    return {"peak_memory_bytes": float(torch.cuda.max_memory_allocated(device))} if device.type == "cuda" else {}


def summarise_zoo(
    run: Run,
    rows: list[dict],
    trained: dict[str, list[Trained]],
    failed: dict[str, str],
    data: Data,
    preset: str,
    remarks: list[str],
) -> None:
    """Log figures, table, verdicts and the note that answers the question on the parent run."""
    run.log_table("zoo.json", rows)
    if failed:
        run.fail("; ".join(f"{label} failed: {error}" for label, error in failed.items()))
    done = {entry: row for entry, row in zip(trained, rows, strict=True) if "error" not in row}
    if not done and not any("diverged" in row for row in rows):
        return  # nothing was trained that could be judged
    of_val, of_test = (part.y.bincount().max().item() / len(part) for part in (data.val, data.test))
    verdicts = judge_question_4(trained, data, preset, of_test)
    log_verdicts(run, claims.rows(verdicts))
    said = "**No network was trained to its end.**" + ("" if data.name == "svhn" else f"\n\n**{NOTICE}**")
    if done:
        # the networks to compare: ours where there are any, else the document's
        shown = {entry: row for entry, row in done.items() if shipped(entry)} or done
        best = max(shown.values(), key=lambda row: row["val_accuracy"])
        run.metrics({key: best[key] for key in ("test_accuracy", "test_accuracy_std") if key in best})
        run.metrics({"best_val_accuracy": best["val_accuracy"]})
        histories = {
            row["network"]: next(each.history for each in trained[entry] if each.row["run_id"] == row["run_id"])
            for entry, row in done.items()
        }
        title = f"Question 4 on {data.name} ({preset} preset)" + ("" if data.name == "svhn" else ": not SVHN")
        compared = {row["network"]: histories[row["network"]] for row in shown.values()}
        run.figure("comparison.png", plots.comparison(list(shown.values()), compared, of_val, title))
        draw_recipes(run, done, histories, (of_val, of_test), title)
        said = answer_question_4(list(shown.values()), best, of_test, data, preset)
    run.note("\n\n".join([said, *remarks, zoo_table(rows), claims.markdown(verdicts)]))


def draw_recipes(
    run: Run, done: dict[str, dict], histories: dict[str, list[Epoch]], majority: tuple[float, float], title: str
) -> None:
    """Draw the networks that were trained by both recipes, and the ablation of AlexNet, where there are such.

    done: entry -> row; histories: title of the network -> epochs; majority: the most frequent digit's share of the
    validation and of the test images.
    """
    both = {
        row["network"]: {
            "document": histories[done[f"{entry} / document"]["network"]],
            "tuned": histories[row["network"]],
        }
        for entry, row in done.items()
        if f"{entry} / document" in done
    }
    if both:
        run.figure("recipes.png", plots.recipes(both, majority[0], title))
    arms = {
        entry.partition(" / ")[2]: row | {"history": histories[row["network"]]}
        for entry, row in done.items()
        if ablated(entry)
    }
    if arms:
        run.figure("ablation.png", plots.ablation(arms, majority[1], f"Why does AlexNet stick? {title}"))


def judge_question_4(
    trained: dict[str, list[Trained]], data: Data, preset: str, majority: float
) -> list[claims.Verdict]:
    """Judge the document's five claims by what was trained; what found no room in memory says nothing of them."""
    ended = [
        (entry, each)
        for entry, repeats in trained.items()
        for each in repeats
        if each.row.get("diverged") or "error" not in each.row
    ]
    runs = [
        {
            "network": entry.partition(" / ")[0],
            "recipe": entry.partition(" / ")[2] or "tuned",
            "val_accuracy": [epoch.val_accuracy for epoch in each.history],
            "val_loss": [epoch.val_loss for epoch in each.history],
            "val_images": len(data.val),
            "diverged": "error" in each.row,
            **{key: each.row[key] for key in ("test_accuracy", "initial_weights") if key in each.row},
        }
        for entry, each in ended
    ]
    preset_plans = [(each.plan, plan(entry, preset, 0, 0, each.plan.recipe.seed)) for entry, each in ended]
    changed = any((p.images, p.recipe.epochs) != (q.images, q.recipe.epochs) for p, q in preset_plans)
    setting = {"dataset": data.name, "preset": preset, "test_images": len(data.test), "changed": changed}
    return claims.judge_q4(runs, majority, setting)


def answer_question_4(done: list[dict], best: dict, majority: float, data: Data, preset: str) -> str:
    """Return the question's answer in a few sentences, all from the measured rows."""
    stuck = [row["network"] for row in done if row["test_accuracy"] < majority + 3 * row["test_accuracy_se"]]
    lines = [
        f"**{best['network']}** has the best validation accuracy ({best['val_accuracy']:.1%}) and a test accuracy of "
        f"{best['test_accuracy']:.1%} ± {accuracy_error(best)} ("
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


def result_line(row: dict) -> str:
    """Return what became of a network, in a line."""
    if "error" in row:
        return f"{row['network']}: failed: {row['error']}"
    return (
        f"{row['network']}: test accuracy {row['test_accuracy']:.1%} ± {accuracy_error(row)} "
        + (f"over {row['seeds']} seeds, " if row["seeds"] > 1 else "")
        + f"after {row['seconds']:,.0f} s"
        + (f", registered version {row['version']}" if row["version"] else "")
    )


def accuracy_error(row: dict) -> str:
    """Return the test accuracy's standard deviation over the seeds; of one seed its standard error over the images."""
    value = row.get("test_accuracy_std", row["test_accuracy_se"])
    return f"{value:.1%}" if value >= 0.001 else f"{value:.2%}"  # seeds may agree to a hundredth of a percent


def zoo_table(rows: list[dict]) -> str:
    """Return the networks as a Markdown table."""
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
            f"| {row['network']} | {row['seeds']} | {row['test_accuracy']:.1%} ± {accuracy_error(row)} "
            f"| {row['val_accuracy']:.1%} | {row['parameters']:,} | {row['flops'] / 1e6:,.1f} | {row['images']:,} "
            f"| {row['images_per_second']:,.0f} | {row['seconds']:,.1f} |"
        )
    return "\n".join(lines)
