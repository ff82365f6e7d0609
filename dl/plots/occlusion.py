"""An occlusion map laid over its image."""

import numpy as np

from dl.plots import COLOURS

FAINTEST = 0.02  # a map whose largest value is less stays pale


def tint(image: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return the image in grey, orange where covering it lowers the probability, blue where it raises it.

    image: uint8 (3, H, W); fall: float (H, W), of `occlusion_map`; returns uint8 (H, W, 3). The strongest value has
    the strongest colour, so maps of two networks compare in shape, not in strength.
    """
    blue, orange = (np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) for colour in COLOURS[:2])
    share = 0.85 * fall / max(np.abs(fall).max(), FAINTEST)
    grey = np.repeat(image.mean(0)[..., None], 3, axis=2)
    colour = np.where(share[..., None] > 0, orange, blue)
    return (grey + np.abs(share)[..., None] * (colour - grey)).round().astype(np.uint8)
