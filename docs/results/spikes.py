"""Why a VGG-16 that begins with trained weights is erratic under Adam: the same network at other rates.

    python docs/results/spikes.py --figure docs/vgg16-spikes.png --steps docs/vgg16-first-steps.png

The document's VGG-16 is a plain one (no batch norm) that begins with ImageNet's weights and goes on by Adam at a
constant 0.003. ImageNet's weights and 224 px are not for two CPU cores, so this takes a stand-in: the quick preset's
VGG-16, trained on generated digits by its own recipe, with its batch norms folded into the kernels, which changes no
output. It goes on by the document's recipe and by that with one thing changed. Every training is a run of the tracking
store; prints Markdown.
"""

import argparse
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dl.claims.question4 import spikes_up
from dl.data import Data, street_digits
from dl.evaluate import evaluate
from dl.models import Preprocessed
from dl.plots import figure, log_axis, style, tidy, whole_numbers
from dl.plots.zoo import reach_of_signal
from dl.probe import FirstSteps, first_steps
from dl.recipes import ZOO
from dl.recipes.document import PLAIN
from dl.train import Epoch, Recipe, fit
from tracking.run import start

ARMS = {
    "Adam at 0.003 (document)": PLAIN,
    "at 0.0003": replace(PLAIN, lr=3e-4),
    "at 0.00003": replace(PLAIN, lr=3e-5),
    "0.0003, falling to 0": replace(PLAIN, lr=3e-4, schedule="linear"),
}
BEFORE = ("val_loss_before", "val_accuracy_before")


def folded(net: Any) -> nn.Sequential:
    """Return a copy of a trained chain of layers without batch norms, each folded into the convolution before it."""
    layers: list[nn.Module] = []
    for layer in deepcopy(net).eval():
        if isinstance(layer, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def spikes(history: list[Epoch], begun: float) -> list[Epoch]:
    """Return the epochs whose validation loss jumps, by the rule of the claims' judge; begun: the loss before."""
    losses = [begun, *(epoch.val_loss for epoch in history)]
    return [epoch for epoch, before in zip(history, losses, strict=False) if spikes_up(before, epoch.val_loss)]


def draw(trainings: Mapping[str, list[list[Epoch]]], begun: list[tuple[float, float]]) -> Figure:
    """Draw the validation losses, a panel an arm, a line a seed; rings are spikes. begun: loss and accuracy, a seed."""
    drawing = figure(2.9 * len(trainings), 3.4)
    panels = drawing.subplots(1, len(trainings), sharey=True)
    for axes, (name, histories) in zip(panels, trainings.items(), strict=True):
        for seed, history in enumerate(histories):
            losses = [begun[seed][0], *(epoch.val_loss for epoch in history)]
            axes.plot(range(len(losses)), losses, label=f"seed {seed}", **style(seed))
            rings = spikes(history, begun[seed][0])
            axes.plot(
                [epoch.index for epoch in rings], [epoch.val_loss for epoch in rings], linestyle="none", marker="o",
                markersize=10, markerfacecolor="none", color="black",
            )  # fmt: skip
        tidy(axes, name, "epoch (0: as it begins)", "validation loss (nats)" if axes is panels[0] else "")
        whole_numbers(axes.xaxis)
    panels[0].set_yscale("log")  # of all: they share it
    log_axis(panels[0].yaxis, [base * 10**power for power in range(-2, 3) for base in (1, 2, 3, 5)])
    panels[-1].legend(frameon=False, fontsize=8)
    return drawing


def row(name: str, histories: list[list[Epoch]], begun: list[tuple[float, float]]) -> str:
    """Return an arm's row of the table."""
    found = [spikes(history, loss) for history, (loss, _) in zip(histories, begun, strict=True)]
    epochs = sum(map(len, histories))
    last, least = (
        fmean(choose([epoch.val_accuracy for epoch in history]) for history in histories)
        for choose in (lambda values: values[-1], min)
    )
    return (
        f"| {name} | {sum(map(len, found))} of {epochs} | {sum(map(bool, found))} of {len(histories)} "
        f"| {least:.1%} | {last:.1%} | {fmean(history[-1].train_loss for history in histories):.2f} |"
    )


def go_on(trained: Preprocessed, data: Data, recipe: Recipe) -> tuple[list[Epoch], FirstSteps | None]:
    """Train a copy of a network further; return its epochs and its first steps."""
    model, history = deepcopy(trained), list[Epoch]()
    with first_steps(model.net) as watched:
        fit(model, data, recipe, on_epoch=history.append)
    return history, watched()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--steps", type=Path)
    options = parser.parse_args()
    quick = ZOO["vgg16"].quick
    whole = street_digits(quick.images or options.images, n_val=2000, n_test=1)
    few = replace(whole, train=whole.train.subsample(options.images))
    trainings: dict[str, list[list[Epoch]]] = {name: [] for name in ARMS}
    begun, probed = [], dict[str, FirstSteps]()
    asked = {name: getattr(options, name) for name in ("images", "epochs", "seeds")}
    with start("vgg16 spikes", asked, {"kind": "spikes", "dataset": "street-digits", "network": "vgg16"}) as run:
        for seed in range(options.seeds):
            plan = quick.at({"seed": seed})
            first, _ = plan.prepare(whole)
            fit(first, whole, plan.recipe)
            trained = Preprocessed(folded(first.net), *whole.train.moments())
            begun.append(evaluate(trained, whole.val))
            for name, recipe in ARMS.items():
                how = replace(recipe, epochs=options.epochs, seed=seed)
                history, seen = go_on(trained, few, how)
                trainings[name].append(history)
                if seen:
                    probed.setdefault(name, seen)  # the first seed's are drawn
                run.record(
                    f"{name}, seed {seed}", asdict(how), {"kind": "arm", "recipe": name},
                    [(epoch.index, epoch.metrics()) for epoch in history],
                    {"spikes": len(spikes(history, begun[-1][0])), **dict(zip(BEFORE, begun[-1], strict=True))},
                )  # fmt: skip
        head = "| | spikes | trainings that spike | least accuracy | last | last training loss |\n" + "|---" * 6 + "|"
        rows = "\n".join(row(name, histories, begun) for name, histories in trainings.items())
        told = f"Before: {fmean(accuracy for _, accuracy in begun):.1%} of the validation images.\n\n{head}\n{rows}"
        run.note(told)
        drawings = (options.figure, draw(trainings, begun)), (options.steps, reach_of_signal(probed, "VGG-16, trained"))
        for path, drawing in drawings:
            if path:
                drawing.savefig(path)
                run.figure(path.name, drawing)
    print(told)


if __name__ == "__main__":
    main()
