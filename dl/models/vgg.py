"""VGG-16: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1, D.

Changes for 32 px: the five poolings already bring 32x32 down to 1x1, so one linear layer from 512 replaces the three
of 4,096 (they held 120 of the 138 million weights and only made sense on 7x7 maps); batch norm (Ioffe, Szegedy, 2015),
which did not exist yet and without which thirteen layers do not train in ten epochs.
"""

from torch import nn

from dl.models.conv import SmallMapConv2d
from dl.models.growing import Growing
from dl.models.init import kaiming

D = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")


def vgg16(stride: int = 1, classes: int = 10) -> Growing:
    """Return VGG-16: (N, 3, 32, 32) float -> logits (N, classes); 14,724,042 parameters for ten classes.

    stride: the first convolution's; 2 quarters the arithmetic, and the last pooling, left with one pixel, goes.
    All but the first convolution of each of the five stages can join later.
    """
    layers: list[nn.Module] = []
    cin, later = 3, list[int]()
    for width in D[:-1] if stride == 2 else D:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            if layers and not isinstance(layers[-1], nn.MaxPool2d):
                later += range(len(layers), len(layers) + 3)
            conv = SmallMapConv2d(cin, width, 3, 1 if layers else stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]  # batch norm has the bias
            cin = width
    return kaiming(
        Growing(*layers, nn.Flatten(), nn.Linear(512, classes), later=later)
    )  # (N, 512, 1, 1) -> (N, classes)
