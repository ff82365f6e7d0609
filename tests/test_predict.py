"""Image files in, labels out: what files may be like, and what must not go wrong."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from PIL import Image

from dl.data.crops import UnreadableError, image_files, read_crop
from dl.models import Preprocessed
from dl.recipes import ZOO
from entrypoints.predict import main
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import start

# a smooth picture whose corners differ in colour: any turn, flip or swap of channels shows
RAMP = np.stack(np.meshgrid(np.arange(0, 256, 2), np.arange(0, 256, 2)), -1)
PICTURE = Image.fromarray(np.dstack([RAMP, np.full(RAMP.shape[:2], 60)]).astype(np.uint8))  # 128 x 128, RGB
GREY = PICTURE.convert("L")
ABOUT = About("images", "logits", "MIT", "use", {})


def held_out(x: torch.Tensor) -> HeldOut:
    return HeldOut("val", "digest", x.numpy(), np.zeros(len(x), np.int64))


def pixels(path: Path) -> np.ndarray:
    crop = read_crop(path)
    assert crop.dtype == torch.uint8
    assert crop.shape == (3, 32, 32)
    return crop.permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "I;16"])
@pytest.mark.parametrize("side", [8, 32, 500])
def test_any_mode_format_and_size_is_the_same_picture(tmp_path, suffix, mode, side):
    grey = mode in ("L", "LA", "1", "I;16")
    image = (GREY if grey else PICTURE).resize((side, side))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "1":
        image = image.point(lambda value: 255 * (value > 127)).convert("1")
    else:
        image = image.convert(mode)
    path = tmp_path / f"picture.{suffix}"
    try:
        image.save(path, quality=95, lossless=True)
    except OSError:
        pytest.skip(f"{suffix} has no mode {mode}")
    if suffix == "webp" and mode == "I;16":
        pytest.skip("webp has 8 bits")
    # dithering is part of the picture
    expected = image if mode in ("P", "1") else (GREY if grey else PICTURE).resize((side, side))
    expected = expected.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(pixels(path) - np.asarray(expected).astype(int)).mean() < 4


def test_what_is_transparent_is_white(tmp_path):
    half = PICTURE.convert("RGBA")
    half.paste((0, 0, 0, 0), (64, 0, 128, 128))
    half.save(tmp_path / "half.png")
    assert (pixels(tmp_path / "half.png")[:, 18:] == 255).all()
    assert (pixels(tmp_path / "half.png")[:, :14] < 255).any(-1).all()
    drawn = Image.new("P", (40, 40), 0)
    drawn.putpalette([0, 0, 0, 200, 0, 0])
    drawn.save(tmp_path / "palette.png", transparency=0)
    assert (pixels(tmp_path / "palette.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_photograph_stands_upright(tmp_path, suffix):
    turned = PICTURE.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me 90 degrees clockwise"
    turned.save(tmp_path / f"turned.{suffix}", exif=exif, quality=95)
    PICTURE.save(tmp_path / "upright.png")
    assert np.abs(pixels(tmp_path / f"turned.{suffix}") - pixels(tmp_path / "upright.png")).mean() < 4


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (1, 3000), (1, 1)])
def test_nothing_is_cut_off_and_the_edge_goes_on(tmp_path, size):
    PICTURE.resize(size).save(tmp_path / "slim.png")
    crop = pixels(tmp_path / "slim.png")
    whole = np.asarray(PICTURE.resize(size)).astype(int)
    for corner in (0, -1):
        assert np.abs(crop[corner, corner] - whole[corner, corner]).max() < 30
    if size[0] < size[1]:
        assert (crop[:, :8] == crop[:, :1]).all()  # 32 columns, about 11 of them the picture's
    if size[1] < size[0]:
        assert (crop[:8] == crop[:1]).all()


def test_what_cannot_be_read_says_why(tmp_path, monkeypatch):
    png = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(png)
    content = png.read_bytes()
    cases = {
        "empty.png": (b"", "not a PNG"),
        "text.jpg": (b"hello", "not a PNG"),
        "cut.png": (content[: len(content) // 2], "damaged"),
        "flipped.png": (content[:60] + bytes([content[60] ^ 255]) + content[61:], "damaged"),
    }
    for name, (written, reason) in cases.items():
        (tmp_path / name).write_bytes(written)
        with pytest.raises(UnreadableError, match=reason):
            read_crop(tmp_path / name)
    PICTURE.save(tmp_path / "other.gif")
    with pytest.raises(UnreadableError, match="not a PNG, JPEG or WebP"):
        read_crop(tmp_path / "other.gif")
    for limit in (64 * 64 - 1, 64 * 64 // 2 - 1):  # Pillow warns of the first and refuses the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableError, match="pixels"):
            read_crop(png)
    monkeypatch.undo()
    assert read_crop(png).shape == (3, 32, 32)


def test_a_folder_is_listed_in_order_without_hidden_files(tmp_path):
    for name in ("b.png", "a.png", ".hidden.png", "sub/c.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)] == ["a.png", "b.png", "sub/c.png"]
    assert image_files(tmp_path / "b.png") == [tmp_path / "b.png"]


def predict(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def predictions() -> list[mlflow.entities.Run]:
    return mlflow.search_runs(
        search_all_experiments=True, output_format="list", filter_string="tags.kind = 'predict'"
    )  # fmt: skip


def test_a_folder_of_images(store, tmp_path, crops):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    images = crops[0][:5]
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / ("sub" if i > 2 else "") / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no image")
    net = Preprocessed(ZOO["lenet5"].quick.build(), [110.0, 110.0, 120.0], [50.0, 50.0, 50.0]).eval()
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    with start("trainer", tags={"dataset": "street-digits", "network": "lenet5"}) as run:
        register(run, net, ("street-digits-lenet5",), held_out(x), ABOUT)

    result = predict("--model", "models:/street-digits-lenet5@champion", "--images", folder)
    assert result.exit_code == 0, result.output
    assert f"skipped {folder / 'broken.png'}: not a PNG" in result.output
    assert "trained on street-digits" in result.output
    [run] = predictions()
    assert run.info.status == "FINISHED"
    assert run.data.tags["dataset"] == "street-digits"
    client = MlflowClient()
    logged = json.loads(Path(client.download_artifacts(run.info.run_id, "predictions.json")).read_text())
    assert [row["file"] for row in logged["images"]] == ["0.png", "1.png", "2.png", "sub/3.png", "sub/4.png"]
    assert [row["file"] for row in logged["skipped"]] == [str(folder / "broken.png")]
    with torch.no_grad():
        expected = net(x).softmax(1)
    for row, p in zip(logged["images"], expected, strict=True):
        assert [guess["label"] for guess in row["top"]] == p.argsort(descending=True)[:3].tolist()
        assert row["probability"] == pytest.approx(p.max().item(), abs=1e-5)
        assert f"{row['label']}" in next(line for line in result.output.splitlines() if line.startswith(row["file"]))
    with Image.open(client.download_artifacts(run.info.run_id, "contact_sheet.png")) as sheet:
        assert sheet.size[0] > 400

    # one file, and the mistakes that name what is there
    assert predict("--model", "models:/street-digits-lenet5/1", "--images", folder / "0.png").exit_code == 0
    for model in ("models:/svhn-resnet18@champion", "models:/street-digits-lenet5@best", "rubbish"):
        result = predict("--model", model, "--images", folder)
        assert result.exit_code == 1
        assert f"Error: no model {model!r}" in result.output
        assert result.output.strip().endswith("street-digits-lenet5")
    assert len(predictions()) == 2


def test_a_model_of_other_input_is_refused(store, tmp_path, crops):
    Image.fromarray(crops[0][0]).save(tmp_path / "0.png")
    with start("trainer") as run:
        flat, val = Preprocessed(torch.nn.Flatten(), 0.0, 16.0), held_out(torch.zeros(2, 8, 8).byte())
        register(run, flat, ("digits-flat",), val, ABOUT)
    result = predict("--model", "models:/digits-flat@champion", "--images", tmp_path / "0.png")
    assert result.exit_code == 1
    assert "not uint8 arrays (N, 3, 32, 32)" in result.output


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "no file there"),
        ({"a.png": b"", "b.txt": b"hi"}, "none of 2 files can be read"),
        (None, "does not exist"),
    ],
)
def test_without_an_image_there_is_one_clear_line_and_no_run(store, tmp_path, made, message):
    folder = tmp_path / "photos"
    if made is not None:
        folder.mkdir()
        for name, content in made.items():
            (folder / name).write_bytes(content)
    result = predict("--images", folder)
    assert result.exit_code == 2
    assert message in result.output
    assert isinstance(result.exception, SystemExit)
    assert not predictions()
