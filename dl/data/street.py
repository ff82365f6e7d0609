"""Generated street numbers: a stand-in for SVHN's 32x32 crops on machines that cannot have SVHN.

A crop is drawn as it would have come about: glyphs (the fonts that matplotlib ships, and digits drawn with a pen)
on a plate on a wall, lit, photographed at a low native resolution (blur, noise, JPEG), cut out and resized to
32x32. Everything is batched: glyphs are signed distance fields, so that one table yields any weight, width, slant,
outline and shadow. Lengths are in digit heights unless a comment says pixels; y points down.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dl.data.split import Data, Split

VERSION = 1  # raise it whenever the bytes of draw(n, seed) change: digests then tell old runs from new ones
SIDE = 32
CHUNK = 256  # images drawn together from one generator; draw(m, s) is a prefix of draw(n, s) because it is fixed
CANVASES = {16: 72, 32: 120, 48: 64}  # native canvas in pixels (multiples of JPEG's 16) -> images of a chunk
CLASS_COUNTS = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]  # digits 0..9 in SVHN's train set
LENGTHS = [5137, 36260, 26073, 5787]  # and how many of these stand in numbers of 1, 2, 3, 4 and more digits
SLOTS = 5  # the digit, and two neighbours on either side: more never fit a square crop

# --- Glyphs: signed distance fields -----------------------------------------------------------------------------
ROWS, COLS, RESOLUTION = 36, 30, 24  # a cell of the table, and its pixels a digit height: 1.5 x 1.25 heights
OUTSIDE = -0.6  # depth of the empty glyph

FONTS = [  # upright text faces that matplotlib ships (obliques are slanted copies; DejaVu Sans Mono dots its zero)
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "cmss10", "cmtt10", "cmr10", "cmb10"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta", "cmti10"),
]
# Faces drawn with a pen, as most house numbers are: half width of the digits, roundness (2: ellipses, larger: squarer),
# the pen's half stroke and its aspect (>1: thick verticals), and traits: 1 with a (f)lag or a flag and a (F)oot,
# (n)ecked 2, (t)op of the 3 flat, (o)pen 4, (s)traight-backed 6 and 9, (c)urved 7, (b)arred 7, (d)ots at the ends.
PENS = [
    *((0.27, 2.0, 0.065, 1.0, ""), (0.24, 2.6, 0.085, 1.0, "ftoc"), (0.22, 3.5, 0.065, 1.0, "Fs")),
    *((0.30, 2.2, 0.05, 1.0, "toc"), (0.20, 2.3, 0.07, 1.3, "f"), (0.26, 2.2, 0.065, 1.8, "fcd")),
    *((0.28, 2.0, 0.11, 1.0, "fn"), (0.23, 2.0, 0.06, 1.5, "Fd"), (0.25, 5.0, 0.07, 1.0, "fs")),
    *((0.18, 3.0, 0.055, 1.0, "o"), (0.29, 1.7, 0.065, 1.0, "Fsb"), (0.25, 2.4, 0.08, 0.7, "toc")),
    *((0.25, 2.2, 0.10, 1.2, "fd"), (0.27, 2.0, 0.04, 1.0, "fo"), (0.21, 2.5, 0.09, 1.0, "")),
    *((0.26, 2.1, 0.075, 1.0, "ftc"), (0.26, 2.8, 0.12, 1.0, "f"), (0.30, 2.0, 0.08, 1.0, "noc")),
    *((0.24, 2.0, 0.05, 2.2, "Fncd"), (0.22, 2.3, 0.06, 1.6, "fdt"), (0.20, 4.0, 0.10, 1.0, "f")),
]


def _arc(cx, cy, rx, ry, start, stop, roundness=2.0) -> np.ndarray:
    """A polyline (20, 2) along a superellipse, angles in degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, 20))
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.array([cx, cy]) + np.array([rx, ry]) * np.sign(unit) * np.abs(unit) ** (2 / roundness)


