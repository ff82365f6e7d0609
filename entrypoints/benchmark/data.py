"""Loading SVHN beside torchvision's class, and generating street digits."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from scipy.io import savemat
from torchvision import datasets

from dl.data import svhn
from dl.data.download import md5_of
from dl.data.street import draw
from dl.data.svhn import Published
from entrypoints.benchmark.rows import SpeedRow, stopwatch, take_turns

SVHN_IMAGES = {"train": 73_257, "test": 26_032}


def data_rows(repeats: int) -> Iterator[SpeedRow]:
    with TemporaryDirectory() as folder:
        published = write_svhn_sized(Path(folder))

        class Peer(datasets.SVHN):
            split_list = {part: ["", each.file, each.md5] for part, each in published.items()}  # noqa: RUF012

        def theirs() -> float:
            return stopwatch(lambda: [Peer(folder, split=part) for part in SVHN_IMAGES])

        def warm() -> float:
            return stopwatch(lambda: svhn(folder, published=published))

        def cold() -> float:
            for prepared in Path(folder).glob("*.npy"):
                prepared.unlink()
            return warm()

        values = take_turns({"ours": cold, "theirs": theirs}, repeats)
        what = "SVHN, the first load (checks and prepares), beside torchvision's (random pixels of SVHN's size)"
        yield SpeedRow("svhn_first_load", what, "seconds", values["ours"], values["theirs"])
        values = take_turns({"ours": warm, "theirs": theirs}, repeats)
        what = "SVHN, every later load, beside torchvision's"
        yield SpeedRow("svhn_loading", what, "seconds", values["ours"], values["theirs"])
    images = 1024 * torch.get_num_threads()
    values = take_turns({"ours": lambda: images / stopwatch(lambda: draw(images, 1))}, repeats)
    what = f"street digits, generated on {torch.get_num_threads()} cores"
    yield SpeedRow("street_digits", what, "images/s", values["ours"])


def write_svhn_sized(folder: Path) -> dict[str, Published]:
    """Write random pixels in SVHN's layout and size; return what would be published of each part.

    85 grey levels compress as photographs do there: to 183 MB of 225 (the published train file has 182).
    """
    published = {}
    for part, n in SVHN_IMAGES.items():
        path = folder / f"{part}_32x32.mat"
        pixels = torch.randint(0, 85, (32, 32, 3, n), dtype=torch.uint8).numpy()
        labels = (torch.arange(n) % 10 + 1).to(torch.uint8).numpy()[:, None]
        savemat(path, {"X": pixels, "y": labels}, do_compression=True)
        with path.open("rb") as file:
            published[part] = Published(path.name, md5_of(file), n)
    return published
