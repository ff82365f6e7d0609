"""A network as ONNX, which runs without torch: made from its exported program, and opened by onnxruntime."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram


def save_onnx(program: ExportedProgram, path: Path) -> None:
    """Write the program as one ONNX file that takes what the program takes, in batches of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        converted = torch.onnx.export(program, dynamo=True, verbose=False)
    assert converted is not None  # as with `dynamo` no file is named
    converted.save(path, external_data=False)


def open_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network of an ONNX file, (N, ...) -> logits (N, classes), on the CPU with as many threads as torch."""
    import onnxruntime  # here: an optional package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [taken] = session.get_inputs()
    return lambda images: session.run(None, {taken.name: images})[0]
