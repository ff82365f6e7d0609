"""Logistic regression as a module that takes raw features."""

import torch
from torch import Tensor, nn

from dl.logistic.problems import Problem


class Logistic(nn.Module):
    """Logistic regression that takes raw features: standardisation travels inside as buffers.

    x: float32 (N, D), raw -> logits (N,) of label 1; P(y = 1) = sigmoid(logit).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, problem: Problem, weights: Tensor):
        """`problem`: the training set, whose mean and deviation standardise; `weights` (D + 1,), intercept last."""
        super().__init__()
        self.register_buffer("mean", problem.x.mean(0).float())
        self.register_buffer("scale", problem.x.std(0, correction=0).float())
        self.linear = nn.Linear(problem.x.shape[1], 1)
        with torch.no_grad():
            self.linear.weight.copy_(weights[None, :-1])
            self.linear.bias.copy_(weights[-1:])

    def forward(self, x: Tensor) -> Tensor:  # (N, D) -> (N,)
        return self.linear((x - self.mean) / self.scale).squeeze(1)
