"""The loader, on small files in the exact layout of SVHN's `.mat` pair."""

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from scipy.io import savemat

from dl.data import MissingError, svhn


def write_pair(root: Path, crops, monkeypatch, train: int = 500) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes train and test `.mat` as SVHN has them: X uint8 (32, 32, 3, N), y uint8 (N, 1), the digit 0 as 10; makes
    their checksums the expected ones."""
    images, labels = crops
    parts = {"train": (images[:train], labels[:train]), "test": (images[train:], labels[train:])}
    published = {}
    root.mkdir(parents=True, exist_ok=True)
    for part, (x, y) in parts.items():
        path = root / f"{part}_32x32.mat"
        label = np.where(y == 0, 10, y).astype(np.uint8)[:, None]
        savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": label}, do_compression=True)
        published[part] = [
            f"http://127.0.0.1:9/{path.name}", path.name, hashlib.md5(path.read_bytes()).hexdigest(),
        ]  # fmt: skip
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", published)
    return parts


def test_every_image_arrives_with_its_label(tmp_path, crops, monkeypatch):
    parts = write_pair(tmp_path, crops, monkeypatch)
    data = svhn(tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (450, 50, 200)
    for split in (data.train, data.val, data.test):
        assert split.x.dtype == torch.uint8
        assert split.x.is_contiguous()
        assert split.x.shape[1:] == (3, 32, 32)
        assert split.y.dtype == torch.int64
        assert split.y.min() >= 0
        assert split.y.max() <= 9
    assert np.array_equal(data.test.x.numpy(), parts["test"][0].transpose(0, 3, 1, 2))
    assert np.array_equal(data.test.y.numpy(), parts["test"][1])
    assert 0 in data.train.y  # the file's label 10

    def fingerprints(x, y):
        return sorted((image.tobytes(), int(label)) for image, label in zip(x, y, strict=True))

    joined = np.concatenate([data.train.x.numpy(), data.val.x.numpy()])
    labels = np.concatenate([data.train.y.numpy(), data.val.y.numpy()])
    assert fingerprints(joined, labels) == fingerprints(parts["train"][0].transpose(0, 3, 1, 2), parts["train"][1])


def test_torchvision_reads_the_same(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    reference = torchvision.datasets.SVHN(str(tmp_path), split="test")
    data = svhn(tmp_path)
    assert np.array_equal(data.test.x.numpy(), reference.data)
    assert np.array_equal(data.test.y.numpy(), reference.labels)


def test_validation_is_stratified_and_always_the_same(tmp_path, crops, monkeypatch):
    write_pair(tmp_path / "a", crops, monkeypatch)
    first = svhn(tmp_path / "a")
    write_pair(tmp_path / "b", crops, monkeypatch)
    again = svhn(tmp_path / "b")
    assert first.val.digest() == again.val.digest()
    share = [split.y.bincount(minlength=10) / len(split) for split in (first.train, first.val)]
    assert (share[0] - share[1]).abs().max() < 0.025  # one of 50 images is 0.02


def test_the_second_time_nothing_is_read_but_the_map(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    digest = svhn(tmp_path).train.digest()
    for path in tmp_path.glob("*.mat"):
        path.unlink()
    assert svhn(tmp_path, download=False).train.digest() == digest
    assert not list(tmp_path.glob(".*"))


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    md5 = torchvision.datasets.SVHN.split_list["train"][2]
    with pytest.raises(MissingError) as error:
        svhn(tmp_path, download=False)
    message = str(error.value)
    assert "\n" not in message
    for part in ("train_32x32.mat", md5, "Put", str(tmp_path)):
        assert part in message


def test_a_failed_download_says_so_and_leaves_nothing(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)  # the addresses now point at a closed port of this machine
    (tmp_path / "train_32x32.mat").unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(MissingError, match="cannot be downloaded"):
        svhn(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", ["truncated", "wrong"])
def test_a_damaged_source_is_refused(tmp_path, crops, monkeypatch, damage):
    write_pair(tmp_path, crops, monkeypatch)
    path = tmp_path / "train_32x32.mat"
    content = path.read_bytes()
    path.write_bytes(content[:-1000] if damage == "truncated" else content[::-1])
    with pytest.raises(ValueError, match=r"train_32x32\.mat is not SVHN's: md5 \w+ .*expected \w+.*Delete it") as error:
        svhn(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*train-x.npy"))


def test_a_damaged_map_is_refused(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    svhn(tmp_path)
    path = next(tmp_path.glob("*-val-x.npy"))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"val-x\.npy is damaged .*Delete it"):
        svhn(tmp_path)
    path.unlink()
    assert len(svhn(tmp_path).val) == 50


def test_what_one_process_changes_no_other_sees(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    data = svhn(tmp_path)
    digest = data.test.digest()
    data.test.x.zero_()
    assert svhn(tmp_path).test.digest() == digest


def test_processes_that_convert_at_once_do_not_disturb_each_other(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        digests = pool.starmap(_digest, [(tmp_path, torchvision.datasets.SVHN.split_list)] * 4)
    assert len(set(digests)) == 1


def _digest(root: Path, published) -> str:
    torchvision.datasets.SVHN.split_list = published
    return svhn(root).train.digest()
