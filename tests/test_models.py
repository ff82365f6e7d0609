import pytest
import torch
import torchvision
from torch import nn

from dl.models import Preprocessed, flops, parameters
from dl.models.conv import SmallMapConv2d
from dl.models.lenet import lenet5
from dl.models.resnet import resnet18, resnet50, resnet101
from dl.models.vgg import vgg16
from dl.recipes import ZOO
from dl.recipes.document import DOCUMENT

# Published counts, for the layers as changed: LeNet-5 by hand from the paper's table with full C3 and three channels;
# VGG-16-BN and the ResNets with the small stem as in kuangliu/pytorch-cifar (less the biases before batch norm).
PARAMETERS = {
    "lenet5": (3 * 25 + 1) * 6 + (6 * 25 + 1) * 16 + 401 * 120 + 121 * 84 + 85 * 10,
    "alexnet": 7_707_594,
    "vgg16": 14_728_266 - 4_224,
    "resnet18": 11_173_962,
    "resnet50": 23_520_842,
    "resnet101": 42_512_970,
}


@pytest.mark.parametrize("name", ZOO)
def test_architecture_is_the_published_one(name):
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        net = ZOO[name].full.build()
        assert net(torch.empty(2, 3, 32, 32)).shape == (2, 10)
        assert ZOO[name].quick.build()(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert parameters(net) == PARAMETERS[name]


@pytest.mark.parametrize("name", DOCUMENT)
def test_the_documents_networks_take_its_images(name):
    plan = DOCUMENT[name]
    with torch.device("meta"):
        assert plan.build()(torch.empty(2, 3, plan.size, plan.size)).shape == (2, 10)


@pytest.mark.parametrize("name", ZOO)
def test_logits_vary_across_samples_at_step_0(name):
    torch.manual_seed(0)
    net = ZOO[name].quick.build().train()
    with torch.no_grad():
        logits = net(torch.randn(16, 3, 32, 32))
    assert 0.01 < logits.std(0).mean() < 1  # PyTorch's default gives AlexNet 3e-4 and VGG-16 4e-7 without batch norm


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: resnet18("imagenet"), torchvision.models.resnet18),
        (lambda: resnet50("imagenet"), torchvision.models.resnet50),
        (lambda: resnet101("imagenet"), torchvision.models.resnet101),
    ],
)
def test_resnet_computes_what_torchvisions_does(ours, theirs):
    reference = theirs(num_classes=10).eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):  # away from the start values, so that each weight counts
            nn.init.uniform_(module.weight, 0.3, 0.7)
            nn.init.normal_(module.running_mean, std=0.1)
    net = ours().eval()
    values = list(reference.state_dict().values())
    assert [v.shape for v in net.state_dict().values()] == [v.shape for v in values]
    net.load_state_dict(dict(zip(net.state_dict(), values, strict=True)))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(x), rtol=1e-4, atol=1e-5)


def test_vgg_computes_what_torchvisions_features_do():
    reference = torchvision.models.vgg16_bn().features.eval()
    net = vgg16().eval()
    ours = [m for m in net if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for module, other in zip(ours, [m for m in reference if isinstance(m, nn.Conv2d | nn.BatchNorm2d)], strict=True):
        module.load_state_dict({k: v for k, v in other.state_dict().items() if k in module.state_dict()})
        if isinstance(other, nn.Conv2d):
            nn.init.zeros_(other.bias)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net[:-2](x), reference(x), rtol=1e-4, atol=1e-6)


def test_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="small, imagenet"):
        resnet18("large")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_the_later_blocks_start_as_the_identity_and_the_first_of_each_stage_with_an_open_branch(name):
    net = ZOO[name].full.build()
    shut = {index for index, block in enumerate(net) if hasattr(block, "body") and not block.body[-1][-1].weight.any()}
    assert shut == net.later
    assert len(shut) == {"resnet18": 4, "resnet50": 12, "resnet101": 29}[name]


def test_flops_of_lenet_are_those_of_its_multiply_adds():
    macs = 28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert flops(ZOO["lenet5"].full.build) == 2 * macs


@pytest.mark.parametrize("size", [None, 48])
def test_raw_is_the_network_on_normalised_pixels(size):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10))
    mean, std = [100.0, 110.0, 120.0], [50.0, 51.0, 52.0]
    x = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    scaled = (x.float() - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    if size:
        scaled = nn.functional.interpolate(scaled, (size, size), mode="bilinear")
    torch.testing.assert_close(Preprocessed(net, mean, std, size)(x), net(scaled))


@pytest.mark.parametrize("size", [None, 40])
def test_an_exported_network_knows_no_device(size):
    """What is exported on a CPU must run wherever it is moved to; `meta` stands for every other device."""
    model = Preprocessed(
        nn.Sequential(lenet5()[:6], nn.AdaptiveAvgPool2d(1), nn.Flatten()), [1.0] * 3, [2.0] * 3, size
    ).eval()
    x = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    exported = torch.export.export(model, (x,), dynamic_shapes=[{0: torch.export.Dim.AUTO}]).module().to("meta")
    assert exported(torch.empty(7, 3, 32, 32, dtype=torch.uint8, device="meta")).shape == (7, 16)


@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(1, 1, 1), (1, 1, 2), (1, 2, 2), (3, 1, 1), (3, 1, 2), (3, 2, 2), (3, 2, 4)]
)
def test_convolutions_of_small_maps_compute_what_torchs_do(kernel, stride, side):
    torch.manual_seed(0)
    ours, reference = (cls(5, 7, kernel, stride, kernel // 2).double() for cls in (SmallMapConv2d, nn.Conv2d))
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, side, side, dtype=torch.double, requires_grad=True)
    got, expected = ours(x), reference(x)
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(expected)
    for mine, truth in zip(
        torch.autograd.grad(got, [x, *ours.parameters()], upstream),
        torch.autograd.grad(expected, [x, *reference.parameters()], upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, truth)
