"""What an epoch trained on and what it still read wrongly, as one picture drawn without matplotlib: in milliseconds."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMNS, TILE, GAP, CAPTION = 8, 64, 8, 16  # tiles a row; pixels


def training_sheet(parts: dict[str, tuple[np.ndarray, list[str]]], rows: int = 2) -> Image.Image:
    """Return images under their headings, `rows` rows of eight each, those that are missing left blank.

    parts: heading -> (uint8 images (N, 3, H, W), a caption each).
    """
    font = ImageFont.load_default(12)
    height = 2 * CAPTION + rows * (TILE + CAPTION + GAP)  # of a part
    sheet = Image.new("RGB", (GAP + COLUMNS * (TILE + GAP), GAP + len(parts) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for part, (heading, (images, captions)) in enumerate(parts.items()):
        top = GAP + part * height
        draw.text((GAP, top), heading, "black", font)
        for index, (image, caption) in enumerate(zip(images[: rows * COLUMNS], captions, strict=False)):
            row, column = divmod(index, COLUMNS)
            x, y = GAP + column * (TILE + GAP), top + CAPTION + GAP + row * (TILE + CAPTION + GAP)
            tile = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (x, y))
            draw.text((x + TILE // 2, y + TILE), caption, "black", font, anchor="ma")
    return sheet
