"""Many small perceptrons trained as one program.

A network of table 1 is so small that an ordinary training step spends most of its time starting operations.
Here the networks of one shape are stacked: their weights lie in one tensor, and each step is one batched
matrix product a layer for all of them; the first layer, whose images all share, is a single large product.
Gradients are written out (a perceptron's are short), which trains table 1's shapes one and a half times as fast as
autograd and torch.optim.Adam on the same stack. HFTA fuses networks in the same way (Wang et al., MLSys
2021, https://arxiv.org/abs/2102.02344).

    train(configs, repeats)     any configurations on any repeats, bucketed by shape, on all cores
    Stack(configs, repeats)     one bucket; gives its members back as ordinary modules

dl/reference.py trains one network the usual way: the reference for correctness and for speed.

The batch size is 32, Keras's default: the document used Keras and names no other. The incomplete last batch of
an epoch is left out.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dl.data.split import Data
from dl.models.mlp import MLP
from dl.table1 import Config

EPOCHS = 30
BATCH_SIZE = 32
BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch.optim.Adam's defaults
CPU_MEMBERS = 16  # networks in a stack on a CPU, measured: 8 to 20 are equally fast, 40 are slower

SEEDING = Lock()  # torch's global generator is one for all threads: stacks made at once would mix their weights

aten = torch.ops.aten


@dataclass(frozen=True)
class Repeat:
    """A division of the data, and the seed of everything random on it: weights, batches, dropout."""

    data: Data
    seed: int


@dataclass(frozen=True)
class History:
    """What training showed: tensors (configs, repeats, epochs), float64, on the CPU.

    The training loss is the mean over the epoch's batches, with dropout on. A network that diverged has nan or
    inf from then on.
    """

    train_loss: Tensor
    val_loss: Tensor
    val_accuracy: Tensor


def schedule(
    seed: int, images: int, h1: int, h2: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, ...]]:
    """Yield a member's random choices, step after step, without end: a function of its seed and shape alone.

    Yields the batch, int64 (32,), and noise in [0, 1) for the hidden layers, float32 (h1, 32) and (h2, 32): a
    unit is dropped where its noise lies below the dropout rate. Each epoch is a new order of the images.
    """
    order = torch.Generator().manual_seed(seed)
    noise = torch.Generator(device).manual_seed(seed)
    while True:
        epoch = torch.randperm(images, generator=order).to(device)
        for batch in epoch[: images - images % BATCH_SIZE].split(BATCH_SIZE):
            yield (
                batch,
                torch.rand(h1, BATCH_SIZE, generator=noise, device=device),
                torch.rand(h2, BATCH_SIZE, generator=noise, device=device),
            )


def initial(h1: int, h2: int, repeats: list[Repeat], copies: int) -> list[Tensor]:
    """`MLP(h1, h2)` after `torch.manual_seed(seed)`: its six weights and biases, (R, copies, ...) each."""
    nets = []
    with SEEDING, torch.random.fork_rng(devices=[]):
        for repeat in repeats:
            torch.manual_seed(repeat.seed)
            nets.append([p.detach() for p in MLP(h1, h2).parameters()])
    weights = [torch.stack(ps)[:, None] for ps in zip(*nets, strict=True)]
    columns = [w if w.ndim == 4 else w[..., None] for w in weights]  # biases as columns
    return [w.repeat(1, copies, 1, 1) for w in columns]


class Stack:
    """Perceptrons of one shape: member (r, c) trains `configs[c]` on `repeats[r]`.

    A member draws from its repeat's seed alone (see `schedule`): it is the same network in any company, up to
    rounding. Tensors are laid out features first, (R, C, features, batch). Along C the stack has an order of its
    own, `configs[order[c]]`, in which one activation lies together, and in it one learning rate.
    """

    def __init__(
        self,
        configs: list[Config],
        repeats: list[Repeat],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        if len({(c.h1, c.h2) for c in configs}) != 1 or not repeats:
            raise ValueError("a stack wants configurations of one shape and at least one repeat")
        self.order = sorted(range(len(configs)), key=lambda i: (configs[i].activation, configs[i].lr))
        self.configs = [configs[i] for i in self.order]
        self.relus = sum(c.activation == "relu" for c in configs)  # these come first, the rest are tanh
        C, h1, h2 = len(configs), configs[0].h1, configs[0].h2
        to: dict[str, Any] = {"device": device, "dtype": dtype}

        self.rates = torch.tensor([c.dropout for c in self.configs], **to).view(C, 1, 1)
        self.scales = 1 / (1 - self.rates)
        self.drops = any(c.dropout for c in configs)

        train, val = [r.data.train for r in repeats], [r.data.val for r in repeats]
        self.x = torch.stack([t.x.flatten(1) for t in train]).to(**to) / 16  # (R, N, 64)
        self.target = F.one_hot(torch.stack([t.y for t in train]), 10).to(**to)  # (R, N, 10)
        self.val_x = torch.stack([v.x.flatten(1) for v in val]).to(**to) / 16
        self.val_y = torch.stack([v.y for v in val]).to(device)
        self.rows = torch.arange(len(repeats), device=device)[:, None]
        self.steps = self.x.shape[1] // BATCH_SIZE
        self.draws = [schedule(r.seed, self.x.shape[1], h1, h2, device) for r in repeats]

        self.weights = [w.to(**to) for w in initial(h1, h2, repeats, C)]
        self.grads, self.first, self.second = ([torch.zeros_like(w) for w in self.weights] for _ in range(3))
        self.age = torch.zeros((), device=device)  # steps taken, as Adam's bias correction wants it
        self.groups = self.by_rate()

    def by_rate(self) -> dict[float, list[list[Tensor]]]:
        """For each learning rate, contiguous views of its members' weights, gradients and both moments."""
        groups: dict[float, list[list[Tensor]]] = {c.lr: [[], [], [], []] for c in self.configs}
        start = 0
        for lr, run in groupby(self.configs, key=lambda c: c.lr):
            stop = start + len(list(run))
            state = self.weights, self.grads, self.first, self.second
            for views, tensors in zip(groups[lr], state, strict=True):
                views += [t[r, start:stop] for t in tensors for r in range(len(t))]
            start = stop
        return groups

    def forward(self, x: Tensor, keep1: Tensor | None = None, keep2: Tensor | None = None) -> list[Tensor]:
        """Hidden layers and logits for images (R, N, 64): (R, C, h1, N), (R, C, h2, N), (R, C, 10, N).

        The hidden layers lack dropout's factor 1 / (1 - rate): it multiplies the next layer's smaller output.
        """
        W1, b1, W2, b2, W3, b3 = self.weights
        R, C, h1, _ = W1.shape
        k1 = torch.baddbmm(b1.view(R, C * h1, 1), W1.view(R, C * h1, 64), x.mT).view(R, C, h1, -1)
        self.activate(k1, keep1)
        k2 = W2 @ k1
        if keep1 is not None:
            k2 *= self.scales
        k2 += b2
        self.activate(k2, keep2)
        z3 = W3 @ k2
        if keep2 is not None:
            z3 *= self.scales
        z3 += b3
        return [k1, k2, z3]

    def activate(self, z: Tensor, keep: Tensor | None) -> None:
        z[:, : self.relus].relu_()
        z[:, self.relus :].tanh_()
        if keep is not None:
            z *= keep

    def deactivate(self, grad: Tensor, k: Tensor, keep: Tensor | None) -> Tensor:
        """From the gradient at a hidden layer's output `k` to the one at its input, in place."""
        n = self.relus
        relu, tanh = grad[:, :n], grad[:, n:]
        aten.threshold_backward.grad_input(relu, k[:, :n], 0, grad_input=relu)  # a dropped unit is 0 as well
        aten.tanh_backward.grad_input(tanh, k[:, n:], grad_input=tanh)
        if keep is not None:
            tanh *= keep[:, n:]
        return grad

    def keep(self, noise: Tensor) -> Tensor | None:
        """Ones and zeros (R, C, h, B), which unit a member keeps, from noise (R, h, B); None if none drops."""
        if not self.drops:
            return None
        R, h, B = noise.shape
        keep = torch.empty(R, len(self.configs), h, B, dtype=self.x.dtype, device=noise.device)
        return torch.ge(noise[:, None], self.rates, out=keep)

    def step(self) -> Tensor:
        """Take one step of Adam on the next batch; return the loss before it, (R, C)."""
        batch, noise1, noise2 = (torch.stack(draw) for draw in zip(*map(next, self.draws), strict=True))
        x = self.x[self.rows, batch]  # (R, B, 64)
        target = self.target[self.rows, batch].mT[:, None]  # (R, 1, 10, B)
        keep1, keep2 = self.keep(noise1), self.keep(noise2)
        k1, k2, z3 = self.forward(x, keep1, keep2)
        logp = z3.log_softmax(-2)

        W1, _, W2, _, W3, _ = self.weights
        dW1, db1, dW2, db2, dW3, db3 = self.grads
        R, C, h1, _ = W1.shape
        g3 = (logp.exp() - target) / BATCH_SIZE
        torch.sum(g3, -1, keepdim=True, out=db3)
        if self.drops:
            g3 *= self.scales
        torch.matmul(g3, k2.mT, out=dW3)
        g2 = self.deactivate(W3.mT @ g3, k2, keep2)
        torch.sum(g2, -1, keepdim=True, out=db2)
        if self.drops:
            g2 *= self.scales
        torch.matmul(g2, k1.mT, out=dW2)
        g1 = self.deactivate(W2.mT @ g2, k1, keep1)
        torch.sum(g1, -1, keepdim=True, out=db1)
        torch.bmm(g1.view(R, C * h1, BATCH_SIZE), x, out=dW1.view(R, C * h1, 64))
        self.adam()
        return -(logp * target).sum(-2).mean(-1)

    def adam(self) -> None:
        """Run what torch.optim.Adam(fused=True) runs, without its bookkeeping, which would cost a tenth of a step."""
        self.age += 1
        for lr, (weights, grads, first, second) in self.groups.items():
            torch._fused_adam_(
                *(weights, grads, first, second, [], [self.age] * len(weights)),
                lr=lr,
                beta1=BETAS[0],
                beta2=BETAS[1],
                eps=EPSILON,
                weight_decay=0.0,
                amsgrad=False,
                maximize=False,
            )

    def evaluate(self) -> tuple[Tensor, Tensor]:
        """Validation loss and accuracy, (R, C) each, without dropout."""
        logits = self.forward(self.val_x)[-1].mT  # (R, C, N, 10)
        truth = self.val_y[:, None, :, None].expand(*logits.shape[:3], 1)
        loss = -logits.log_softmax(-1).gather(-1, truth).mean((-2, -1))
        return loss, (logits.argmax(-1, keepdim=True) == truth).to(loss.dtype).mean((-2, -1))

    def epoch(self) -> Tensor:
        """Pass once over the training images; return training loss, validation loss and accuracy, (3, R, C)."""
        total = sum((self.step() for _ in range(self.steps)), torch.zeros((), device=self.x.device))
        return torch.stack([total / self.steps, *self.evaluate()])

    def fit(self, epochs: int = EPOCHS) -> History:
        """Train; the history's configurations are in the order that the stack was given."""
        curves = torch.stack([self.epoch() for _ in range(epochs)], -1).double().cpu()  # (3, R, C, epochs)
        given = torch.empty_like(curves).transpose(1, 2)
        given[:, self.order] = curves.transpose(1, 2)
        return History(*given)

    def network(self, config: int, repeat: int) -> MLP:
        """Return a member as an ordinary module on the CPU; `config` counts as the stack was given them."""
        c = self.order.index(config)
        net = self.configs[c].module().to(self.x.dtype)
        for parameter, weight in zip(net.parameters(), self.weights, strict=True):
            parameter.data.copy_(weight[repeat, c].view_as(parameter))
        return net.eval()


