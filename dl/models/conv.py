"""Convolutions of maps that a few halvings have brought down to one or two pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SmallMapConv2d(nn.Conv2d):
    """`nn.Conv2d`, computed as matrix products where the map is smaller than the kernel reaches.

    At 32 px ImageNet's stem leaves the last stages 2x2 and 1x1 maps: a padded 3x3 kernel then multiplies its middle
    with the map and the rest with zeros, and its gradient with respect to the weights is the slowest of all. Only the
    taps that meet the map are multiplied here; the others' gradients are the zeros that they are.
    """

    def forward(self, x: Tensor) -> Tensor:  # (N, cin, H, W) -> (N, cout, H', W')
        side, size, stride = x.shape[-1], self.kernel_size[0], self.stride[0]
        if side > 2 or x.shape[-2] != side or (size, self.padding[0]) not in ((1, 0), (3, 1)):
            return super().forward(x)
        pixels = x.permute(0, 2, 3, 1)  # as they lie in memory
        taps = self.weight.permute(0, 2, 3, 1)  # (cout, size, size, cin)
        if size == 1:
            return F.linear(pixels[:, ::stride, ::stride], taps[:, 0, 0], self.bias).permute(0, 3, 1, 2)
        pixels, first = pixels.flatten(1), range(1, 1 - side, -stride)  # the tap that meets the map's first pixel
        met = [taps[:, row : row + side, column : column + side].flatten(1) for row in first for column in first]
        out = torch.stack([F.linear(pixels, tap, self.bias) for tap in met], 1)
        return out.unflatten(1, (len(first), len(first))).permute(0, 3, 1, 2)
