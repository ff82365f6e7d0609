"""Measure every speed claim of docs/speed.md as a ratio, both sides in one process, taking turns.

    mlflow run . -e benchmark --env-manager uv

    pip install -r requirements-benchmark.txt

    mlflow run . -e benchmark --env-manager local -P only=training,digits

It ends with one table: medians, with the smallest and the largest. Lightning and ONNX Runtime are optional peers
(requirements-benchmark.txt): their rows say so where they are not installed.
"""

from collections.abc import Callable, Iterator
from functools import partial

import click

from entrypoints.options import Command

GROUPS = ("training", "digits", "data", "tracking", "latency")


@click.command(cls=Command, help=__doc__)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Measurements of each side.")
@click.option("--only", default="all", show_default=True, help="Groups of rows, comma-separated, or all.")
def main(repeats: int, only: str) -> None:
    groups = list(GROUPS) if only == "all" else [name.strip() for name in only.split(",")]
    if unknown := [name for name in groups if name not in GROUPS]:
        raise click.BadParameter(f"unknown {', '.join(unknown)}: known are {', '.join(GROUPS)}", param_hint="--only")

    import torch  # here: --help need not wait for it

    from entrypoints.benchmark.data import data_rows
    from entrypoints.benchmark.digits import digits_rows
    from entrypoints.benchmark.latency import latency_rows
    from entrypoints.benchmark.rows import SpeedRow, speed_table
    from entrypoints.benchmark.tracking import tracking_rows
    from entrypoints.benchmark.training import training_rows
    from tracking.run import start

    rows = []
    with start("benchmark", {"repeats": repeats, "only": only}, {"kind": "benchmark", "device": "cpu"}) as run:
        measures: dict[str, Callable[[int], Iterator[SpeedRow]]] = {
            "training": training_rows, "digits": digits_rows, "data": data_rows,
            "tracking": partial(tracking_rows, run), "latency": latency_rows,
        }  # fmt: skip
        for name in groups:
            for row in measures[name](repeats):
                rows.append(row)
                click.echo(speed_table([row]).splitlines()[-1])  # a log file shows how far it is
        run.log_table("benchmark.json", [row.cells() for row in rows])
        run.metrics({row.key: row.ratio for row in rows if row.ratio is not None})
        run.note(f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}\n\n{speed_table(rows)}")
    click.echo(f"\n{speed_table(rows)}")


if __name__ == "__main__":
    main()
