"""The loader, on small files in the exact layouts that SVHN is had in, and a server that behaves badly."""

import base64
import gzip
import hashlib
import io
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from dl.data import MissingError, svhn
from dl.data.svhn import PUBLISHED, Published

CLOSED = "http://127.0.0.1:9"  # a port of this machine where nobody listens


def write_pair(root: Path, crops, monkeypatch, train: int = 500, extra: int = 0) -> dict[str, tuple]:
    """Writes train, test and extra `.mat` as SVHN has them: X uint8 (32, 32, 3, N), y uint8 (N, 1), the digit 0 as 10;
    makes their checksums the expected ones."""
    images, labels = crops
    slices = {"train": slice(train), "test": slice(train, None)} | ({"extra": slice(extra)} if extra else {})
    parts = {part: (images[rows], labels[rows]) for part, rows in slices.items()}
    root.mkdir(parents=True, exist_ok=True)
    for part, (x, y) in parts.items():
        path = root / f"{part}_32x32.mat"
        label = np.where(y == 0, 10, y).astype(np.uint8)[:, None]
        savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": label}, do_compression=True)
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(PUBLISHED, part, Published(path.name, md5, len(y), CLOSED))
    return parts


def as_parquet(x: np.ndarray, y: np.ndarray, path: Path) -> None:
    """Writes images (N, 32, 32, 3) as Hugging Face's `cropped_digits` has them."""
    rows = []
    for image in x:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, kind), "label": pa.array(y, pa.int64())}), path)


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

    class Theirs(torchvision.datasets.SVHN):
        split_list = {part: [each.home, each.file, each.md5] for part, each in PUBLISHED.items()}  # noqa: RUF012

    reference = Theirs(str(tmp_path), split="test")
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
    assert svhn(tmp_path, report=None).train.digest() == digest
    assert not list(tmp_path.glob(".*"))


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    md5 = PUBLISHED["train"].md5
    with pytest.raises(MissingError) as error:
        svhn(tmp_path, report=None)
    message = str(error.value)
    assert "\n" not in message
    for part in ("train_32x32.mat", md5, "Put", str(tmp_path), "gzipped", "cropped_digits", "SVHN_MIRROR"):
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
        digests = pool.map(_digest, [tmp_path] * 4)
    assert len(set(digests)) == 1


def _digest(root: Path) -> str:
    return svhn(root).train.digest()


# -------------------------------------------------------------------------------------------------- layouts


def test_the_published_files_are_those_that_torchvision_knows():
    theirs = torchvision.datasets.SVHN.split_list
    assert {part: [each.addresses()[-1], each.file, each.md5] for part, each in PUBLISHED.items()} == theirs


def in_another_layout(root: Path, parts: dict[str, tuple], layout: str) -> None:
    """Turns the `.mat` files of `root` into another layout."""
    for part, (x, y) in parts.items():
        path = root / f"{part}_32x32.mat"
        content = path.read_bytes()
        path.unlink()
        if layout == "gzipped":
            path.with_suffix(".mat.gz").write_bytes(gzip.compress(content))
            continue
        folder, half = root / ("cropped_digits" if layout == "cropped_digits" else "."), len(y) // 2
        as_parquet(x[:half], y[:half], folder / f"{part}-00000-of-00002.parquet")
        as_parquet(x[half:], y[half:], folder / f"{part}-00001-of-00002.parquet")


@pytest.mark.parametrize("layout", ["gzipped", "cropped_digits", "flat"])
def test_every_layout_holds_the_same_images_in_the_same_splits(tmp_path, crops, monkeypatch, layout):
    parts = write_pair(tmp_path / "mat", crops, monkeypatch, extra=300)
    expected = svhn(tmp_path / "mat", extra=True, report=None)
    write_pair(tmp_path / "other", crops, monkeypatch, extra=300)
    in_another_layout(tmp_path / "other", parts, layout)
    assert not list((tmp_path / "other").glob("*.mat"))
    data = svhn(tmp_path / "other", extra=True, report=None)
    assert data.digests() == expected.digests()


