"""What a trained network says of images, and how well."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dl.data.split import Split
from dl.device import autocast


@torch.inference_mode()
def predict(model: nn.Module, x: Tensor, device: torch.device | str = "cpu", batch_size: int = 256) -> Tensor:
    """Return float32 logits (N, classes) of raw pixels (N, C, H, W), on the CPU; `model` is left in evaluation mode."""
    device = torch.device(device)
    model.eval()
    with autocast(device, enabled=device.type == "cuda"):
        return torch.cat([model(part.to(device)).float() for part in x.split(batch_size)]).cpu()


def evaluate(model: nn.Module, split: Split, device: torch.device | str = "cpu") -> tuple[float, float]:
    """Return the mean cross-entropy (nats) and the accuracy (0..1) of `model` on `split`."""
    logits, y = predict(model, split.x, device), split.y.cpu()
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).double().mean().item()
