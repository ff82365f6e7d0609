"""VGG-16: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1, D.

Changes for 32 px: the five poolings already bring 32x32 down to 1x1, so one linear layer from 512 replaces the three
of 4,096 (they held 120 of the 138 million weights and only made sense on 7x7 maps); batch norm (Ioffe, Szegedy, 2015),
which did not exist yet and without which thirteen layers do not train in ten epochs.
"""

from torch import nn

from dl.models.init import kaiming
from dl.models.plan import Plan
from dl.train import Recipe

D = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")


def vgg16(classes: int = 10) -> nn.Sequential:
    """(N, 3, 32, 32) float -> logits (N, classes); 14,724,042 parameters for ten classes."""
    layers, cin = [], 3
    for width in D:
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            conv = nn.Conv2d(cin, width, 3, padding=1, bias=False)  # batch norm has the bias
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            cin = width
    return kaiming(nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, classes)))  # (N, 512, 1, 1) -> (N, classes)


FULL = Plan(vgg16, Recipe(lr=0.1))
QUICK = Plan(vgg16, Recipe(epochs=5, batch_size=64, lr=0.02, cutout=0, translate=2), images=1000)
