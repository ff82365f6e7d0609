"""Trials as child runs, begun and ended in any order; only the process that runs the search writes them.

A trial is whatever has number, point, scores, stopped, error and id (see dl.tuning).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException

from tracking.errors import StoreError
from tracking.run import Run

OVER = ("FINISHED", "FAILED")  # KILLED: a trial to take up again


@dataclass(frozen=True)
class ChildOf:
    """What a trial's child run is called, and what it says from its beginning."""

    name: str
    params: Mapping[str, object]
    tags: Mapping[str, object]


class TrialLog:
    """Keeps a child run a trial; made by `logging_trials`. This is what dl.tuning talks to."""

    def __init__(
        self, run: Run, describe: Callable[[Any], ChildOf], on_end: Callable[[Any, Run], None], stack: ExitStack
    ):
        self.run, self._describe, self._on_end, self._stack = run, describe, on_end, stack
        self._open: dict[int, tuple[Run, ExitStack]] = {}

    def began(self, trial: Any) -> None:
        about, stack = self._describe(trial), self._stack.enter_context(ExitStack())
        child = stack.enter_context(self.run.child(about.name, about.params, about.tags))
        if trial.id:
            child.tags({"trial_id": trial.id})
        self._open[trial.number] = child, stack

    def epoch(self, trial: Any, epoch: int, metrics: Mapping[str, float]) -> None:
        self._open[trial.number][0].metrics(metrics, epoch)

    def ended(self, trial: Any) -> None:
        child, stack = self._open.pop(trial.number)
        if trial.stopped:
            child.tags({"stopped_early": f"after epoch {max(trial.scores)}"})
        if trial.error:
            child.fail(trial.error)
        self._on_end(trial, child)
        stack.close()

    def interrupt(self, reason: str) -> None:
        """End the trials that are open as KILLED, for `reason` (tag `error`): they are to be taken up again."""
        while self._open:
            _, (child, stack) = self._open.popitem()
            with suppress(MlflowException, StoreError):  # nothing may take the place of what interrupts
                child.tags({"error": reason})
            with suppress(SystemExit):
                stack.__exit__(SystemExit, SystemExit(), None)


class SearchLog(TrialLog):
    """Keeps the trials of one search, and finds those of an earlier process; made by `recording`."""

    tags: Mapping[str, object]  # what sets these trials apart from others of the run
    metric: str  # what the scores are, by the name under which the epochs have it

    def recall(self, like: Mapping[str, Any]) -> list[dict]:
        """Return what is on record, as keywords of a trial; `like` is a point and gives the types."""
        found = []
        for child in self.run.children("trial"):
            ours = all(child.data.tags.get(key) == str(value) for key, value in self.tags.items())
            if not ours or "trial" not in child.data.params:  # killed before it was written
                continue
            over = child.info.status in OVER
            history = self.run.client.get_metric_history(child.info.run_id, self.metric)
            found.append(
                {
                    "number": int(child.data.params["trial"]),
                    "point": {key: type(value)(child.data.params[key]) for key, value in like.items()},
                    "scores": {metric.step: metric.value for metric in history},
                    "over": over,
                    "stopped": over and "stopped_early" in child.data.tags,
                    "error": child.data.tags.get("error", "") if over else "",
                }
            )
        return found


@contextmanager
def logging_trials(
    run: Run,
    describe: Callable[[Any], ChildOf],
    on_end: Callable[[Any, Run], None] = lambda trial, child: None,
    log: type[TrialLog] = TrialLog,
) -> Iterator[Any]:
    """Log trials until this block ends; those still running are then KILLED, whatever ended it.

    on_end: called with a trial that is over and its child run, to which it may still write.
    """
    with ExitStack() as stack:
        trials = log(run, describe, on_end, stack)
        try:
            yield trials
        except Exception as error:  # of the program, or of the store: no fact about a point
            trials.interrupt(f"{type(error).__name__}: {error}".splitlines()[0][:500])
            raise


@contextmanager
def recording(
    run: Run,
    name: str,
    tags: Mapping[str, object],
    params: Callable[[Mapping], Mapping[str, object]],
    on_end: Callable[[Any], None] = lambda trial: None,
    metric: str = "val_accuracy",
) -> Iterator[SearchLog]:
    """Log the trials of a search as `name / trial 00`, ...

    params: point -> what to log as parameters, the point's own values among it.
    """
    every = {"kind": "trial", **tags}

    def describe(trial: Any) -> ChildOf:
        return ChildOf(f"{name} / trial {trial.number:02d}", {"trial": trial.number, **params(trial.point)}, every)

    with logging_trials(run, describe, lambda trial, _: on_end(trial), SearchLog) as log:
        log.tags, log.metric = every, metric
        yield log
