"""The two records every data set arrives in."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images and labels.

    x: uint8, (N, 3, 32, 32) in 0..255 for street numbers, (N, 8, 8) in 0..16 for sklearn's digits;
    y: int64, (N,), values 0..9.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} images, but {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    def subsample(self, n: int | None) -> "Split":
        """`n` images, evenly spaced (neighbours in SVHN come from one photograph); all of them for None or too few."""
        if n is None or n >= len(self):
            return self
        index = torch.arange(n) * len(self) // n
        return Split(self.x[index], self.y[index])

    def to(self, device: torch.device | str) -> "Split":
        return Split(self.x.to(device), self.y.to(device))

    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, in raw units; exact, from (N, C, H, W) or (N, H, W) values."""
        channels = self.x.unbind(1) if self.x.ndim == 4 else (self.x,)
        value = torch.arange(256, dtype=torch.float64)
        mean, std = [], []
        for channel in channels:
            share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
            mean.append((share * value).sum().item())
            std.append((share * (value - mean[-1]) ** 2).sum().sqrt().item())
        return mean, std

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 over images and labels: equal digests, equal data."""
        sha = hashlib.sha256(self.x.contiguous().cpu().numpy().data)
        sha.update(self.y.contiguous().cpu().numpy().data)
        return sha.hexdigest()[:16]


@dataclass(frozen=True)
class Data:
    """A data set, split. `train` fits, `val` selects, `test` is scored once, at the end."""

    name: str  # "svhn", "svhn-extra", "street-digits", "digits"
    source: str  # where it comes from, in words or as an address
    train: Split
    val: Split
    test: Split

    def digests(self) -> dict[str, str]:
        """Return the digests of "train", "val" and "test"."""
        return {part: getattr(self, part).digest() for part in ("train", "val", "test")}
