"""Digits as signed distance fields: one table of them yields any weight, width, slant, outline and shadow.

Faces come from three places: the fonts that matplotlib ships, `faces.npz` (the digits of open fonts that resemble
house numbers; origin and licence in `faces.txt`), and pens, which draw strokes. Lengths are in digit heights; y points
down.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

ROWS, COLS, RESOLUTION = 36, 30, 24  # a cell of the table, and its pixels a digit height: 1.5 x 1.25 heights
OUTSIDE = -0.6  # depth of the empty glyph
OPEN_FACES = 88  # in faces.npz
THIN = 0.004  # what thickened glyphs lose all around, so that their hairlines stay fine

FONTS = [  # upright text faces that matplotlib ships (obliques are slanted copies; DejaVu Sans Mono dots its zero)
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "cmss10", "cmtt10", "cmr10", "cmb10"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta", "cmti10"),
]
# Faces drawn with a pen, as most house numbers are, by a fixed draw: half width of the digits, roundness (2: ellipses,
# larger: squarer), the pen's half stroke and its aspect (>1: thick verticals), and traits: 1 with a (f)lag, a (l)ong
# flag or a (F)oot, (n)ecked 2, (t)op of the 3 flat, (o)pen 4, (s)traight-backed 6 and 9, (c)urved 7, (b)arred 7,
# (d)ots at the ends.
PENS = 40


def _pens() -> list[tuple[float, float, float, float, str]]:
    """Draw the pens; the same ones always."""
    rng = np.random.default_rng(5)
    share = {"f": 0.6, "l": 0.15, "F": 0.2, "n": 0.3, "t": 0.4, "o": 0.25, "s": 0.2, "c": 0.4, "b": 0.1, "d": 0.25}
    pens = []
    for _ in range(PENS):
        width, roundness, pen = rng.uniform(0.2, 0.31), 2 * np.exp(abs(rng.normal(0, 0.3))), rng.uniform(0.035, 0.095)
        aspect = min(np.exp(max(0.0, rng.normal(0.1, 0.4))), 0.11 / pen)
        pens.append((width, roundness, pen, aspect, "".join(t for t, chance in share.items() if rng.random() < chance)))
    return pens


FACES = len(FONTS) + OPEN_FACES + PENS

Pair = tuple[float, float]


def _arc(centre: Pair, radii: Pair, degrees: Pair, roundness: float = 2.0) -> np.ndarray:
    """A polyline (20, 2) along a superellipse, from angle to angle, clockwise from the right."""
    angle = np.radians(np.linspace(*degrees, 20))
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.array(centre) + np.array(radii) * np.sign(unit) * np.abs(unit) ** (2 / roundness)


def _strokes(digit: int, w: float, p: float, traits: str) -> list[np.ndarray]:
    """The pen's way through `digit`: polylines within x in [-w, w], y in [-0.5, 0.5]."""

    def line(*points: tuple[float, float]) -> np.ndarray:
        return np.array(points, float)

    def dot(x: float, y: float) -> list[np.ndarray]:  # a ball at the end of a stroke, as Bodoni has
        return [_arc((x, y), (0.05, 0.05), (0, 360))] if "d" in traits else []

    if digit == 0:
        return [_arc((0, 0), (w, 0.5), (0, 360), p)]
    if digit == 1:
        flag = line((0, -0.5), (-1.6 * w, 0.0)) if "l" in traits else line((0, -0.5), (-0.7 * w, -0.3))
        foot = line((-0.8 * w, 0.5), (0.8 * w, 0.5))
        return [line((0, -0.5), (0, 0.5)), *[flag] * bool({"f", "l", "F"} & set(traits)), *[foot] * ("F" in traits)]
    if digit == 2:
        foot = line((-w, 0.5), (w, 0.5))
        if "n" in traits:
            return [
                _arc((0, -0.24), (w, 0.26), (170, 380), p),
                _arc((w, 0.5), (2 * w, 0.7), (262, 180)),
                foot,
                *dot(-0.85 * w, -0.25),
            ]
        return [np.concatenate([_arc((0, -0.23), (w, 0.27), (175, 390), p), foot]), *dot(-0.85 * w, -0.25)]
    if digit == 3:
        belly = _arc((0, 0.22), (w, 0.28), (-92, 175 if "d" in traits else 155), p)
        if "t" in traits:
            return [line((-w, -0.5), (w, -0.5), (-0.03, -0.06)), belly, *dot(-0.8 * w, 0.25)]
        return [_arc((0, -0.26), (0.92 * w, 0.24), (-160, 90), p), belly, *dot(-0.75 * w, -0.32), *dot(-0.8 * w, 0.25)]
    if digit == 4:
        if "o" in traits:
            return [line((-w, -0.45), (-w, 0.12), (w, 0.12)), line((0.5 * w, -0.5), (0.5 * w, 0.5))]
        return [line((0.4 * w, 0.5), (0.4 * w, -0.5), (-w, 0.2), (w, 0.2))]
    if digit == 5:
        neck = line((0.9 * w, -0.5), (-0.8 * w, -0.5), (-0.9 * w, -0.03))
        return [neck, _arc((0, 0.18), (w, 0.32), (-145, 155), p), *dot(-0.8 * w, 0.32)]
    if digit == 6:
        bowl = _arc((0, 0.2), (w, 0.3), (0, 360), p)
        if "s" in traits:
            return [bowl, line((0.5 * w, -0.5), (-0.85 * w, 0.08))]
        back = np.concatenate([line((-w, 0.2)), _arc((0, -0.05), (w, 0.45), (180, 330), p)])
        return [bowl, back, *dot(0.75 * w, -0.3)]
    if digit == 7:
        leg = _arc((w, 0.5), (1.3 * w, 1.0), (270, 180)) if "c" in traits else line((w, -0.5), (-0.3 * w, 0.5))
        bar = line((-0.5 * w, 0.02), (0.7 * w, 0.02))
        return [line((-w, -0.5), (w, -0.5)), leg, *[bar] * ("b" in traits)]
    if digit == 8:
        return [_arc((0, -0.26), (0.88 * w, 0.24), (0, 360), p), _arc((0, 0.24), (w, 0.26), (0, 360), p)]
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


