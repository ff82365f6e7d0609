"""Everything that wants a GPU, in two commands of at most ten minutes each: see docs/speed.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from entrypoints.benchmark.gpu import main

main()
