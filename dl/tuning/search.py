"""A search, and the trials of a fixed list of points: one after the other in this process, or side by side on Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl.tuning.cluster import Cluster, Queue, run_on_ray
from dl.tuning.halving import Halving
from dl.tuning.tpe import TPE, Space
from dl.tuning.trial import POINT_ERRORS, Job, Log, Point, StoppedError, Trial, first_line, take_report

STARTUP = 8  # trials before TPE's model has a say: hyperopt's own 20 would leave nothing of a search of 20


@dataclass(frozen=True)
class Search:
    """What decides a search. Here, equal ones give equal suggestions on equal records; on a cluster these depend on
    which trial ends first."""

    space: Space
    count: int  # trials in all
    epochs: int | None = None  # of a whole trial, which may then be stopped early; None: never stopped
    first: Point | None = None  # the point to begin with
    seed: int = 0

    def suggest(self, trials: Sequence[Trial]) -> Point:
        """Return the next point, given all trials so far; those that are not over count as bad ones."""
        if self.first and not trials:
            return dict(self.first)
        tpe = TPE(self.space, STARTUP)
        for trial in sorted(trials, key=lambda trial: trial.number):
            tpe.tell(trial.point, None if trial.score is None or not trial.over else -trial.score)
        return tpe.ask(int(np.random.RandomState([self.seed, len(trials)]).randint(2**31 - 1)))

    def halving(self, trials: Sequence[Trial]) -> Halving | None:
        """Return the halving that has seen the trials that are over; None where none is to be stopped."""
        if self.epochs is None:
            return None
        halving = Halving(self.epochs)
        for trial in trials:
            for epoch, score in sorted(trial.scores.items()) if trial.over else ():
                halving.stops(trial.number, epoch, score)
        return halving


def run_search(
    job: Job, search: Search, known: Sequence[Trial], log: Log, cluster: Cluster | None = None
) -> list[Trial]:
    """Bring a search to its count of trials; returns all of them, the `known` ones on record included.

    Those of `known` that are not over are taken up again first. cluster: None runs the trials here, in order.
    """
    trials = sorted(known, key=lambda trial: trial.number)
    halving = search.halving(trials)
    left = [trial for trial in trials if not trial.over]
    count = search.count - (len(trials) - len(left))

    def next_trial() -> Trial:
        if left:
            return left.pop(0)
        used = {trial.number for trial in trials}
        number = next(n for n in range(len(trials) + 1) if n not in used)
        trials.append(Trial(number, search.suggest(trials)))
        return trials[-1]

    if cluster is None:
        for _ in range(count):
            run_here(job, next_trial(), halving, log)
    elif count > 0:
        run_on_ray(job, cluster, Queue(next_trial, count, halving), log)
    return sorted(trials, key=lambda trial: trial.number)


def run_points(job: Job, points: Sequence[Point], log: Log, cluster: Cluster) -> list[Trial]:
    """Run a trial on Ray for each of these points, none of them stopped early."""
    trials = [Trial(number, point) for number, point in enumerate(points)]
    if trials:
        run_on_ray(job, cluster, Queue(iter(trials).__next__, len(trials)), log)
    return trials


def run_here(job: Job, trial: Trial, halving: Halving | None, log: Log) -> None:
    """Run one trial in this process."""

    def report(values: Mapping[str, Any]) -> None:
        take_report(trial, values, log)
        if halving and halving.stops(trial.number, values["epoch"], values["score"]):
            raise StoppedError

    log.began(trial)
    try:
        job(trial.point, report)
    except StoppedError:
        trial.stopped = True
    except POINT_ERRORS as error:
        trial.error = first_line(error)
    trial.over = True
    log.ended(trial)
