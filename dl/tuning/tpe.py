"""Spaces, and hyperopt's Tree-structured Parzen Estimator on them as ask and tell.

hyperopt is imported when a `TPE` is made: all else runs on machines without it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

from dl.tuning.trial import Point, short_hash


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: Sequence


@dataclass(frozen=True)
class Uniform:
    """A number from low to high."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """A number from low to high, uniform in its logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Integer:
    """A whole number from low to high, both included."""

    low: int
    high: int


Dimension = Choice | Uniform | LogUniform | Integer
Space = Mapping[str, Dimension]


def expression(name: str, dimension: Dimension) -> Any:
    """Return what hyperopt draws this dimension by."""
    from hyperopt import hp

    match dimension:
        case Choice(values):
            return hp.choice(name, list(values))
        case Uniform(low, high):
            return hp.uniform(name, low, high)
        case LogUniform(low, high):
            return hp.loguniform(name, log(low), log(high))
        case Integer(low, high):
            return hp.uniformint(name, low, high)


def fingerprint(space: Space) -> str:
    """Return eight hex digits that tell a space from others, whatever version of this program recorded them."""
    return short_hash({name: str(expression(name, dimension)) for name, dimension in space.items()})


class TPE:
    """hyperopt's TPE that knows what it was told; asking changes nothing.

    startup: trials before its model has a say; until then, and for ever with algorithm "random", points are drawn at
    random. Bergstra et al., NeurIPS 2011.
    """

    def __init__(self, space: Space, startup: int = 20, algorithm: str = "tpe"):
        from hyperopt import base, rand, tpe

        logging.getLogger("hyperopt").setLevel(logging.WARNING)  # it reports every suggestion
        self.space = dict(space)
        self._suggest = {"tpe": tpe.suggest, "random": rand.suggest}[algorithm]
        self._options = {"n_startup_jobs": startup, "verbose": False} if algorithm == "tpe" else {}
        self._trials = base.Trials()
        self._done = {"state": base.JOB_STATE_DONE}
        expressions = {name: expression(name, dimension) for name, dimension in self.space.items()}
        self._domain = base.Domain(lambda point: None, expressions)

    def tell(self, point: Point, loss: float | None) -> None:
        """Enter the next trial. loss: to be minimised; of one that failed or is still running None, the worst."""
        good = loss is not None and isfinite(loss)
        number = len(self._trials)
        vals = {name: [self._coordinate(name, value)] for name, value in point.items()}
        misc = {"tid": number, "cmd": None, "idxs": {name: [number] for name in vals}, "vals": vals}
        result = {"status": "ok", "loss": loss} if good else {"status": "fail"}
        (document,) = self._trials.new_trial_docs([number], [None], [result], [misc])
        self._trials.insert_trial_docs([document | self._done])
        self._trials.refresh()

    def ask(self, seed: int) -> Point:
        """Suggest a point: a function of what was told, in its order, and of the seed (below 2^31) alone."""
        (document,) = self._suggest([len(self._trials)], self._domain, self._trials, seed, **self._options)
        drawn = {name: values[0] for name, values in document["misc"]["vals"].items()}
        return {name: self._value(name, drawn[name]) for name in self.space}

    def _coordinate(self, name: str, value: Any) -> float | int:
        """hyperopt records a choice by its index."""
        dimension = self.space[name]
        return list(dimension.values).index(value) if isinstance(dimension, Choice) else value

    def _value(self, name: str, coordinate: Any) -> Any:
        dimension = self.space[name]
        if isinstance(dimension, Choice):
            return dimension.values[int(coordinate)]
        return int(coordinate) if isinstance(dimension, Integer) else float(coordinate)
