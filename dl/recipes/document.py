"""The document's own recipe, as a public solution with the same figures has it (same curves: LeNet-5 17% to 84%,
AlexNet 18%, ResNet-18 71% to 91%): a quarter of SVHN's train set of which a fifth validates, batches of 64, ten epochs,
constant learning rates, no augmentation; LeNet-5 with tanh at 32 px and SGD; the five others stock torchvision
networks with ImageNet's weights at 224 px and Adam at 0.003.
"""

from dataclasses import replace
from functools import partial

from torch import nn

from dl.models.init import kaiming
from dl.models.lenet import lenet5
from dl.recipes.plan import Plan
from dl.train import Recipe

IMAGES = 14_651  # 80% of 25% of 73,257
PLAIN = Recipe(
    epochs=10, batch_size=64, optimizer="adam", lr=0.003, weight_decay=0.0, schedule="constant", warmup=0.0,
    label_smoothing=0.0, clip=0.0, translate=0, colour=0.0, cutout=0,
)  # fmt: skip


def stock(name: str, classes: int = 10) -> nn.Module:
    """torchvision's network with its own initialisation and `classes` outputs: (N, 3, 224, 224) -> (N, classes)."""
    from torchvision.models import get_model  # a second or two: not at import

    return get_model(name, num_classes=classes)


def load_weights(net: nn.Module, weights: str) -> bool:
    """Fill `net` from torchvision's published `weights` except the layer whose shape differs (the classifier's last).

    False, and `net` unchanged, where the weights are neither cached nor to be had.
    """
    from torchvision.models import get_weight

    try:
        state = get_weight(weights).get_state_dict(progress=False, check_hash=True)
    except OSError:  # URLError, HTTPError and a full disk alike
        return False
    own = net.state_dict()
    net.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in state.items()})
    return True


DOCUMENT = {
    "lenet5": Plan(partial(lenet5, nn.Tanh), replace(PLAIN, optimizer="sgd", lr=0.003, nesterov=False), images=IMAGES),
    **{
        name: Plan(partial(stock, name), PLAIN, IMAGES, size=224, weights=f"{title}_Weights.IMAGENET1K_V1")
        for name, title in {
            "alexnet": "AlexNet",
            "vgg16": "VGG16",
            "resnet18": "ResNet18",
            "resnet50": "ResNet50",
            "resnet101": "ResNet101",
        }.items()
    },
}


def normed(net: nn.Module) -> nn.Module:
    """A batch norm behind every convolution of a stock AlexNet or VGG, in place."""
    net.features = nn.Sequential(
        *(
            part
            for layer in net.features
            for part in ((layer, nn.BatchNorm2d(layer.out_channels)) if isinstance(layer, nn.Conv2d) else (layer,))
        )
    )
    return net


# Why does AlexNet stick? The document's plan from PyTorch's own random weights, and that with one thing changed.
BARE = replace(DOCUMENT["alexnet"], weights=None)
ABLATION = {
    "random weights": BARE,
    "another learning rate": replace(BARE, recipe=replace(PLAIN, lr=3e-4)),
    "another initialisation": replace(BARE, build=lambda: kaiming(stock("alexnet"))),
    "another architecture": replace(BARE, build=lambda: normed(stock("alexnet"))),
}


def shrunk(plan: Plan) -> Plan:
    """The document's recipe for two CPU cores: 64 px (AlexNet needs 63), 640 images, three epochs. Not a fair trial of
    the document, and tagged so; LeNet-5 has its full 32 px and the images that the preset has."""
    if plan.size == 32:
        return plan
    return replace(plan, images=640, size=64, recipe=replace(plan.recipe, epochs=3))
