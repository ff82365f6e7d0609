"""hyperopt's search for a loss's own best learning rate."""

import math
from collections.abc import Callable

import numpy as np


def tune(
    evaluate: Callable[[np.ndarray], np.ndarray],
    groups: int,
    lr_min: float,
    lr_max: float,
    trials: int,
    seed: int,
    batch: int = 4,
    on_batch: Callable[[], None] = lambda: None,
) -> list[list[tuple[float, float]]]:
    """Run `groups` independent TPE searches over log-uniform learning rates, their trials evaluated together.

    evaluate: learning rates (groups, K) -> objectives (groups, K), lower is better. Returns each group's
    (lr, objective) in the order tried. The first third is random (Bergstra et al., NeurIPS 2011).
    """
    from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, hp, tpe  # here: all else runs where there is none
    from hyperopt.base import Domain

    space = hp.loguniform("lr", math.log(lr_min), math.log(lr_max))
    domain, histories = Domain(lambda lr: None, space), [Trials() for _ in range(groups)]
    for done in range(0, trials, batch):
        asked = []
        for group, history in enumerate(histories):
            docs = []
            for k in range(done, min(done + batch, trials)):  # one call each: suggest() answers one id at a time
                key = (seed * groups + group) * trials + k
                docs += tpe.suggest([k], domain, history, key, n_startup_jobs=max(1, trials // 3), verbose=False)
            asked.append(docs)
        objectives = evaluate(np.array([[doc["misc"]["vals"]["lr"][0] for doc in docs] for docs in asked]))
        for history, docs, row in zip(histories, asked, objectives, strict=True):
            for doc, objective in zip(docs, row, strict=True):
                doc["result"] = {"loss": float(objective), "status": STATUS_OK}
                doc["state"] = JOB_STATE_DONE
            history.insert_trial_docs(docs)
            history.refresh()
        on_batch()
    return [[(doc["misc"]["vals"]["lr"][0], doc["result"]["loss"]) for doc in history.trials] for history in histories]
