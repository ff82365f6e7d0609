"""Where networks are computed, and in which precision they train."""

from functools import cache
from typing import Literal

import torch


def pick_device(name: str = "auto", mps: bool = True) -> torch.device:
    """Return the device `name`, or for "auto" the first there is of cuda, mps and cpu.

    mps: whether "auto" may choose it; it has no float64. Raises ValueError where a named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found and (mps or kind != "mps")))
    if not there.get(name, False):
        raise ValueError(f"no device {name!r} here: choose auto or {', '.join(k for k, v in there.items() if v)}")
    return torch.device(name)


@cache
def has_bf16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 faster than float32: GPUs from Ampere on, CPUs with instructions
    for it. The others would emulate it."""
    if device.type == "cpu":
        there = torch.cpu.get_capabilities()
        return bool(there.get("avx512_bf16") or there.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def training_precision(device: torch.device) -> Literal["bfloat16", "float32"]:
    """Return in which precision networks multiply when they train on `device`.

    Both accumulate in float32, and weights, gradients and their averages stay float32.
    """
    return "bfloat16" if has_bf16(device) else "float32"


def describe_device(device: torch.device) -> str:
    """Return which device that is and how it trains, in a few words: "cpu (2 threads, float32)"."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{name} ({torch.get_num_threads()} threads, {training_precision(device)})"


def autocast(device: torch.device, enabled: bool = True) -> torch.autocast:
    """Compute what follows in `training_precision`, where `enabled`, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_bf16(device))


def default_generator(device: torch.device) -> torch.Generator:
    """Return the generator that dropout draws from on `device`."""
    if device.type == "cuda":
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    return torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator
