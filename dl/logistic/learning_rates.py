"""TPE's search for a loss's own best learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dl.tuning import TPE, LogUniform

AT_ONCE = 4  # learning rates that a search suggests before it hears of any of them

RateTrials = list[tuple[float, float]]  # (learning rate, objective), in the order tried


@dataclass(frozen=True)
class RateSearch:
    """What decides a search for a learning rate, log-uniform from lr_min to lr_max."""

    lr_min: float
    lr_max: float
    trials: int
    seed: int

    def suggest(self, history: RateTrials, group: int, groups: int) -> list[float]:
        """Return the next learning rates of one of `groups` searches, AT_ONCE at most, given its earlier trials.

        The first third is random (Bergstra et al., NeurIPS 2011).
        """
        tpe = TPE({"lr": LogUniform(self.lr_min, self.lr_max)}, startup=max(1, self.trials // 3))
        for lr, objective in history:
            tpe.tell({"lr": lr}, objective)
        numbers = range(len(history), min(len(history) + AT_ONCE, self.trials))
        return [tpe.ask((self.seed * groups + group) * self.trials + number)["lr"] for number in numbers]


def tune(
    evaluate: Callable[[np.ndarray], np.ndarray],
    search: RateSearch,
    known: Sequence[RateTrials],
    on_batch: Callable[[], object] = lambda: None,
) -> list[RateTrials]:
    """Run independent TPE searches, one for each item of `known`, their trials evaluated together.

    evaluate: learning rates (groups, K) -> objectives (groups, K), lower is better. known: the earlier trials of each
    group, equally many, behind which its search goes on as if never interrupted. Returns all trials of each group.
    """
    histories = [list(trials) for trials in known]
    while len(histories[0]) < search.trials:
        lrs = [search.suggest(history, group, len(histories)) for group, history in enumerate(histories)]
        for history, asked, row in zip(histories, lrs, evaluate(np.array(lrs)), strict=True):
            history += zip(asked, map(float, row), strict=True)
        on_batch()
    return histories
