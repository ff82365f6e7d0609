"""Everything that wants a GPU, in two commands of at most ten minutes each. See docs/speed.md.

    python docs/results/gpu.py zoo OUT     the six networks by their full recipes, ten epochs, bf16
    python docs/results/gpu.py rest OUT    the digits grid, GPU beside CPU in questions 1 to 3, profiles, torch.compile

OUT gets a Markdown table and the numbers as JSON after every step, so that a command which is cut short loses nothing.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from entrypoints.benchmark.gpu import GpuSession, measure_rest, measure_zoo

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("part", choices=["zoo", "rest"])
parser.add_argument("out", type=Path)
parser.add_argument("--minutes", type=float, default=8.0, help="nothing new is begun after so long")
parser.add_argument("--miniature", action="store_true", help="proves the script in seconds, on a CPU too")
asked = parser.parse_args()
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if device.type == "cpu" and not asked.miniature:
    parser.error("no GPU here: only --miniature")
path = asked.out / f"{'miniature-' * asked.miniature}{asked.part}"
session = GpuSession(device, path, time.monotonic() + 60 * asked.minutes, asked.miniature)
{"zoo": measure_zoo, "rest": measure_rest}[asked.part](session)
