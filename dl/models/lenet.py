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

    Two columns that a maximum is taken of become two groups of channels of one convolution with stride 2 along the
    row, whose kernels are `weight` and `weight` shifted by a pixel: C1's 6 channels alone fill 6 of a vector register's
    16 lanes. The maximum over two rows then runs through whole rows.
    """
    shifted = [F.pad(weight, (column, 1 - column)) for column in (0, 1)]
    rows = x.shape[2] - (x.shape[2] - weight.shape[2] + 1) % 2  # pooling drops an odd last row
    y = F.conv2d(x[:, :, :rows], torch.cat(shifted), bias.repeat(2), stride=(1, 2))
    y = y.permute(0, 2, 3, 1)  # as it lies in memory: (N, H, w, 2D)
    y = _Larger.apply(y.unflatten(1, (-1, 2)), 2)
    y = y.to(weight.dtype)  # under autocast it comes as bfloat16, in which short runs are slow
    return _Larger.apply(y.unflatten(3, (2, -1)), 3).permute(0, 3, 1, 2)


class _Larger(torch.autograd.Function):
    """The larger of the two entries along `dim`, which goes. A tie's gradient goes to the first of them (autograd of
    `torch.maximum` would halve it)."""

    @staticmethod
    def forward(ctx, y: Tensor, dim: int) -> Tensor:
        first, second = y.unbind(dim)
        ctx.dim = dim
        ctx.save_for_backward(second - first)
        return torch.maximum(first, second)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (lead,) = ctx.saved_tensors
        second = torch.ops.aten.threshold_backward(grad, lead, 0)  # ReLU's: the gradient where lead > 0, else 0
        return torch.stack([grad - second, second], ctx.dim), None


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
