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
from dl.models.stock import stock, with_batch_norm
from dl.recipes.plan import Plan
from dl.train import Recipe

DOCUMENT_IMAGES = 14_651  # 80% of 25% of 73,257
PLAIN = Recipe(
    epochs=10, batch_size=64, optimizer="adam", lr=0.003, weight_decay=0.0, schedule="constant", warmup=0.0,
    label_smoothing=0.0, clip=0.0, translate=0, colour=0.0, cutout=0,
)  # fmt: skip


DOCUMENT = {
    "lenet5": Plan(partial(lenet5, nn.Tanh), replace(PLAIN, optimizer="sgd", nesterov=False), DOCUMENT_IMAGES),
    **{
        name: Plan(partial(stock, name), PLAIN, DOCUMENT_IMAGES, size=224, weights=f"{title}_Weights.IMAGENET1K_V1")
        for name, title in {
            "alexnet": "AlexNet",
            "vgg16": "VGG16",
            "resnet18": "ResNet18",
            "resnet50": "ResNet50",
            "resnet101": "ResNet101",
        }.items()
    },
}


# Why does AlexNet stick? The document's plan from PyTorch's own random weights, and that with one thing changed.
BARE = replace(DOCUMENT["alexnet"], weights=None)
ABLATION = {
    "random weights": BARE,
    "another learning rate": replace(BARE, recipe=replace(PLAIN, lr=3e-4)),
    "another optimiser": replace(BARE, recipe=replace(PLAIN, optimizer="sgd", nesterov=False)),
    "another initialisation": replace(BARE, build=lambda: kaiming(stock("alexnet"))),
    "another architecture": replace(BARE, build=lambda: with_batch_norm(stock("alexnet"))),
}


def shrunk(plan: Plan) -> Plan:
    """Return the document's plan for two CPU cores: 64 px (AlexNet needs 63), 640 images, three epochs.

    It is not a fair trial of the document, and tagged so. LeNet-5 keeps its 32 px and all of the plan's images.
    """
    if plan.size == 32:
        return plan
    return replace(plan, images=640, size=64, recipe=replace(plan.recipe, epochs=3))
