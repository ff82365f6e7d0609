"""SVHN, format 2 (32x32 crops): Netzer et al., "Reading digits in natural images with unsupervised feature learning",
2011. 73,257 images to train on, 26,032 to test on, 531,131 easier ones besides; non-commercial use only.

Whatever layout its files have, they are converted once to contiguous `.npy` files beside them, which are mapped into
memory afterwards: milliseconds instead of seconds, and no copy a process.
"""

import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0

from dl.data.download import Progress, download, md5_of
from dl.data.split import Data, Split

VALIDATION = 6000  # images of the train set that are held out (a tenth of it where a file is smaller)
SPLIT_SEED = 0  # fixed: every run of every user validates on the same images
HOME = "http://ufldl.stanford.edu/housenumbers"


@dataclass(frozen=True)
class Published:
    """One of the files that SVHN's authors published."""

    file: str
    md5: str
    images: int
    home: str = HOME

    def addresses(self) -> list[str]:
        """Return where it may be had: the mirror $SVHN_MIRROR where that is set, then its home."""
        bases = [base for base in (os.environ.get("SVHN_MIRROR"), self.home) if base]
        return [f"{base.rstrip('/')}/{self.file}" for base in bases]


PUBLISHED = {
    "train": Published("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 73_257),
    "test": Published("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 26_032),
    "extra": Published("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 531_131),
}
Arrays = tuple[np.ndarray, np.ndarray]  # images, uint8 (N, 3, 32, 32), and digits, int64 (N,)


class MissingError(FileNotFoundError):
    """SVHN's files are neither there nor to be had."""


@dataclass(frozen=True)
class Shelf:
    """The folder where SVHN's files lie, or are to be downloaded to."""

    root: Path
    published: Mapping[str, Published]
    report: Progress | None  # of a download; None: nothing is downloaded

    def stem(self, split: str, *parts: str) -> Path:
        """Return how the prepared files of a split begin; a changed source changes the name."""
        return self.root / "-".join(["svhn", *(self.published[part].md5[:8] for part in parts), split])

    def read(self, part: str) -> Arrays:
        """Return a part's images and digits in the file's order, from the first layout that is there."""
        published = self.published[part]
        for pattern, reader in LAYOUTS.items():
            if paths := sorted(self.root.glob(pattern.format(part=part, file=published.file))):
                return reader(paths, published)
        return _read_mat([self._download(published)], published)

    def _download(self, published: Published) -> Path:
        path = self.root.absolute() / published.file
        advice = (
            f"Put {path.name} (md5 {published.md5}, from {published.home}), also gzipped, or the Parquet files "
            f"`cropped_digits` of huggingface.co/datasets/ufldl-stanford/svhn into {path.parent}, or set SVHN_MIRROR "
            f"to the address of a folder that has {path.name}"
        )
        if self.report is None:
            raise MissingError(f"{path} is missing. {advice}.")
        made = not self.root.exists()
        try:
            download(path, published.md5, published.addresses(), self.report)
        except OSError as error:
            if made:
                with suppress(OSError):  # something has arrived
                    self.root.rmdir()
            raise MissingError(f"{path} is missing and cannot be downloaded ({error}). {advice}.") from error
        return path


def svhn(
    root: str | Path,
    *,
    extra: bool = False,
    report: Progress | None = lambda file, there, total: None,
    published: Mapping[str, Published] = PUBLISHED,
) -> Data:
    """Return SVHN from `root`: train (67,257), validation (6,000, stratified), test (26,032, the official one).

    x: uint8 (N, 3, 32, 32), contiguous, memory-mapped; y: int64, the file's label 10 turned into 0. extra: the 531,131
    easier images come behind the train split's. report: told how a download goes on; None: nothing is downloaded.
    Raises MissingError where a file is not there and cannot be downloaded, ValueError where one is not the published
    one; each names the file, what was expected and what to do.
    """
    shelf = Shelf(Path(root), published, report)
    train, val, test = (shelf.stem(*names) for names in (("train", "train"), ("val", "train"), ("test", "test")))
    if not (_is_there(train) and _is_there(val)):
        x, y = shelf.read("train")
        for stem, rows in zip((train, val), _split(y), strict=True):
            _save(stem, [(x[rows], y[rows])])
    if not _is_there(test):
        _save(test, [shelf.read("test")])
    name, source = "svhn", f"SVHN cropped digits, {published['train'].home}"
    if extra:
        name, source, more = "svhn-extra", f"{source}, train and extra", shelf.stem("train", "train", "extra")
        if not _is_there(more):
            mapped = _map(train)
            _save(more, [(mapped.x.numpy(), mapped.y.numpy()), shelf.read("extra")])
        train = more
    return Data(name, source, _map(train), _map(val), _map(test))


def _split(y: np.ndarray) -> list[np.ndarray]:
    """Return the rows of train and validation, ascending."""
    from sklearn.model_selection import train_test_split

    held_out = min(VALIDATION, len(y) // 10)
    parts = train_test_split(np.arange(len(y)), test_size=held_out, stratify=y, random_state=SPLIT_SEED)
    return [np.sort(rows) for rows in parts]


# -------------------------------------------------------------------------------------------------- layouts


def _read_mat(paths: Sequence[Path], published: Published) -> Arrays:
    """Read the published `.mat` file, gzipped or not."""
    from scipy.io import loadmat

    [path] = paths
    opened = gzip.open if path.suffix == ".gz" else open
    advice = "Delete it and run again to download it, or copy the published file there."
    with ThreadPoolExecutor(1) as pool, opened(path, "rb") as one, opened(path, "rb") as other:
        reading = pool.submit(loadmat, one)  # beside the checksum: neither holds the interpreter's lock
        try:
            found = md5_of(other)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path.absolute()} is damaged ({error}). {advice}") from error
        if found != published.md5:
            raise ValueError(
                f"{path.absolute()} is not SVHN's: md5 {found} ({path.stat().st_size:,} bytes), expected "
                f"{published.md5}. {advice}"
            )
        content = reading.result()  # X: uint8 (32, 32, 3, N); y: uint8 (N, 1), 1..10, where 10 stands for the digit 0
    return content["X"].transpose(3, 2, 0, 1), content["y"].squeeze(1).astype(np.int64) % 10


def _read_parquet(paths: Sequence[Path], published: Published) -> Arrays:
    """Read a split of Hugging Face's `ufldl-stanford/svhn`, configuration `cropped_digits`: the same images as PNG."""
    from PIL import Image
    from pyarrow.parquet import ParquetFile

    x, y, n = np.empty((published.images, 3, 32, 32), np.uint8), np.empty(published.images, np.int64), 0
    try:
        rows = sum(ParquetFile(path).metadata.num_rows for path in paths)
        if rows != published.images:
            raise ValueError(f"{rows:,} images, expected {published.images:,}")
        for path in paths:
            for batch in ParquetFile(path).iter_batches(1024, columns=["image", "label"]):
                for image, label in zip(batch["image"].field("bytes"), batch["label"], strict=True):
                    x[n] = np.asarray(Image.open(BytesIO(image.as_py()))).transpose(2, 0, 1)
                    y[n] = label.as_py() % 10
                    n += 1
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{paths[0].absolute()} is not SVHN's `cropped_digits` ({reason}). Copy all files of "
            "huggingface.co/datasets/ufldl-stanford/svhn, cropped_digits, there, or delete it."
        ) from error
    return x, y


LAYOUTS = {
    "{file}": _read_mat,
    "{file}.gz": _read_mat,
    "cropped_digits/{part}-*.parquet": _read_parquet,
    "{part}-*.parquet": _read_parquet,
}


# ---------------------------------------------------------------------------------------------- prepared files


def _axes(stem: Path) -> tuple[Path, Path]:
    return Path(f"{stem}-x.npy"), Path(f"{stem}-y.npy")


def _is_there(stem: Path) -> bool:
    return all(path.exists() for path in _axes(stem))


def _save(stem: Path, parts: Sequence[Arrays]) -> None:
    """Write the parts one behind the other as x and y `.npy`; each appears under its name only when it is whole."""
    for path, arrays in zip(_axes(stem), zip(*parts, strict=True), strict=True):
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        try:
            with open(partial, "wb") as file:
                write_array_header_1_0(file, {"descr": arrays[0].dtype.str, "fortran_order": False, "shape": shape})
                for array in arrays:
                    for start in range(0, len(array), 256):
                        file.write(np.ascontiguousarray(array[start : start + 256]).data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            raise ValueError(
                f"{path.absolute()} cannot be written ({error.strerror or error}): SVHN is prepared once, beside its "
                "files. Make room there, or link the files into a folder that can be written."
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink()


def _map(stem: Path) -> Split:
    tensors = []
    for path in _axes(stem):
        try:
            # "c": copy on write. torch takes no read-only arrays, and nobody can change the file through this
            tensors.append(torch.from_numpy(np.load(path, mmap_mode="c")))
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path.absolute()} is damaged ({error}). Delete it: the next run makes it again."
            ) from error
    return Split(*tensors)
