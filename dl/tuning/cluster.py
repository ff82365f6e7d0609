"""Trials on Ray Tune: on this machine's cores, or on the cluster that RAY_ADDRESS names.

Tune places trials, replaces workers that die, and stops what it is told to. What is tried next, and what is stopped,
is decided by the same objects as in a search in this process.
"""

import logging
import math
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dl.tuning.halving import Halving
from dl.tuning.trial import POINT_ERRORS, BrokenJobError, Job, Log, Point, Trial, first_line, take_report

MAX_FAILURES = 3  # a trial whose worker dies goes on elsewhere, this many times


@dataclass(frozen=True)
class Cluster:
    """What a trial gets of Ray: of this machine's cores, or of the cluster that RAY_ADDRESS names."""

    cpus: float = 1.0
    gpus: float = 0.0  # fractions share a GPU

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


def pick_cluster(engine: str, cpus: float, gpus: float, device: str) -> Cluster | None:
    """Return what the command line asks for; None is this process. ValueError where it contradicts itself."""
    if engine == "local":
        asked = {"cpus": cpus, "gpus": gpus}
        if idle := [f"--{kind}-per-trial {n:g}" for kind, n in asked.items() if n != getattr(Cluster, kind)]:
            raise ValueError(f"{' and '.join(idle)} would do nothing: add --engine ray, or leave it out")
        return None
    cluster = Cluster(cpus, gpus)
    if device not in ("auto", cluster.device):
        raise ValueError(f"--device {device} and --gpus-per-trial {gpus:g} contradict each other")
    return cluster


def init_ray(cluster: Cluster) -> None:
    """Reach the cluster of RAY_ADDRESS, or make one of this machine that ends with this process.

    ConnectionError where the cluster cannot be reached, ValueError where it has not what one trial asks for.
    """
    # no CSV, JSON and TensorBoard beside the record; Ctrl-C is the caller's; nothing is sent to Ray's makers
    quiet = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_DISABLE_SIGINT_HANDLER"}
    os.environ.update(dict.fromkeys(quiet, "1"), RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0")
    import ray

    if not ray.is_initialized():
        address, package = os.environ.get("RAY_ADDRESS"), Path(__file__).resolve().parents[1]
        if not address:
            path = filter(None, (str(package.parent), os.environ.get("PYTHONPATH")))
            os.environ["PYTHONPATH"] = os.pathsep.join(path)  # for the workers, wherever this was started
        try:
            ray.init(
                address or "local",
                runtime_env={"py_modules": [str(package)]}
                if address
                else None,  # other machines get our code from here
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ray.exceptions.RayError, RuntimeError, ValueError) as error:  # a wrong token, a wrong address
            raise ConnectionError(f"no Ray at {address or 'local'}: {first_line(error)}") from error
    resources = ray.cluster_resources()
    for kind, wanted in {"CPU": cluster.cpus, "GPU": cluster.gpus}.items():
        if wanted > resources.get(kind, 0):
            raise ValueError(f"a trial wants {wanted:g} {kind}, the whole cluster has {resources.get(kind, 0):g}")


@dataclass(frozen=True)
class Queue:
    """Trials that wait to be run."""

    next_trial: Callable[[], Trial]  # called as there is room
    count: int
    halving: Halving | None = None  # what stops them early


def run_on_ray(job: Job, cluster: Cluster, queue: Queue, log: Log) -> None:
    """Run the trials of `queue`; what workers report reaches `log` here.

    A worker that dies is replaced. Raises BrokenJobError where a job raised what is no fact about its point, and what
    `init_ray` raises.
    """
    init_ray(cluster)
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    threads, halving = max(1, int(cluster.cpus)), queue.halving
    running: dict[str, Trial] = {}  # by Ray's id
    began: set[str] = set()

    def trainable(config: Point, job: Job) -> None:
        import torch

        torch.set_num_threads(threads)
        try:
            job(config, lambda values: tune.report(dict(values)))
        except Exception as error:  # told, not raised: another worker would only raise it again
            broken = "" if isinstance(error, POINT_ERRORS) else traceback.format_exc()
            tune.report({"score": -math.inf, "error": first_line(error), "broken": broken})

    # Tune pickles these four to resume from; we resume from our own record: a copy is the class that does nothing
    class Suggestions(Searcher):
        def __reduce__(self) -> tuple:
            return Searcher, ()

        def suggest(self, trial_id: str) -> Point:
            running[trial_id] = queue.next_trial()
            running[trial_id].id = trial_id
            return dict(running[trial_id].point)

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None: ...
        def save(self, checkpoint_path: str) -> None: ...

    class Stops(FIFOScheduler):
        def __reduce__(self) -> tuple:
            return FIFOScheduler, ()

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
            number, stop = running[trial.trial_id].number, False
            if halving and "epoch" in result:
                stop = halving.stops(number, result["epoch"], result["score"])
            return self.STOP if stop else self.CONTINUE

    class Broken(tune.Stopper):
        reason = ""

        def __reduce__(self) -> tuple:
            return tune.stopper.NoopStopper, ()

        def __call__(self, trial_id: str, result: dict) -> bool:
            if not self.reason and result.get("broken"):
                self.reason = f"{result['error']}\n\nOn a worker:\n{result['broken']}"
            return bool(self.reason)

        def stop_all(self) -> bool:
            return bool(self.reason)

    class Driver(tune.Callback):
        def __reduce__(self) -> tuple:
            return tune.Callback, ()

        def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            if trial.trial_id not in began:  # else: on a new worker
                began.add(trial.trial_id)
                log.began(running[trial.trial_id])

        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
            known = running[trial.trial_id]
            if "error" in result:
                known.error = result["error"]
            elif "epoch" in result:
                take_report(known, result, log)

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            if broken.stop_all():
                return
            known = running[trial.trial_id]
            known.over = True
            if halving and not known.error:
                known.stopped = max(known.scores, default=0) < halving.epochs
            log.ended(known)

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            known = running[trial.trial_id]
            known.over, known.error = True, f"its worker died {MAX_FAILURES + 1} times"
            log.ended(known)

    broken = Broken()
    with TemporaryDirectory() as folder:  # Tune's own record: of no use to ours
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, job=job), {"cpu": cluster.cpus, "gpu": cluster.gpus}),
            tune_config=tune.TuneConfig(
                search_alg=Suggestions(), scheduler=Stops(), num_samples=queue.count, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                callbacks=[Driver()],
                stop=broken,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
            ),
        ).fit()
    if broken.reason:
        raise BrokenJobError(broken.reason)
