"""A perceptron of table 1 trained the usual way: what dl/population.py is measured by."""

from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from dl.models.mlp import MLP
from dl.population import BATCH_SIZE, EPOCHS, Repeat, schedule
from dl.table1 import Config


def ordinary(config: Config, repeat: Repeat, epochs: int = EPOCHS, dtype: torch.dtype = torch.float32) -> MLP:
    """Train one network as usual, with autograd and `torch.optim.Adam`, on the same random choices.

    A member of a `Stack` must agree with it, and is to be faster.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(repeat.seed)
        net = config.module().to(dtype)
    adam = torch.optim.Adam(net.parameters(), config.lr)
    x, y = repeat.data.train.x.to(dtype) / 16, repeat.data.train.y
    draws = schedule(repeat.seed, len(y), config.h1, config.h2)
    for batch, *noise in islice(draws, epochs * (len(y) // BATCH_SIZE)):
        h = x[batch]
        for layer in net.layers:
            if isinstance(layer, nn.Dropout):
                keep = noise.pop(0).T.ge(config.dropout)
                h = h * keep / (1 - config.dropout)
            else:
                h = layer(h)
        adam.zero_grad()
        F.cross_entropy(h, y[batch]).backward()
        adam.step()
    return net.eval()
