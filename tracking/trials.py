"""Trials as child runs, begun and ended in any order; only the process that runs the search writes them.

A trial is whatever has number, point, scores, stopped, error and id (see dl.tuning).
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

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
    """Child runs of `run`, one a trial, that end with its block at the latest. This is what dl.tuning talks to."""

    def __init__(self, run: Run):
        self.run, self._stack = run, ExitStack()
        self._open: dict[int, tuple[Run, ExitStack]] = {}

    def describe(self, trial: Any) -> ChildOf:
        raise NotImplementedError

    def over(self, trial: Any, child: Run) -> None:
        """Write what is left to say of a trial that is over, before its child run ends."""

    def began(self, trial: Any) -> None:
        about, stack = self.describe(trial), self._stack.enter_context(ExitStack())
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
        self.over(trial, child)
        stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception):  # of the program, or of the store: no fact about a point
            self._interrupt(f"{type(error).__name__}: {error}".splitlines()[0][:500])
        self._stack.__exit__(kind, error, trace)

    def _interrupt(self, reason: str) -> None:
        """End the trials that are open as KILLED, for `reason` (tag `error`): they are to be taken up again."""
        while self._open:
            _, (child, stack) = self._open.popitem()
            with suppress(MlflowException, StoreError):  # nothing may take the place of what interrupts
                child.tags({"error": reason})
            with suppress(SystemExit):
                stack.__exit__(SystemExit, SystemExit(), None)


class SearchLog(TrialLog):
    """The trials of one search as `name / trial 00`, ...; finds those of an earlier process.

    tags: what sets these trials apart from others of the run. params: point -> what to log as parameters, the point's
    own values among it. The scores are the epochs' `val_accuracy`.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        tags: Mapping[str, object],
        params: Callable[[Mapping], Mapping[str, object]],
        on_end: Callable[[Any], None] = lambda trial: None,
    ):
        super().__init__(run)
        self.name, self.tags, self.params = name, {"kind": "trial", **tags}, params
        self._on_end = on_end

    def describe(self, trial: Any) -> ChildOf:
        params = {"trial": trial.number, **self.params(trial.point)}
        return ChildOf(f"{self.name} / trial {trial.number:02d}", params, self.tags)

    def over(self, trial: Any, child: Run) -> None:
        self._on_end(trial)

    def recall(self, like: Mapping[str, Any]) -> list[dict]:
        """Return what is on record, as keywords of a trial; `like` is a point and gives the types."""
        found = []
        for child in self.run.children("trial"):
            ours = all(child.data.tags.get(key) == str(value) for key, value in self.tags.items())
            if not ours or "trial" not in child.data.params:  # killed before it was written
                continue
            over = child.info.status in OVER
            history = self.run.client.get_metric_history(child.info.run_id, "val_accuracy")
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