def _strokes(digit: int, w: float, p: float, traits: str) -> list[np.ndarray]:
    """The pen's way through `digit`: polylines within x in [-w, w], y in [-0.5, 0.5]."""

    def line(*points):
        return np.array(points, float)

    def dot(*at):  # a ball at the end of a stroke, as Bodoni and Clarendon have
        return [_arc(*at, 0.05, 0.05, 0, 360)] if "d" in traits else []

    if digit == 0:
        return [_arc(0, 0, w, 0.5, 0, 360, p)]
    if digit == 1:
        flag, foot = line((0, -0.5), (-0.7 * w, -0.3)), line((-0.8 * w, 0.5), (0.8 * w, 0.5))
        return [line((0, -0.5), (0, 0.5)), *[flag] * ("f" in traits.lower()), *[foot] * ("F" in traits)]
    if digit == 2:
        foot = line((-w, 0.5), (w, 0.5))
        if "n" in traits:
            return [
                _arc(0, -0.24, w, 0.26, 170, 380, p),
                _arc(w, 0.5, 2 * w, 0.7, 262, 180),
                foot,
                *dot(-0.85 * w, -0.25),
            ]
        return [np.concatenate([_arc(0, -0.23, w, 0.27, 175, 390, p), foot]), *dot(-0.85 * w, -0.25)]
    if digit == 3:
        belly = _arc(0, 0.22, w, 0.28, -92, 175 if "d" in traits else 155, p)
        if "t" in traits:
            return [line((-w, -0.5), (w, -0.5), (-0.03, -0.06)), belly, *dot(-0.8 * w, 0.25)]
        return [_arc(0, -0.26, 0.92 * w, 0.24, -160, 90, p), belly, *dot(-0.75 * w, -0.32), *dot(-0.8 * w, 0.25)]
    if digit == 4:
        if "o" in traits:
            return [line((-w, -0.45), (-w, 0.12), (w, 0.12)), line((0.5 * w, -0.5), (0.5 * w, 0.5))]
        return [line((0.4 * w, 0.5), (0.4 * w, -0.5), (-w, 0.2), (w, 0.2))]
    if digit == 5:
        neck = line((0.9 * w, -0.5), (-0.8 * w, -0.5), (-0.9 * w, -0.03))
        return [neck, _arc(0, 0.18, w, 0.32, -145, 155, p), *dot(-0.8 * w, 0.32)]
    if digit == 6:
        bowl = _arc(0, 0.2, w, 0.3, 0, 360, p)
        if "s" in traits:
            return [bowl, line((0.5 * w, -0.5), (-0.85 * w, 0.08))]
        back = np.concatenate([line((-w, 0.2)), _arc(0, -0.05, w, 0.45, 180, 330, p)])
        return [bowl, back, *dot(0.75 * w, -0.3)]
    if digit == 7:
        leg = _arc(w, 0.5, 1.3 * w, 1.0, 270, 180) if "c" in traits else line((w, -0.5), (-0.3 * w, 0.5))
        bar = line((-0.5 * w, 0.02), (0.7 * w, 0.02))
        return [line((-w, -0.5), (w, -0.5)), leg, *[bar] * ("b" in traits)]
    if digit == 8:
        return [_arc(0, -0.26, 0.88 * w, 0.24, 0, 360, p), _arc(0, 0.24, w, 0.26, 0, 360, p)]
    return [-stroke for stroke in _strokes(6, w, p, traits)]


