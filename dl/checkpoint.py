"""Checkpoints of one training: a file an epoch, written atomically.

`epoch-0007-<first 16 hex digits of its SHA-256>.pt` is an ordinary `torch.save` file that `torch.load(path,
weights_only=True)` opens; the name says what its bytes must be. It holds

    identity   dict: recipe, data digests, shape of the network, kind of device, precision
    history    list of dicts, one an epoch so far
    parts      dict: state of model, optimiser, schedule, averaged weights and random generators
"""

import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KEPT = 2  # files: if the newest is damaged, the one before it is still there


def warn(line: str) -> None:
    print(f"Warning: {line}", file=sys.stderr, flush=True)


class Checkpoints:
    """The checkpoints of one network in a folder of its own, which is made when the first one is written.

    `save` copies the state off the device and returns; a thread writes it (temporary file, fsync, rename), while the
    next epoch trains. So kill -9 costs at most the epochs since the last file was whole, and a disk that is full
    costs a warning: training goes on, and the file before stands.
    """

    def __init__(self, folder: str | Path, warn: Callable[[str], None] = warn):
        self.folder = Path(folder)
        self.warn = warn
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None

    def save(self, epoch: int, state: dict) -> None:
        """Write `state` (tensors, numbers, strings and containers of them) as the checkpoint after `epoch`."""
        self.wait()  # one at a time: memory for two copies would not be bounded
        self._writing = self._writer.submit(self._write, epoch, on_cpu(state))

    def wait(self) -> None:
        """Wait until the last `save` is on disk, or has warned that it is not."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def load(self, identity: dict) -> dict | None:
        """Return the newest state that is whole and of this `identity`, on the CPU; None where there is none.

        What is refused is said in one line and set aside as `*.refused`.
        """
        self.wait()
        for path in reversed(self._files()):
            try:
                state = read_checkpoint(path)
                there = state["identity"]  # what an older program did not record, it cannot contradict
                if different := [key for key in identity if there.get(key, identity[key]) != identity[key]]:
                    raise ValueError("it belongs to another training: " + "; ".join(
                        f"{key} {there[key]} there, {identity[key]} here" for key in different
                    ))  # fmt: skip
                return state
            except ValueError as error:
                self.warn(f"checkpoint {path} refused: {error}")
                path.rename(path.with_suffix(".refused"))
        return None

    def remove(self) -> None:
        """Delete the folder with everything that was written here."""
        self.wait()
        for path in [*self.folder.glob("epoch-*"), *self.folder.glob("*.partial")]:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # not there, or something of another's in it
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.pt"))

    def _write(self, epoch: int, state: dict) -> None:
        buffer = io.BytesIO()  # first in memory: torch's own writer does not survive a full disk in good order
        torch.save(state, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"epoch-{epoch:04d}-{checksum(content)}.pt"
        partial = path.with_suffix(".partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob("*.partial"):  # of a process that was killed
                left.unlink()
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            sync(self.folder)
            for old in self._files()[:-KEPT]:
                old.unlink()
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self.warn(f"no checkpoint of epoch {epoch} ({error.strerror or error}): training goes on without it")


def read_checkpoint(path: Path) -> dict:
    """Return the content of a checkpoint, and run nothing in it.

    Raises ValueError where its bytes are not those that were written, or hold more than tensors and plain values.
    """
    content = path.read_bytes()
    if checksum(content) != path.stem.rsplit("-", 1)[-1]:
        raise ValueError(f"its {len(content):,} bytes are damaged (another checksum than its name says)")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:  # torch's advice is to load it unsafely
        raise ValueError("it holds something else than tensors and plain values: it is not ours") from error


def checksum(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def sync(folder: Path) -> None:
    """Make a rename in `folder` last through a loss of power."""
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def on_cpu(value: Any) -> Any:
    """Return a copy of nested dicts, lists and tensors that training cannot change any more."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_cpu(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(on_cpu, value))
    return value


def capture(parts: dict) -> dict:
    """Return the state of modules, optimisers, schedules and random generators by name; None has none."""
    return {
        name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
        for name, part in parts.items()
        if part is not None
    }


def restore(parts: dict, state: dict) -> None:
    """Set the state that `capture` returned, in place."""
    for name, part in parts.items():
        if part is not None:
            part.set_state(state[name]) if isinstance(part, torch.Generator) else part.load_state_dict(state[name])
