"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.

Changes for SVHN: three input channels instead of one (C1 has 456 weights instead of 156); C3 sees all six maps (the
paper's sparse table broke a symmetry that random initialisation breaks as well); max pooling without weights; a
linear output with cross-entropy instead of radial basis functions; ReLU with Kaiming initialisation instead of a
scaled tanh. 32x32 is the paper's own input size. `act=nn.Tanh` is the document's variant.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dl.models.init import kaiming
from dl.models.plan import Plan
from dl.train import Recipe


class LeNet5(nn.Sequential):
    """The paper's stack of plain layers; trained on a CPU, the first two are computed as one (half their time)."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and x.device.type == "cpu"):  # what is exported and what a GPU runs: the plain layers
            return super().forward(x)
        c1, _, *rest = self
        x = pooled_conv(x, c1.weight, c1.bias)
        for layer in rest:
            x = layer(x)
        return x


def pooled_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """F.max_pool2d(F.conv2d(x, weight, bias), 2), up to rounding: (N, C, H, W), (D, C, k, k), (D,) -> (N, D, h, w).

    The four values that a maximum is taken of become four groups of channels of one convolution with stride 2, whose
    kernels are `weight` shifted by a pixel. C1's 6 channels fill 6 of a vector register's 16 lanes; 24 fill 24 of 32.
    """
    shifted = [F.pad(weight, (column, 1 - column, row, 1 - row)) for column in (0, 1) for row in (0, 1)]
    y = F.conv2d(x, torch.cat(shifted), bias.repeat(4), stride=2)
    return _LargerHalf.apply(_LargerHalf.apply(y))


class _LargerHalf(torch.autograd.Function):
    """(N, 2C, H, W) -> (N, C, H, W): the larger of channels c and C + c. A tie's gradient goes to c, as in max pooling
    (autograd of `torch.maximum` would halve it)."""

    @staticmethod
    def forward(ctx, y: Tensor) -> Tensor:
        first, second = y.chunk(2, 1)
        ctx.save_for_backward(second - first)
        return torch.maximum(first, second)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        (lead,) = ctx.saved_tensors
        second = torch.ops.aten.threshold_backward(grad, lead, 0)  # ReLU's: the gradient where lead > 0, else 0
        return torch.cat([grad - second, second], 1)


def lenet5(act: type[nn.Module] = nn.ReLU, classes: int = 10) -> LeNet5:
    """(N, 3, 32, 32) float -> logits (N, classes); 62,006 parameters for ten classes."""
    net = LeNet5(
        # pooling first: for activations that never fall the same values, for a quarter of the activations' work
        nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), act(),  # C1, S2: (N, 6, 14, 14)
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), act(),  # C3, S4: (N, 16, 5, 5)
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), act(),  # C5
        nn.Linear(120, 84), act(),  # F6
        nn.Linear(84, classes),
    )  # fmt: skip
    return kaiming(net) if act is nn.ReLU else net


# validation accuracy after six epochs of 24,000 generated images, seeds 0 and 1: 81.7 and 81.4% with batches of 256 at
# 4e-3; 81.1 and 81.3% with 128 at 2e-3
FULL = Plan(
    lenet5,
    Recipe(batch_size=256, optimizer="adamw", lr=4e-3, weight_decay=1e-4, label_smoothing=0.0, translate=2, cutout=0),
)
QUICK = Plan(
    lenet5,
    Recipe(batch_size=64, optimizer="adamw", lr=2e-3, weight_decay=1e-4, label_smoothing=0.0, translate=2, cutout=0),
    images=6000,
)
