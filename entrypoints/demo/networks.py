"""The champions that answer on the page, what they answer, and the test images they are offered."""

import base64
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from io import BytesIO

import click
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.pyfunc import PyFuncModel
from PIL import Image

from dl.data import MissingError, street_digits, svhn
from dl.occlusion import occlusion_map
from dl.plots.occlusion import tint
from dl.recipes import ZOO
from entrypoints.predict import prediction_row
from tracking.registry import champions, pull

DIGITS = "models:/digits-mlp@champion"
OTHERS = (DIGITS, "models:/logistic-ce@champion", "models:/logistic-mse@champion")  # of questions 3 and 1


@dataclass(frozen=True)
class Network:
    """A registered network, as the page names it."""

    title: str
    uri: str
    trained_on: str
    model: PyFuncModel

    def answer(self, images: np.ndarray) -> tuple[np.ndarray, float]:
        """Return probabilities (N, 10) for uint8 images (N, ...), and the milliseconds that they took."""
        began = time.perf_counter()
        logits = torch.as_tensor(self.model.predict(images))
        return logits.softmax(1).numpy(), 1000 * (time.perf_counter() - began)


def find_networks(client: MlflowClient) -> tuple[list[Network], Network | None]:
    """Return the champions that read 32x32 crops, in the zoo's order, and question 3's; the rest is left out, said."""
    found, uris = dict[str, Network](), champions(client)
    for uri in uris:
        if uri not in OTHERS or uri == DIGITS:
            try:
                model, tags = pull(uri, (8, 8) if uri == DIGITS else (3, 32, 32), "uint8")
            except LookupError as error:
                click.echo(f"left out: {error.args[0]}", err=True)
                continue
            name = tags.get("network", "")
            title = ZOO[name].title if name in ZOO else uri.removeprefix("models:/").removesuffix("@champion")
            found[uri] = Network(title, uri, tags.get("dataset", "unknown data"), model)
            found[uri].answer(np.zeros((2, 8, 8) if uri == DIGITS else (2, 3, 32, 32), np.uint8))  # the first is slow
    reader, order = found.pop(DIGITS, None), [architecture.title for architecture in ZOO.values()]
    rank = {title: index for index, title in enumerate(order)}
    return sorted(found.values(), key=lambda each: (each.trained_on, rank.get(each.title, len(rank)))), reader


def offered_digits() -> tuple[str, list[tuple[np.ndarray, str]]]:
    """Return a data set's name, and of each digit the first test image, uint8 (32, 32, 3), with its truth.

    SVHN's where its files are there; nothing is downloaded.
    """
    try:
        name, test = "SVHN", svhn(os.environ.get("SVHN_ROOT") or "data", report=None).test
    except (MissingError, ValueError):
        name, test = "generated street digits", street_digits(1, n_val=1, n_test=256).test
    rows = [(digit, (test.y == digit).nonzero()[:1, 0].tolist()) for digit in range(10)]
    return name, [(test.x[i].permute(1, 2, 0).numpy(), f"a {digit}") for digit, found in rows for i in found]


def answers(networks: list[Network], crop: np.ndarray) -> Iterator[str]:
    """Give HTML of what each network reads in a crop, uint8 (3, 32, 32): at once, then with a map more each time."""
    told = [network.answer(crop[None]) for network in networks]
    pictures = [""] * len(networks)
    seen = (
        f'<figure class="card"><h2>What they see</h2>{picture(crop.transpose(1, 2, 0), "the crop")}'
        "<figcaption>32x32 pixels, cut from the image</figcaption></figure>"
    )
    for at in range(-1, len(networks)):
        if at >= 0:
            fall = occlusion_map(networks[at].model.predict, crop, int(told[at][0][0].argmax()))
            words = f"Occlusion map of {networks[at].title}"
            pictures[at] = (
                f"{picture(tint(crop, fall), words)}<small>covered: up to {100 * fall.max():.0f} points less</small>"
            )
        cards = (card(*each) for each in zip(networks, told, pictures, strict=True))
        yield f'<div class="cards">{seen}{"".join(cards)}</div>'


def card(network: Network, told: tuple[np.ndarray, float], more: str = "") -> str:
    """Return HTML of one network's answer: label, top three, time."""
    [probabilities], milliseconds = told
    row = prediction_row(network.title, probabilities)
    bars = "".join(
        f'<li><b>{guess["label"]}</b><span><i style="width:{100 * guess["probability"]:.1f}%"></i></span>'
        f"{guess['probability']:.1%}</li>"
        for guess in row["top"]
    )
    return (
        f'<figure class="card"><h2>{escape(network.title)}</h2><p class="label">{row["label"]}</p><ol>{bars}</ol>{more}'
        f"<figcaption>{escape(network.trained_on)}, {milliseconds:.1f}&nbsp;ms</figcaption></figure>"
    )


def picture(pixels: np.ndarray, words: str) -> str:
    """Return an image, uint8 (H, W) or (H, W, 3), as an HTML element that holds it; words: for who cannot see it."""
    Image.fromarray(pixels).save(buffer := BytesIO(), "PNG")
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
