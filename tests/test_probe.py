"""What is told of a network's first steps is so, and to look changes nothing."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from dl.models import Preprocessed
from dl.models.lenet import lenet5
from dl.models.vgg import vgg16
from dl.probe import first_steps
from dl.train import Epoch, Recipe, fit
from docs.results.spikes import folded, spikes
from tests.test_checkpoint import images

RECIPE = Recipe(epochs=2, batch_size=16, optimizer="adam", lr=1e-3)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5), nn.ReLU(), nn.Linear(5, 10)
    )


def test_a_step_is_told_as_computed_by_hand():
    net, x, y = chain(), torch.randn(16, 3, 8, 8), torch.arange(16) % 10
    with torch.no_grad():
        net[0].weight[1], net[0].bias[1] = 0, -1  # one of four channels is dead
    with first_steps(net) as seen:
        assert seen() is None
        cross_entropy(net(x), y).backward()
    found = seen()
    assert found.layers == ["conv1", "fc2", "fc3"]
    rectified = net[1](net[0](x)).flatten(1)
    expected = [rectified, net[:5](x), net(x)]
    assert found.spread[0] == pytest.approx([units.std(0).pow(2).mean().sqrt().item() for units in expected])
    assert found.dead[0] == pytest.approx([*((units == 0).all(0).float().mean().item() for units in expected[:2]), 0])
    assert found.dead[0][0] >= 0.25
    assert found.gradient[0] == pytest.approx(
        [(net[i].weight.grad.norm() / net[i].weight.norm()).item() for i in (0, 3, 5)]
    )


def test_to_look_changes_nothing_and_ends_in_time():
    data = images()
    plain, watched = (Preprocessed(lenet5(), 128.0, 64.0) for _ in range(2))
    watched.load_state_dict(plain.state_dict())
    fit(plain, data, RECIPE)
    with first_steps(watched.net, steps=3) as seen:
        fit(watched, data, RECIPE)
    for mine, theirs in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    found = seen()
    assert [len(part) for part in (found.spread, found.dead, found.gradient)] == [3, 3, 3]  # of eight; validation: none
    before = len(found.spread)
    watched.train()(data.val.x)
    assert len(seen().spread) == before
    assert not any(module._forward_hooks for module in watched.modules())


def test_a_network_whose_layers_share_a_rectifier_is_refused():
    shared = nn.ReLU()
    net = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared, nn.Linear(2, 2))
    with pytest.raises(ValueError, match="3 layers, but 1 ReLUs"), first_steps(net):
        pass


def test_batch_norms_folded_into_the_kernels_change_no_output():
    torch.manual_seed(0)
    net = vgg16(stride=2)
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):  # as after a training: means and scales that differ
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
    plain, x = folded(net), torch.randn(8, 3, 32, 32)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain)
    torch.testing.assert_close(plain(x), net.eval()(x), rtol=1e-4, atol=1e-4)
    with first_steps(plain):  # a chain that can be watched
        pass


def test_the_first_spike_is_counted_from_the_loss_that_the_training_began_with():
    epochs = [Epoch(n, 0, 0, loss, 0, 0, 0, 0, 0, 0) for n, loss in enumerate((1.0, 1.1, 1.5, float("nan")), 1)]
    assert [epoch.index for epoch in spikes(epochs, begun=0.5)] == [1, 3, 4]
    assert [epoch.index for epoch in spikes(epochs, begun=0.95)] == [3, 4]
