"""ResNet-18, -50, -101: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016, table 1.

Changes for 32 px: stem `small` (3x3, stride 1, no pooling) instead of `imagenet` (7x7, stride 2, then a pooling with
stride 2), which would hand 8x8 maps to the first stage and 1x1 maps to the last: it saves 94% of the arithmetic
and costs accuracy. As in torchvision, the stride of a bottleneck sits in its 3x3 ("v1.5"). The last batch norm
of the blocks behind the first one of each stage starts at zero, so that they start as the identity (Goyal et al., 2017,
section 5.1). The first ones cannot be the identity where shapes change, and to begin with a branch that is shut costs
short trainings fifteen points (docs/log.md).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dl.models.conv import SmallMapConv2d
from dl.models.growing import Growing
from dl.models.init import kaiming

STEMS = ("small", "imagenet")


def conv_bn(cin: int, cout: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = SmallMapConv2d(cin, cout, size, stride, size // 2, bias=False)  # batch norm has the bias
    return nn.Sequential(conv, nn.BatchNorm2d(cout))


class Block(nn.Module):
    """`body` around a shortcut: the identity where shapes agree, else a strided 1x1 convolution (option B)."""

    def __init__(self, body: nn.Sequential, cin: int, cout: int, stride: int):
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if stride == 1 and cin == cout else conv_bn(cin, cout, 1, stride)

    def forward(self, x: Tensor) -> Tensor:  # (N, cin, H, W) -> (N, cout, H/stride, W/stride)
        return F.relu(self.body(x) + self.shortcut(x))


def basic(cin: int, width: int, stride: int) -> Block:
    """Return two 3x3 convolutions with their shortcut (figure 5, left)."""
    body = nn.Sequential(conv_bn(cin, width, 3, stride), nn.ReLU(), conv_bn(width, width, 3))
    return Block(body, cin, width, stride)


def bottleneck(cin: int, width: int, stride: int) -> Block:
    """Return 1x1 down, 3x3, 1x1 up to four times the width, with their shortcut (figure 5, right)."""
    body = nn.Sequential(
        conv_bn(cin, width, 1), nn.ReLU(), conv_bn(width, width, 3, stride), nn.ReLU(),
        conv_bn(width, 4 * width, 1),
    )  # fmt: skip
    return Block(body, cin, 4 * width, stride)


def resnet(
    block: Callable[[int, int, int], Block], depths: tuple[int, int, int, int], stem: str = "small", classes: int = 10
) -> Growing:
    """Return the ResNet of four stages of `depths` blocks: (N, 3, 32, 32) float -> logits (N, classes).

    The blocks behind the first one of each stage can join later. Raises ValueError where `stem` is not in STEMS.
    """
    if stem not in STEMS:
        raise ValueError(f"unknown stem {stem!r}: known are {', '.join(STEMS)}")
    if stem == "small":
        layers: list[nn.Module] = [conv_bn(3, 64, 3), nn.ReLU()]  # (N, 64, 32, 32)
    else:
        layers = [conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]  # (N, 64, 8, 8)
    cin, later = 64, []
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for index in range(depth):
            later += [len(layers)] if index else []
            layers.append(block(cin, width, 2 if stage and not index else 1))
            cin = width if block is basic else 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes)]
    net = kaiming(Growing(*layers, *head, later=later))
    for index in later:
        *_, last = (each for each in net[index].modules() if isinstance(each, nn.BatchNorm2d))
        nn.init.zeros_(last.weight)
    return net


def resnet18(stem: str = "small", classes: int = 10) -> Growing:
    """Return ResNet-18: 11,173,962 parameters for ten classes with the small stem, 11,181,642 with ImageNet's."""
    return resnet(basic, (2, 2, 2, 2), stem, classes)


def resnet50(stem: str = "small", classes: int = 10) -> Growing:
    """Return ResNet-50: 23,520,842 parameters for ten classes with the small stem, 23,528,522 with ImageNet's."""
    return resnet(bottleneck, (3, 4, 6, 3), stem, classes)


def resnet101(stem: str = "small", classes: int = 10) -> Growing:
    """Return ResNet-101: 42,512,970 parameters for ten classes with the small stem, 42,520,650 with ImageNet's."""
    return resnet(bottleneck, (3, 4, 23, 3), stem, classes)
