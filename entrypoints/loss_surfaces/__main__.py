"""Question 1: cross-entropy or squared error for logistic regression?

    mlflow run . -e loss_surfaces --env-manager uv

draws both loss surfaces (over label and probability, over the logit, over two weights of a real problem), measures
their gradients in the corners, and races the losses by gradient descent and SGD, from three kinds of start, on three
data sets, each loss with its own best learning rate (hyperopt's TPE, every trial a child run). It judges the document's
four claims and registers `logistic-ce` and `logistic-mse`. Apart from the claims, softmax regression on the ten digits
runs the same races. About three minutes on two cores.
"""

import click

from entrypoints.options import Command


@click.command(cls=Command, help=__doc__)
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="Seeds of each race.")
@click.option("--trials", type=click.IntRange(1), default=16, show_default=True, help="Learning rates a search tries.")
@click.option("--steps", type=click.IntRange(1), default=1000, show_default=True, help="Steps of a descent at most.")
@click.option("--seed", type=click.IntRange(0, 10**6), default=0, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
def main(seeds: int, trials: int, steps: int, seed: int, device: str) -> None:
    # here: torch and mlflow take seconds to import, which --help need not wait for
    from dl.device import pick_device
    from dl.logistic.race import Race
    from entrypoints.loss_surfaces.experiment import compare_losses

    try:
        chosen = pick_device(device, mps=False)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    asked = click.get_current_context().params
    click.echo(compare_losses(Race(seeds, trials, steps, seed=seed), chosen, asked))


if __name__ == "__main__":
    main()