def train(
    configs: list[Config],
    repeats: list[Repeat],
    epochs: int = EPOCHS,
    device: str = "cpu",
    on_progress: Callable[[int], object] = lambda members: None,
) -> History:
    """Train every configuration on every repeat: one shape as one stack, on a CPU one stack a core at a time.

    A CPU's caches want small stacks, a GPU large ones. `on_progress` hears how many networks were just done.
    """
    on_cpu = torch.device(device).type == "cpu"
    room = max(1, CPU_MEMBERS // len(repeats)) if on_cpu else len(configs)
    shapes: dict[tuple[int, int], list[int]] = {}
    for i, c in sorted(enumerate(configs), key=lambda pair: pair[1].lr):
        shapes.setdefault((c.h1, c.h2), []).append(i)
    parts = [m[i : i + room] for m in shapes.values() for i in range(0, len(m), room)]
    parts.sort(key=lambda m: -len(m) * configs[m[0]].h1 * (64 + configs[m[0]].h2))  # the longest first
    curves = torch.empty(3, len(configs), len(repeats), epochs, dtype=torch.float64)

    def work(part: list[int]) -> None:
        history = Stack([configs[i] for i in part], repeats, device).fit(epochs)
        curves[:, part] = torch.stack([history.train_loss, history.val_loss, history.val_accuracy])
        on_progress(len(part) * len(repeats))

    threads, workers = torch.get_num_threads(), os.cpu_count() if on_cpu else 1
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(work, parts))
    finally:
        torch.set_num_threads(threads)  # MKL has one setting for the whole process
    return History(*curves)