def _depth(polylines: list[np.ndarray], pen: float = 0, aspect: float = 1) -> np.ndarray:
    """Signed distance (ROWS, COLS) to the ink's edge, positive inside.

    Without a pen the polylines bound the ink (a font's outlines); with one they are its spine.
    """
    start = np.concatenate([line[:-1] for line in polylines]).astype(np.float32)  # (S, 2)
    step = np.concatenate([np.diff(line, axis=0) for line in polylines]).astype(np.float32)
    x = ((np.arange(COLS) + 0.5 - COLS / 2) / RESOLUTION).astype(np.float32)
    y = ((np.arange(ROWS) + 0.5 - ROWS / 2) / RESOLUTION).astype(np.float32)
    px, py = x[None, :, None] - start[:, 0], y[:, None, None] - start[:, 1]  # (1, COLS, S), (ROWS, 1, S)
    sx, sy = step[:, 0] / aspect, step[:, 1]
    along = ((px / aspect * sx + py * sy) / np.maximum(sx * sx + sy * sy, 1e-12)).clip(0, 1)  # (ROWS, COLS, S)
    square = (px / aspect - along * sx) ** 2 + (py - along * sy) ** 2
    distance = np.sqrt(square.min(-1))
    if pen:
        return pen - distance
    above = (py < 0) != (py < step[:, 1])  # does the segment cross this row? (ROWS, 1, S)
    right = px < py * (step[:, 0] / np.where(step[:, 1] == 0, 1, step[:, 1]))  # and does it so right of the pixel?
    inside = (above & right).sum(-1) % 2 == 1
    return np.where(inside, distance, -distance)


def _font_digit(font, digit: int) -> list[np.ndarray]:
    """The outlines of a digit, scaled to height 1 and centred on its ink."""
    from matplotlib.ft2font import LoadFlags
    from matplotlib.path import Path as Outline

    font.load_char(ord(str(digit)), flags=LoadFlags.NO_HINTING)
    polygons = Outline(*font.get_path()).to_polygons()
    points = np.concatenate(polygons)
    low, high = points.min(0), points.max(0)
    return [(polygon - (low + high) / 2) / (high[1] - low[1]) * [1, -1] for polygon in polygons]


