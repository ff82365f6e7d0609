"""Augmentation of whole batches on the device they live on: no worker processes, no host sync.

Never a horizontal flip: a mirrored 2 is no digit.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """How images may change; nothing does where all is zero."""

    translate: int = 0  # up to that many pixels either way; what comes in is a reflection
    rotate: float = 0.0  # up to that many degrees either way, and as much shear (bilinear)
    colour: float = 0.0  # contrast and brightness change by up to this share
    invert: float = 0.0  # probability of the negative (light digits on dark are as common in streets as dark on light)
    cutout: int = 0  # side of a square that is greyed out (DeVries, Taylor, 2017), pixels

    @classmethod
    def of(cls, recipe: Any) -> Self:
        """Return what `recipe` says in fields of the same names."""
        return cls(*(getattr(recipe, field.name) for field in fields(cls)))


def augment(x: Tensor, rng: Generator, how: Augmentation) -> Tensor:
    """Change each image on its own: (N, C, H, W) uint8 -> the same shape, float32 in 0..255."""
    n, _, height, width = x.shape
    colour, cutout = how.colour, how.cutout

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=rng, device=x.device) * (high - low) + low

    if how.rotate:
        x = _affine(x.float(), uniform, how.translate, how.rotate)
    elif how.translate:
        x = _crop(x, rng, how.translate)
    x = x.float()  # a copy, ours to change
    if colour:
        mean = x.mean((1, 2, 3), keepdim=True)
        contrast, brightness = uniform(1 - colour, 1 + colour, 1, 1, 1), uniform(-colour, colour, 1, 1, 1)
        x = x.mul_(contrast).add_(mean * (1 - contrast) + 255 * brightness).clamp_(0, 255)
    if how.invert:
        x = torch.where(uniform(0, 1, 1, 1, 1) < how.invert, 255 - x, x)
    if cutout:
        row = torch.arange(height, device=x.device) - uniform(0, height, 1)  # (N, H)
        column = torch.arange(width, device=x.device) - uniform(0, width, 1)  # (N, W)
        hole = (row.abs() < cutout / 2)[:, None, :, None] & (column.abs() < cutout / 2)[:, None, None, :]
        x = x.masked_fill(hole, 127.0)
    return x


def _crop(x: Tensor, rng: Generator, reach: int) -> Tensor:
    """Shift by whole pixels, without blur: windows into the reflected images, copied in runs of W * C bytes."""
    n, _, height, width = x.shape
    row, column = torch.randint(0, 2 * reach + 1, (2, n), generator=rng, device=x.device)
    padded = _reflected(_reflected(x.permute(0, 2, 3, 1), 2, reach), 1, reach)  # the channel last, as it lies in memory
    windows = padded.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)  # (N, rows, columns, H, W, C)
    return windows[torch.arange(n, device=x.device), row, column].permute(0, 3, 1, 2)


def _reflected(x: Tensor, dim: int, reach: int) -> Tensor:
    """Continue images as ... 2 1 0 1 2 ...: `F.pad` knows no uint8."""
    before, after = x.narrow(dim, 1, reach).flip(dim), x.narrow(dim, x.shape[dim] - 1 - reach, reach).flip(dim)
    return torch.cat([before, x, after], dim)


def _affine(x: Tensor, uniform: Callable[..., Tensor], translate: int, degrees: float) -> Tensor:
    angle, shear = torch.deg2rad(uniform(-degrees, degrees)), torch.deg2rad(uniform(-degrees, degrees))
    side = x.shape[-1]
    dx, dy = (2 * uniform(-translate, translate) / side for _ in range(2))  # the grid spans -1..1
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [torch.stack([cos, cos * shear.tan() - sin, dx], 1), torch.stack([sin, sin * shear.tan() + cos, dy], 1)],
        1,
    )  # (N, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
