"""The zoo's data: SVHN, or generated street digits where that is not to be had; the same for all processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
import torch.distributed as dist
from tqdm import tqdm

from dl.data import Data, MissingError, Progress, street_digits, svhn
from entrypoints.svhn_zoo.distributed import world_size
from entrypoints.svhn_zoo.options import ZooOptions

SIZES = {"full": (67_257, 6_000, 26_032), "quick": (12_000, 600, 2_000)}  # train, validation, test; full: SVHN's
NOTICE = "NOT SVHN: trained and scored on generated street digits; these numbers say nothing about SVHN."


def load_data(options: ZooOptions) -> Data:
    """Load the data set that was asked for; `auto` falls back to generated digits, loudly.

    Raises ClickException where it cannot.
    """
    # who trains longer than the quick preset wants to know more exactly what came of it
    train, val, test = SIZES["full" if options.images > SIZES["quick"][0] else options.preset]
    if options.dataset != "street-digits":
        root = (os.environ.get("SVHN_ROOT") or "data") if options.data_dir == "auto" else options.data_dir
        try:
            with download_bar() as report:
                data = svhn(root, extra=options.extra, report=report)
            return replace(data, val=data.val.subsample(val), test=data.test.subsample(test))
        except MissingError as error:
            if options.dataset != "auto" or options.extra:
                raise click.ClickException(str(error)) from error
            click.secho(f"{error}\n{NOTICE}", fg="yellow", err=True)
        except ValueError as error:  # a file that is there, but wrong: never trained around
            raise click.ClickException(str(error)) from error
    return street_digits(options.images or train, n_val=val, n_test=test)


@contextmanager
def download_bar() -> Iterator[Progress]:
    """Give a function that shows how a download goes on, in a bar that a terminal shows while there is one."""
    with tqdm(unit="B", unit_scale=True, disable=None, delay=0.5) as bar:

        def show(file: str, there: int, total: int) -> None:
            if there < bar.n:  # the next file, or this one once more
                bar.reset()
            bar.total = total or None
            bar.set_description(file, refresh=False)
            bar.update(there - bar.n)

        yield show


def load_alike(options: ZooOptions) -> Data:
    """Load the data in all processes: the first decides which, and downloads and converts before the others begin.

    ClickException in all of them where one has other images than the first, or none.
    """
    if world_size() == 1:
        return load_data(options)
    data, mine = try_to_load(options) if dist.get_rank() == 0 else (None, {})
    box = [mine]
    dist.broadcast_object_list(box)
    [first] = box
    if dist.get_rank() and "error" not in first:
        data, mine = try_to_load(replace(options, dataset=first["name"]))
    everywhere: list[dict[str, str]] = [{}] * dist.get_world_size()
    dist.all_gather_object(everywhere, mine)
    if wrong := first.get("error") or why_different(everywhere):
        raise click.ClickException(wrong)
    assert data is not None  # else there is an error
    return data


def try_to_load(options: ZooOptions) -> tuple[Data | None, dict[str, str]]:
    """Return the data with their name and digests, or None with the "error"."""
    try:
        data = load_data(options)
    except click.ClickException as error:
        return None, {"error": error.message}
    return data, {"name": data.name} | data.digests()


def why_different(everywhere: list[dict[str, str]]) -> str:
    """Return what sets the data of some process apart from the first one's; "" where nothing does."""
    first = everywhere[0]
    for number, there in enumerate(everywhere):
        if "error" in there:
            return f"process {number} has not the {first.get('name')} images of process 0: {there['error']}"
        if different := [part for part in first if there[part] != first[part]]:
            return (
                f"process {number} has other {first['name']} images than process 0 ({', '.join(different)}): "
                "give all processes the same --data-dir, or the same files"
            )
    return ""
