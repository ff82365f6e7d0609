"""The trials of a search as child runs, begun and ended in any order; only the process that searches writes them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from tracking.run import Run

OVER = ("FINISHED", "FAILED")  # KILLED: a trial to take up again


class Trials:
    """Child runs of `run`, one a trial; made by `recording`.

    A trial has number, point, scores, stopped, error and id (see dl.tuning); `number` is the key of its child run.
    tags: what sets these trials apart from others of the run. params: point -> what to log as parameters, the point's
    own values among it. metric: what the scores are, by the name under which the epochs have it.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        tags: Mapping[str, object],
        params: Callable[[Mapping], Mapping[str, object]],
        on_end: Callable[[Any], None],
        metric: str,
        stack: ExitStack,
    ):
        self.run, self.name, self.tags, self.params, self.metric = run, name, tags, params, metric
        self._stack = stack
        self._on_end = on_end
        self._open: dict[int, tuple[Run, ExitStack]] = {}

    def recall(self, like: Mapping[str, Any]) -> list[dict]:
        """What is on record, as keywords of a trial; `like` is a point and gives the types."""
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

    def began(self, trial: Any) -> None:
        stack = self._stack.enter_context(ExitStack())
        child = stack.enter_context(
            self.run.child(
                f"{self.name} / trial {trial.number:02d}",
                {"trial": trial.number, **self.params(trial.point)},
                self.tags,
            )
        )
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
        stack.close()
        self._on_end(trial)

    def interrupt(self, reason: str) -> None:
        """End the trials that are open as KILLED, for `reason` (tag `error`): they are to be taken up again."""
        while self._open:
            _, (child, stack) = self._open.popitem()
            child.tags({"error": reason})
            with suppress(SystemExit):
                stack.__exit__(SystemExit, SystemExit(), None)


@contextmanager
def recording(
    run: Run,
    name: str,
    tags: Mapping[str, object],
    params: Callable[[Mapping], Mapping[str, object]],
    on_end: Callable[[Any], None] = lambda trial: None,
    metric: str = "val_accuracy",
) -> Iterator[Trials]:
    """Trials that end with this block at the latest; those still running are KILLED, whatever ended it."""
    with ExitStack() as stack:
        trials = Trials(run, name, {"kind": "trial", **tags}, params, on_end, metric, stack)
        try:
            yield trials
        except Exception as error:  # of the program, or of the store: no fact about a point
            trials.interrupt(f"{type(error).__name__}: {error}".splitlines()[0][:500])
            raise
