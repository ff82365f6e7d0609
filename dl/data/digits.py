"""The 1,797 handwritten digits that scikit-learn ships (question 3).

They are the test part of the "Optical Recognition of Handwritten Digits" set (E. Alpaydin and C. Kaynak, UCI,
1998, https://doi.org/10.24432/C50P49): 32x32 bitmaps of 43 writers, reduced to 8x8 counts of 0..16 inked
pixels. They are not MNIST, which is 70,000 images of 28x28 in 0..255 from NIST's collection.
"""

import numpy as np
import torch
from PIL import Image

from dl.data.split import Data, Split

HELD_OUT = 360  # images in the validation and in the test part: a fifth each


def digits(seed: int = 0) -> Data:
    """Train 1,077, validation 360 and test 360 images, all three stratified by digit.

    Images are uint8 (N, 8, 8) in 0..16, labels int64 (N,). The same seed gives the same parts.
    """
    from sklearn.datasets import load_digits  # most of a second: not at import

    bunch = load_digits()
    everything = Split(torch.from_numpy(bunch.images.astype(np.uint8)), torch.from_numpy(bunch.target))
    development, test = divide(everything, seed)
    train, val = divide(development, seed)
    return Data("digits", "sklearn.datasets.load_digits (UCI optical digits, test part)", train, val, test)


def resplit(data: Data, seed: int) -> Data:
    """`data` with its train and validation images dealt anew, stratified; the test part stays as it is.

    Repeated splits of this kind average out which images happened to be chosen for validation.
    """
    development = Split(torch.cat([data.train.x, data.val.x]), torch.cat([data.train.y, data.val.y]))
    train, val = divide(development, seed)
    return Data(data.name, data.source, train, val, data.test)


def divide(split: Split, seed: int) -> tuple[Split, Split]:
    """Return the split without, and only, `HELD_OUT` of its images, drawn with every digit's share kept."""
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(split))
    rest, held = train_test_split(indices, test_size=HELD_OUT, stratify=split.y, random_state=seed)
    return Split(split.x[rest], split.y[rest]), Split(split.x[held], split.y[held])


def count_ink(ink: np.ndarray) -> np.ndarray:
    """Return a drawing as these digits are made: uint8 (8, 8), each the number of inked pixels of 16.

    ink: bool (H, W), some of it True. What is inked is scaled to a bitmap of 32x32, its shape kept and in the middle,
    and counted in blocks of 4x4, as the set's authors did (optdigits-orig.names). ValueError where nothing is inked.
    """
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("nothing is drawn")
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(32 * side / max(digit.shape))) for side in digit.shape)
    scaled = np.asarray(Image.fromarray(np.uint8(255) * digit).resize((width, height), Image.Resampling.BOX)) > 127
    before = (32 - height) // 2, (32 - width) // 2
    after = 32 - height - before[0], 32 - width - before[1]
    bitmap = np.pad(scaled, list(zip(before, after, strict=True)))
    return bitmap.reshape(8, 4, 8, 4).sum((1, 3)).astype(np.uint8)
