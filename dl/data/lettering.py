"""House numbers: which digits, in which face, how wide and how far apart, and where the camera sees them.

What is counted or fitted comes from SVHN's published labels and boxes. Lengths are in digit heights; y points down.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dl.data.camera import Dice, smooth
from dl.data.glyphs import COLS, FACES, FONTS, OPEN_FACES, PENS, RESOLUTION, ROWS, atlas

CLASS_COUNTS = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]  # digits 0..9 in SVHN's train set
FIRST_COUNTS = [84, 9243, 6321, 4348, 3511, 2829, 2153, 1877, 1585, 1451]  # and how many of these open a number
LENGTHS = [5137, 36260, 26073, 5787]  # and how many of these stand in numbers of 1, 2, 3, 4 and more digits
SLOTS = 5  # the digit, and two neighbours on either side: more never fit a square crop
# Boxes of SVHN's train set: ln of the distance of neighbours' centres in heights, mean and standard deviation
PITCH = (-0.77, 0.28)


@dataclass(frozen=True)
class Look:
    """How generated numbers look: chances of what is there or not, standard deviations of what varies; 0 is without."""

    # Lettering
    fonts: float = 1.0  # weight of a face of faces.npz, beside 1 for each of matplotlib's and of the pens
    thick: float = 0.7  # chance of thicker verticals, as enamel plates and condensed faces have
    weight: float = 0.02  # bolder or lighter
    tabular: float = 0.5  # chance that digits stand equally far apart, whatever their width
    slant: float = 0.06  # all numbers, a little
    italic: float = 0.1  # chance of much more
    warp: float = 0.012  # crooked outlines, of hands and time
    # What the camera sees
    fill: float = 0.075  # how much of its box's height a digit fills
    jitter: float = 0.035  # how far boxes, which people drew, are from the digit's centre, in crops
    slope: float = 0.07  # a wall seen from the side, or steps: neighbours higher or lower, verticals upright
    turn: float = 0.05  # camera or plate turned, radians
    steep: float = 0.1  # chance of three times as much of both
    focus: float = 0.38  # of ln of the blur's width
    noise: float = 0.012  # of each pixel
    chroma: float = 0.011  # coloured noise, two pixels wide
    # Ink, plate and wall
    dark: float = 0.6  # chance that the ink is darker than its background
    vivid: float = 0.2  # chance of coloured enamel
    plate: float = 0.75  # chance that the plate ends within sight
    frame: float = 0.15  # chance of a line along its edge
    rim: float = 0.15  # chance that digits are outlined
    shadow: float = 0.25  # chance that they cast one
    bevel: float = 0.3  # chance that their edges catch light
    wear: float = 0.06  # of the ink
    grain: float = 0.03  # of what is behind it
    streak: float = 0.3  # chance of wood or scratches
    course: float = 0.12  # chance of brick or clapboard
    edge: float = 0.15  # chance of the edge of a shadow on the wall


LOOK = Look()


@dataclass(frozen=True)
class Number:
    """A house number of which the digit in the middle slot is asked for."""

    labels: Tensor  # (n,)
    depth: Tensor  # fields of all slots (n, SLOTS, ROWS, COLS)
    half: Tensor  # half widths (n, SLOTS)
    present: Tensor  # which slots belong to the number (n, SLOTS)


def compose(dice: Dice, look: Look) -> Number:
    """Draw `dice.n` numbers, each in one face, and which of its digits is asked for."""
    table, width = atlas()
    length = dice.pick(LENGTHS, 1) + 1
    place = (dice.uniform(0, 1, 1) * length).long()
    slot = place + torch.arange(SLOTS) - SLOTS // 2
    present = (slot >= 0) & (slot < length)
    later = [count - first for count, first in zip(CLASS_COUNTS, FIRST_COUNTS, strict=True)]
    digits = torch.where(slot == 0, dice.pick(FIRST_COUNTS, SLOTS), dice.pick(later, SLOTS))
    weights = [1.0] * len(FONTS) + [look.fonts] * OPEN_FACES + [1.0] * PENS
    glyph = torch.where(present, 10 * dice.pick(weights, 1) + digits, 10 * FACES)
    thick = dice.uniform(0, 1.2, 1) * dice.chance(look.thick, 1)  # distance fields interpolate to the weights between
    depth = torch.lerp(table[glyph], table[len(table) // 2 + glyph], thick[..., None, None])
    return Number(digits[:, SLOTS // 2], depth, width[glyph], present)


@dataclass(frozen=True)
class Line:
    """A number set on a line, in coordinates (u, v) of its own: heights from the middle of the digit asked for."""

    u: Tensor  # of each pixel (n, C, C)
    v: Tensor
    left: Tensor  # where the number begins and ends (n, 1, 1)
    right: Tensor
    stack: Tensor  # depth fields, one below the other (n, 1, SLOTS * ROWS, COLS)
    centre: Tensor  # of each glyph (n, SLOTS)
    rise: Tensor  # and how far it hangs
    edges: Tensor  # between one glyph and the next (n, SLOTS - 1, 1, 1)

    def depth(self, u: Tensor, v: Tensor) -> Tensor:
        """Signed distance (n, C, C) from (u, v) to the edge of the ink, positive inside."""
        slot = (u[:, None] > self.edges).sum(1)
        flat = slot.flatten(1)
        u = u - self.centre.gather(1, flat).view_as(u)
        v = v - self.rise.gather(1, flat).view_as(v)
        limit_u, limit_v = (COLS / 2 - 1) / RESOLUTION, (ROWS / 2 - 1) / RESOLUTION
        column = u.clamp(-limit_u, limit_u) * (2 * RESOLUTION / COLS)
        row = (v.clamp(-limit_v, limit_v) * RESOLUTION + slot * ROWS + ROWS / 2) * (2 / (SLOTS * ROWS)) - 1
        return F.grid_sample(self.stack, torch.stack([column, row], -1), align_corners=False)[:, 0]


def typeset(dice: Dice, look: Look, number: Number, x: Tensor, y: Tensor) -> Line:
    """Set `number` on a line as the camera sees it. x, y: (n, C, C), the crop is [-0.5, 0.5]^2."""
    # Crop -> number: boxes are drawn by hand, a little larger than the digit, and the camera is never level.
    fill = (0.85 + dice.normal(look.fill)).clamp(0.62, 1.02)
    steep = 1 + 2 * dice.chance(look.steep)
    angle, slope = dice.normal(look.turn) * steep, dice.normal(look.slope) * steep
    scale = (1 + x * dice.normal(0.08) + y * dice.normal(0.05)) / fill
    x, y = x + dice.normal(look.jitter), y + dice.normal(look.jitter)
    y = y - x * slope
    u = (x * angle.cos() + y * angle.sin()) * scale
    v = (y * angle.cos() - x * angle.sin()) * scale
    crooked = smooth(dice, 4, 4, x.shape[-1], 2) * dice.normal(look.warp, 1, 1, 1)
    u, v = u + crooked[:, 0], v + crooked[:, 1]
    u = u + v * (dice.normal(look.slant) + (0.15 + dice.normal(0.2)) * dice.chance(look.italic))

    # Widths: distances of neighbours as in SVHN, reached by condensing the digits, or by gaps where they get too wide.
    half, present = number.half, number.present
    mean = (half * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)
    cell = torch.lerp(half, mean.expand_as(half), dice.chance(look.tabular, 1))
    gap = dice.uniform(0.02, 0.4, 1) * dice.uniform(0.2, 1, 1)
    pitch = (PITCH[0] + dice.normal(PITCH[1], 1)).exp() / fill[:, 0]
    condense = (pitch / (2 * mean + gap)).clamp(0.35, 1.05)
    gap = torch.maximum(gap, pitch / condense - 2 * mean)
    u = u / condense[..., None] * (1 + v * dice.normal(0.06))  # wider at the top or at the foot
    v = v + dice.normal(0.05) * (0.25 - v * v).clamp(min=0) * 2  # the waist of 3, 5, 8 up or down
    centre = torch.cumsum(2 * cell + gap, 1) - cell
    centre = centre - centre[:, SLOTS // 2, None]
    return Line(
        u=u,
        v=v,
        left=torch.where(present, centre - cell, torch.inf).amin(1)[:, None, None],
        right=torch.where(present, centre + cell, -torch.inf).amax(1)[:, None, None],
        stack=number.depth.view(dice.n, 1, SLOTS * ROWS, COLS),
        centre=centre,
        rise=dice.normal(0.02, SLOTS) * dice.chance(0.5, 1),
        edges=((centre + half)[:, :-1] + (centre - half)[:, 1:])[..., None, None] / 2,
    )
