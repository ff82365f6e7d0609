"""Networks, one file a family. To add one: a file here, and a row of dl/recipes/tuned.py."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dl.models.preprocessed import Preprocessed

__all__ = ["Preprocessed", "flops", "parameters"]


def parameters(net: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def flops(build: Callable[[], nn.Module], size: int = 32) -> int:
    """Count the floating-point operations of one forward pass of one image of `size` x `size` pixels.

    A multiply-add counts two. Nothing is computed: the network that `build` makes has shapes only.
    """
    with torch.device("meta"):
        net, image = build().eval(), torch.empty(1, 3, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    return counter.get_total_flops()
