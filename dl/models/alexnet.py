"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

The five convolutions have the widths of the one-column version (Krizhevsky, "One weird trick", 2014: 64, 192, 384,
256, 256), as torchvision's. Changes for 32 px:
- stem 5x5 with stride 1 instead of 11x11 with stride 4, which would leave 7x7 of a 32x32 image (and torchvision's
  AlexNet raises an error below 63 px);
- batch norm instead of local response normalisation: without it the network is at the mercy of its initialisation and
  learning rate, which is what the document ran into ("stable at 18%");
- two hidden linear layers of 1,024 instead of 4,096, dropout 0.3 instead of 0.5: ten classes, not a thousand.
"""

from torch import nn

from dl.models.growing import Growing
from dl.models.init import kaiming


def alexnet(stride: int = 1, dropout: float = 0.3, classes: int = 10) -> Growing:
    """Return AlexNet: (N, 3, 32, 32) float -> logits (N, classes); 7,707,594 parameters for ten classes.

    stride: the stem's; 2 quarters the arithmetic (and the first linear layer). The fifth convolution and
    the second hidden layer can join later.
    """

    def conv(cin: int, cout: int, size: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(cin, cout, size, stride, size // 2, bias=False)  # batch norm has the bias
        return [convolution, nn.BatchNorm2d(cout), nn.ReLU()]

    pool = nn.MaxPool2d(3, stride=2, padding=1)  # overlapping, section 3.4; halves the side
    return kaiming(
        Growing(
            *conv(3, 64, 5, stride), pool,  # (N, 64, 16, 16), sides halved where the stride is 2
            *conv(64, 192, 5), pool,  # (N, 192, 8, 8)
            *conv(192, 384, 3),
            *conv(384, 256, 3),
            *conv(256, 256, 3), pool,  # (N, 256, 4, 4)
            nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(256 * (4 // stride) ** 2, 1024), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(1024, 1024), nn.ReLU(),
            nn.Linear(1024, classes),
            later=(14, 15, 16, 22, 23, 24),  # the last convolution's three, the second hidden layer's
        )
    )  # fmt: skip
