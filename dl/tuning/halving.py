"""Asynchronous successive halving (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934)."""

import numpy as np


class Halving:
    """After 1, 2, 4, ... of `epochs` epochs only those go on that are no worse than the median of the earlier ones."""

    def __init__(self, epochs: int):
        self.epochs = epochs
        self.rungs: dict[int, dict[int, float]] = {
            2**k: {} for k in reversed(range(epochs.bit_length()))
        }  # epoch -> score by trial's number, the highest rung first

    def stops(self, number: int, epoch: int, score: float) -> bool:
        """Take note of a trial's score (higher is better) after an epoch, and say whether it is not to go on."""
        if epoch >= self.epochs:
            return False
        for rung, scores in self.rungs.items():
            if epoch >= rung and number not in scores:
                worse = bool(scores) and score < np.nanmedian(list(scores.values()))
                scores[number] = score
                return bool(worse)
        return False
