"""A registered network reads image files.

    mlflow run . -e predict -P model=models:/svhn-resnet18@champion -P images=photos --env-manager uv

takes a PNG, JPEG or WebP file, or a folder of them, of any size and mode; each becomes a 32x32 crop that shows the
whole picture, upright, its transparent parts white. Prints label, probability and top 3 of each; the run gets
`predictions.json` and a contact sheet. Files that cannot be read are named and left out. Some seconds on a CPU.
"""

import hashlib
import sys
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from dl.data.crops import UnreadableError, image_files, read_crop
from dl.plots.predictions import contact_sheet
from entrypoints.options import Command
from tracking.registry import pull
from tracking.run import start

IMAGES_AT_ONCE = 256
TOP = 3


@click.command(cls=Command, help=__doc__)
@click.option("--model", default="models:/svhn-zoo@champion", show_default=True, help="A registered network's URI.")
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path), help="A file, or a folder.")
def main(model: str, images: Path) -> None:
    paths, crops, skipped = read_images(images)
    names = [str(path.relative_to(images)) if images.is_dir() else path.name for path in paths]
    try:
        network, origin = pull(model, (3, 32, 32), "uint8")
    except LookupError as error:
        raise click.ClickException(error.args[0]) from error
    x, title, dataset = torch.stack(crops), model.removeprefix("models:/"), origin.get("dataset", "unknown data")
    asked = {"model": model, "images": str(images)}
    tags = {"kind": "predict", "network": origin.get("network", title), "dataset": dataset}
    with start(f"predict / {title} / {images.resolve().name}", asked, tags) as run:
        about = {"model": model, "model_id": network.metadata.model_id, "trained_on": dataset}
        run.params(about)
        digest = hashlib.sha256(x.numpy().tobytes()).hexdigest()[:16]
        run.dataset(images.resolve().name, str(images.resolve()), digest, len(x), "predict")
        logits = np.concatenate([network.predict(part.numpy()) for part in x.split(IMAGES_AT_ONCE)])
        probabilities = torch.from_numpy(logits).softmax(1).numpy()
        rows = [prediction_row(name, p) for name, p in zip(names, probabilities, strict=True)]
        run.log_json("predictions.json", about | {"images": rows, "skipped": skipped})
        heading = f"{title}, trained on {dataset}"
        run.figure("contact_sheet.png", contact_sheet(x.numpy(), names, probabilities, heading))
        run.metrics({"images": len(rows), "skipped": len(skipped), "mean_probability": probabilities.max(1).mean()})
        run.note(f"{heading}.\n\n```\n{predictions_as_text(rows[:100])}\n```")  # to be read: the JSON has all
        where = run.client.get_run(run.id).info.artifact_uri
    click.echo(predictions_as_text(rows))
    click.echo(f"{heading}; predictions.json, contact_sheet.png: {where}")


def read_images(images: Path) -> tuple[list[Path], list[torch.Tensor], list[dict]]:
    """Return the readable files, their crops, and the others with the reason, each named on stderr."""
    found = image_files(images)
    paths, crops, skipped = [], [], []
    for path in tqdm(found, desc="images", disable=None):
        try:
            crops.append(read_crop(path))
            paths.append(path)
        except UnreadableError as error:
            skipped.append({"file": str(path), "reason": str(error)})
            tqdm.write(f"skipped {path}: {error}", file=sys.stderr)
    if not paths:
        what = f"none of {len(found)} files can be read" if found else "no file there"
        raise click.BadParameter(f"{images}: {what}; PNG, JPEG and WebP images can", param_hint="--images")
    return paths, crops, skipped


def prediction_row(name: str, probabilities: np.ndarray) -> dict:
    """Return one image's result; probabilities: (classes,)."""
    order = probabilities.argsort()[::-1][:TOP]
    top = [{"label": int(label), "probability": round(float(probabilities[label]), 6)} for label in order]
    return {"file": name, **top[0], "top": top}


def predictions_as_text(rows: list[dict]) -> str:
    """Return the results as columns of text."""
    width = max(4, *(len(row["file"]) for row in rows))
    lines = [f"{'file':{width}}  label  probability  top {TOP}"]
    for each in rows:
        top = "  ".join(f"{guess['label']} {guess['probability']:.1%}" for guess in each["top"])
        lines.append(f"{each['file']:{width}}  {each['label']:>5}  {each['probability']:>11.1%}  {top}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