def test_extra_comes_behind_the_train_split_and_leaves_the_others_as_they_are(tmp_path, crops, monkeypatch):
    parts = write_pair(tmp_path, crops, monkeypatch, extra=300)
    plain, more = svhn(tmp_path), svhn(tmp_path, extra=True)
    assert (plain.name, more.name) == ("svhn", "svhn-extra")  # what is trained on one never passes for the other
    assert len(more.train) == 450 + 300
    assert torch.equal(more.train.x[:450], plain.train.x)
    assert np.array_equal(more.train.x[450:].numpy(), parts["extra"][0].transpose(0, 3, 1, 2))
    assert np.array_equal(more.train.y[450:].numpy(), parts["extra"][1])
    assert (more.val.digest(), more.test.digest()) == (plain.val.digest(), plain.test.digest())
    for path in tmp_path.glob("*.mat"):
        path.unlink()
    assert svhn(tmp_path, extra=True, report=None).train.digest() == more.train.digest()


def without_labels(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def no_picture(path: Path) -> None:
    table = pq.read_table(path)
    rows = [{"bytes": b"nothing", "path": None}] * len(table)
    pq.write_table(table.set_column(0, "image", pa.array(rows, table.schema.field("image").type)), path)


@pytest.mark.parametrize("damage", [without_labels, cut, no_picture, Path.unlink])
def test_a_parquet_file_that_is_not_svhns_is_refused(tmp_path, crops, monkeypatch, damage):
    in_another_layout(tmp_path, write_pair(tmp_path, crops, monkeypatch), "cropped_digits")
    damage(tmp_path / "cropped_digits" / "train-00001-of-00002.parquet")
    with pytest.raises(ValueError, match=r"parquet is not SVHN's `cropped_digits` \(.+\)\. Copy all files") as error:
        svhn(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.npy"))


def test_a_damaged_gzip_is_refused(tmp_path, crops, monkeypatch):
    in_another_layout(tmp_path, write_pair(tmp_path, crops, monkeypatch), "gzipped")
    cut(tmp_path / "train_32x32.mat.gz")
    with pytest.raises(ValueError, match=r"train_32x32\.mat\.gz is damaged .*Delete it"):
        svhn(tmp_path)


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path, crops, monkeypatch):
    write_pair(tmp_path, crops, monkeypatch)
    (tmp_path / f"svhn-{PUBLISHED['test'].md5[:8]}-test-x.npy").mkdir()  # root may write everywhere: in the way
    (tmp_path / f"svhn-{PUBLISHED['test'].md5[:8]}-test-x.npy" / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written .*link the files into a folder that can be written"):
        svhn(tmp_path)


# ------------------------------------------------------------------------------------------------ downloads


class BadServer(BaseHTTPRequestHandler):
    """Serves `server.files` by name; `server.behave` says how."""

    def do_GET(self):
        server, content = self.server, self.server.files[self.path.rsplit("/", 1)[-1]]
        server.asked.append((self.path, dict(self.headers)))
        if server.behave == "missing":
            return self.send_error(404)
        if server.behave == "elsewhere":
            self.send_response(302)
            self.send_header("Location", self.path.replace("/svhn", "/elsewhere"))
            return self.end_headers()
        if server.behave == "wrong":
            content = b"<html>Please log in.</html>"
        asked = self.headers["Range"] if server.behave != "no ranges" else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if server.behave == "silent":
            return server.over.wait(10)
        quarter = len(content) // 4
        for _ in range(1 if server.behave == "cut" else 5):
            server.sent += self.wfile.write(content[start : start + quarter])
            start += quarter
            if server.behave == "slow":
                time.sleep(0.1)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, crops, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """A server in this process that has SVHN's small files; it is the mirror, and home is a closed port."""
    write_pair(tmp_path / "there", crops, monkeypatch)
    with ThreadingHTTPServer(("127.0.0.1", 0), BadServer) as server:
        server.files = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
        server.behave, server.asked, server.sent, server.over = "well", [], 0, threading.Event()
        monkeypatch.setenv("SVHN_MIRROR", f"http://127.0.0.1:{server.server_port}/svhn/")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def test_the_mirror_is_asked_first_and_what_it_sends_is_checked(tmp_path, server):
    seen = []
    data = svhn(tmp_path / "data", report=lambda *progress: seen.append(progress))
    assert data.digests() == svhn(tmp_path / "there").digests()
    assert [path for path, _ in server.asked] == ["/svhn/train_32x32.mat", "/svhn/test_32x32.mat"]
    size = {name: len(content) for name, content in server.files.items()}
    assert seen[-1] == ("test_32x32.mat", size["test_32x32.mat"], size["test_32x32.mat"])
    assert not list((tmp_path / "data").glob(".*"))


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("missing", "404 Not Found"),
        ("wrong", r"sends another file \(27 bytes, md5 \w{32}, expected \w{32}\)"),
        ("silent", "no answer for 0.2 seconds"),
    ],
)
def test_where_none_has_it_every_address_is_named_with_its_reason(tmp_path, server, monkeypatch, behave, reason):
    monkeypatch.setattr("dl.data.download.SILENCE", 0.2)
    server.behave = behave
    began = time.monotonic()
    with pytest.raises(MissingError, match="cannot be downloaded") as error:
        svhn(tmp_path / "data")
    assert time.monotonic() - began < 5
    message = str(error.value)
    assert "\n" not in message
    mirror = f"http://127.0.0.1:{server.server_port}/svhn/train_32x32.mat: {reason}"
    assert re.search(rf"\({mirror}; {CLOSED}/train_32x32.mat: .*[Rr]efused\)", message)
    assert "Put train_32x32.mat (md5" in message
    assert not (tmp_path / "data").exists()