@lru_cache(maxsize=1)
def _atlas() -> tuple[Tensor, Tensor]:
    """All glyphs, face by face, the last one empty: depth (10 * faces + 1, ROWS, COLS), half width (same,)."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    depths, widths = [], []
    for name in FONTS:
        font = FT2Font(str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")))
        font.set_size(100, 72)  # large enough that flattened curves are smooth
        for digit in range(10):
            outlines = _font_digit(font, digit)
            depths.append(_depth(outlines))
            widths.append(np.abs(np.concatenate(outlines)[:, 0]).max())
    for width, roundness, pen, aspect, traits in PENS:
        for digit in range(10):
            strokes = [(1 - 2 * pen) * stroke for stroke in _strokes(digit, width, roundness, traits)]
            x = np.concatenate(strokes)[:, 0]
            depths.append(_depth([s - [(x.min() + x.max()) / 2, 0] for s in strokes], pen, aspect))
            widths.append((x.max() - x.min()) / 2 + pen * aspect)
    depths.append(np.full((ROWS, COLS), OUTSIDE))
    widths.append(0.2)
    return torch.tensor(np.stack(depths), dtype=torch.float32), torch.tensor(widths, dtype=torch.float32)


# --- One batch ---------------------------------------------------------------------------------------------------
class _Dice:
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

    def pick(self, weights, *shape: int) -> Tensor:
        """Indices drawn in proportion to `weights`, shaped (n, *shape)."""
        share = torch.tensor(weights, dtype=torch.float64)
        drawn = torch.rand(self.n, *shape, generator=self.rng, dtype=torch.float64)
        return torch.searchsorted(share.cumsum(0)[:-1] / share.sum(), drawn, right=True)


def _glyphs(dice: _Dice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels (n,); depth fields (n, SLOTS, ROWS, COLS), half widths and presence (n, SLOTS): the digit is slot 2."""
    table, width = _atlas()
    faces = len(FONTS) + len(PENS)
    digits = dice.pick(CLASS_COUNTS, SLOTS)
    length = dice.pick(LENGTHS, 1) + 1
    place = (dice.uniform(0, 1, 1) * length).long()
    slot = place + torch.arange(SLOTS) - SLOTS // 2
    present = (slot >= 0) & (slot < length)
    # Two faces blended: distance fields interpolate to shapes that neither font has.
    blend = dice.uniform(0, 0.6, 1) * dice.chance(0.6, 1)
    first, second = (torch.where(present, 10 * dice.pick([1.0] * faces, 1) + digits, 10 * faces) for _ in range(2))
    depth = torch.lerp(table[first], table[second], blend[..., None, None])
    return digits[:, SLOTS // 2], depth, torch.lerp(width[first], width[second], blend), present


def _text(dice: _Dice, x: Tensor, y: Tensor, depth: Tensor, half: Tensor, present: Tensor):
    """Set the number on a line. x, y: (n, C, C), the crop is [-0.5, 0.5]^2.

    Returns text coordinates (u, v) in digit heights, a function from them to depth, the number's left and right end.
    """
    # Crop -> text: the digit fills most of the crop's height, the box is never quite centred, the camera never level.
    height = (0.85 + dice.normal(0.1)).clamp(0.58, 1.05) / (2 * half[:, 2, None, None]).clamp(min=1)
    angle = dice.normal(0.07)
    scale = (1 + x * dice.normal(0.08) + y * dice.normal(0.05)) / height
    x, y = x + dice.normal(0.04), y + dice.normal(0.035)
    u = (x * angle.cos() + y * angle.sin()) * scale
    v = (y * angle.cos() - x * angle.sin()) * scale
    u = u + v * (dice.normal(0.08) + dice.normal(0.24) * dice.chance(0.25))  # slant: a little, or an italic's
    u = u / dice.uniform(0.4, 0.95) * (1 + v * dice.normal(0.08))  # condensed; wider at the top or at the foot
    v = v + dice.normal(0.05) * (0.25 - v * v).clamp(min=0) * 2  # the waist of 3, 5, 8 up or down

    gap = dice.uniform(0.02, 0.4, 1) * dice.uniform(0.2, 1, 1)
    ends = torch.cumsum(2 * half + gap, 1)  # (n, SLOTS)
    centre = ends - half
    ends, centre = ends - centre[:, 2:3], centre - centre[:, 2:3]
    edges = ends[:, :-1, None, None] - gap[:, :, None, None] / 2  # where one glyph's cell ends and the next begins
    rise = centre * dice.normal(0.08, 1) * dice.chance(0.3, 1) + dice.normal(0.02, SLOTS) * dice.chance(0.5, 1)
    stack = depth.view(dice.n, 1, SLOTS * ROWS, COLS)

    def sample(u: Tensor, v: Tensor) -> Tensor:
        slot = sum((u > edges[:, k]).long() for k in range(SLOTS - 1))  # (n, C, C)
        flat = slot.flatten(1)
        u = u - centre.gather(1, flat).view_as(u)
        v = v - rise.gather(1, flat).view_as(v)
        limit_u, limit_v = (COLS / 2 - 1) / RESOLUTION, (ROWS / 2 - 1) / RESOLUTION
        column = u.clamp(-limit_u, limit_u) * (2 * RESOLUTION / COLS)
        row = (v.clamp(-limit_v, limit_v) * RESOLUTION + slot * ROWS + ROWS / 2) * (2 / (SLOTS * ROWS)) - 1
        return F.grid_sample(stack, torch.stack([column, row], -1), align_corners=False)[:, 0]

    left = torch.where(present, centre - half, torch.inf).amin(1)[:, None, None]
    right = torch.where(present, centre + half, -torch.inf).amax(1)[:, None, None]
    return u, v, sample, left, right


def _tint(dice: _Dice, saturation: Tensor) -> Tensor:
    """Colours (n, 3, 1, 1) of luminance 1: mostly blue or brown, as walls and plates are, sometimes any hue."""
    mode = dice.pick([0.55, 0.35, 0.1])[:, None, None]
    blue, brown, any_hue = 3.75 + dice.normal(0.2), 0.55 + dice.normal(0.3), dice.uniform(0, 6.3)
    hue = torch.where(mode == 0, blue, torch.where(mode == 1, brown, any_hue))
    thirds = torch.tensor([0.0, 2.0, 4.0]).view(3, 1, 1) * (math.pi / 3)  # red, green, blue on the colour circle
    colour = 1 + saturation[:, None] * torch.cos(hue[:, None] - thirds)
    return colour / (colour * torch.tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def _smooth(dice: _Dice, rows: int, cols: int, size: int, *channels: int) -> Tensor:
    """A random field (n, *channels, size, size): unit normals at `rows` x `cols` knots, linear between them."""

    def hats(knots: int) -> Tensor:  # (size, knots)
        at = torch.linspace(0, knots - 1, size)
        return (1 - (at[:, None] - torch.arange(knots)).abs()).clamp(min=0)

    return hats(rows) @ (dice.normal(1, *channels, rows, cols) @ hats(cols).T)


def _scene(dice: _Dice, x: Tensor, y: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (n,) and radiance (n, 3, C, C) of the number on its wall. `pixels`: (n, 1, 1), native pixels a crop."""
    labels, depth, half, present = _glyphs(dice)
    u, v, sample, left, right = _text(dice, x, y, depth, half, present)
    size = x.shape[-1]

    def cover(depth: Tensor) -> Tensor:  # antialiased: a ramp one pixel wide
        return (depth * pixels + 0.5).clamp_(0, 1)

    # Luminance of plate, ink and wall: contrast is mostly low, of either sign.
    vivid = torch.where(dice.chance(0.12) > 0, dice.uniform(0.2, 0.8), dice.normal(0.1).abs())
    back = (0.54 + dice.normal(0.18)).clamp(0.12, 0.9) * (1 - 0.5 * vivid)  # enamel: the more colour, the darker
    contrast = (dice.normal(0.45) - 0.95).exp().clamp(0.2, 0.8)
    dark = dice.uniform(0, 1) < (2 * back - 0.3).clamp(0.05, 0.95)  # ink on a bright plate is mostly dark
    ink = back + torch.where(dark, -contrast, contrast)
    ink = torch.where((ink < 0.03) | (ink > 0.97), 2 * back - ink, ink).clamp(0.03, 0.97)  # no room: the other sign
    wall = (back - 0.12 + dice.normal(0.2)).clamp(0.04, 0.95)
    shades = torch.stack([back, ink, wall, 1 - ink], -1)  # (n, 1, 1, 4), the last a rim's
    tints = [_tint(dice, vivid)] + [_tint(dice, dice.normal(0.12).abs()) for _ in range(3)]
    colours = torch.cat(tints, -1) * _tint(dice, dice.normal(0.06).abs()) * shades  # (n, 3, 1, 4), with a cast

    # Layers from the top: each takes its share of the light that those above it leave.
    # The ink: its weight, its wear, a bevel, and a shadow or a rim around it.
    depth = sample(u, v) + dice.normal(0.018).clamp(-0.03, 0.05)
    turn, reach = dice.uniform(0, 6.3), dice.uniform(0.03, 0.12)
    shifted = sample(u + reach * turn.cos(), v + reach * turn.sin())
    bevel = ((depth - shifted) / reach).clamp_(-1, 1) * (dice.normal(0.25) * dice.chance(0.3))
    inked = cover(depth)
    rest = 1 - inked
    inked = inked * (1 + bevel + _smooth(dice, size // 4, size // 4, size) * dice.normal(0.06))
    rim = cover(depth + dice.uniform(0.02, 0.06)) * dice.chance(0.15) * rest
    rest = (rest - rim) * (1 - cover(shifted) * (dice.uniform(0, 0.8) * dice.chance(0.25)))

    # The plate: a rounded box around the number, possibly with a line in the ink's colour along its edge.
    margin, corner = dice.uniform(0.05, 0.6), dice.uniform(0, 0.2)
    du = torch.maximum(left - margin - u, u - right - margin) + corner
    dv = v.abs() + (corner - 0.5 - dice.uniform(0.03, 0.5))
    plate = corner - torch.hypot(du.clamp(min=0), dv.clamp(min=0)) - torch.maximum(du, dv).clamp_(max=0)
    line = cover(dice.uniform(0.01, 0.04) - (plate - 0.06).abs()) * dice.chance(0.15)
    inked, rest = inked + rest * line, rest * (1 - line)

    # Behind it all, texture: stucco, wood or scratches (either way), courses of brick or clapboard.
    grain = _smooth(dice, size // 2, size // 2, size) * dice.normal(0.03)
    across, down = _smooth(dice, size // 2, 3, size), _smooth(dice, 3, size // 2, size)
    streak = torch.where(dice.chance(0.5) > 0, across, down) * (dice.normal(0.06) * dice.chance(0.3))
    course = (v * dice.uniform(0.8, 4) + dice.uniform(0, 1)) % 1
    joint = (course < 0.18) * (dice.normal(0.2) * dice.chance(0.12))
    rest = rest * (1 + grain + streak + joint)
    plated = rest * torch.maximum(cover(plate), dice.chance(0.5))

    # Light: a smooth field, and now and then the edge of a shadow.
    light = _smooth(dice, 3, 3, size) * dice.normal(0.08) + (x * dice.normal(0.15) + y * dice.normal(0.15) + 1)
    light = light * torch.minimum(dice.normal(0.25).exp(), 1 / torch.maximum(back, ink))  # exposed for the number
    turn = dice.uniform(0, 6.3)
    edge = ((x * turn.cos() + y * turn.sin() - dice.uniform(-0.4, 0.4)) * dice.uniform(3, 30)).sigmoid_()
    light = light * (1 - edge * (dice.uniform(0.1, 0.6) * dice.chance(0.15)))
    layers = torch.stack([plated, inked, rest - plated, rim], 1) * light[:, None]
    return labels, (colours[:, :, 0] @ layers.flatten(2)).view(-1, 3, size, size)


# --- The camera --------------------------------------------------------------------------------------------------
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


def _blur(dice: _Dice, image: Tensor, pixels: Tensor) -> Tensor:
    """Lens and motion (n, 3, C, C): a Gaussian of different width in x and y, each colour a little displaced."""
    size = image.shape[-1]
    at = torch.arange(size, dtype=torch.float32)
    pixels = pixels[..., None]  # sharp pictures are rare even from near by
    focus = dice.normal(0.35, 1, 1, 1).exp() * (0.35 + 0.013 * pixels)

    def matrix() -> Tensor:  # (n, 3, C, C), rows sum to 1
        width = torch.hypot(focus, dice.uniform(0, 0.05, 1, 1, 1) * pixels * dice.chance(0.25, 1, 1, 1))
        shift = dice.normal(0.2, 3, 1, 1)
        kernel = torch.exp((-0.5 * ((at[:, None] - at + shift) / width) ** 2).clamp(min=-40))  # no slow denormals
        kernel = kernel / kernel.sum(-1, keepdim=True)
        halo = dice.uniform(0, 0.35, 1, 1, 1) * dice.chance(0.5, 1, 1, 1)  # a camera's sharpening: I + a (I - K)
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


def _jpeg(dice: _Dice, image: Tensor) -> Tensor:
    """JPEG with 2x2 chroma subsampling, quality about 30 to 95."""
    planes = torch.einsum("dc,nchw->ndhw", TO_YCC, image)
    coarse = dice.uniform(-2.3, 0.2, 1, 1, 1).exp()
    luma = _code(planes[:, :1], coarse * QUANT)
    chroma = _code(F.avg_pool2d(planes[:, 1:], 2), coarse * QUANT_CHROMA)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.einsum("dc,nchw->ndhw", TO_RGB, torch.cat([luma, chroma], 1))


def _resize(image: Tensor, start_y: Tensor, start_x: Tensor, pixels: Tensor) -> Tensor:
    """Cut [start, start + pixels)^2 out of (n, 3, C, C) and resize to (n, 3, SIDE, SIDE), bicubic and antialiased."""
    at = torch.arange(image.shape[-1], dtype=torch.float32)
    out = (torch.arange(SIDE) + 0.5)[:, None] / SIDE

    def matrix(start: Tensor) -> Tensor:  # (n, 1, SIDE, C)
        t = ((start + out * pixels - 0.5 - at) / (pixels / SIDE).clamp(min=1)).abs()
        near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
        weight = torch.where(t < 1, near, torch.where(t < 2, far, 0.0))
        return (weight / weight.sum(-1, keepdim=True))[:, None]

    return matrix(start_y) @ image @ matrix(start_x).transpose(-1, -2)


def _crops(n: int, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """`n` crops (n, 3, SIDE, SIDE) uint8 and labels (n,), photographed on a canvas of `size` native pixels."""
    dice = _Dice(n, rng)
    pixels = dice.uniform(max(size - 16, 9), size)  # the crop's native side
    start_x, start_y = ((size - pixels) * dice.uniform(0, 1) for _ in range(2))
    at = torch.arange(size) + 0.5
    x, y = (at - start_x) / pixels - 0.5, (at[:, None] - start_y) / pixels - 0.5
    x, y = x.expand(n, size, size), y.expand(n, size, size)
    labels, image = _scene(dice, x, y, pixels)
    image = _blur(dice, image, pixels)
    noise = dice.normal(1, 3, size, size) * dice.normal(0.012, 1, 1, 1)
    blotches = _smooth(dice, size // 4, size // 4, size, 3) * dice.uniform(0.005, 0.03, 1, 1, 1)
    image = _jpeg(dice, (image + noise + blotches).clamp_(0, 1)).clamp_(0, 1)
    image = _resize(image, start_y, start_x, pixels)
    return image.mul_(255).round_().clamp_(0, 255).byte(), labels


def _chunk(seed: int, stream: int, index: int) -> tuple[Tensor, Tensor]:
    """CHUNK images and labels, from their own generator."""
    # Torch's generator keeps 32 bits of its seed: counting on from a hash, no two chunks of one seed get the same.
    base = int(np.random.SeedSequence(seed).generate_state(1)[0])
    rng = torch.Generator().manual_seed((base + (stream << 28) + index) % 2**32)
    images, labels = zip(*(_crops(n, size, rng) for size, n in CANVASES.items()), strict=True)
    order = torch.randperm(CHUNK, generator=rng)
    return torch.cat(images)[order], torch.cat(labels)[order]


def _check(n: int, seed: int) -> None:
    if n < 1:
        raise ValueError(f"street digits: at least one image is needed, not {n}")
    if seed < 0:
        raise ValueError(f"street digits: a seed cannot be negative, not {seed}")


def draw(n: int, seed: int, stream: int = 0) -> Split:
    """`n` generated street digits; the same bytes for the same arguments, and draw(m, s) is a prefix of draw(n, s).

    x: uint8 (n, 3, 32, 32), contiguous; y: int64 (n,), in SVHN's class frequencies. Streams of one seed are
    independent. Raises ValueError where n < 1 or the seed is negative.
    """
    _check(n, seed)
    _atlas()  # once, before the threads ask for it
    threads = torch.get_num_threads()
    try:  # a thread a chunk: the tensors are small, and threads that share one mostly wait for each other
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads) as pool:
            chunks = pool.map(lambda index: _chunk(seed, stream, index), range(-(-n // CHUNK)))
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
