"""Gradients of a batch, in as few parts as memory allows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dl.device import autocast


def backward(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, micro: int) -> tuple[Tensor, Tensor, int]:
    """Compute the gradients of the mean loss of a batch, at most `micro` images at a time.

    Returns the loss and the share of hits, on the device, and how many images fitted in the end. Raises
    torch.OutOfMemoryError where two do not.
    """
    while True:
        try:
            return *accumulate(model, x, y, smoothing, -(-len(x) // micro)), micro
        except torch.OutOfMemoryError:
            micro = -(-micro // 2)
            if len(x) // -(-len(x) // micro) < 2:  # batch norm needs two
                raise
        if x.is_cuda:  # out here the error has let go of what it held
            torch.cuda.empty_cache()


def accumulate(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, parts: int) -> tuple[Tensor, Tensor]:
    """Compute the gradients of the mean loss of a batch in `parts`; return the loss and the share of hits."""
    model.zero_grad()
    losses, hits = [], []
    for some, truth in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
        with autocast(x.device):
            logits = model(some)
            loss = F.cross_entropy(logits, truth, label_smoothing=smoothing) * (len(truth) / len(y))
        loss.backward()
        losses.append(loss.detach())
        hits.append((logits.argmax(1) == truth).sum() / len(y))
    return sum(losses[1:], losses[0]), sum(hits[1:], hits[0])
