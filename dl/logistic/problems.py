"""Classification problems: two binary ones that are generated, Wisconsin's breast-cancer data, and the ten digits."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import one_hot

from dl.data import digits


@dataclass(frozen=True)
class Problem:
    """A classification problem.

    x: float64 (N, D), raw features; y: float64 (N,), 0 or 1, or of C classes 0 to C - 1.
    """

    name: str
    source: str
    x: Tensor
    y: Tensor
    features: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> "Problem":
        """Return the examples at `index`."""
        return Problem(self.name, self.source, self.x[index], self.y[index], self.features)

    def only(self, features: tuple[str, ...]) -> "Problem":
        """Return the problem with the named columns alone."""
        columns = [self.features.index(name) for name in features]
        return Problem(self.name, self.source, self.x[:, columns], self.y, features)

    def standardised(self) -> Tensor:
        """Return the features (N, D), every column with mean 0 and standard deviation 1; a constant one is all 0."""
        scale = self.x.std(0, correction=0)
        return (self.x - self.x.mean(0)) / torch.where(scale > 0, scale, 1)

    def design(self) -> Tensor:
        """Return the standardised features and a column of ones for the intercept: (N, D + 1)."""
        return torch.cat([self.standardised(), torch.ones(len(self), 1, dtype=self.x.dtype)], 1)

    def targets(self) -> Tensor:
        """Return y (N,) of two classes, one-hot columns (C, N) of more, in x's dtype."""
        return self.y if self.y.max() <= 1 else one_hot(self.y.long()).T.to(self.x.dtype).contiguous()

    def digest(self) -> str:
        """Return the first 16 hex digits of the SHA-256 over features and labels."""
        sha = hashlib.sha256(self.x.numpy().tobytes())
        sha.update(self.y.numpy().tobytes())
        return sha.hexdigest()[:16]


def breast_cancer() -> Problem:
    """Return the breast-cancer data of Wisconsin: 569 tumours, 30 features, label 1 = benign (Street et al. 1993)."""
    data = load_breast_cancer()
    x, y = torch.from_numpy(data.data), torch.from_numpy(data.target).double()
    return Problem("breast-cancer", "sklearn.datasets.load_breast_cancer", x, y, tuple(data.feature_names.tolist()))


def ten_digits() -> Problem:
    """Return the training images of scikit-learn's digits: 1,077 of 64 pixels, label 0 to 9."""
    data = digits()
    x, y = data.train.x.flatten(1).double(), data.train.y.double()
    return Problem("digits", data.source, x, y, tuple(f"pixel {i}" for i in range(64)))


def synthetic(separable: bool, n: int = 400, d: int = 10, seed: int = 0) -> Problem:
    """Generate Gaussian features, and labels by a hidden linear rule.

    `separable`: labels follow the rule, points within 0.1 of the boundary are left out (a hard margin).
    Otherwise labels are drawn with P(y = 1) = sigmoid(rule), as logistic regression assumes: the classes overlap.
    """
    rng = torch.Generator().manual_seed(seed)
    rule = torch.randn(d, generator=rng, dtype=torch.float64)
    rule /= rule.norm()
    x = torch.randn(2 * n, d, generator=rng, dtype=torch.float64)
    if separable:
        x = x[(x @ rule).abs() > 0.1][:n]
        y = (x @ rule > 0).double()
    else:
        x = x[:n]
        y = (torch.rand(n, generator=rng, dtype=torch.float64) < torch.sigmoid(2 * x @ rule)).double()
    name = "separable" if separable else "overlapping"
    return Problem(name, f"dl.logistic.problems.synthetic(seed={seed})", x, y, tuple(f"x{i}" for i in range(d)))


def split_problem(problem: Problem, seed: int = 0) -> tuple[Problem, Problem, Problem]:
    """Return train, validation and test: 60, 20 and 20%, stratified."""
    index = np.arange(len(problem))
    train, rest = train_test_split(index, test_size=0.4, stratify=problem.y, random_state=seed)
    val, test = train_test_split(rest, test_size=0.5, stratify=problem.y[rest], random_state=seed)
    return problem.take(train), problem.take(val), problem.take(test)
