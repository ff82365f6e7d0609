"""The whole of question 3: what both ways to answer it share, from the options to the note."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
import torch

from dl import tuning
from dl.data.digits import digits
from dl.device import pick_device
from dl.table1 import TABLE1
from entrypoints.digits_search.grid import train_grid
from entrypoints.digits_search.options import DigitsOptions
from entrypoints.digits_search.records import Setting
from entrypoints.digits_search.search import search_table1
from tracking.resume import Option, refuse_other_data, reopen, start_or_resume

SPACE = json.dumps(TABLE1)


def find_best_perceptron(asked: DigitsOptions, resume: str, command_line: Mapping[str, Option]) -> str:
    """Search table 1, or train all of it; log everything and return the answer in Markdown.

    resume: the run that is to go on, if any. Raises click.UsageError where the options cannot be met.
    """
    kind = {"question": "3", "kind": asked.kind}
    before = reopen(resume, "digits_search", kind, command_line, "trials") if resume else None
    if before and before.record.data.tags.get("table1", SPACE) != SPACE:
        raise click.UsageError(f"run {resume} searched another space than table 1: start a new run")
    options = DigitsOptions(**dict[str, Any](before.options)) if before else asked
    try:
        options.refuse_idle(resume)
        cluster = tuning.pick_cluster(options.engine, options.cpus_per_trial, options.gpus_per_trial, options.device)
        device = str(pick_device(options.device, mps=False))
        if cluster:
            tuning.init_ray(cluster)
    except (ValueError, ConnectionError) as error:
        raise click.UsageError(str(error)) from error
    data = digits()
    if before:
        refuse_other_data(before.record, data.name, data.digests())
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    tags = {**kind, "network": "mlp", "dataset": data.name, "device": device}
    name = "digits_search / " + ("all 1,400" if options.exhaustive else options.algo)
    with start_or_resume(name, asdict(options) | {"device": device}, tags, before) as (run, _):
        setting = Setting(run, options, data, device)
        run.tags({"table1": SPACE})
        setting.log_inputs(run)
        answer = train_grid(setting) if options.exhaustive else search_table1(setting, cluster)
        run.note(answer)
    return answer
