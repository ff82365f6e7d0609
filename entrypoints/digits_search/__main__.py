"""Question 3: which perceptron of table 1 is best on the digits, and how sure may one be?

    mlflow run . -e digits_search --env-manager uv

searches table 1's 1,400 configurations with hyperopt (30 trials, each the mean over three splits; about a minute
on two cores), runs the best five and table 2's again on splits that the search never saw, names a winner, trains
it with five seeds, tests it once (97 to 98% of the held-out images), and registers `digits-mlp`. Every trial is a
child run, and a search that was killed goes on with `-P resume=RUN_ID`. With `-P engine=ray` every trial is a Ray Tune
trial, on this machine's cores or on the cluster that RAY_ADDRESS names.

    mlflow run . -e digits_search -P exhaustive=True --env-manager uv

trains all 1,400 on three splits instead (eleven minutes on two cores), and says which of them cannot be told from the
best, where table 2 ranks, and how much any search leaves on the table.

The artifact `grid.npz` of each repeat: h1, h2 (int64), lr, dropout (float64), activation (str), all (1400,), and
train_loss, val_loss, val_accuracy (float32, (1400, epochs)).
"""

from typing import Any

import click

from entrypoints.digits_search.options import ALGORITHMS, CONFIGURATIONS, DigitsOptions
from entrypoints.options import Command, engine_options, options_to_resume


@click.command(cls=Command, help=__doc__)
@click.option("--trials", type=click.IntRange(1, CONFIGURATIONS), default=DigitsOptions.trials, show_default=True)
@click.option("--algo", type=click.Choice(ALGORITHMS), default=DigitsOptions.algo, show_default=True)
@click.option(
    "--batch", type=click.IntRange(1), default=DigitsOptions.batch, show_default=True, help="Trials suggested at once."
)
@click.option(
    "--repeats",
    type=click.IntRange(2, 50),
    default=DigitsOptions.repeats,
    show_default=True,
    help="Splits and seeds each.",
)
@click.option("--epochs", type=click.IntRange(1), default=DigitsOptions.epochs, show_default=True)
@click.option("--seed", type=click.IntRange(0, 10**6), default=DigitsOptions.seed, show_default=True)
@click.option("--exhaustive", type=bool, default=False, show_default=True, help="Train all 1,400 instead of searching.")
@click.option("--resume", default="", help="Id of an interrupted search; only --trials may be raised.")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
@engine_options
def main(resume: str, **asked: Any) -> None:
    try:
        DigitsOptions(**asked).refuse_idle(resume)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    # here: torch and mlflow take seconds to import, which --help need not wait for
    from entrypoints.digits_search.experiment import find_best_perceptron

    click.echo(find_best_perceptron(DigitsOptions(**asked), resume, options_to_resume()))


if __name__ == "__main__":
    main()
