"""The camera that photographs generated street numbers: lens, JPEG, and the cut to a square. All in batches."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Dice:
    """Random parameters of `n` images: shaped (n, 1, 1), to broadcast over pixels, unless a shape is given."""

    def __init__(self, n: int, rng: torch.Generator):
        self.n, self.rng = n, rng

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(self.n, *(shape or (1, 1)), generator=self.rng) * (high - low) + low

    def normal(self, std: float, *shape: int) -> Tensor:
        return torch.randn(self.n, *(shape or (1, 1)), generator=self.rng) * std

    def chance(self, p: float, *shape: int) -> Tensor:
        """1 with probability `p`, else 0."""
        return (self.uniform(0, 1, *shape) < p).float()

    def pick(self, weights: Sequence[float], *shape: int) -> Tensor:
        """Indices drawn in proportion to `weights`, shaped (n, *shape)."""
        share = torch.tensor(weights, dtype=torch.float64)
        drawn = torch.rand(self.n, *shape, generator=self.rng, dtype=torch.float64)
        return torch.searchsorted(share.cumsum(0)[:-1] / share.sum(), drawn, right=True)


def smooth(dice: Dice, rows: int, cols: int, size: int, *channels: int) -> Tensor:
    """Draw a random field (n, *channels, size, size): unit normals at `rows` x `cols` knots, linear between them."""

    def hats(knots: int) -> Tensor:  # (size, knots)
        at = torch.linspace(0, knots - 1, size)
        return (1 - (at[:, None] - torch.arange(knots)).abs()).clamp(min=0)

    return hats(rows) @ (dice.normal(1, *channels, rows, cols) @ hats(cols).T)


LUMA = (0.299, 0.587, 0.114)
TO_YCC = torch.tensor([LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)])  # JFIF
TO_RGB = torch.tensor([(1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0)])
# JPEG's example quantisation tables (ITU T.81, annex K)
QUANT = torch.tensor([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99]).view(8, 8) / 255  # fmt: skip
CORNER = torch.tensor([(17.0, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99)])
QUANT_CHROMA = F.pad(CORNER, (0, 4, 0, 4), value=99.0) / 255


def blur(dice: Dice, image: Tensor, pixels: Tensor, spread: float) -> Tensor:
    """Lens and motion (n, 3, C, C): a Gaussian of different width in x and y, each colour a little displaced."""
    size = image.shape[-1]
    at = torch.arange(size, dtype=torch.float32)
    pixels = pixels[..., None]  # sharp pictures are rare even from near by
    focus = dice.normal(spread, 1, 1, 1).exp() * (0.2 + 0.022 * pixels)

    def matrix() -> Tensor:  # (n, 3, C, C), rows sum to 1
        width = torch.hypot(focus, dice.uniform(0, 0.05, 1, 1, 1) * pixels * dice.chance(0.25, 1, 1, 1))
        shift = dice.normal(0.2, 3, 1, 1)
        kernel = torch.exp((-0.5 * ((at[:, None] - at + shift) / width) ** 2).clamp(min=-40))  # no slow denormals
        kernel = kernel / kernel.sum(-1, keepdim=True)
        halo = dice.uniform(0, 0.6, 1, 1, 1) * dice.chance(0.6, 1, 1, 1)  # a camera's sharpening: I + a (I - K)
        return kernel + halo * (kernel - kernel @ kernel)

    return matrix() @ image @ matrix().transpose(-1, -2)


def _code(plane: Tensor, table: Tensor) -> Tensor:
    """JPEG's rounding of 8x8 cosine coefficients: plane (n, c, S, S), steps (n, 1, 8, 8)."""
    size = plane.shape[-1]
    k = torch.arange(8.0)
    basis = torch.cos(math.pi / 8 * k[:, None] * (k + 0.5)) / 2
    basis[0] /= math.sqrt(2)
    blocks = torch.block_diag(*[basis] * (size // 8))
    table = table.repeat(1, 1, size // 8, size // 8)
    return blocks.T @ ((blocks @ plane @ blocks.T / table).round() * table) @ blocks


def jpeg(dice: Dice, image: Tensor) -> Tensor:
    """JPEG with 2x2 chroma subsampling, quality about 30 to 95."""
    planes = torch.einsum("dc,nchw->ndhw", TO_YCC, image)
    coarse = dice.uniform(-2.3, 0.2, 1, 1, 1).exp()
    luma = _code(planes[:, :1], coarse * QUANT)
    chroma = _code(F.avg_pool2d(planes[:, 1:], 2), coarse * QUANT_CHROMA)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.einsum("dc,nchw->ndhw", TO_RGB, torch.cat([luma, chroma], 1))


def resize(image: Tensor, start_y: Tensor, start_x: Tensor, pixels: Tensor, side: int) -> Tensor:
    """Cut [start, start + pixels)^2 out of (n, 3, C, C), 0..255, and resize to side x side, bicubic and antialiased."""
    at = torch.arange(image.shape[-1], dtype=torch.float32)
    out = (torch.arange(side) + 0.5)[:, None] / side

    def matrix(start: Tensor) -> Tensor:  # (n, 1, side, C)
        t = ((start + out * pixels - 0.5 - at) / (pixels / side).clamp(min=1)).abs()
        near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
        weight = torch.where(t < 1, near, torch.where(t < 2, far, 0.0))
        return (weight / weight.sum(-1, keepdim=True))[:, None]

    # SVHN's authors resized bytes, a dimension at a time: what is between was rounded, too.
    return (matrix(start_y) @ image).round_().clamp_(0, 255) @ matrix(start_x).transpose(-1, -2)
