"""How far signal and gradient reach in the first steps of a training: why a network learns, or does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FirstSteps:
    """What was seen of a network's layers (convolutions and linear layers), each a list of steps of one number a layer.

    spread: how much a layer's output, rectified where it is, differs between the images of a batch: the standard
    deviation over the images, root mean square over the units. dead: share of its units, 0..1, that are zero for every
    image of the batch; the last layer, which nothing rectifies, has none. gradient: norm of the weights' gradient over
    that of the weights.
    """

    layers: list[str]
    spread: list[list[float]]
    dead: list[list[float]]
    gradient: list[list[float]]


@contextmanager
def first_steps(net: nn.Module, steps: int = 100) -> Iterator[Callable[[], FirstSteps | None]]:
    """Watch the first `steps` of a training in the block; yields what returns them, None where there was no step.

    net: a chain of layers with a ReLU of its own behind each but the last, such as torchvision's AlexNet and VGG.
    Nothing waits for the device before the end. Raises ValueError for a network of another kind.
    """
    weighted = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    outputs = [module for module in net.modules() if isinstance(module, nn.ReLU)] + weighted[-1:]
    if len(outputs) != len(weighted):
        raise ValueError(f"{len(weighted)} layers, but {len(outputs) - 1} ReLUs: it takes one for each but the last")
    seen: list[tuple[list[Tensor], ...]] = [([], [], []) for _ in weighted]  # of each layer: spread, dead, gradient

    def look(layer: int, module: nn.Module, _: object, output: Tensor) -> None:
        spread, dead, _gradient = seen[layer]
        if module.training and len(spread) < steps:
            units = output.detach().float().flatten(1)
            spread.append(units.std(0).square().mean().sqrt())
            dead.append((units <= 0).all(0).float().mean() if layer < len(seen) - 1 else units.new_zeros(()))

    def measure(layer: int, weight: nn.Parameter) -> None:
        gradient = seen[layer][2]
        if len(gradient) < steps and weight.grad is not None:
            gradient.append(weight.grad.norm() / weight.detach().norm())

    hooks = [module.register_forward_hook(partial(look, layer)) for layer, module in enumerate(outputs)]
    hooks += [
        each.weight.register_post_accumulate_grad_hook(partial(measure, layer)) for layer, each in enumerate(weighted)
    ]

    def result() -> FirstSteps | None:
        there = min(len(part) for parts in seen for part in parts)
        if not there:
            return None
        spread, dead, gradient = (
            torch.stack([torch.stack(parts[kind][:there]) for parts in seen], 1).tolist() for kind in range(3)
        )
        names = [f"{'conv' if isinstance(each, nn.Conv2d) else 'fc'}{n}" for n, each in enumerate(weighted, 1)]
        return FirstSteps(names, spread, dead, gradient)

    try:
        yield result
    finally:
        for hook in hooks:
            hook.remove()
