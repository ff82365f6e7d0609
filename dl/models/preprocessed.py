"""Preprocessing that travels with the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Preprocessed(nn.Module):
    """A network with its preprocessing: raw pixels in, logits out. Nobody can feed it wrongly scaled input.

    mean, std: in raw units, a list with a value a channel, or one value for all.
    size: side in pixels that images (N, C, H, W) are scaled to, bilinearly; None: as they come.
    The arithmetic relies on type promotion (uint8 with float32 buffers): `.to(...)` would bake the device of the day
    into an exported program.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: float | list[float], std: float | list[float], size: int | None = None):
        super().__init__()
        self.net, self.size = net, size
        shape = (1, -1, 1, 1) if isinstance(mean, list) else (1,)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(shape))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(shape))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) or (N, H, W), uint8 or float -> (N, classes)
        # a broadcast of three numbers is slow where channels lie innermost, one of a whole image is not
        image = torch.zeros_like(x[:1], dtype=self.mean.dtype)
        x = (x - (image + self.mean)).div_(image + self.std)
        if self.size is not None:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        return self.net(x)
