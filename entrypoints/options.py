"""What more than one command has: its options, and how it fails."""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tracking.errors import ResumeError, TrackingError

if TYPE_CHECKING:
    from tracking.resume import Option

ENGINES = ("local", "ray")


class Command(click.Command):
    """A command that says in one line, without a traceback, what is wrong with the tracking server or a run there."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ResumeError as error:
            raise click.UsageError(str(error)) from error
        except TrackingError as error:
            raise click.ClickException(str(error)) from error


def options_to_resume() -> "dict[str, Option]":
    """Return the options of the running command, `--resume` apart, as a run that is to go on is asked for them.

    `mlflow run` passes every option: one that has its default was then not asked for.
    """
    from tracking.resume import Option  # here: mlflow takes seconds to import, which --help need not wait for

    context, found = click.get_current_context(), dict[str, Option]()
    for parameter in context.command.params:
        if (name := parameter.name) not in (None, "resume"):
            typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            value, default = context.params[name], parameter.default
            given = typed and (value != default or "MLFLOW_RUN_ID" not in os.environ)
            found[name] = Option(value, default, partial(parsed, parameter), given)
    return found


def parsed(parameter: click.Parameter, text: str) -> object:
    """Return the value of an option that is on record as `text`. ValueError where the option takes no such value."""
    try:
        return parameter.type_cast_value(click.get_current_context(), text)
    except click.BadParameter as error:
        raise ValueError(error.message) from error


def engine_options(command: Callable) -> Callable:
    """Add the options that say where the trials of a search run."""
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
