"""The digits arrive raw, stratified, and the test part is never mixed with the rest."""

import pytest
import torch

from dl.data.digits import digits, resplit


def images(split):
    return {image.numpy().tobytes() for image in split.x}


@pytest.fixture(scope="module")
def data():
    return digits()


def test_all_1797_images_are_dealt_once_and_raw(data):
    parts = data.train, data.val, data.test
    assert [len(part) for part in parts] == [1077, 360, 360]
    for part in parts:
        assert part.x.dtype == torch.uint8
        assert part.x.shape[1:] == (8, 8)
        assert part.x.max() == 16
        assert part.y.dtype == torch.int64
    assert len(images(data.train) | images(data.val) | images(data.test)) == 1797  # no image occurs twice


def test_every_part_is_stratified(data):
    share = torch.cat([data.train.y, data.val.y, data.test.y]).bincount() / 1797
    for part in (data.train, data.val, data.test):
        assert (part.y.bincount() / len(part) - share).abs().max() < 1 / len(part) + 1e-6


def test_labels_belong_to_their_images(data):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    truth = {image.astype("uint8").tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    for part in (data.train, data.val, data.test, resplit(data, 3).train):
        assert all(truth[x.numpy().tobytes()] == y for x, y in zip(part.x, part.y, strict=True))


def test_the_seed_decides(data):
    assert digits(0).train.digest() == data.train.digest()
    assert digits(1).train.digest() != data.train.digest()


def test_resplit_deals_train_and_val_anew_and_leaves_test_alone(data):
    first, second = resplit(data, 1), resplit(data, 2)
    assert first.test.digest() == data.test.digest()
    assert images(first.train) | images(first.val) == images(data.train) | images(data.val)
    assert images(first.val) != images(second.val)
    assert first.val.digest() == resplit(data, 1).val.digest()
