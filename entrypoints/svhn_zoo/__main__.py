"""Question 4: six networks on SVHN, trained, compared, registered.

    mlflow run . -e svhn_zoo --env-manager uv

trains LeNet-5, AlexNet, VGG-16, ResNet-18, -50 and -101, each in a child run with its curves, confusion matrix and most
confident errors, and registers every network with its preprocessing. On an NVIDIA GPU: all images, ten epochs.
Elsewhere: a subset, three to six minutes on two cores, where two networks train at a time (OMP_NUM_THREADS=1: one).
Without SVHN's files, and without a way to download them, it trains on generated street digits and says so. Its first
line names device, threads, precision, data set and tracking store.

A run that was killed goes on with `-P resume=RUN_ID`, in the same runs, and ends as if it had not been. Every epoch
leaves a checkpoint in `checkpoints/RUN_ID/`, on the local disk, as to an artifact store it would be hundreds of
megabytes an epoch over the network; they are deleted when the network is registered.

    mlflow run . -e svhn_zoo --env-manager uv -P models=lenet5 -P search=20

looks for a better recipe first: 20 short trials with hyperopt's TPE, each a child run, the unpromising stopped early.
The best is trained in full beside the shipped one, and the better of the two on validation data goes on. With
`-P engine=ray` trials and networks are Ray Tune trials, on this machine's cores or on the cluster of RAY_ADDRESS.

    mlflow run . -e svhn_zoo --env-manager uv -P recipe=both

trains each network by the document's recipe and by ours, AlexNet with one thing changed at a time as well, and judges
the document's claims about them.

On several GPUs: `torchrun --nproc-per-node 4 -m entrypoints.svhn_zoo --models resnet101`.
"""

from typing import Any

import click

from entrypoints.options import Command, engine_options


@click.command(cls=Command, help=__doc__)
@click.option("--models", default="all", show_default=True, help="Comma-separated names, or all.")
@click.option("--dataset", type=click.Choice(["auto", "svhn", "street-digits"]), default="auto", show_default=True)
@click.option("--data-dir", default="auto", show_default=True, help="Where SVHN lies; auto: $SVHN_ROOT, else ./data.")
@click.option(
    "--extra", type=bool, default=False, show_default=True, help="Train on SVHN's 531,131 extra images as well."
)
@click.option("--preset", type=click.Choice(["auto", "full", "quick"]), default="auto", show_default=True)
@click.option("--recipe", type=click.Choice(["tuned", "document", "both"]), default="tuned", show_default=True)
@click.option("--epochs", type=click.IntRange(min=0), default=0, show_default=True, help="0: the preset's.")
@click.option(
    "--images", type=click.IntRange(min=0), default=0, show_default=True, help="To train on; 0: the preset's."
)
@click.option("--seed", type=click.IntRange(0, 10**6), default=0, show_default=True)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings a network, from --seed on."
)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--resume", default="", help="Id of an interrupted run, whose options hold; only --search may be raised.")
@click.option("--search", type=click.IntRange(0), default=0, show_default=True, help="Trials a network for its recipe.")
@engine_options
def main(resume: str, **asked: Any) -> None:
    # here: torch and mlflow take seconds to import, which --help need not wait for
    from entrypoints.svhn_zoo.options import ZooOptions
    from entrypoints.svhn_zoo.zoo import run_zoo

    run_zoo(ZooOptions(**asked), resume)


if __name__ == "__main__":
    main()
