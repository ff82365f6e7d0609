"""Generated street numbers: a stand-in for SVHN's 32x32 crops on machines that cannot have SVHN.

A crop comes about as SVHN's do: a whole number in one style on a plate on a wall, lit, photographed at a low native
resolution (blur, noise, JPEG); the box around one of its digits, as people draw boxes, made square and resized to
32x32. Distributions are fitted to SVHN's published boxes and to the look of its first crops (docs/street-digits.md);
no photograph is used. Lengths are in digit heights unless a comment says crops or pixels; y points down.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from dl.data.camera import LUMA, Dice, blur, jpeg, resize, smooth
from dl.data.glyphs import atlas
from dl.data.lettering import LOOK, Look, compose, typeset
from dl.data.split import Data, Split

VERSION = 2  # raise it whenever the bytes of draw(n, seed) change: digests then tell old runs from new ones
SIDE = 32
CHUNK = 256  # images drawn together from one generator; draw(m, s) is a prefix of draw(n, s) because it is fixed
# Native canvas in pixels (multiples of JPEG's 16) -> images of a chunk, as frequent as boxes of that height are
CANVASES = {16: 20, 32: 140, 48: 96}
# Boxes of SVHN's train set: ln of their height in pixels, mean and standard deviation
BOX_HEIGHT = (3.40, 0.47)


def _tint(dice: Dice, saturation: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """Colours (n, 3, 1, 1) of luminance 1: blue or brown, as walls and plates are, or any hue, by `weights`."""
    mode = dice.pick(weights)[:, None, None]
    blue, brown, any_hue = 3.95 + dice.normal(0.25), 0.55 + dice.normal(0.3), dice.uniform(0, 6.3)
    hue = torch.where(mode == 0, blue, torch.where(mode == 1, brown, any_hue))
    thirds = torch.tensor([0.0, 2.0, 4.0]).view(3, 1, 1) * (math.pi / 3)  # red, green, blue on the colour circle
    colour = 1 + saturation[:, None] * torch.cos(hue[:, None] - thirds)
    return colour / (colour * torch.tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def _scene(dice: Dice, look: Look, x: Tensor, y: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (n,) and radiance (n, 3, C, C) of the number on its wall. `pixels`: (n, 1, 1), native pixels a crop."""
    number = compose(dice, look)
    line = typeset(dice, look, number, x, y)
    u, v, size = line.u, line.v, x.shape[-1]

    def cover(depth: Tensor) -> Tensor:  # antialiased: a ramp one pixel wide
        return (depth * pixels + 0.5).clamp_(0, 1)

    # Luminance of plate, ink and wall. The darker of plate and ink is mostly the bluer; casts are common to all.
    dark = dice.chance(look.dark) > 0  # ink on a brighter plate
    bright = (dice.normal(0.33) - torch.where(dark, 0.48, 0.42)).exp().clamp(0.1, 0.95)
    ratio = torch.sigmoid(dice.normal(0.55) - torch.where(dark, 0.08, 0.18))
    deep = bright * ratio
    back, ink = torch.where(dark, bright, deep), torch.where(dark, deep, bright)
    wall = (back * (dice.normal(0.5) - 0.1).exp()).clamp(0.04, 0.95)
    shades = torch.stack([back, ink, wall, torch.where(dice.chance(0.5) > 0, back + 0.7 * (back - ink), wall)], -1)
    cool = dice.normal(0.4).abs() * (1 - ratio)  # of the darker one
    vivid = dice.uniform(0.2, 0.7) * dice.chance(look.vivid)  # enamel, which is darker the more colour it has
    pale = dice.normal(0.035).abs()  # of the brighter one
    tints = [
        _tint(dice, torch.where(dark, pale + 0.5 * vivid * dice.chance(0.15), cool + vivid), (0.78, 0.17, 0.05)),
        _tint(dice, torch.where(dark, cool, pale), (0.8, 0.12, 0.08)),
        _tint(dice, dice.normal(0.12).abs(), (0.35, 0.55, 0.1)),
        _tint(dice, dice.normal(0.1).abs(), (0.6, 0.3, 0.1)),
    ]
    cast = _tint(dice, dice.normal(0.06).abs(), (0.5, 0.45, 0.05))
    colours = torch.cat(tints, -1) * cast * shades.clamp(0.02, 0.97)  # (n, 3, 1, 4)

    # Layers from the top: each takes its share of the light that those above it leave.
    # The ink: its weight, its wear, a bevel, and a shadow or a rim around it.
    depth = line.depth(u, v) + (0.008 + dice.normal(look.weight)).clamp(-0.012, 0.04)
    turn, reach = dice.uniform(0, 6.3), dice.uniform(0.03, 0.12)
    shifted = line.depth(u + reach * turn.cos(), v + reach * turn.sin())
    bevel = ((depth - shifted) / reach).clamp_(-1, 1) * (dice.normal(0.25) * dice.chance(look.bevel))
    inked = cover(depth)
    rest = 1 - inked
    inked = inked * (1 + bevel + smooth(dice, size // 4, size // 4, size) * dice.normal(look.wear))
    rim = cover(depth + dice.uniform(0.02, 0.06)) * dice.chance(look.rim) * rest
    rest = (rest - rim) * (1 - cover(shifted) * (dice.uniform(0, 0.8) * dice.chance(look.shadow)))

    # The plate: a rounded box around the number, possibly with a line in the ink's colour along its edge.
    margin, corner = dice.uniform(0.02, 0.35), dice.uniform(0, 0.2)
    du = torch.maximum(line.left - margin - u, u - line.right - margin) + corner
    dv = v.abs() + (corner - 0.5 - dice.uniform(0.08, 0.7))
    plate = corner - torch.hypot(du.clamp(min=0), dv.clamp(min=0)) - torch.maximum(du, dv).clamp_(max=0)
    border = cover(dice.uniform(0.01, 0.04) - (plate - 0.06).abs()) * dice.chance(look.frame)
    inked, rest = inked + rest * border, rest * (1 - border)

    # Behind it all, texture: stucco, wood or scratches (either way), courses of brick or clapboard.
    grain = smooth(dice, size // 2, size // 2, size) * dice.normal(look.grain)
    across, down = smooth(dice, size // 2, 3, size), smooth(dice, 3, size // 2, size)
    streak = torch.where(dice.chance(0.5) > 0, across, down) * (dice.normal(0.06) * dice.chance(look.streak))
    course = (v * dice.uniform(0.8, 4) + dice.uniform(0, 1)) % 1
    joint = (course < 0.18) * (dice.normal(0.2) * dice.chance(look.course))
    rest = rest * (1 + grain + streak + joint)
    plated = rest * torch.maximum(cover(plate), dice.chance(1 - look.plate))

    # Light: a smooth field, and now and then the edge of a shadow.
    light = smooth(dice, 3, 3, size) * dice.normal(0.06) + (x * dice.normal(0.1) + y * dice.normal(0.08) + 1)
    turn = dice.uniform(0, 6.3)
    edge = ((x * turn.cos() + y * turn.sin() - dice.uniform(-0.4, 0.4)) * dice.uniform(3, 30)).sigmoid_()
    light = light * (1 - edge * (dice.uniform(0.1, 0.6) * dice.chance(look.edge)))
    layers = torch.stack([plated, inked, rest - plated, rim], 1) * light[:, None]
    return number.labels, (colours[:, :, 0] @ layers.flatten(2)).view(-1, 3, size, size)


def _crops(n: int, size: int, rng: torch.Generator, look: Look) -> tuple[Tensor, Tensor]:
    """`n` crops (n, 3, SIDE, SIDE) uint8 and labels (n,), photographed on a canvas of `size` native pixels."""
    dice = Dice(n, rng)
    pixels = _heights(dice, size)
    start_x, start_y = ((size - pixels) * dice.uniform(0, 1) for _ in range(2))
    at = torch.arange(size) + 0.5
    x, y = (at - start_x) / pixels - 0.5, (at[:, None] - start_y) / pixels - 0.5
    x, y = x.expand(n, size, size), y.expand(n, size, size)
    labels, image = _scene(dice, look, x, y, pixels)
    image = blur(dice, image, pixels, look.focus)
    noise = dice.normal(1, 3, size, size) * dice.normal(look.noise, 1, 1, 1)
    blotches = smooth(dice, size // 4, size // 4, size, 3) * dice.uniform(0.005, 0.03, 1, 1, 1)
    colour = smooth(dice, size // 2, size // 2, size, 3) * dice.uniform(0.3, 1.3, 1, 1, 1) * look.chroma
    image = image.clamp(0, 0.97) + noise + blotches + colour - colour.mean(1, keepdim=True)
    image = jpeg(dice, image.clamp_(0, 1)).mul_(255).round_().clamp_(0, 255)
    image = resize(image, start_y, start_x, pixels, SIDE)
    return image.round_().clamp_(0, 255).byte(), labels


def _heights(dice: Dice, size: int) -> Tensor:
    """Native heights of boxes (n, 1, 1), pixels: SVHN's, those on a canvas of `size` alone; larger ones count as 48."""
    sizes = sorted(CANVASES)
    index = sizes.index(size)
    above, below = sum(CANVASES[s] for s in sizes[:index]), sum(CANVASES[s] for s in sizes[: index + 1])
    share = dice.uniform(above / CHUNK, below / CHUNK).clamp(0.01, 0.99)
    return (BOX_HEIGHT[0] + BOX_HEIGHT[1] * torch.special.ndtri(share)).exp().clamp(9, size)


def _chunk(seed: int, stream: int, index: int, look: Look) -> tuple[Tensor, Tensor]:
    """CHUNK images and labels, from their own generator."""
    # Torch's generator keeps 32 bits of its seed: counting on from a hash, no two chunks of one seed get the same.
    base = int(np.random.SeedSequence(seed).generate_state(1)[0])
    rng = torch.Generator().manual_seed((base + (stream << 28) + index) % 2**32)
    images, labels = zip(*(_crops(n, size, rng, look) for size, n in CANVASES.items()), strict=True)
    order = torch.randperm(CHUNK, generator=rng)
    return torch.cat(images)[order], torch.cat(labels)[order]


def _check(n: int, seed: int) -> None:
    if n < 1:
        raise ValueError(f"street digits: at least one image is needed, not {n}")
    if seed < 0:
        raise ValueError(f"street digits: a seed cannot be negative, not {seed}")


def draw(n: int, seed: int, stream: int = 0, look: Look = LOOK) -> Split:
    """`n` generated street digits; the same bytes for the same arguments, and draw(m, s) is a prefix of draw(n, s).

    x: uint8 (n, 3, 32, 32), contiguous; y: int64 (n,), in SVHN's class frequencies. Streams of one seed are
    independent. Raises ValueError where n < 1 or the seed is negative.
    """
    _check(n, seed)
    atlas()  # once, before the threads ask for it
    threads = torch.get_num_threads()
    try:  # a thread a chunk: the tensors are small, and threads that share one mostly wait for each other
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads) as pool:
            chunks = pool.map(lambda index: _chunk(seed, stream, index, look), range(-(-n // CHUNK)))
            images, labels = zip(*chunks, strict=True)
    finally:
        torch.set_num_threads(threads)
    return Split(torch.cat(images)[:n].contiguous(), torch.cat(labels)[:n].contiguous())


def street_digits(n: int, seed: int = 0, n_val: int = 6000, n_test: int = 26032) -> Data:
    """Generated street digits: `n` to train on, SVHN's usual numbers to validate and test on.

    Raises ValueError where a split would be empty or the seed is negative.
    """
    sizes = (n, n_val, n_test)
    for size in sizes:  # before the first of them is drawn
        _check(size, seed)
    source = f"generated by dl.data.street.street_digits, version {VERSION}, seed {seed}; not photographs"
    return Data("street-digits", source, *(draw(size, seed, stream) for stream, size in enumerate(sizes)))
