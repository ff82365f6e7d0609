"""What more than one command has: its options, and how it fails."""

from collections.abc import Callable

import click

from tracking.errors import TrackingError

ENGINES = ("local", "ray")


class Command(click.Command):
    """A command that says in one line, without a traceback, what is wrong with the tracking server or a run there."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except TrackingError as error:
            raise click.ClickException(str(error)) from error


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
