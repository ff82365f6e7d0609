"""The generated street digits: reproducible, well formed, and as varied as they claim to be."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dl.data import glyphs
from dl.data.glyphs import FACES, FONTS, OPEN_FACES, PENS, atlas
from dl.data.lettering import CLASS_COUNTS, FIRST_COUNTS, LENGTHS, LOOK, Look
from dl.data.split import Split
from dl.data.street import CANVASES, CHUNK, VERSION, draw, street_digits
from dl.evaluate import evaluate
from dl.models import Preprocessed
from dl.recipes import ZOO
from dl.train import fit
from tests.conftest import REAL_CROPS


@pytest.fixture(scope="module")
def sample():
    return draw(5 * CHUNK, seed=11)


@pytest.fixture(scope="module")
def data():
    return street_digits(700, seed=3, n_val=600, n_test=800)


def head(split, n):
    return Split(split.x[:n], split.y[:n])


def luminance(x):  # uint8 (N, 3, H, W) -> (N, H, W) in 0..1
    return (x.float() / 255 * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)


def test_images_and_labels_are_well_formed(sample):
    assert sample.x.shape == (5 * CHUNK, 3, 32, 32)
    assert sample.x.dtype == torch.uint8
    assert sample.x.is_contiguous()
    assert sample.y.shape == (5 * CHUNK,)
    assert sample.y.dtype == torch.int64
    assert sample.y.is_contiguous()
    assert not sample.x.requires_grad


@pytest.mark.parametrize("threads", [1, 3])
def test_same_bytes_whatever_the_threads_and_the_global_seed(sample, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        torch.manual_seed(threads)
        state = torch.get_rng_state()
        again = draw(2 * CHUNK, seed=11)
        assert torch.equal(torch.get_rng_state(), state)  # nor does drawing disturb anyone else's random numbers
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert again.digest() == head(sample, 2 * CHUNK).digest()


@pytest.mark.parametrize("n", [1, CHUNK, CHUNK + 1])
def test_fewer_images_are_a_prefix_of_more(sample, n):
    few = draw(n, seed=11)
    assert len(few) == n
    assert few.x.is_contiguous()
    assert few.digest() == head(sample, n).digest()


def test_another_seed_gives_other_images(sample):
    other = draw(CHUNK, seed=12)
    assert not torch.equal(other.y, sample.y[:CHUNK])
    assert (other.x != sample.x[:CHUNK]).flatten(1).any(1).all()


def test_classes_are_as_frequent_as_in_svhn():
    labels = draw(16 * CHUNK, seed=5).y
    share = torch.tensor(CLASS_COUNTS) / sum(CLASS_COUNTS)
    spread = (share * (1 - share) / len(labels)).sqrt()
    assert sum(CLASS_COUNTS) == 73257
    assert ((labels.bincount(minlength=10) / len(labels) - share).abs() < 4 * spread).all()


def test_heights_and_lengths_are_shares_of_svhns_boxes():
    assert sum(CANVASES.values()) == CHUNK
    assert sum(LENGTHS) == sum(CLASS_COUNTS)
    assert all(first <= count for first, count in zip(FIRST_COUNTS, CLASS_COUNTS, strict=True))
    numbers = sum(count / length for length, count in enumerate(LENGTHS, 1))
    assert sum(FIRST_COUNTS) == pytest.approx(numbers, rel=1e-3)  # every number has one first digit


@pytest.mark.parametrize("field", [field.name for field in fields(Look)])
def test_every_effect_can_be_switched_off_and_shows(sample, field):
    without = draw(CHUNK, seed=11, look=replace(LOOK, **{field: 0.0}))
    assert (without.x != sample.x[:CHUNK]).flatten(1).any(1).float().mean() > 0.05


def test_digits_sharpen_and_soften_as_enlarged_photographs_do(sample):
    light = luminance(sample.x)
    edges = (light[:, :, 1:] - light[:, :, :-1]).abs().flatten(1).amax(1) / light.flatten(1).std(1)
    low, high = edges.quantile(0.1), edges.quantile(0.9)
    assert high > 1.7 * low


def test_no_two_splits_share_an_image(data):
    assert [len(split) for split in (data.train, data.val, data.test)] == [700, 600, 800]
    images = torch.cat([data.train.x, data.val.x, data.test.x])
    assert len({hashlib.sha256(image.numpy()).digest() for image in images}) == len(images)


def test_the_splits_do_not_depend_on_each_others_size(data):
    small = street_digits(5, seed=3, n_val=6, n_test=7)
    for name in ("train", "val", "test"):
        few, many = getattr(small, name), getattr(data, name)
        assert few.digest() == head(many, len(few)).digest()


def test_the_source_says_that_the_images_are_generated(data):
    assert data.name == "street-digits"
    assert "generated" in data.source
    assert "seed 3" in data.source
    assert f"version {VERSION}" in data.source
    assert "svhn" not in (data.name + data.source).lower()


def test_images_vary_as_photographs_do(sample):
    light = luminance(sample.x)
    contrast, mean = light.flatten(1).std(1), light.flatten(1).mean(1)
    assert (contrast < 0.08).float().mean() > 0.15  # many of low contrast
    assert (contrast > 0.16).float().mean() > 0.08  # some of high contrast
    assert (contrast > 0.02).float().mean() > 0.99  # hardly any empty
    assert ((mean > 0.05) & (mean < 0.97)).all()
    assert mean.std() > 0.1
    colour = (sample.x.amax(1).float() - sample.x.amin(1)).flatten(1).mean(1) / 255
    assert colour.std() > 0.03


def test_digits_are_darker_and_lighter_than_their_background(sample):
    ones = luminance(sample.x[sample.y == 1])  # their ink is in the middle of the crop
    middle = ones[:, 8:24, 14:18].mean((1, 2))
    beside = torch.cat([ones[:, 8:24, 8:11], ones[:, 8:24, 21:24]], 2).mean((1, 2))
    lighter = (middle > beside).float().mean()
    assert 0.25 < lighter < 0.75


def test_every_digit_has_a_shape_of_its_own_in_every_face():
    depth, half = atlas()
    faces = len(FONTS) + OPEN_FACES + PENS
    assert faces == FACES
    assert len(depth) == 2 * len(half) == 2 * (10 * faces + 1)
    ink = (depth[: 10 * faces] > 0).view(faces, 10, -1)
    area = ink.float().mean(-1)
    assert (area > 0.015).all()
    assert (area < 0.5).all()
    for digit in range(10):
        assert len({shape.numpy().tobytes() for shape in ink[:, digit]}) > 0.7 * faces  # a plain 1 is a plain 1
    for face in range(faces):
        assert len({shape.numpy().tobytes() for shape in ink[face]}) == 10
    assert not (depth[[10 * faces, -1]] > -0.5).any()  # the empty glyph stays empty at any weight


def test_thicker_verticals_are_wider_and_no_higher():
    depth, _ = atlas()
    plain, thick = depth[: 10 * FACES] > 0, depth[10 * FACES + 1 : -1] > 0
    wider, higher = (thick.any(dim).sum(1) - plain.any(dim).sum(1) for dim in (1, 2))  # columns, rows
    assert ((wider >= 0) & (wider <= 2)).all()
    assert (higher <= 0).all()
    assert (thick.flatten(1).sum(1) > plain.flatten(1).sum(1)).all()


def test_fonts_in_the_file_are_named_with_their_licence():
    text = Path(glyphs.__file__).with_name("faces.txt").read_text()
    named = [line.split("(")[1].split(")")[0].split(", ") for line in text.splitlines() if ": Copyright" in line]
    assert sum(map(len, named)) == OPEN_FACES
    assert "SIL OPEN FONT LICENSE Version 1.1" in text


def test_ink_stays_inside_its_cell():
    depth, _ = atlas()
    frame = torch.ones_like(depth[0], dtype=torch.bool)
    frame[2:-2, 2:-2] = False
    assert (depth[:, frame] < 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "at least one image"),
        ({"n": -5}, "at least one image"),
        ({"n": 10, "n_val": 0}, "at least one image"),
        ({"n": 10, "n_test": -1}, "at least one image"),
        ({"n": 10, "seed": -1}, "negative"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        street_digits(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (3, -1)])
def test_draw_refuses_bad_arguments(n, seed):
    with pytest.raises(ValueError, match="street digits"):
        draw(n, seed)


@pytest.mark.skipif(not REAL_CROPS.exists(), reason="the 700 real crops of SVHN are not at hand")
def test_what_is_learnt_on_generated_digits_holds_on_real_ones():
    """The quick preset's ResNet-18 (a minute on two cores) never sees a photograph and reads 74% of 700 real crops."""
    plan = ZOO["resnet18"].quick
    data = street_digits(plan.images, n_val=100, n_test=1)
    torch.manual_seed(plan.recipe.seed)
    model = Preprocessed(plan.build(), *data.train.moments())
    fit(model, data, plan.recipe)
    with np.load(REAL_CROPS) as crops:
        x = torch.from_numpy(crops["images"]).permute(0, 3, 1, 2).contiguous()
        real = Split(x, torch.from_numpy(crops["labels"].astype(np.int64)))
    assert evaluate(model, real)[1] >= 0.74  # docs/question4.md has what was measured
