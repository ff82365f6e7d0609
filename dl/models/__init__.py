"""The zoo. To add an architecture: one file beside these, and one line in ZOO."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dl.models import alexnet, lenet, resnet, vgg
from dl.models.preprocessed import Raw
from dl.recipes.plan import Architecture, Plan

__all__ = ["ZOO", "Architecture", "Plan", "Raw", "flops", "parameters"]

ZOO = {
    "lenet5": Architecture("LeNet-5", lenet.FULL, lenet.QUICK),
    "alexnet": Architecture("AlexNet", alexnet.FULL, alexnet.QUICK),
    "vgg16": Architecture("VGG-16", vgg.FULL, vgg.QUICK),
    "resnet18": Architecture("ResNet-18", resnet.FULL_18, resnet.QUICK_18),
    "resnet50": Architecture("ResNet-50", resnet.FULL_50, resnet.QUICK_50),
    "resnet101": Architecture("ResNet-101", resnet.FULL_101, resnet.QUICK_101),
}


def parameters(net: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def flops(plan: Plan) -> int:
    """Floating-point operations of one forward pass of one image (a multiply-add counts two); nothing is computed."""
    with torch.device("meta"):
        net, image = plan.build().eval(), torch.empty(1, 3, plan.size, plan.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    return counter.get_total_flops()
