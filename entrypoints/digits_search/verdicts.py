"""The order of configurations, as far as noise allows one, and what it says of the document's claims."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from dl import claims
from dl.data.split import Data
from dl.population import History
from dl.ranking import Comparison, compare
from dl.table1 import GRID, TABLE2, Config
from tracking.evidence import log_verdicts
from tracking.run import Run


def compare_both_ways(configs: list[Config], history: History, groups: np.ndarray) -> tuple[Comparison, Comparison]:
    """Compare by the logarithm of the final validation loss, and by the error rate.

    A configuration that diverged counts as the worst.
    """
    loss = history.val_loss[..., -1].numpy()
    loss = np.where(np.isfinite(loss), loss, np.nanmax(loss[np.isfinite(loss)]))
    return compare(np.log(loss), groups), compare(1 - history.val_accuracy[..., -1].numpy(), groups)


def judge_question_3(
    run: Run, data: Data, configs: list[Config], by_loss: Comparison, by_error: Comparison
) -> list[claims.Verdict]:
    """Judge both claims of question 3, and log the verdicts."""
    everything = torch.cat([part.x for part in (data.train, data.val, data.test)])
    found = {
        "images": len(everything),
        "height": everything.shape[1],
        "width": everything.shape[2],
        "largest value": int(everything.max()),
        "source": next(line.strip() for line in load_digits().DESCR.splitlines() if "digits dataset" in line),
    }
    findings = [
        place_of_table2(configs, by_loss, "log validation loss"),
        place_of_table2(configs, by_error, "validation error"),
    ]
    verdicts = [claims.judge_q3_data(found), claims.judge_q3_table2(findings, len(configs), len(GRID))]
    log_verdicts(run, claims.rows(verdicts))
    return verdicts


def place_of_table2(configs: list[Config], result: Comparison, measure: str) -> dict:
    """Return where table 2 stands in a comparison."""
    i, best = configs.index(TABLE2), int(result.mean.argmin())
    low, high = result.ranks(i)
    return {
        "measure": measure,
        "in_best": bool(result.best[i]),
        "contenders": int(result.best.sum()),
        "rank": int((result.mean < result.mean[i]).sum()) + 1,
        "rank_low": low,
        "rank_high": high,
        "best": str(configs[best]),
        "gap": float(result.mean[i] - result.mean[best]),
        "gap_error": float(np.hypot(result.error[i], result.error[best])),
        "p": result.chance(i),
        "p_rival": result.chance(int(np.argsort(np.where(np.arange(len(configs)) == i, np.inf, result.mean))[0])),
        "repeats": result.repeats,
    }
