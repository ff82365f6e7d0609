"""One trial of a search: its record, who hears of it, and which errors are a fact about its point."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

Point = dict[str, Any]
Report = Callable[[Mapping[str, Any]], None]
Job = Callable[[Point, Report], object]

# What a point can be guilty of: its numbers overflow (DivergedError is an ArithmeticError), it needs more memory than
# there is, its values cannot be trained. Such a trial failed, and the search goes on. Any other error is a fault of the
# program or of the machine, which the next trial would meet as well: it ends the search.
POINT_ERRORS = (ArithmeticError, MemoryError, ValueError, torch.OutOfMemoryError)


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
        """Return the last epoch's; None where the trial failed or has none."""
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


def take_report(trial: Trial, values: Mapping[str, Any], log: Log) -> None:
    """Enter a report, unless the epoch is known: a job that goes on from a checkpoint may tell it again."""
    if values["epoch"] not in trial.scores:
        trial.scores[values["epoch"]] = values["score"]
        log.epoch(trial, values["epoch"], values["metrics"])


def explain_failure(errors: Sequence[str]) -> str:
    """Say why a search in which every trial failed has no result: the most frequent of their `errors`."""
    reason, count = Counter(errors).most_common(1)[0]
    return f"all {len(errors)} trials failed, {count} of them with: {reason}"


def short_hash(content: object) -> str:
    """Return eight hex digits of JSON's SHA-256: a point's name in a folder, for one."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
