"""A registered network as ONNX, for programs without torch.

    mlflow run . -e export -P model=models:/svhn-resnet18@champion --env-manager local

after `pip install -r requirements-export.txt`. The file takes what the network takes, raw uint8 images (N, 3, 32, 32),
and returns logits; preprocessing is inside. It is checked with onnxruntime on 256 images: no logit may differ from the
registered program's by more than 1e-4, no label at all. Then it lies beside the model:
`mlflow.artifacts.download_artifacts("models:/svhn-resnet18@champion/model.onnx")`. Half a minute on a CPU.
"""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from entrypoints.options import Command

CHECKED = 256  # images
LARGEST = 1e-4  # difference of a logit
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@click.command(cls=Command, help=__doc__)
@click.option("--model", default="models:/svhn-zoo@champion", show_default=True, help="A registered network's URI.")
def main(model: str) -> None:
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise click.ClickException(f"no {', '.join(missing)} here: pip install -r requirements-export.txt")

    import numpy as np  # here: --help need not wait for these

    from dl.data import street_digits
    from dl.onnx_program import open_onnx, save_onnx
    from tracking.registry import program_of, pull
    from tracking.run import start

    try:
        network, origin = pull(model, (3, 32, 32), "uint8")
        program = program_of(model)
    except LookupError as error:
        raise click.ClickException(error.args[0]) from error
    title = model.removeprefix("models:/")
    tags = {"kind": "export", "network": origin.get("network", title)}
    with start(f"export / {title}", {"model": model}, tags) as run, TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        save_onnx(program, path)
        images: np.ndarray = street_digits(1, n_val=1, n_test=CHECKED).test.x.numpy()
        expected: np.ndarray = np.asarray(network.predict(images))
        found = open_onnx(path)(images)
        difference = float(np.abs(expected - found).max())
        others = int((expected.argmax(1) != found.argmax(1)).sum())
        run.metrics({"largest_difference": difference, "other_labels": others, "megabytes": path.stat().st_size / 1e6})
        if difference > LARGEST or others:
            raise click.ClickException(
                f"{model} as ONNX gives other logits, by up to {difference:.2g}, and {others} other labels of "
                f"{CHECKED}: not logged"
            )
        run.client.log_model_artifact(str(network.metadata.model_id), str(path))
    click.echo(
        f"{model}/model.onnx: logits of {CHECKED} images differ by {difference:.1g} at most, no label does; "
        f'mlflow.artifacts.download_artifacts("{model}/model.onnx") fetches it'
    )


if __name__ == "__main__":
    main()
