"""Question 3: perceptrons trained as stacks beside the same ones trained one after the other."""

from collections.abc import Iterator

import torch

from dl.data import digits
from dl.population import Repeat
from dl.population import train as train_stacked
from dl.reference import ordinary
from dl.table1 import GRID
from entrypoints.benchmark.rows import SpeedRow, stopwatch, take_turns

SHAPES = [(128, 16), (256, 64), (384, 24), (1024, 128)]  # of table 1, all 40 settings each


def digits_rows(repeats: int) -> Iterator[SpeedRow]:
    repeat = Repeat(digits(), 0)
    configs = [config for config in GRID if (config.h1, config.h2) in SHAPES]
    sample = configs[::20]

    def stacked() -> float:
        return len(configs) / stopwatch(lambda: train_stacked(configs, [repeat], epochs=2))

    def sequential() -> float:  # one thread: more make such small steps slower
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        took = stopwatch(lambda: [ordinary(config, repeat, epochs=2) for config in sample])
        torch.set_num_threads(threads)
        return len(sample) / took

    values = take_turns({"ours": stacked, "theirs": sequential}, repeats)
    what = f"digits, {len(configs)} of table 1's networks as stacks, beside one after the other, two epochs"
    yield SpeedRow("digits_stacked", what, "networks/s", values["ours"], values["theirs"])
