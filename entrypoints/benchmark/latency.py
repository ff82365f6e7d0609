"""How long one image and 64 take on the CPU: a network's exported program, beside the same network as ONNX."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from dl.models import Preprocessed
from dl.onnx_program import open_onnx, save_onnx
from dl.recipes import ZOO
from entrypoints.benchmark.rows import SpeedRow, absent, stopwatch, take_turns
from entrypoints.export import PACKAGES

CALLS = 20  # of which a measurement is the mean


@torch.no_grad()
def latency_rows(repeats: int) -> Iterator[SpeedRow]:
    """Time ResNet-18 with random weights, whose numbers cost no time."""
    architecture, images = ZOO["resnet18"], torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    model = Preprocessed(architecture.quick.build(), [128.0] * 3, [64.0] * 3).eval()
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    ours, remark = program.module(), absent(*PACKAGES)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        if not remark:
            save_onnx(program, path)
            theirs = open_onnx(path)
        for count in (1, 64):
            x = images[:count]
            sides = {"ours": lambda x=x: stopwatch(lambda: [ours(x) for _ in range(CALLS)]) / CALLS}
            if not remark:
                sides["theirs"] = lambda x=x: stopwatch(lambda: [theirs(x.numpy()) for _ in range(CALLS)]) / CALLS
            values = take_turns(sides, repeats)
            what = f"{architecture.title}, {count} image{'s' * (count > 1)} at once, beside ONNX Runtime"
            yield SpeedRow(f"onnx_{count}", what, "seconds", values["ours"], values.get("theirs", ()), remark)
