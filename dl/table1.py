"""Table 1 of the document as a search space, and hyperopt on it.

suggest(history, count)     the next configurations to try: a pure function of the finished trials
simulate(table, algo, ...)  a search replayed on a recorded table, without training
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from dl.models.mlp import ACTIVATIONS, MLP
from dl.tuning import TPE, Choice

ATTEMPTS = 5  # draws that may turn out to be known configurations before an unknown one is taken at random


@dataclass(frozen=True)
class Config:
    """One row of the search: a network's shape and how it is trained."""

    h1: int
    h2: int
    lr: float
    dropout: float
    activation: str

    def __post_init__(self) -> None:
        if not (self.h1 > 0 and self.h2 > 0 and self.lr > 0 and 0 <= self.dropout < 1):
            raise ValueError(f"cannot train {self!r}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}; known: {', '.join(ACTIVATIONS)}")

    def __str__(self) -> str:
        return f"{self.h1}-{self.h2}, lr {self.lr:g}, dropout {self.dropout:g}, {self.activation}"

    def module(self) -> MLP:
        return MLP(self.h1, self.h2, self.dropout, self.activation)


# Table 1 of the document, and its table 2
TABLE1: dict[str, tuple] = {
    "h1": (128, 256, 384, 512, 1024),
    "h2": (16, 20, 24, 28, 32, 64, 128),
    "lr": (0.1, 0.01, 0.001, 0.0001, 0.00001),
    "dropout": (0.0, 0.1, 0.2, 0.3),
    "activation": ("relu", "tanh"),
}
TABLE2 = Config(h1=384, h2=24, lr=0.01, dropout=0.0, activation="relu")
GRID = [Config(*values) for values in product(*TABLE1.values())]  # all 1,400
PLACE = {config: i for i, config in enumerate(GRID)}

# An ordinal encoding found no better configurations: see docs/log.md
TABLE1_SPACE = {name: Choice(values) for name, values in TABLE1.items()}


def suggest(
    history: Sequence[tuple[Config, float | None]], count: int, algo: str = "tpe", seed: int = 0
) -> list[Config]:
    """Return the next `count` configurations, given every earlier trial and its loss (None: it failed) in order.

    Nothing is remembered between calls: equal history and seed, equal suggestions, so a search resumes from its
    records alone. Within a batch a configuration that is still to be trained counts as a bad one; none is suggested
    twice, since it would show the same again. Fewer than `count` come when table 1 is exhausted. KeyError for an
    unknown algorithm.
    """
    tpe = TPE(TABLE1_SPACE, algorithm=algo)
    for config, loss in history:
        tpe.tell(asdict(config), loss)
    known = {config for config, _ in history}
    chosen = []
    for number in range(len(history), len(history) + min(count, len(GRID) - len(known))):
        rng = np.random.default_rng([seed, number])
        for _ in range(ATTEMPTS):
            config = Config(**tpe.ask(int(rng.integers(2**31))))
            if config not in known:
                break
        else:
            unknown = [c for c in GRID if c not in known]
            config = unknown[rng.integers(len(unknown))]
        tpe.tell(asdict(config), None)
        known.add(config)
        chosen.append(config)
    return chosen


def simulate(table: np.ndarray, algo: str, trials: int, batch: int, seed: int) -> np.ndarray:
    """Replay a search on recorded losses, (1400,) in GRID's order: the incumbent after each trial, (trials,) ints."""
    history: list[tuple[Config, float | None]] = []
    while len(history) < trials:
        for config in suggest(history, min(batch, trials - len(history)), algo, seed):
            loss = table[PLACE[config]]
            history.append((config, float(loss) if np.isfinite(loss) else None))
    visited = np.array([PLACE[config] for config, _ in history])
    seen = np.where(np.isfinite(table), table, np.inf)[visited]
    best = [int(np.argmin(seen[: n + 1])) for n in range(trials)]
    return visited[best]
