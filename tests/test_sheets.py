"""The pictures that a training logs while it runs."""

from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image

from dl.data import street_digits
from dl.models import Preprocessed
from dl.models.lenet import lenet5
from dl.plots.sheets import COLUMNS, GAP, TILE, training_sheet
from dl.train import Recipe, fit
from entrypoints.svhn_zoo.sheets import Sheets
from tracking.run import start

RECIPE = Recipe(epochs=3, batch_size=32, optimizer="adamw", lr=2e-3)


@pytest.fixture(scope="module")
def data():
    return street_digits(96, n_val=48, n_test=1)


def trained(data, log=None):
    torch.manual_seed(0)
    model = Preprocessed(lenet5(), *data.train.moments())
    history = fit(model, data, RECIPE, on_epoch=(lambda epoch: log(model, epoch)) if log else (lambda epoch: None))
    return model.state_dict(), [(epoch.train_loss, epoch.val_loss) for epoch in history]


def test_every_epoch_has_its_step_and_training_stays_what_it_was(store, data):
    with start("zoo") as run:
        sheets = Sheets(run, data, RECIPE)
        state, numbers = trained(data, lambda model, epoch: sheets.log(model, replace(epoch, epoch_seconds=1e3)))
    expected, plain = trained(data)
    assert numbers == plain
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    files = [item.path for item in mlflow.MlflowClient().list_artifacts(run.id, "images") if item.path.endswith(".png")]
    assert sorted(path.split("+step+")[1].split("+")[0] for path in files) == ["1", "2", "3"]
    sheet = np.asarray(Image.open(mlflow.artifacts.download_artifacts(f"runs:/{run.id}/{files[0]}")))
    assert sheet.shape[2] == 3
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000  # photographs, not a blank page


def test_where_epochs_are_short_pictures_take_no_more_than_their_share(data):
    class Steps(list):
        def image(self, key, image, step):
            self.append(step)

    steps = Steps()
    sheets = Sheets(steps, data, RECIPE)
    trained(data, lambda model, epoch: sheets.log(model, replace(epoch, epoch_seconds=1e-3)))
    assert steps == [1]
    assert sheets.spent > 0


def test_tiles_stand_where_their_captions_are():
    images = np.random.default_rng(0).integers(0, 256, (COLUMNS + 1, 3, 32, 32), np.uint8)
    sheet = np.asarray(training_sheet({"A heading": (images, [str(i) for i in range(len(images))])}))
    for index, image in enumerate(images):
        shown = [
            (y, x)
            for y in range(0, sheet.shape[0] - TILE)
            for x in range(0, sheet.shape[1] - TILE, GAP)
            if np.array_equal(sheet[y : y + TILE, x : x + TILE][1::2, 1::2], image.transpose(1, 2, 0))
            and np.array_equal(sheet[y : y + TILE, x : x + TILE][::2, ::2], image.transpose(1, 2, 0))
        ]
        assert len(shown) == 1
        assert shown[0][1] == GAP + index % COLUMNS * (TILE + GAP)
