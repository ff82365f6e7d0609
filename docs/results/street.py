"""How good the generated street digits are: measured on real crops that nothing here is trained on.

    python docs/results/street.py score CROPS.npz --network small --images 8000 --epochs 6 --set noise=0
    python docs/results/street.py tell CROPS.npz
    python docs/results/street.py registered CROPS.npz --errors FOLDER
    python docs/results/street.py sheet FILE.png

CROPS.npz holds `images`, uint8 (N, 32, 32, 3), and `labels`: SVHN's own. `score` trains on generated digits and reads
both halves of the crops, the first to choose by, the second to report as well; `--set` changes a field of
`dl.data.lettering.Look`, `--recipe` a number of the recipe, and `--no-pooling` leaves out the pooling behind a ResNet's
stem (maps of 16x16 instead of 8x8); the network `small` is a proxy of the larger ones, half a minute on a core. `tell`
trains a small network to tell real from generated (50%: it cannot). `registered` reads the crops with the champions of
the tracking store's zoos, and draws each one's most confident errors. `sheet` draws 200.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import mlflow
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dl.data.lettering import LOOK
from dl.data.split import Data, Split
from dl.data.street import draw
from dl.evaluate import evaluate
from dl.models import Preprocessed
from dl.recipes import ZOO
from dl.train import fit


def crops(path: Path) -> Split:
    with np.load(path) as content:
        images = torch.from_numpy(content["images"]).permute(0, 3, 1, 2).contiguous()
        return Split(images, torch.from_numpy(content["labels"].astype(np.int64)))


def small() -> nn.Sequential:
    """Three convolutions with batch norm and two dense layers: (N, 3, 32, 32) -> (N, 10)."""
    layers: list[nn.Module] = []
    for cin, cout in ((3, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(cin, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU(), nn.Linear(128, 10))


def score(real: Split, asked: argparse.Namespace) -> dict:
    """Accuracies in percent, their standard error, and the loss on the real crops."""
    network, seed, changes, fields = asked.network, asked.seed, as_numbers(asked.set), as_numbers(asked.recipe)
    look = replace(LOOK, **changes)
    train, test = draw(asked.images, seed, 0, look), draw(2000, seed, 2, look)
    plan = replace(ZOO["resnet18"].quick, build=small) if network == "small" else ZOO[network].quick
    plan = ZOO[network].full if network == "lenet5" else plan
    torch.manual_seed(seed)
    net: Any = plan.build()
    if asked.no_pooling:
        pools = [index for index, layer in enumerate(net) if isinstance(layer, nn.MaxPool2d)]
        net[pools[0]] = nn.Identity()
    model = Preprocessed(net, *train.moments())
    data = Data("generated", "", train, test.subsample(200), test)
    fit(model, data, replace(plan.recipe, epochs=asked.epochs, seed=seed, **fields))
    half = len(real) // 2
    parts = {"first": Split(real.x[:half], real.y[:half]), "second": Split(real.x[half:], real.y[half:]), "all": real}
    shares = {name: evaluate(model, split)[1] for name, split in parts.items()}
    error = (shares["all"] * (1 - shares["all"]) / len(real)) ** 0.5
    generated = evaluate(model, test)[1]
    percent = {name: round(100 * share, 2) for name, share in (shares | {"se": error, "generated": generated}).items()}
    told = {"network": network, "images": asked.images, "epochs": asked.epochs, "seed": seed} | changes | fields
    return told | {"pooling": not asked.no_pooling} | percent | {"loss": round(evaluate(model, real)[0], 3)}


def as_numbers(pairs: list[str]) -> dict[str, Any]:
    """Return FIELD=VALUE as a dict: whole numbers where they are written so."""
    split = (pair.split("=") for pair in pairs)
    return {field: int(value) if value.isdigit() else float(value) for field, value in split}


def tell(real: Split, folds: int = 3) -> tuple[float, float]:
    """Share of images that a small network sorts into real and generated, cross-validated, and its standard error."""
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    both = [real.x.float() / 255, draw(len(real), 77).x.float() / 255]
    hits = []
    for fold in range(folds):
        held = torch.zeros(len(real), dtype=torch.bool)
        held[order[fold::folds]] = True
        hits.append(_sorted([x[~held] for x in both], [x[held] for x in both], fold))
    right = torch.cat(hits).float()
    return right.mean().item(), (right.std() / len(right) ** 0.5).item()


def _sorted(known: list[Tensor], new: list[Tensor], seed: int) -> Tensor:
    """Whether each image of `new` (real ones, generated ones) is told by a network that was trained on `known`."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for cin, cout in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(cin, cout, 3, 2, 1), nn.BatchNorm2d(cout), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))
    x, y = torch.cat(known), torch.cat([torch.full((len(part),), float(k)) for k, part in enumerate(known)])
    steps, epochs = len(x) // 64, 25
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x))[: steps * 64].view(steps, 64):
            loss = F.binary_cross_entropy_with_logits(net(x[batch])[:, 0], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return torch.cat([(net(part)[:, 0] > 0) == bool(k) for k, part in enumerate(new)])


def registered(real: Split, errors: Path | None) -> None:
    """Print the share of the crops that each network's champion reads, with its standard error; draw its errors."""
    from dl.plots.zoo import mistakes
    from tracking.registry import champions, pull

    there = champions(mlflow.MlflowClient())
    for network, architecture in ZOO.items():
        if (uri := f"models:/street-digits-{network}@champion") not in there:
            continue
        model, _ = pull(uri, tuple(real.x.shape[1:]), "uint8")
        logits = torch.cat([torch.as_tensor(model.predict(part.numpy())) for part in real.x.split(100)])
        share = float((logits.argmax(1) == real.y).double().mean())
        told = f"{architecture.title}: {share:.1%} +- {(share * (1 - share) / len(real)) ** 0.5:.1%}"
        print(told, flush=True)
        if errors:
            errors.mkdir(exist_ok=True)
            fig = mistakes(real.x.numpy(), real.y.numpy(), logits.softmax(1).numpy(), f"{told} of real crops")
            fig.savefig(errors / f"{network}.png")


def sheet(path: Path) -> None:
    import matplotlib.image

    tiles = F.pad(draw(200, 0).x, (1, 1, 1, 1)).view(10, 20, 3, 34, 34).permute(0, 3, 1, 4, 2).reshape(340, 680, 3)
    matplotlib.image.imsave(path, tiles.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["score", "tell", "registered", "sheet"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--network", choices=["small", *ZOO], default="small")
    parser.add_argument("--images", type=int, default=67_257)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-pooling", action="store_true")
    parser.add_argument("--recipe", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--errors", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()
    if options.what == "sheet":
        sheet(options.path)
    elif options.what == "registered":
        registered(crops(options.path), options.errors)
    elif options.what == "tell":
        print("real or generated, told rightly: {:.1%} +- {:.1%}".format(*tell(crops(options.path))))
    else:
        print(json.dumps(score(crops(options.path), options)))


if __name__ == "__main__":
    main()
