import torch
import torch.nn.functional as F

from dl.augment import Augmentation, augment


def images(n: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_nothing_done():
    assert torch.equal(augment(images(), rng(), Augmentation()), images().float())


def test_translation_is_a_window_of_the_reflected_image():
    x, reach = images(), 3
    moved = augment(x, rng(), Augmentation(translate=reach))
    padded = F.pad(x.float(), [reach] * 4, mode="reflect")
    seen = set()
    for image, source in zip(moved, padded, strict=True):
        windows = source.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, 7, 7, 32, 32)
        found = [(i, j) for i in range(7) for j in range(7) if torch.equal(windows[:, i, j], image)]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 15  # each image its own shift, in both directions


def test_rotation_keeps_an_image_in_place_and_never_mirrors_it():
    x = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    x[:, :, 8:24, 10:13] = 200  # an "L" with its foot to the right
    x[:, :, 21:24, 10:22] = 200
    turned = augment(x, rng(), Augmentation(rotate=15.0))
    overlap = F.cosine_similarity(turned.flatten(1), x.float().flatten(1))
    mirrored = F.cosine_similarity(turned.flatten(1), x.float().flip(3).flatten(1))
    assert overlap.min() > 0.4
    assert (overlap > mirrored).all()
    assert overlap.max() < 1


def test_inversion_is_the_negative():
    assert torch.equal(augment(images(), rng(), Augmentation(invert=1.0)), 255 - images().float())


def test_cutout_greys_one_square():
    hidden = (augment(torch.zeros_like(images(256)), rng(), Augmentation(cutout=8)) == 127).all(1)  # (N, H, W)
    area = hidden.sum((1, 2))
    assert area.max() == 64
    assert area.min() >= 16  # a quarter, in a corner
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(rows * columns, area)


def test_colour_stays_in_range_and_changes_each_image_its_own_way():
    changed = augment(images(), rng(), Augmentation(colour=0.5))
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert len(set((changed - images().float()).mean((1, 2, 3)).tolist())) == len(changed)


def test_the_generator_decides_everything():
    everything = Augmentation(translate=4, rotate=10.0, colour=0.3, invert=0.5, cutout=8)
    torch.manual_seed(1)
    first = augment(images(), rng(), everything)
    torch.manual_seed(2)
    assert torch.equal(first, augment(images(), rng(), everything))
    assert not torch.equal(first, augment(images(), rng(1), everything))
