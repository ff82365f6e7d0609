"""Pictures of a training while it runs, epoch by epoch, for MLflow's slider."""

import time

import torch

from dl.augment import Augmentation, augment
from dl.data import Data
from dl.evaluate import predict
from dl.models import Preprocessed
from dl.plots.sheets import COLUMNS, training_sheet
from dl.train import Epoch, Recipe
from tracking.run import Run

TIME_SHARE = 0.01  # of the training's time that pictures may take: where epochs are short, not each gets one
TILES, READ = 2 * COLUMNS, 128  # images of a kind on a sheet; validation images that are read for them


class Sheets:
    """Log a sheet an epoch: training images as augmented, and validation images that are read wrongly."""

    def __init__(self, run: Run, data: Data, recipe: Recipe):
        self.run, self.recipe = run, recipe
        self.train, self.val = data.train.subsample(TILES), data.val.subsample(READ)
        self.spent = self.trained = 0.0  # seconds

    def log(self, model: Preprocessed, epoch: Epoch) -> None:
        """Log the sheet of `epoch`, which `model` has just ended, where the time for it is there."""
        self.trained += epoch.epoch_seconds
        if self.spent > TIME_SHARE * self.trained:
            return
        began = time.perf_counter()
        train, val = self.train, self.val
        noise = torch.Generator(train.x.device).manual_seed(epoch.index)  # its own: training stays what it was
        augmented = augment(train.x, noise, Augmentation.of(self.recipe)).clamp(0, 255).byte().cpu().numpy()
        said, truth = predict(model, val.x, val.x.device).argmax(1), val.y.cpu()
        wrong = (said != truth).nonzero()[:TILES, 0]
        sheet = training_sheet({
            f"Epoch {epoch.index}: training images, augmented": (augmented, [str(int(y)) for y in train.y]),
            f"Read wrongly: {int((said != truth).sum())} of {len(truth)} validation images": (
                val.x.cpu()[wrong].numpy(), [f"{int(said[i])}, is {int(truth[i])}" for i in wrong],
            ),
        })  # fmt: skip
        self.run.image("epoch", sheet, epoch.index)
        self.spent += time.perf_counter() - began
