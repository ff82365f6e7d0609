"""Stacked training is ordinary training, only faster."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from dl.data.digits import digits, resplit
from dl.data.split import Data, Split
from dl.population import Repeat, Stack, schedule, train
from dl.reference import ordinary
from dl.table1 import Config

RATES = (0.1, 0.01, 0.001, 0.0001, 0.00001)
MEMBERS = [Config(32, 16, *rest) for rest in product(RATES, (0.0, 0.3), ("relu", "tanh"))]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def repeats():
    data = digits()
    return [Repeat(data, 0), Repeat(resplit(data, 1), 7)]


def short(repeat: Repeat) -> Repeat:
    """The same with images for six batches only."""
    d = repeat.data
    return Repeat(Data(d.name, d.source, Split(d.train.x[:192], d.train.y[:192]), d.val, d.test), repeat.seed)


def assert_same_networks(members, repeats, epochs, dtype, tolerance):
    stack = Stack(members, repeats, dtype=dtype)
    stack.fit(epochs)
    for (i, config), (r, repeat) in product(enumerate(members), enumerate(repeats)):
        expected = ordinary(config, repeat, epochs, dtype).state_dict()
        found = stack.network(i, r).state_dict()
        for name in expected:
            close = torch.allclose(found[name], expected[name], atol=tolerance, rtol=tolerance)
            assert close, (config, name, (found[name] - expected[name]).abs().max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_the_ordinary_loop_over_three_epochs(repeats, dtype, tolerance):
    calm = [c for c in MEMBERS if c.lr < 0.1][(dtype == torch.float32) :: 2]  # half of the combinations each
    assert_same_networks(calm, repeats[:1], 3, dtype, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_the_ordinary_loop_at_every_rate(repeats, dtype, tolerance):
    """At a learning rate of 0.1 rounding grows a millionfold in a hundred steps: here the epochs are short."""
    assert_same_networks(MEMBERS, [short(r) for r in repeats], 3, dtype, tolerance)


def test_a_diverging_member_never_disturbs_its_neighbours(repeats):
    calm = [Config(32, 16, 0.01, dropout, activation) for dropout in (0.0, 0.3) for activation in ("relu", "tanh")]
    wild = Config(32, 16, 1e38, 0.1, "relu")
    alone = Stack([*calm, Config(32, 16, 0.02, 0.1, "relu")], repeats[:1]).fit(2)
    crowd = Stack([*calm, wild], repeats[:1]).fit(2)
    assert not crowd.train_loss[-1, 0, -1].isfinite()
    assert torch.equal(crowd.val_loss[:-1], alone.val_loss[:-1])
    assert torch.equal(crowd.train_loss[:-1], alone.train_loss[:-1])


def test_train_keeps_the_order_it_was_given(repeats):
    configs = [
        Config(24, 8, 0.01, 0.0, "tanh"),
        Config(16, 8, 0.001, 0.2, "relu"),
        Config(24, 8, 0.001, 0.0, "relu"),
    ]
    configs.append(configs[0])  # one twice
    done = []
    history = train(configs, repeats, epochs=2, on_progress=done.append)
    assert sum(done) == len(configs) * len(repeats)
    for i, config in enumerate(configs):
        alone = Stack([config], repeats).fit(2)
        torch.testing.assert_close(history.val_loss[i], alone.val_loss[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(history.val_loss[0], history.val_loss[3], atol=1e-5, rtol=1e-4)


def test_is_deterministic(repeats):
    first, second = (train(MEMBERS, repeats, epochs=1) for _ in range(2))
    assert torch.equal(first.val_loss, second.val_loss)
    assert torch.equal(first.train_loss, second.train_loss)


def test_learns_and_reports_what_its_networks_do(repeats):
    stack = Stack([Config(64, 32, 0.01, 0.1, "relu"), Config(64, 32, 0.003, 0.0, "tanh")], repeats)
    history = stack.fit(8)
    assert history.val_accuracy[..., -1].min() > 0.93
    for i, r in product(range(2), range(2)):
        val = repeats[r].data.val
        with torch.no_grad():
            logits = stack.network(i, r)(val.x / 16)
        accuracy = (logits.argmax(1) == val.y).double().mean()
        torch.testing.assert_close(history.val_accuracy[i, r, -1], accuracy, atol=1e-6, rtol=0)
        loss = F.cross_entropy(logits, val.y).double()
        torch.testing.assert_close(history.val_loss[i, r, -1], loss, atol=0, rtol=1e-3)


def test_epochs_visit_every_image_at_most_once_and_noise_is_uniform():
    draws = schedule(3, 100, 512, 8)
    epochs = [[next(draws) for _ in range(3)] for _ in range(2)]
    for epoch in epochs:
        assert len(torch.cat([batch for batch, *_ in epoch]).unique()) == 96
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])
    noise = epochs[0][0][1]
    assert noise.shape == (512, 32)
    assert (noise < 0.3).double().mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    "wrong", [{"h1": 0}, {"h2": -1}, {"lr": 0.0}, {"dropout": 1.0}, {"dropout": -0.1}, {"activation": "gelu"}]
)
def test_configurations_that_cannot_train_are_refused(wrong):
    with pytest.raises(ValueError, match=r"cannot train|unknown activation"):
        Config(**({"h1": 8, "h2": 8, "lr": 0.1, "dropout": 0.0, "activation": "relu"} | wrong))


def test_a_stack_has_one_shape(repeats):
    with pytest.raises(ValueError, match="one shape"):
        Stack([Config(8, 8, 0.1, 0.0, "relu"), Config(8, 9, 0.1, 0.0, "relu")], repeats)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_agrees_without_dropout(repeats):
    members = [c for c in MEMBERS if c.dropout == 0 and c.lr < 0.01]  # dropout noise differs between devices
    cpu, gpu = (train(members, repeats, epochs=2, device=device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(gpu.val_loss, cpu.val_loss, atol=1e-3, rtol=1e-3)
