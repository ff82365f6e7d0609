"""What tracking costs on the store that is set: a training with every epoch logged, and one trial of a search."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from urllib.parse import urlsplit

import mlflow
import torch

from dl.data import street_digits
from dl.models import Preprocessed
from dl.recipes import ZOO
from dl.table1 import TABLE2
from dl.train import Epoch, fit
from entrypoints.benchmark.rows import SpeedRow, stopwatch, take_turns
from tracking.run import Run

TRIAL_EPOCHS = 30


def tracking_rows(run: Run, repeats: int) -> Iterator[SpeedRow]:
    yield logging_overhead(run, repeats)
    yield trial_cost(run, repeats)


def logging_overhead(run: Run, repeats: int) -> SpeedRow:
    """Compare LeNet-5 with and without logging: epochs of less than a second are the zoo's worst case."""
    plan, data = ZOO["lenet5"].full, street_digits(8192, n_val=1, n_test=1)
    recipe = replace(plan.recipe, epochs=10)

    def timed(log: Callable[[Epoch], None]) -> float:
        torch.manual_seed(0)
        model = Preprocessed(plan.build(), *data.train.moments())
        return stopwatch(lambda: fit(model, data, recipe, on_epoch=log))

    def logged() -> float:
        with run.child("benchmark / logging", tags={"kind": "repeat"}) as child:
            return timed(lambda epoch: child.metrics(asdict(epoch), epoch.index))

    values = take_turns({"ours": logged, "theirs": lambda: timed(lambda epoch: None)}, repeats)
    what = "LeNet-5, ten epochs of training with every epoch logged, beside no logging"
    return SpeedRow("logging_overhead", what, "seconds", values["ours"], values["theirs"])


def trial_cost(run: Run, repeats: int) -> SpeedRow:
    """Compare the tracking of one trial of a search: five parameters, two metrics an epoch, 30 epochs."""
    params = asdict(TABLE2)
    series = [(step, {"val_loss": 1 / (step + 1), "val_accuracy": 0.9}) for step in range(TRIAL_EPOCHS)]

    def usual() -> None:
        trial = run.client.create_run(run.experiment, tags={"mlflow.parentRunId": run.id}).info.run_id
        for name, value in params.items():
            run.client.log_param(trial, name, value)
        for step, metrics in series:
            for name, value in metrics.items():
                run.client.log_metric(trial, name, value, step=step)
        run.client.set_terminated(trial)

    sides = {
        "ours": lambda: stopwatch(lambda: run.record("benchmark / trial", params, {"kind": "trial"}, series)),
        "theirs": lambda: stopwatch(usual),
    }
    values = take_turns(sides, repeats)
    store = urlsplit(mlflow.get_tracking_uri()).scheme.partition("+")[0] or "files"
    what = f"tracking a trial of {TRIAL_EPOCHS} epochs over {store}, beside one log_metric a value"
    return SpeedRow("trial", what, "seconds", values["ours"], values["theirs"])
