"""Configurations trained together and put on record, a child run each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from time import perf_counter

import numpy as np
from mlflow.entities import Run as Record

from dl.data.digits import resplit
from dl.data.split import Data
from dl.population import History, Repeat, train
from dl.table1 import TABLE1, Config
from entrypoints.digits_search.options import DigitsOptions
from tracking.run import Run
from tracking.trials import OVER


@dataclass(frozen=True)
class Setting:
    """What trainings of this question share."""

    run: Run  # the parent
    options: DigitsOptions
    data: Data
    device: str

    def repeats(self, first: int, count: int) -> list[Repeat]:
        """Return splits and seeds number `first` and on of this search; equal numbers, equal splits."""
        seeds = range(1000 * self.options.seed + first, 1000 * self.options.seed + first + count)
        return [Repeat(resplit(self.data, seed), seed) for seed in seeds]

    def log_inputs(self, run: Run) -> None:
        """Log the three parts of the data with their digests as inputs of `run`."""
        for part, digest in self.data.digests().items():
            run.dataset(self.data.name, self.data.source, digest, len(getattr(self.data, part)), part)


@dataclass(frozen=True)
class Outcome:
    """What came of training a configuration on some repeats."""

    number: int
    config: Config
    curves: dict[str, np.ndarray]  # by History's names, (repeats, epochs) each; empty where there was an error
    seconds: float
    error: str = ""

    @property
    def loss(self) -> float | None:
        """Return the mean validation loss in the end; None where training failed or diverged."""
        loss = float(self.curves["val_loss"][:, -1].mean()) if self.curves else np.nan
        return loss if np.isfinite(loss) else None


def train_on_record(
    setting: Setting, kind: str, configs: dict[int, Config], repeats: list[Repeat]
) -> tuple[list[Outcome], History]:
    """Train configurations, by number, together; a child run each, but for those that are on record already."""
    clock = perf_counter()
    history = train(list(configs.values()), repeats, setting.options.epochs, setting.device)
    seconds = (perf_counter() - clock) / len(configs)
    there = {child.data.params["trial"] for child in ended_children(setting.run, kind)}
    outcomes = []
    for i, (number, config) in enumerate(configs.items()):
        curves = {f.name: getattr(history, f.name)[i].numpy() for f in fields(History)}
        outcomes.append(Outcome(number, config, curves, seconds))
        if str(number) not in there:
            write_outcome(setting.run, kind, outcomes[-1], repeats)
    return outcomes, history


def write_outcome(
    run: Run, kind: str, outcome: Outcome, repeats: Sequence[Repeat], tags: dict[str, str] | None = None
) -> None:
    """Write the child run of a configuration whose training is over."""
    curves, error = outcome.curves, outcome.error
    if not error and not np.isfinite(curves["val_loss"][:, -1]).all():
        error = "diverged"
    final, series = {"seconds": outcome.seconds}, []
    if curves:
        final |= {f"{key}_std": curves[key][:, -1].std(ddof=1) for key in ("val_loss", "val_accuracy")}
        means = {key: curve.mean(0) for key, curve in curves.items()}
        final["best_val_accuracy"] = means["val_accuracy"].max()
        series = [(e + 1, {key: mean[e] for key, mean in means.items()}) for e in range(len(means["val_loss"]))]
    run.record(
        f"digits_search / {kind} {outcome.number:02d} / {outcome.config}",
        asdict(outcome.config) | {"trial": outcome.number, "split_seeds": " ".join(str(r.seed) for r in repeats)},
        {"kind": kind} | (tags or {}) | ({"error": error} if error else {}),
        series,
        final,
    )


def finished_trials(run: Run) -> dict[int, tuple[Config, float | None]]:
    """Return the trials that are over, by number, as the tracking server has them; None is a failed one's loss."""
    known = {}
    for child in ended_children(run, "trial"):
        params = child.data.params
        config = Config(**{key: type(values[0])(params[key]) for key, values in TABLE1.items()})
        loss = child.data.metrics["val_loss"] if child.info.status == "FINISHED" else None
        known[int(params["trial"])] = config, loss
    return known


def ended_children(run: Run, kind: str) -> list[Record]:
    """Return the children of that kind that came to their end."""
    return [child for child in run.children(kind) if child.info.status in OVER]
