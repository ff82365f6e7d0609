"""Networks that grow in depth while they train."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from dl.checkpoint import Checkpoints
from dl.models import Preprocessed
from dl.models.alexnet import alexnet
from dl.models.conv import SmallMapConv2d
from dl.models.lenet import lenet5
from dl.models.resnet import basic, bottleneck, resnet, resnet50, resnet101
from dl.models.vgg import vgg16
from dl.train import Recipe, fit
from tests.test_checkpoint import images, numbers, same

# eight steps, the first six on one block a stage
RECIPE = Recipe(epochs=2, batch_size=16, optimizer="adamw", lr=1e-3, grow=0.75)


def network() -> Preprocessed:
    torch.manual_seed(0)
    return Preprocessed(resnet(basic, (1, 2, 1, 2), "imagenet"), [120.0] * 3, [70.0] * 3)


def vgg() -> Preprocessed:
    torch.manual_seed(0)
    return Preprocessed(vgg16(2), [120.0] * 3, [70.0] * 3)


def later(model: Preprocessed) -> set[str]:
    """Return the names of the parameters that join later."""
    return {f"net.{index}.{name}" for index in model.net.later for name, _ in model.net[index].named_parameters()}


@pytest.mark.parametrize("depths", [(2, 2, 2, 2), (3, 4, 6, 3)])
@pytest.mark.parametrize("block", [basic, bottleneck])
def test_blocks_join_without_changing_the_output(block, depths):
    torch.manual_seed(0)
    net, x = resnet(block, depths, "imagenet").train(), torch.randn(4, 3, 32, 32)
    whole = net(x)
    assert len(net.later) == sum(depths) - 4
    net.skipped = True
    assert torch.equal(net(x), whole)
    net.join(x)
    assert torch.equal(net(x), whole)


@pytest.mark.parametrize("build", [vgg16, partial(alexnet, dropout=0.0)])
def test_layers_join_without_changing_the_output(build):
    torch.manual_seed(0)
    net, x = build(2).train(), torch.randn(16, 3, 32, 32)
    kinds = [type(net[index]) for index in sorted(net.later) if list(net[index].parameters())]
    assert kinds in ([SmallMapConv2d, nn.BatchNorm2d] * 8, [nn.Conv2d, nn.BatchNorm2d, nn.Linear])  # 8 of thirteen
    net.skipped = True
    shallow = net(x)
    net.skipped = False
    assert not torch.allclose(net(x), shallow, rtol=0.1)  # as they were initialised, they change it
    net.join(x)
    torch.testing.assert_close(net(x), shallow, rtol=1e-3, atol=1e-4)
    net.eval()  # running statistics are the batch's where the later layers are new
    whole, net.skipped = net(x), True
    torch.testing.assert_close(net(x), whole, rtol=1e-2, atol=1e-2)


def test_depth_beyond_the_first_blocks_is_what_sets_the_deep_networks_apart():
    with torch.device("meta"):
        assert [len(build("imagenet").later) for build in (resnet50, resnet101)] == [12, 29]


@pytest.mark.parametrize("build", [network, vgg])
def test_later_layers_train_after_they_joined_and_not_before(build):
    model, start, seen = build(), dict(build().named_parameters()), []

    def watch(count: int) -> None:
        seen.append({name for name, p in model.named_parameters() if torch.equal(p, start[name])})

    fit(model, images(), RECIPE, on_step=watch)
    assert seen[5] == later(model)  # six steps of eight without them, in which all else trained
    assert not seen[6] & later(model) if build is vgg else seen[6] < later(model)
    assert not seen[7]
    assert not model.net.skipped  # what is scored and saved is whole


def test_the_last_step_is_of_the_whole_network():
    model = vgg()
    fit(model, images(), replace(RECIPE, grow=0.99))
    assert not model.net.skipped
    kernel = model.net[3].weight.detach()
    assert 0.5 < kernel[range(64), range(64), 1, 1].mean() < 1.5  # it joined as the identity


@pytest.mark.parametrize("grow", [0.4, 0.5, 0.75])  # they join before, at and behind the step that it goes on from
@pytest.mark.parametrize("build", [network, vgg])
def test_a_grown_training_resumes_to_the_bit(tmp_path, build, grow):
    whole, resumed, checkpoints, steps, recipe = build(), build(), Checkpoints(tmp_path), [], replace(RECIPE, grow=grow)
    history = fit(whole, images(), recipe)

    def die(count: int) -> None:
        steps.append(count)
        if len(steps) == 6:  # the second of the second epoch
            checkpoints.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(build(), images(), recipe, on_step=die, checkpoints=checkpoints)
    assert numbers(fit(resumed, images(), recipe, checkpoints=Checkpoints(tmp_path))) == numbers(history)
    assert same(whole, resumed)


def test_what_has_no_later_layers_cannot_grow():
    with pytest.raises(ValueError, match="set grow to 0"):
        fit(Preprocessed(lenet5(), [80.0] * 3, [70.0] * 3), images(), RECIPE)
    with pytest.raises(ValueError, match="0 where weights are averaged"):
        replace(RECIPE, ema=0.9)