def _font_digit(font: "FT2Font", digit: int) -> list[np.ndarray]:
    """The outlines of a digit, scaled to height 1 and centred on its ink."""
    from matplotlib.ft2font import LoadFlags
    from matplotlib.path import Path as Outline

    font.load_char(ord(str(digit)), flags=LoadFlags.NO_HINTING)
    polygons = Outline(*font.get_path()).to_polygons()
    points = np.concatenate(polygons)
    low, high = points.min(0), points.max(0)
    return [(polygon - (low + high) / 2) / (high[1] - low[1]) * [1, -1] for polygon in polygons]


def _file_digits() -> list[list[np.ndarray]]:
    """The outlines in `faces.npz`, face by face, digits 0 to 9."""
    with np.load(Path(__file__).with_name("faces.npz")) as content:
        polygons = np.split(content["points"] / 512, content["sizes"].cumsum()[:-1])
        counts = content["polygons"].astype(int)
    return [polygons[end - count : end] for end, count in zip(counts.cumsum(), counts, strict=True)]


@lru_cache(maxsize=1)
def atlas() -> tuple[Tensor, Tensor]:
    """Build the table of all glyphs, once.

    Returns depths (2 * (10 * FACES + 1), ROWS, COLS): ten digits a face and an empty one, then the same with thicker
    verticals; and half widths (10 * FACES + 1,).
    """
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
    for outlines in _file_digits():
        depths.append(_depth(outlines))
        widths.append(np.abs(np.concatenate(outlines)[:, 0]).max())
    for width, roundness, pen, aspect, traits in _pens():
        for digit in range(10):
            strokes = [(1 - 2 * pen) * stroke for stroke in _strokes(digit, width, roundness, traits)]
            x = np.concatenate(strokes)[:, 0]
            depths.append(_depth([s - [(x.min() + x.max()) / 2, 0] for s in strokes], pen, aspect))
            widths.append((x.max() - x.min()) / 2 + pen * aspect)
    depths.append(np.full((ROWS, COLS), OUTSIDE))
    depth = torch.tensor(np.stack(depths), dtype=torch.float32)
    # Again with thicker verticals: what is condensed loses theirs, and enamel plates are mostly in fat faces.
    thick = F.max_pool2d(depth, (1, 3), 1, (0, 1)) - THIN
    return torch.cat([depth, thick]), torch.tensor([*widths, 0.2], dtype=torch.float32)
