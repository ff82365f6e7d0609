"""Trials of a search: one after the other in this process, or side by side on Ray. One search, two engines.

A job trains what a point of a search space says and reports after each epoch:

    job(point, report);  report({"epoch": 1, "score": 0.83, "metrics": {...}})

`score` comes from validation data and is to be maximised; `metrics` is for the record. hyperopt's TPE suggests the
points (`HyperOptSearch`) and successive halving stops the unpromising (`ASHAScheduler`): the same two objects for both
engines, rebuilt from the trials on record, so a search goes on from its records alone. Whoever calls keeps these
records: a `Log` is spoken to in the calling process only, whatever the workers do.
"""

import hashlib
import json
import math
import os
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Protocol

import torch

SCORE, EPOCH = "score", "epoch"
RANDOM = 8  # trials before TPE's model has a say: hyperopt's own 20 would leave nothing of a search of 20
HALVING = 2  # after 1, 2, 4, ... epochs only those go on that are no worse than the median of the earlier ones
LIVES = 3  # a trial whose worker dies goes on elsewhere, this many times

# What a point can be guilty of: its numbers overflow (DivergedError is an ArithmeticError), it needs more memory than
# there is, its values cannot be trained. Such a trial failed, and the search goes on. Any other error is a fault of the
# program or of the machine, which the next trial would meet as well: it ends the search.
POINT_ERRORS = (ArithmeticError, MemoryError, ValueError, torch.OutOfMemoryError)

Point = dict[str, Any]
Report = Callable[[Mapping[str, Any]], None]
Job = Callable[[Point, Report], object]


@dataclass
class Trial:
    """One point tried. `scores` by epoch; `over`: nothing more will come."""

    number: int
    point: Point
    scores: dict[int, float] = field(default_factory=dict)
    over: bool = False
    stopped: bool = False  # early, as unpromising
    error: str = ""
    id: str = ""  # Ray's, as in its logs

    @property
    def score(self) -> float | None:
        """The last epoch's; None where the trial failed or has none."""
        return self.scores[max(self.scores)] if self.scores and not self.error else None


class Log(Protocol):
    """What the calling process hears of. `began` again for one that a killed search had left unfinished."""

    def began(self, trial: Trial) -> None: ...
    def epoch(self, trial: Trial, epoch: int, metrics: Mapping[str, Any]) -> None: ...
    def ended(self, trial: Trial) -> None: ...


class StoppedError(Exception):
    """Raised by `report` in a trial that is not to go on."""


class BrokenJobError(RuntimeError):
    """A job raised on a worker what is none of POINT_ERRORS; the message holds the worker's traceback."""


@dataclass(frozen=True)
class Cluster:
    """What a trial gets of Ray: of this machine's cores, or of the cluster that RAY_ADDRESS names."""

    cpus: float = 1.0
    gpus: float = 0.0  # fractions share a GPU

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


def pick(name: str, cpus: float, gpus: float, device: str) -> Cluster | None:
    """What the command line asks for; None is this process. ValueError where it contradicts itself."""
    if name == "local":
        asked = {"cpus": cpus, "gpus": gpus}
        if idle := [f"--{kind}-per-trial {n:g}" for kind, n in asked.items() if n != getattr(Cluster, kind)]:
            raise ValueError(f"{' and '.join(idle)} would do nothing: add --engine ray, or leave it out")
        return None
    cluster = Cluster(cpus, gpus)
    if device not in ("auto", cluster.device):
        raise ValueError(f"--device {device} and --gpus-per-trial {gpus:g} contradict each other")
    return cluster


