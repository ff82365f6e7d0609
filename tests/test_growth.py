"""Networks that grow in depth while they train."""

from dataclasses import replace

import pytest
import torch

from dl.checkpoint import Checkpoints
from dl.models import Preprocessed
from dl.models.lenet import lenet5
from dl.models.resnet import basic, bottleneck, later_blocks, resnet, resnet50, resnet101
from dl.train import Recipe, fit
from tests.test_checkpoint import images, numbers, same

# eight steps, the first six on one block a stage
RECIPE = Recipe(epochs=2, batch_size=16, optimizer="adamw", lr=1e-3, grow=0.75)


def network() -> Preprocessed:
    torch.manual_seed(0)
    return Preprocessed(resnet(basic, (1, 2, 1, 2), "imagenet"), [120.0] * 3, [70.0] * 3)


@pytest.mark.parametrize("depths", [(2, 2, 2, 2), (3, 4, 6, 3)])
@pytest.mark.parametrize("block", [basic, bottleneck])
def test_blocks_join_without_changing_the_output(block, depths):
    torch.manual_seed(0)
    net, x = resnet(block, depths, "imagenet").train(), torch.randn(4, 3, 32, 32)
    whole = net(x)
    later = later_blocks(net)
    assert len(later) == sum(depths) - 4
    for each in later:
        each.skipped = True
    assert torch.equal(net(x), whole)


def test_depth_beyond_the_first_blocks_is_what_sets_the_deep_networks_apart():
    with torch.device("meta"):
        assert [len(later_blocks(build("imagenet"))) for build in (resnet50, resnet101)] == [12, 29]


def test_later_blocks_train_after_they_joined_and_not_before():
    model, start = network(), network()
    fit(model, images(), replace(RECIPE, grow=0.99))  # eight steps of which the share leaves none
    trained, untouched = (dict(each.named_parameters()) for each in (model, start))
    still = {name for name in trained if torch.equal(trained[name], untouched[name])}
    behind = {id(p) for block in later_blocks(model) for p in block.parameters()}
    assert still == {name for name, p in trained.items() if id(p) in behind}
    assert not any(block.skipped for block in later_blocks(model))  # what is scored and saved is whole
    model = network()
    fit(model, images(), RECIPE)
    assert all(block.body[-1][1].weight.abs().max() > 0 for block in later_blocks(model))


@pytest.mark.parametrize("step", [1, 3])  # of the second epoch: before and after the blocks joined
def test_a_grown_training_resumes_to_the_bit(tmp_path, step):
    whole, resumed, checkpoints, steps = network(), network(), Checkpoints(tmp_path), []
    history = fit(whole, images(), RECIPE)

    def die(count: int) -> None:
        steps.append(count)
        if len(steps) == 4 + step:
            checkpoints.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), images(), RECIPE, on_step=die, checkpoints=checkpoints)
    assert numbers(fit(resumed, images(), RECIPE, checkpoints=Checkpoints(tmp_path))) == numbers(history)
    assert same(whole, resumed)


def test_what_has_no_residual_blocks_cannot_grow():
    with pytest.raises(ValueError, match="set grow to 0"):
        fit(Preprocessed(lenet5(), [80.0] * 3, [70.0] * 3), images(), RECIPE)
