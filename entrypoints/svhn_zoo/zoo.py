"""The whole of a zoo, in order: options, data, searches, trainings, registry, summary."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

import click
import torch
from tqdm import tqdm

from dl import tuning
from dl.data import Data
from dl.device import describe_device, training_precision
from entrypoints.options import options_to_resume
from entrypoints.svhn_zoo.data import NOTICE, load_alike
from entrypoints.svhn_zoo.distributed import announce, processes, run_worker
from entrypoints.svhn_zoo.on_ray import train_on_ray
from entrypoints.svhn_zoo.options import ZooOptions
from entrypoints.svhn_zoo.searching import RecipeSearch, Searched, choose_recipe, fingerprints, search_recipe
from entrypoints.svhn_zoo.side_by_side import pick_workers, trainings
from entrypoints.svhn_zoo.summary import Results, result_line, summarise_zoo, zoo_table
from entrypoints.svhn_zoo.training import Setup, log_datasets, register_best
from entrypoints.svhn_zoo.variants import Variant, choose_variants
from tracking.patience import shown_uri
from tracking.resume import Earlier, refuse_other_data, refuse_other_spaces, rename_children, reopen, start_or_resume
from tracking.run import Run


@dataclass(frozen=True)
class Order:
    """What is to be trained, and how."""

    asked: ZooOptions  # as on the command line
    options: ZooOptions  # resolved: no preset is "auto" any more
    variants: Sequence[Variant]
    search: RecipeSearch


def run_zoo(asked: ZooOptions, resume: str) -> None:
    """Run the command, new or going on with the run `resume`. Raises click's exceptions where options make no sense."""
    earlier = reopen(resume, "svhn_zoo", {"kind": "zoo"}, options_to_resume(), "search") if resume else None
    if asked.dataset == "street-digits" and not earlier and (asked.data_dir != "auto" or asked.extra):
        raise click.UsageError("--data-dir and --extra are about SVHN: they do nothing with --dataset street-digits")
    try:
        options, device, cluster = (ZooOptions(**earlier.options) if earlier else asked).resolve()
        variants = choose_variants(options)
        search = RecipeSearch(options.search, fingerprints(variants) if options.search else {}, cluster)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if earlier:
        refuse_other_precision(earlier, device)
        refuse_other_spaces(earlier.record, search.spaces)
    with processes(device) as (rank, world):
        refuse_processes(variants, search, world)
        data = load_alike(options)
        if options.images > len(data.train):
            raise click.UsageError(f"--images {options.images}: {data.name} has {len(data.train)} to train on")
        if earlier:
            refuse_other_data(earlier.record, data.name, data.digests())
        if cluster:
            try:
                tuning.init_ray(cluster)
            except (ValueError, ConnectionError) as error:
                raise click.ClickException(str(error)) from error
        if rank:
            run_worker(variants, data, device)
        else:
            run_rank0(Order(asked, options, variants, search), data, device, earlier)


def refuse_processes(variants: Sequence[Variant], search: RecipeSearch, world: int) -> None:
    """Raise UsageError where the work cannot be shared out to `world` processes."""
    if world > 1 and (search.count or search.cluster):
        raise click.UsageError("--search and --engine ray share the work out themselves: without torchrun")
    for variant in variants:
        if (batch := variant.plan.recipe.batch_size) % world:
            raise click.UsageError(f"{variant.network}'s batches of {batch} cannot be shared out to {world} processes")


def refuse_other_precision(earlier: Earlier, device: torch.device) -> None:
    """Raise ClickException where `device` trains in another precision than that run; an old run has none on record."""
    here = training_precision(device)
    if (there := earlier.record.data.tags.get("precision", here)) != here:
        raise click.ClickException(
            f"run {earlier.id} trains in {there}, but this {device.type} would go on in {here}, with other numbers: "
            "resume it on a machine such as it began on, or start a new run"
        )


def run_rank0(order: Order, data: Data, device: torch.device, earlier: Earlier | None) -> None:
    """Do the whole run, and write all that is written; of several processes the first one does this."""
    options = order.options
    tags = {
        "question": 4, "kind": "zoo", "dataset": data.name, "preset": options.preset, "recipe": options.recipe,
        "device": device.type, "precision": training_precision(device),
    }  # fmt: skip
    click.echo(f"{describe_device(device)}; images of {data.name}; runs in {shown_uri()}")
    title = f"svhn_zoo / {data.name} / {options.recipe} / {options.preset}"
    with start_or_resume(title, asdict(order.asked), tags, earlier) as (run, folder):
        if earlier:
            found = [replace(variant, recipe="found") for variant in order.variants if variant.is_tuned]
            rename_children(run, {each.former_run_name: each.run_name for each in (*order.variants, *found)})
        if order.search.spaces:
            run.tags({"spaces": json.dumps(order.search.spaces)})
        log_datasets(run, data)
        results = Results(options, Setup(data, device, folder))
        train_all(run, order, results)
        announce(None)
        summarise_zoo(run, results)
    click.echo(zoo_table(list(results.rows.values())))
    if data.name == "street-digits":
        click.secho(NOTICE, fg="yellow", err=True)
    problems = [f"{label}: {error}" for label, error in results.search_errors.items()]
    if failed := results.failures:
        problems.append(f"{len(failed)} of {len(order.variants)} networks failed: {'; '.join(failed)}")
    if problems:
        raise click.ClickException("; ".join(problems))


def train_all(run: Run, order: Order, results: Results) -> None:
    """Search where that was asked for, train everything, and register the best of each entry; fills `results`."""
    setup, search = results.setup, order.search
    entries = {entry: list(seeds) for entry, seeds in groupby(order.variants, lambda variant: variant.entry)}
    searched = {
        entry: search_recipe(run, seeds, setup, search)
        for entry, seeds in entries.items()
        if search.count and entry[1] == "tuned"
    }
    results.search_errors |= {
        f"{entries[entry][0].title} search": each.error for entry, each in searched.items() if each.error
    }
    rivals = {entry: searched.get(entry, Searched()).found for entry in entries}
    everything = [variant for entry, seeds in entries.items() for variant in (*seeds, *rivals[entry])]
    lost = train_on_ray(run, everything, setup, search.cluster) if search.cluster else {}
    workers = 1 if search.cluster else pick_workers(everything, setup, order.options.preset)
    with trainings(run, everything, setup, workers) as training:
        for entry, seeds in entries.items():
            trained, found = (
                [lost.get(variant) or training(variant) for variant in variants] for variants in (seeds, rivals[entry])
            )
            remark = searched[entry].remark if entry in searched else ""
            if found:
                trained, remark = choose_recipe(trained, found)
            results.remarks += [remark] if remark else []
            results.trained[entry], results.rows[entry] = trained, register_best(run, trained, setup)
            row = results.rows[entry]
            if "error" not in row:
                run.metrics({trained[0].variant.metric: row["test_accuracy"]})
            tqdm.write(result_line(row))  # a log file has no progress bar
