"""Networks that grow in depth while they train: Chen, Goodfellow, Shlens, "Net2Net", 2016, section 2.3."""

from collections.abc import Collection

import torch
from torch import Tensor, nn


class Growing(nn.Sequential):
    """`nn.Sequential` that can do without some of its layers at first.

    later: the indices of layers that keep their input's shape and follow on a rectifier: residual blocks that start as
    the identity, or a convolution with its batch norm, or a linear layer, and their rectifier.
    skipped: leave them out. `join` takes them in.
    """

    def __init__(self, *layers: nn.Module, later: Collection[int] = ()):
        super().__init__(*layers)
        self.later, self.skipped = frozenset(later), False

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self):
            if not (self.skipped and index in self.later):
                x = layer(x)
        return x

    @torch.no_grad()
    def join(self, x: Tensor) -> None:
        """Take the later layers in without changing the output of the batch `x`, as `forward` gets it.

        Convolutions and linear layers become the identity, and batch norms give back the mean and the deviation that
        they take.
        """
        self.skipped = False
        for index, layer in enumerate(self):
            if index in self.later:
                if isinstance(layer, nn.Conv2d):
                    nn.init.dirac_(layer.weight)
                elif isinstance(layer, nn.Linear):
                    nn.init.eye_(layer.weight)
                elif isinstance(layer, nn.BatchNorm2d):
                    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
                    layer.weight.copy_((variance + layer.eps).sqrt())
                    layer.bias.copy_(mean)
                    layer.running_mean, layer.running_var = mean, variance
            x = layer(x)


def growing(model: nn.Module) -> Growing:
    """Return the part of `model` that can grow. Raises ValueError where there is none."""
    for module in model.modules():
        if isinstance(module, Growing) and module.later:
            return module
    raise ValueError("LeNet-5 and stock networks cannot grow: set grow to 0")
