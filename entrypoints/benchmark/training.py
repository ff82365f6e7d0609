"""One epoch of each network: `fit` beside the loop of most tutorials and Lightning's Trainer.

Both sides see the same images and the same augmentation.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from statistics import median

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dl.data import Data, street_digits
from dl.data.split import Split
from dl.models import Preprocessed
from dl.recipes import ZOO, Plan
from dl.train import Recipe, fit
from entrypoints.benchmark.rows import SpeedRow, absent, take_turns

# Images of an epoch: one to three seconds of `fit` on two cores. Both sides train the quick preset's network.
EPOCH_IMAGES = {"lenet5": 16_384, "alexnet": 512, "vgg16": 384, "resnet18": 768, "resnet50": 256, "resnet101": 384}
LOADER_BATCH = 64  # the peers', and ours too, but for LeNet-5, whose own recipe asks for another
# What the peers train: the network as a tutorial writes it; AlexNet's and VGG's, not made for 32 pixels, are ours
STOCK: dict[str, Callable[[], nn.Module]] = {
    name: partial(torchvision.models.get_model, name, num_classes=10) for name in ("resnet18", "resnet50", "resnet101")
}
STOCK["lenet5"] = lambda: nn.Sequential(
    nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
)  # fmt: skip
WORKERS = (0, os.cpu_count() or 1)  # numbers of DataLoader workers of which the better one counts


def training_rows(repeats: int) -> Iterator[SpeedRow]:
    everything = street_digits(max(EPOCH_IMAGES.values()), n_val=1, n_test=1)
    for name, images in EPOCH_IMAGES.items():
        yield from network_rows(name, replace(everything, train=everything.train.subsample(images)), repeats)


def network_rows(name: str, data: Data, repeats: int) -> Iterator[SpeedRow]:
    """Compare one network's epoch."""
    plan = ZOO[name].full if name == "lenet5" else ZOO[name].quick
    if name == "lenet5":  # an epoch takes us a second, the usual loop ten: three, so that both are warm
        plan = replace(plan, recipe=replace(plan.recipe, epochs=3))
    else:
        plan = replace(plan, recipe=replace(plan.recipe, epochs=1, batch_size=LOADER_BATCH))
    dataset, build = UsualDataset(data.train, plan.recipe), STOCK.get(name, plan.build)

    def peer(epoch: Callable[[UsualDataset, nn.Module, float, int], float], workers: int) -> float:
        torch.manual_seed(0)
        return epoch(dataset, build(), plan.recipe.lr, workers)

    workers = max(WORKERS, key=partial(peer, usual_epoch))
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: our_epoch(plan, data),
        "loop": lambda: peer(usual_epoch, workers),
    }
    if not (missing := absent("lightning")):
        sides["lightning"] = lambda: peer(lightning_epoch, workers)
    measured = take_turns(sides, repeats)
    title = ZOO[name].title
    what = f"{title}, training, beside the usual loop, DataLoader with {workers} workers (the best number)"
    yield SpeedRow(f"{name}_training", what, "images/s", measured["ours"], measured["loop"])
    what = f"{title}, training, beside Lightning's Trainer, {workers} workers"
    yield SpeedRow(f"{name}_lightning", what, "images/s", measured["ours"], measured.get("lightning", ()), missing)


def our_epoch(plan: Plan, data: Data) -> float:
    """Return the images a second of `fit`: the median of the plan's epochs."""
    torch.manual_seed(plan.recipe.seed)
    model = Preprocessed(plan.build(), *data.train.moments())
    return median(epoch.images_per_second for epoch in fit(model, data, plan.recipe))


class UsualDataset(Dataset):
    """Our images as torchvision's SVHN gives them, with the recipe's augmentation as PIL transforms."""

    def __init__(self, split: Split, recipe: Recipe):
        mean, std = ([value / 255 for value in values] for values in split.moments())
        colour = [transforms.ColorJitter(brightness=recipe.colour, contrast=recipe.colour)] if recipe.colour else []
        shift = transforms.RandomCrop(32, padding=recipe.translate, padding_mode="reflect")
        self.x, self.y = split.x.numpy(), split.y.numpy()
        self.transform = transforms.Compose(
            [shift, *colour, transforms.ToTensor(), transforms.Normalize(mean, std)],
        )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[index].transpose(1, 2, 0))), int(self.y[index])


def usual_epoch(dataset: UsualDataset, net: nn.Module, lr: float, workers: int) -> float:
    """Return the images a second of one epoch of the loop that most tutorials show."""
    loader = DataLoader(dataset, batch_size=LOADER_BATCH, shuffle=True, num_workers=workers)
    optimizer, criterion = torch.optim.Adam(net.parameters(), lr), nn.CrossEntropyLoss()
    net.train()
    began, total, hits = time.perf_counter(), 0.0, 0
    for x, y in loader:
        optimizer.zero_grad()
        logits = net(x)
        loss = criterion(logits, y)
        loss.backward()
        optimizer.step()
        total += loss.item()
        hits += (logits.argmax(1) == y).sum().item()
    return len(dataset) / (time.perf_counter() - began)


def lightning_epoch(dataset: UsualDataset, net: nn.Module, lr: float, workers: int) -> float:
    """Return the images a second of one epoch of Lightning's Trainer, from its first batch to its last."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.took = net, 0.0

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            x, y = batch
            logits = self.net(x)
            loss = nn.functional.cross_entropy(logits, y)
            self.log_dict({"loss": loss, "accuracy": (logits.argmax(1) == y).float().mean()}, on_epoch=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr)

        def on_train_epoch_start(self) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.took = time.perf_counter() - self.began

    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how many workers it would like
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(dataset, batch_size=LOADER_BATCH, shuffle=True, num_workers=workers))
    return len(dataset) / module.took
