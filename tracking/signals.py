"""Signals: the first ends a run in order, the second ends the process."""

import ctypes
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tracking.patience import hurry

ONE_SIGNAL = 1.0  # seconds within which several are one: Ctrl-C comes from the terminal and from `mlflow run`
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Raise KeyboardInterrupt (Ctrl-C) or SystemExit (SIGTERM) at the first signal; die at once of a second one."""
    first = None

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            end_with_the_launcher(False)
            hurry()
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + number)
        if time.monotonic() - first > ONE_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {}
    with suppress(ValueError):  # not in the main thread: then the caller's handlers stay
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_the_launcher(wanted: bool = True) -> None:
    """Have SIGTERM sent to this process when `mlflow run` dies: a killed launcher would leave it training unseen.

    Linux only; elsewhere such a process goes on. Not `wanted` any more: by a process that is ending already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM if wanted else 0)
