"""Is this function convex? Hessian spectra, Jensen gaps, and witnesses of non-convexity that are proven.

A witness is a pair (a, b) whose midpoint lies above the chord: f((a + b)/2) > (f(a) + f(b))/2. hyperopt finds it,
gradient ascent polishes it, it is rounded to multiples of 1/64, and interval arithmetic proves the inequality.
A function is written once, over the operations of a `Operations`, and runs on tensors and on intervals alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mpmath.ctx_iv import MPIntervalContext
from torch import Tensor
from torch.func import grad, jacrev, vmap

from dl.tuning import TPE, Uniform

# ------------------------------------------------------------------------------------------ arithmetic


class Operations(NamedTuple):
    """The operations that differ between tensors and intervals; + - * / are the numbers' own."""

    log: Callable
    sigmoid: Callable
    softplus: Callable  # log(1 + e^z)
    tanh: Callable
    relu: Callable


TENSOR = Operations(torch.log, torch.sigmoid, lambda z: torch.logaddexp(z, torch.zeros_like(z)), torch.tanh, F.relu)

iv = MPIntervalContext()  # a context of its own: its precision is nobody else's
iv.prec = 160


def _relu(z: Any) -> Any:
    return iv.mpf([max(z.a, iv.zero).a, max(z.b, iv.zero).b])


INTERVAL = Operations(
    iv.log,
    lambda z: 1 / (1 + iv.exp(-z)),
    lambda z: iv.log(1 + iv.exp(z)),
    lambda z: 1 - 2 / (1 + iv.exp(2 * z)),
    _relu,
)

# (coordinates, maths) -> value: D numbers -> one, and elementwise, so that coordinates (D, P) -> (P,)
Function = Callable[[Any, Operations], Any]

Box = tuple[tuple[float, ...], tuple[float, ...]]  # lowest and highest coordinates, D each

# ------------------------------------------------------------------------------------------ instruments


def spectra(f: Function, points: Tensor) -> Tensor:
    """Eigenvalues of the Hessian of `f` at each point, ascending: (M, D) -> (M, D), float64."""

    def value(w: Tensor) -> Tensor:
        return f(w, TENSOR)

    hessian = jacrev(grad(value))  # reverse twice: torch.func.hessian's forward mode loads for 9 s
    return torch.linalg.eigvalsh(vmap(hessian)(points.double()))


def jensen_gap(f: Function, a: Tensor, b: Tensor) -> Tensor:
    """f((a + b)/2) - (f(a) + f(b))/2: positive refutes convexity. a, b (D,) -> scalar, or (D, P) -> (P,)."""
    return f((a + b) / 2, TENSOR) - (f(a, TENSOR) + f(b, TENSOR)) / 2


def proven_gap(f: Function, a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Bounds between which the Jensen gap of `f` at (a, b) lies for certain, by interval arithmetic.

    a, b: D floats, taken as the exact binary fractions that they are. The bounds are rounded outwards, so
    a lower bound > 0 is a proof that `f` is not convex (Moore, Kearfott, Cloud: Interval Analysis, 2009).
    """
    a, b = [iv.mpf(float(v)) for v in a], [iv.mpf(float(v)) for v in b]
    middle = [(u + v) / 2 for u, v in zip(a, b, strict=True)]  # exact: 160 bits hold it
    gap = f(middle, INTERVAL) - (f(a, INTERVAL) + f(b, INTERVAL)) / 2
    lower, upper = (float(gap.a.a), float(gap.b.b))
    return math.nextafter(lower, -math.inf), math.nextafter(upper, math.inf)


@dataclass(frozen=True)
class Witness:
    """The best pair that a search found, and what is proven about it."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    lower: float  # the Jensen gap is at least this, proven
    upper: float
    gaps: tuple[float, ...]  # hyperopt's trials, in order
    points: Tensor  # (3 * trials, D): all points the trials looked at

    @property
    def proven(self) -> bool:
        return self.lower > 0


def find_witness(f: Function, box: Box, trials: int, seed: int, device: torch.device | str = "cpu") -> Witness:
    """Look for a witness against the convexity of `f` in a box.

    `trials` pairs by hyperopt's TPE, the best eight polished by 100 projected steps of Adam up the Jensen gap, then
    rounded to multiples of 1/64 inside the box and proven.
    """
    bounds = [Uniform(*bound) for bound in zip(*box, strict=True)]
    space = {f"{end}{i}": bound for end in "ab" for i, bound in enumerate(bounds)}
    tpe, rng, tried, found = TPE(space), np.random.default_rng(seed), [], []
    for _ in range(trials):
        point = tpe.ask(int(rng.integers(2**31 - 1)))
        tried.append([point[name] for name in space])
        pair = torch.tensor(tried[-1], dtype=torch.float64, device=device).reshape(2, -1)
        found.append(float(jensen_gap(f, *pair)))
        tpe.tell(point, -found[-1])
    pairs = torch.tensor(tried, dtype=torch.float64, device=device).T.reshape(2, -1, trials)  # (2, D, trials)
    gaps = torch.tensor(found, dtype=torch.float64, device=device)

    best = pairs[..., gaps.topk(min(8, trials)).indices]
    least, most = (torch.tensor([v], dtype=torch.float64, device=device).T for v in box)  # (D, 1)
    candidates = torch.cat([best, _polish(f, best, least, most)], -1)
    # to multiples of 1/64 within the box: rational numbers that a reader can check
    candidates = (candidates * 64).round().clamp((least * 64).ceil(), (most * 64).floor()) / 64
    a, b = candidates[..., int(jensen_gap(f, *candidates).argmax())].tolist()
    points = torch.cat([pairs[0], pairs[1], pairs.mean(0)], 1).T
    return Witness(tuple(a), tuple(b), *proven_gap(f, a, b), tuple(gaps.tolist()), points)


def _polish(f: Function, pairs: Tensor, low: Tensor, high: Tensor, steps: int = 100) -> Tensor:
    """Projected gradient ascent of the Jensen gap on pairs (2, D, P): Adam, 2% of the box a step, falling to 0."""
    mean, square = torch.zeros_like(pairs), torch.zeros_like(pairs)
    for step in range(1, steps + 1):
        pairs = pairs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(jensen_gap(f, *pairs).sum(), pairs)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        move = (mean / (1 - 0.9**step)) / ((square / (1 - 0.99**step)).sqrt() + 1e-12)
        pairs = (pairs + 0.02 * (high - low) * (1 - step / (steps + 1)) * move).clamp(low, high)
    return pairs.detach()
