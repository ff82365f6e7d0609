"""Muon: K. Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from dl.device import training_precision

MOMENTUM = 0.95
QUINTIC = 3.4445, -4.7750, 2.0315  # Jordan's: of the polynomial that drives singular values near one
ROUNDS = 5


class Muon(torch.optim.AdamW):
    """AdamW, but kernels of convolutions step along their orthogonalised momentum, as matrices (out, in * h * w).

    Their steps have the root mean square of AdamW's, so that one learning rate and one weight decay serve all
    weights (J. Liu et al., "Muon is scalable for LLM training", 2025, section 2.2).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, fused: bool = False):
        super().__init__(groups, lr, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        held = []  # kernels' gradients, out of AdamW's sight
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.ndim == 4 and kernel.grad is not None:
                    if not (state := self.state[kernel]):  # AdamW looks for a step in every state that it loads
                        state |= {"step": torch.tensor(0.0), "momentum_buffer": torch.zeros_like(kernel)}
                    momentum = state["momentum_buffer"].lerp_(kernel.grad, 1 - MOMENTUM)
                    update = orthogonal(kernel.grad.lerp(momentum, MOMENTUM).flatten(1))
                    kernel.mul_(1 - group["lr"] * group["weight_decay"])
                    kernel.sub_(update.view_as(kernel), alpha=group["lr"] * 0.2 * max(update.shape) ** 0.5)
                    held.append((kernel, kernel.grad))
                    kernel.grad = None
        super().step()
        for kernel, grad in held:
            kernel.grad = grad


def orthogonal(matrix: Tensor) -> Tensor:
    """Return `matrix` (rows, columns) with all singular values between 0.7 and 1.2: Newton-Schulz, in rounds.

    In bfloat16 where networks train in it. The zero matrix stays as it is.
    """
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    if training_precision(matrix.device) == "bfloat16":
        x = x.bfloat16()
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
