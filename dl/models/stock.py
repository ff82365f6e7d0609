"""torchvision's own networks, which the document used."""

from torch import nn


def stock(name: str, classes: int = 10) -> nn.Module:
    """Return torchvision's network with its own initialisation: (N, 3, 224, 224) float -> logits (N, classes)."""
    from torchvision.models import get_model  # a second or two: not at import

    return get_model(name, num_classes=classes)


def load_weights(net: nn.Module, weights: str) -> bool:
    """Fill `net` from torchvision's published `weights` except the layer whose shape differs (the classifier's last).

    Returns False, and leaves `net` unchanged, where the weights are neither cached nor to be had.
    """
    from torchvision.models import get_weight

    try:
        state = get_weight(weights).get_state_dict(progress=False, check_hash=True)
    except OSError:  # URLError, HTTPError and a full disk alike
        return False
    own = net.state_dict()
    net.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in state.items()})
    return True


def with_batch_norm(net: nn.Module) -> nn.Module:
    """Put a batch norm behind every convolution of a stock AlexNet or VGG, in place."""
    assert isinstance(net.features, nn.Sequential)
    net.features = nn.Sequential(
        *(
            part
            for layer in net.features
            for part in ((layer, nn.BatchNorm2d(layer.out_channels)) if isinstance(layer, nn.Conv2d) else (layer,))
        )
    )
    return net