def search(
    job: Job,
    space: Mapping,
    trials: Sequence[Trial],
    count: int,
    log: Log,
    epochs: int | None = None,
    first: Point | None = None,
    seed: int = 0,
    cluster: Cluster | None = None,
) -> list[Trial]:
    """Bring a search to `count` trials; returns all of them, the known `trials` included.

    space: label -> hyperopt expression, each labelled as its key. trials: what is on record; those not `over` are
    taken up again, at the same point. epochs: of a whole trial, which may then be stopped early; None: never stopped.
    first: the point that a new search begins with. cluster: None runs the trials here, in order, and equal
    records give equal suggestions; on a cluster, they depend on which trial ends first.
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    stopper = halving([trial for trial in trials if trial.over], epochs)
    open_ = [trial for trial in trials if not trial.over]
    start = [trial.point for trial in open_] + ([first] if first and not trials else [])
    used = {trial.number for trial in trials}
    fresh = (n for n in range(count + len(used)) if n not in used)

    def begin(point: Point, id: str = "") -> Trial:
        """The unfinished trial of this point, else a new one."""
        trial = next((t for t in open_ if t.point == point), None)
        if trial:
            open_.remove(trial)
        else:
            trial = Trial(next(fresh), point)
            trials.append(trial)
        trial.id = id
        log.began(trial)
        return trial

    remaining = count - sum(trial.over for trial in trials)
    if remaining > 0 and cluster is None:
        for _ in range(remaining):
            over = [trial for trial in trials if trial.over]
            here = searcher(space, over, start[:1], seed, salt=len(over))
            run_here(job, begin(plain(here.suggest("next"))), stopper, epochs, log)
            del start[:1]
    elif remaining > 0:
        algorithm = searcher(space, [trial for trial in trials if trial.over], start, seed, salt=len(trials))
        options = {"search_alg": algorithm, "scheduler": stopper, "num_samples": remaining}
        run_on_ray(job, cluster, log, begin, epochs, **options)
    return sorted(trials, key=lambda trial: trial.number)


def spread(job: Job, points: Sequence[Point], log: Log, cluster: Cluster) -> list[Trial]:
    """A Ray trial for each of these points, none of them stopped early."""
    trials = [Trial(number, point) for number, point in enumerate(points)]

    def begin(point: Point, id: str) -> Trial:
        trial = next(trial for trial in trials if trial.point == point)
        trial.id = id
        log.began(trial)
        return trial

    if points:
        run_on_ray(job, cluster, log, begin, points=points)
    return trials


def run_here(job: Job, trial: Trial, stopper, epochs: int | None, log: Log) -> None:
    """One trial in this process."""

    def report(values: Mapping[str, Any]) -> None:
        hear(trial, values, log)
        if stopper is not None:
            action = stopper.on_trial_result(None, as_ray(trial), {EPOCH: values[EPOCH], SCORE: values[SCORE]})
            if action == stopper.STOP and values[EPOCH] < epochs:
                raise StoppedError

    if stopper is not None:
        stopper.on_trial_add(None, as_ray(trial))
    try:
        job(trial.point, report)
    except StoppedError:
        trial.stopped = True
    except POINT_ERRORS as error:
        trial.error = one_line(error)
    trial.over = True
    log.ended(trial)


def no_result(errors: Sequence[str]) -> str:
    """Say why a search in which every trial failed has no result: the most frequent of their `errors`."""
    reason, count = Counter(errors).most_common(1)[0]
    return f"all {len(errors)} trials failed, {count} of them with: {reason}"


def hear(trial: Trial, values: Mapping[str, Any], log: Log) -> None:
    """Enter a report, unless the epoch is known: a job that goes on from a checkpoint may tell it again."""
    if values[EPOCH] not in trial.scores:
        trial.scores[values[EPOCH]] = values[SCORE]
        log.epoch(trial, values[EPOCH], values["metrics"])


# ------------------------------------------------------------------------------------------ Ray


def run_on_ray(
    job: Job,
    cluster: Cluster,
    log: Log,
    begin: Callable[[Point, str], Trial],
    epochs: int | None = None,
    points: Sequence[Point] | None = None,
    **tune_config,
) -> None:
    """Ray Tune trials at `points`, or where `tune_config` finds them. What a worker reports reaches `log` in this
    process; a worker that dies is replaced.

    ConnectionError where the cluster cannot be reached, ValueError where it has not what one trial asks for,
    BrokenJobError where a job raised what is no fact about its point.
    """
    connect(cluster)
    from ray import tune

    threads = max(1, int(cluster.cpus))

    def trainable(config: Point, job: Job) -> None:
        import torch

        torch.set_num_threads(threads)
        try:
            job(plain(config.get("point", config)), lambda values: tune.report(dict(values)))
        except Exception as error:  # told, not raised: another worker would only raise it again
            broken = "" if isinstance(error, POINT_ERRORS) else traceback.format_exc()
            tune.report({SCORE: -math.inf, "error": one_line(error), "broken": broken})

    class Broken(tune.Stopper):
        reason = ""

        def __call__(self, trial_id, result):
            if not self.reason and result.get("broken"):
                self.reason = f"{result['error']}\n\nOn a worker:\n{result['broken']}"
            return bool(self.reason)

        def stop_all(self):
            return bool(self.reason)

    broken = Broken()
    running: dict[str, Trial] = {}  # by Ray's id

    class Driver(tune.Callback):
        def __reduce__(self):  # Tune keeps a copy on disk to resume from; we resume from our own record
            return tune.Callback, ()

        def on_trial_start(self, iteration, trials, trial, **info):
            if trial.trial_id not in running:  # else: on a new worker
                running[trial.trial_id] = begin(plain(trial.config.get("point", trial.config)), trial.trial_id)

        def on_trial_result(self, iteration, trials, trial, result, **info):
            known = running[trial.trial_id]
            if "error" in result:
                known.error = result["error"]
            elif EPOCH in result:
                hear(known, result, log)

        def on_trial_complete(self, iteration, trials, trial, **info):
            if broken.stop_all():
                return
            known = running[trial.trial_id]
            known.over = True
            known.stopped = not known.error and epochs is not None and max(known.scores, default=0) < epochs
            log.ended(known)

        def on_trial_error(self, iteration, trials, trial, **info):
            known = running[trial.trial_id]
            known.over, known.error = True, f"its worker died {LIVES + 1} times"
            log.ended(known)

    with TemporaryDirectory() as folder:  # Tune's own record: of no use to ours
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, job=job), {"cpu": cluster.cpus, "gpu": cluster.gpus}),
            param_space={"point": tune.grid_search(list(points))} if points else None,
            tune_config=tune.TuneConfig(reuse_actors=True, **tune_config),
            run_config=tune.RunConfig(
                storage_path=folder,
                callbacks=[Driver()],
                stop=broken,
                failure_config=tune.FailureConfig(max_failures=LIVES),
                verbose=0,
            ),
        ).fit()
    if broken.reason:
        raise BrokenJobError(broken.reason)


def connect(cluster: Cluster) -> None:
    """Reach the cluster of RAY_ADDRESS, or make one of this machine that ends with this process."""
    # no CSV, JSON and TensorBoard beside the record; Ctrl-C is the caller's; nothing is sent to Ray's makers
    quiet = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_DISABLE_SIGINT_HANDLER"}
    os.environ.update(dict.fromkeys(quiet, "1"), RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0")
    import ray

    if not ray.is_initialized():
        address, package = os.environ.get("RAY_ADDRESS"), Path(__file__).resolve().parent
        if address:  # other machines get our code from here
            there = {"address": address, "runtime_env": {"py_modules": [str(package)]}}
        else:
            path = filter(None, (str(package.parent), os.environ.get("PYTHONPATH")))
            os.environ["PYTHONPATH"] = os.pathsep.join(path)  # for the workers, wherever this was started
            there = {"address": "local", "include_dashboard": False}
        try:
            ray.init(**there, log_to_driver=False, logging_level="ERROR")
        except (ray.exceptions.RayError, RuntimeError, ValueError) as error:  # a wrong token, a wrong address
            raise ConnectionError(f"no Ray at {there['address']}: {one_line(error)}") from error
    resources = ray.cluster_resources()
    for kind, wanted in {"CPU": cluster.cpus, "GPU": cluster.gpus}.items():
        if wanted > resources.get(kind, 0):
            raise ValueError(f"a trial wants {wanted:g} {kind}, the whole cluster has {resources.get(kind, 0):g}")


# ------------------------------------------------------------------------------------------ what both share


def searcher(space: Mapping, over: Sequence[Trial], start: Sequence[Point], seed: int, salt: int):
    """TPE that knows the finished trials and first gives the points in `start`."""
    from ray.tune.search.hyperopt import HyperOptSearch

    from dl.search import add

    algorithm = HyperOptSearch(
        dict(space), SCORE, "max", [dict(point) for point in start] or None, RANDOM, random_state_seed=[seed, salt]
    )
    trials = algorithm.get_state()["hyperopt_trials"]
    for trial in over:
        good = trial.score is not None and math.isfinite(trial.score)
        result = {"status": "ok", "loss": -trial.score} if good else {"status": "fail"}
        add(trials, coordinates(space, trial.point), result)
    return algorithm


def halving(trials: Sequence[Trial], epochs: int | None):
    """Asynchronous successive halving (Li et al., 2020) that has seen the finished trials."""
    if epochs is None:
        return None
    from ray.tune.schedulers import ASHAScheduler

    scheduler = ASHAScheduler(EPOCH, SCORE, "max", max_t=epochs, grace_period=1, reduction_factor=HALVING)
    for trial in trials:
        scheduler.on_trial_add(None, as_ray(trial))
        for epoch, score in sorted(trial.scores.items()):
            scheduler.on_trial_result(None, as_ray(trial), {EPOCH: epoch, SCORE: score})
    return scheduler


def as_ray(trial: Trial) -> SimpleNamespace:
    """As much of Ray's trial as a scheduler looks at."""
    return SimpleNamespace(trial_id=f"trial {trial.number}")


def coordinates(space: Mapping, point: Point) -> dict[str, float | int]:
    """The point as hyperopt records it: a choice's index, else the value."""
    return {name: options(space[name]).index(v) if options(space[name]) else v for name, v in point.items()}


def options(expression) -> list:
    """Of an `hp.choice`; of another expression none."""
    return [value.obj for value in expression.pos_args[1:]] if expression.name == "switch" else []


def plain(point: Mapping[str, Any]) -> Point:
    """numpy's scalars as Python's."""
    return {key: value.item() if hasattr(value, "item") else value for key, value in point.items()}


def digest(content: object) -> str:
    """Eight hex digits: of a point, its name in a folder; of a space's expressions, what makes two spaces one."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
