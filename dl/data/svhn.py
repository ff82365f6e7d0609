"""SVHN, format 2 (32x32 crops): Netzer et al., "Reading digits in natural images with unsupervised feature learning",
2011. 73,257 images to train on, 26,032 to test on; non-commercial use only.

torchvision knows the addresses and checksums; we convert its two `.mat` files once to contiguous `.npy` files beside
them and map those into memory afterwards: milliseconds instead of seconds, and no copy a process.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0

from dl.data.split import Data, Split

VALIDATION = 6000  # images of the train set that are held out (a tenth of it where a file is smaller)
SPLIT_SEED = 0  # fixed: every run of every user validates on the same images


class MissingError(FileNotFoundError):
    """SVHN's files are neither there nor to be had."""


def svhn(root: str | Path, download: bool = True, published: Mapping[str, list[str]] | None = None) -> Data:
    """SVHN from `root`: train (67,257), validation (6,000, stratified), test (26,032, the official one).

    x: uint8 (N, 3, 32, 32), contiguous, memory-mapped; y: int64, the file's label 10 turned into 0.
    published: address, file name and md5 of "train" and of "test"; by default those that torchvision knows.
    Raises MissingError where a file is not there and cannot be downloaded, ValueError where one is not
    the published one; each names the file, the expected md5 and what to do.
    """
    root, published = Path(root), published or published_files()
    splits: dict[str, Split] = {}
    for part, names in {"train": ("train", "val"), "test": ("test",)}.items():
        url, filename, md5 = published[part]
        stems = [root / f"svhn-{md5[:8]}-{name}" for name in names]  # a changed source changes the name
        if not all(Path(f"{stem}-{axis}.npy").exists() for stem in stems for axis in "xy"):
            _convert(_source(root, url, filename, md5, download), md5, stems)
        splits |= {name: _mapped(stem) for name, stem in zip(names, stems, strict=True)}
    return Data("svhn", "SVHN cropped digits, " + published["train"][0].rsplit("/", 1)[0], **splits)


def published_files() -> Mapping[str, list[str]]:
    """Return address, file name and md5 of each part, as torchvision knows them."""
    from torchvision.datasets import SVHN  # half a second: not at import

    return SVHN.split_list


def _source(root: Path, url: str, filename: str, md5: str, download: bool) -> Path:
    """The `.mat` file, downloaded where it is missing; a broken download leaves nothing behind."""
    path = root / filename
    if path.exists():
        return path
    advice = f"Put {filename} (md5 {md5}, from {url}) into {root.absolute()}"
    if not download:
        raise MissingError(f"{path.absolute()} is missing. {advice}.")
    from torchvision.datasets.utils import download_url

    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root, prefix=".download-") as folder, _patience(20):
            download_url(url, folder, filename, md5)
            os.replace(Path(folder, filename), path)
    except (OSError, RuntimeError) as error:
        if made:
            with suppress(OSError):
                root.rmdir()
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingError(f"{path.absolute()} is missing and cannot be downloaded ({reason}). {advice}.") from error
    return path


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """No answer within `seconds` is a failure: without it a dead connection would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _convert(source: Path, md5: str, stems: list[Path]) -> None:
    """One `.mat` file -> x and y `.npy` of each stem; each appears under its name only when it is whole."""
    from scipy.io import loadmat
    from sklearn.model_selection import train_test_split
    from torchvision.datasets.utils import calculate_md5

    with ThreadPoolExecutor(1) as pool:  # beside the checksum: neither holds the interpreter's lock
        reading = pool.submit(loadmat, str(source))
        found = calculate_md5(str(source))
        if found != md5:
            raise ValueError(
                f"{source.absolute()} is not SVHN's: md5 {found} ({source.stat().st_size:,} bytes), expected {md5}. "
                "Delete it and run again to download it, or copy the published file there."
            )
    content = reading.result()  # X: uint8 (32, 32, 3, N); y: uint8 (N, 1), 1..10, where 10 stands for the digit 0
    x, y = content["X"].transpose(3, 2, 0, 1), content["y"].squeeze(1).astype(np.int64) % 10
    parts = [np.arange(len(y))]
    if len(stems) == 2:
        held_out = min(VALIDATION, len(y) // 10)
        parts = [
            np.sort(part)  # ascending: the copy below reads the file's order
            for part in train_test_split(parts[0], test_size=held_out, stratify=y, random_state=SPLIT_SEED)
        ]
    for stem, part in zip(stems, parts, strict=True):
        _save(Path(f"{stem}-x.npy"), x, part)
        _save(Path(f"{stem}-y.npy"), y, part)


def _save(path: Path, array: np.ndarray, rows: np.ndarray) -> None:
    """`array[rows]` as `.npy`, without a copy of it in memory."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    kind = {"descr": array.dtype.str, "fortran_order": False, "shape": (len(rows), *array.shape[1:])}
    try:
        with open(partial, "wb") as file:
            write_array_header_1_0(file, kind)
            for start in range(0, len(rows), 256):
                file.write(np.ascontiguousarray(array[rows[start : start + 256]]).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _mapped(stem: Path) -> Split:
    tensors = []
    for axis in "xy":
        path = Path(f"{stem}-{axis}.npy")
        try:
            # "c": copy on write. torch takes no read-only arrays, and nobody can change the file through this
            tensors.append(torch.from_numpy(np.load(path, mmap_mode="c")))
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path.absolute()} is damaged ({error}). Delete it: the next run makes it again."
            ) from error
    return Split(*tensors)
