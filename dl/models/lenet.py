"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.

Changes for SVHN: three input channels instead of one (C1 has 456 weights instead of 156); C3 sees all six maps (the
paper's sparse table broke a symmetry that random initialisation breaks as well); max pooling without weights; a
linear output with cross-entropy instead of radial basis functions; ReLU with Kaiming initialisation instead of a
scaled tanh. 32x32 is the paper's own input size. `act=nn.Tanh` is the document's variant.
"""

from torch import nn

from dl.models.init import kaiming


def lenet5(act: type[nn.Module] = nn.ReLU, classes: int = 10) -> nn.Sequential:
    """Return LeNet-5: (N, 3, 32, 32) float -> logits (N, classes); 62,006 parameters for ten classes."""
    net = nn.Sequential(
        # pooling first: for activations that never fall the same values, for a quarter of the activations' work
        nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), act(),  # C1, S2: (N, 6, 14, 14)
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), act(),  # C3, S4: (N, 16, 5, 5)
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), act(),  # C5
        nn.Linear(120, 84), act(),  # F6
        nn.Linear(84, classes),
    )  # fmt: skip
    return kaiming(net) if act is nn.ReLU else net
