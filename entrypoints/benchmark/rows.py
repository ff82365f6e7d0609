"""What all groups share: sides that take turns, and the row that compares them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median


@dataclass(frozen=True)
class SpeedRow:
    """Our measurements beside a peer's."""

    key: str
    what: str
    unit: str  # "seconds", of which fewer are better, or a rate such as "images/s"
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    remark: str = ""  # why there is no peer

    @property
    def ratio(self) -> float | None:
        """Return how many times faster ours is, by the medians; None without a peer."""
        if not self.theirs:
            return None
        ratio = median(self.ours) / median(self.theirs)
        return 1 / ratio if self.unit == "seconds" else ratio

    def cells(self) -> dict[str, str | float | None]:
        theirs = self._spread(self.theirs) if self.theirs else self.remark or "-"
        return {
            "key": self.key, "what": self.what, "ours": self._spread(self.ours), "theirs": theirs, "ratio": self.ratio
        }  # fmt: skip

    def _spread(self, values: Sequence[float]) -> str:
        digits = ",.0f" if median(values) > 100 else ".3g"
        return f"{median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}}) {self.unit}"


def speed_table(rows: Sequence[SpeedRow]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | ours: median (range) | peer: median (range) | times faster |", "|---|---|---|---|"]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.3g}"
        cells = row.cells()
        lines.append(f"| {cells['what']} | {cells['ours']} | {cells['theirs']} | {ratio} |")
    return "\n".join(lines)


def take_turns(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Measure each side in turns, after one warm-up each: what disturbs the machine disturbs all."""
    for side in sides.values():
        side()
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            values[name].append(side())
    return values


def stopwatch(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def absent(*packages: str) -> str:
    """Say why a peer cannot be measured; empty where it can."""
    missing = [package for package in packages if find_spec(package) is None]
    return f"no {', '.join(missing)} here: pip install -r requirements-benchmark.txt" if missing else ""
