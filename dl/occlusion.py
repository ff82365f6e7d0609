"""Which part of an image a network looks at, from its answers alone: no gradient is asked for."""

from collections.abc import Callable

import numpy as np
import torch

PATCH, STRIDE = 8, 4  # pixels; (PATCH / STRIDE)² patches lie over every pixel


def occlusion_map(network: Callable[[np.ndarray], np.ndarray], image: np.ndarray, label: int) -> np.ndarray:
    """Return by how much the probability of `label` falls where a patch covers the image: float (H, W), in -1..1.

    network: uint8 (N, 3, H, W) -> logits (N, classes), asked once, with all patches in one batch; image: uint8
    (3, H, W), H and W multiples of STRIDE. A pixel gets the mean over the patches that cover it. M. Zeiler and R.
    Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2; their patch is grey, ours has the
    image's mean colour, because a grey patch on a blue wall is itself something to see.
    """
    _, height, width = image.shape
    starts = [(y, x) for y in range(STRIDE - PATCH, height, STRIDE) for x in range(STRIDE - PATCH, width, STRIDE)]
    covers = np.zeros((len(starts), height, width), bool)
    for cover, (y, x) in zip(covers, starts, strict=True):
        cover[max(y, 0) : y + PATCH, max(x, 0) : x + PATCH] = True
    mean = image.mean((1, 2), keepdims=True).round().astype(np.uint8)
    images = np.concatenate([image[None], np.where(covers[:, None], mean, image)])
    probabilities = torch.as_tensor(network(images)).softmax(1)[:, label].numpy()
    return np.einsum("n,nhw->hw", probabilities[0] - probabilities[1:], covers) / covers.sum(0)