def test_where_the_mirror_fails_home_is_asked(tmp_path, server, monkeypatch):
    for part in ("train", "test"):
        there = replace(PUBLISHED[part], home=f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setitem(PUBLISHED, part, there)
    monkeypatch.setenv("SVHN_MIRROR", CLOSED)
    assert svhn(tmp_path / "data").digests() == svhn(tmp_path / "there").digests()


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(tmp_path, server):
    server.behave = "cut"
    assert svhn(tmp_path / "data").digests() == svhn(tmp_path / "there").digests()
    assert server.sent == sum(map(len, server.files.values()))  # no byte twice


def test_the_next_run_goes_on_where_the_last_one_was_cut_off(tmp_path, server, monkeypatch):
    monkeypatch.setattr("dl.data.download.CONNECTIONS", 1)
    server.behave, size = "cut", len(server.files["train_32x32.mat"])
    with pytest.raises(MissingError, match=f"cut off after {size // 4:,} of {size:,} bytes"):
        svhn(tmp_path / "data")
    server.behave = "well"
    svhn(tmp_path / "data")
    assert server.sent == sum(map(len, server.files.values()))


def test_a_slow_server_is_waited_for_as_long_as_it_sends(tmp_path, server, monkeypatch):
    monkeypatch.setattr("dl.data.download.SILENCE", 0.3)
    server.behave = "slow"  # half a second a file
    assert len(svhn(tmp_path / "data").test) == 200


@pytest.mark.parametrize("length", [1000, 10_000_000])
@pytest.mark.parametrize("behave", ["well", "no ranges"])
def test_what_had_arrived_of_another_file_does_not_get_in_the_way(tmp_path, server, monkeypatch, length, behave):
    with monkeypatch.context() as patch:
        patch.setattr("dl.data.download.CONNECTIONS", 1)
        server.behave = "cut"
        with pytest.raises(MissingError):
            svhn(tmp_path / "data")
    [partial] = (tmp_path / "data").glob(".*.partial")
    partial.write_bytes(bytes(length))
    server.behave = behave
    assert svhn(tmp_path / "data").digests() == svhn(tmp_path / "there").digests()


def test_processes_that_download_at_once_fetch_every_file_once(tmp_path, server):
    server.behave = "slow"
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(_digest, [tmp_path / "data"] * 3))) == 1
    assert len(server.asked) == 2


def test_a_mirrors_password_goes_to_the_mirror_and_nowhere_else(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SVHN_MIRROR", f"http://reader:s3%40cret@127.0.0.1:{server.server_port}/svhn")
    server.behave = "elsewhere"
    with pytest.raises(MissingError) as error:
        svhn(tmp_path / "data")  # redirected for ever
    assert not re.search("reader|s3|cret", str(error.value))
    (_, first), (where, second), *_ = server.asked
    assert first["Authorization"] == "Basic " + base64.b64encode(b"reader:s3@cret").decode()
    assert where == "/elsewhere/train_32x32.mat"
    assert "Authorization" not in second
