"""Our recipe of each network. To add one: a row here, and its file in dl/models."""

from functools import partial

from dl.models.alexnet import alexnet
from dl.models.lenet import lenet5
from dl.models.resnet import resnet18, resnet50, resnet101
from dl.models.vgg import vgg16
from dl.recipes.plan import Architecture, Plan
from dl.train import Recipe

# LeNet-5 is too small to overfit: no smoothing, no cutout
SMALL = partial(Recipe, optimizer="adamw", weight_decay=1e-4, label_smoothing=0.0, translate=2, cutout=0)
# on two CPU cores, some twenty thousand images a network: many small steps of AdamW on a network that is shallow at
# first leave the plateau of the most frequent digit soonest, and what only pays in long trainings is off
SHORT = partial(
    Recipe, epochs=2, batch_size=64, optimizer="adamw", lr=2e-3, weight_decay=0.05, warmup=0.1, label_smoothing=0.0,
    translate=2, colour=0.0, cutout=0,
)  # fmt: skip

ZOO = {
    "lenet5": Architecture(
        "LeNet-5",
        # a stronger decay than the quick one's: what is learnt from generated digits then holds better on photographs
        full=Plan(lenet5, SMALL(batch_size=128, lr=6e-3, weight_decay=0.2)),
        quick=Plan(lenet5, SMALL(batch_size=64, lr=2e-3), images=6000),
    ),
    "alexnet": Architecture(
        "AlexNet",
        full=Plan(alexnet, Recipe(optimizer="muon", lr=4e-3, weight_decay=0.01)),
        quick=Plan(
            partial(alexnet, stride=2, dropout=0.0), SHORT(epochs=4, optimizer="muon", lr=4e-3, grow=0.85), images=2900
        ),
    ),
    "vgg16": Architecture(
        "VGG-16",
        full=Plan(vgg16, Recipe(lr=0.1)),
        quick=Plan(partial(vgg16, stride=2), SHORT(grow=0.85), images=9000),
    ),
    # ImageNet's stem buys eight to fifteen times as many images a second on two cores
    "resnet18": Architecture(
        "ResNet-18",
        full=Plan(resnet18, Recipe(lr=0.2)),
        quick=Plan(partial(resnet18, "imagenet"), SHORT(lr=3e-3, grow=0.8), images=12_000),
    ),
    "resnet50": Architecture(
        "ResNet-50",
        full=Plan(resnet50, Recipe(lr=0.1)),
        quick=Plan(partial(resnet50, "imagenet"), SHORT(grow=0.93), images=7000),
    ),
    "resnet101": Architecture(
        "ResNet-101",
        full=Plan(resnet101, Recipe(lr=0.1)),
        quick=Plan(partial(resnet101, "imagenet"), SHORT(grow=0.95), images=7000),
    ),
}
