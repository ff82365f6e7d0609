"""Options that more than one command has."""

from collections.abc import Callable

import click

ENGINES = ("local", "ray")


def engine_options(command: Callable) -> Callable:
    """Where the trials of a search run."""
    for option in (
        click.option(
            "--gpus-per-trial",
            type=click.FloatRange(0),
            default=0.0,
            show_default=True,
            help="0: on CPUs; fractions share one.",
        ),
        click.option("--cpus-per-trial", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True),
        click.option("--engine", type=click.Choice(ENGINES), default="local", show_default=True),
    ):
        command = option(command)
    return command
