"""The page: three tabs, made of gradio's parts. gradio decodes no file that is uploaded: `dl.data.crops` does."""

import base64
import binascii
import socket
from collections.abc import Iterator
from functools import cache, partial
from html import escape
from io import BytesIO
from pathlib import Path

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI

from dl.data.crops import UnreadableError, read_crop
from dl.data.digits import count_ink
from dl.logistic.problems import breast_cancer
from dl.plots.live import live_page
from dl.plots.live.surfaces import move_weights
from entrypoints.demo.networks import Network, answers, card, picture
from entrypoints.loss_surfaces.experiment import PICTURE_SIZE, PICTURED

ASIDE = Path(__file__).parent
MEGABYTES = 20  # MB of a file
EMPTY = "Drop a photograph of one digit, paste one, use the camera, draw, or choose a test image."
MAPS = (
    "Maps: how far the probability of the network's label falls (orange) or rises (blue) where a patch of 8x8 pixels "
    "covers the image: occlusion, [Zeiler and Fergus, 2014](https://arxiv.org/abs/1311.2901), section 4.2."
)
BY_KEYBOARD = "By keyboard: arrow keys move the pen, Space puts it down and lifts it."
# a click on a test image gives the page its number
CHOOSE = """element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) { props.value = button.value; trigger("input"); }
});"""
# gradio's picture has a button for the clipboard, and does not hear Ctrl-V
PASTE = """() => document.addEventListener("paste", ({ clipboardData: { files } }) => {
  const input = document.querySelector("#photo input[type=file]");
  if (input && files.length) { input.files = files; input.dispatchEvent(new Event("change")); }
})"""
Offered = list[tuple[np.ndarray, str]]


def build_page(networks: list[Network], reader: Network | None, name: str, offered: Offered) -> gr.Blocks:
    """Return the page; reader: of 8x8 digits, where one is registered; offered: images of the data set `name`."""
    with gr.Blocks(title="Four questions", analytics_enabled=False) as page:
        gr.Markdown("# What do the networks read?")
        with gr.Tab("Street digits"), gr.Row():
            with gr.Column(scale=2, min_width=280):
                with gr.Tab("Photograph"):
                    photo = gr.Image(
                        sources=["upload", "clipboard", "webcam"], type="filepath", format="png", height=300,
                        label=f"PNG, JPEG or WebP, up to {MEGABYTES} MB", elem_id="photo", buttons=[],
                        webcam_options=gr.WebcamOptions(mirror=False),  # mirrored, a 2 is no 2
                    )  # fmt: skip
                with gr.Tab("Draw"):
                    drawing = pad("One digit, as large as the square")
                rows = enumerate(offered)
                images = "".join(
                    f'<button value="{i}">{picture(image, "")}{words}</button>' for i, (image, words) in rows
                )
                content = f'<p class="offered-name">Test images, {name}:</p><div class="offered">{images}</div>'
                chosen = gr.HTML("", html_template=content, js_on_load=CHOOSE, elem_id="offered")
            with gr.Column(scale=5, min_width=300):
                shown = gr.HTML(line(EMPTY), elem_id="answers")
                gr.Markdown(MAPS)
        photo.change(partial(read_file, networks), photo, shown, preprocess=False, show_progress="hidden")
        # the last drawing is read, whatever else is under way: a 4 is two lines
        last = {"show_progress": "hidden", "trigger_mode": "always_last"}
        drawing.input(partial(read_drawing, networks), drawing, shown, **last)
        chosen.input(lambda index: offered[int(index)][0], chosen, photo, show_progress="hidden")
        with gr.Tab("8x8"):
            if reader is None:
                gr.HTML(line("No digits-mlp is registered: mlflow run . -e digits_search --env-manager uv"))
            else:
                with gr.Row():
                    with gr.Column(scale=2, min_width=280):
                        small = pad("One digit, counted into 8x8 pixels of 0 to 16, as sklearn's digits are")
                    with gr.Column(scale=5, min_width=300):
                        read = gr.HTML(elem_id="small")
                small.input(partial(read_small, reader), small, read, **last)
        with gr.Tab("Losses") as third:
            losses = gr.HTML()
            third.select(losses_page, None, losses, show_progress="minimal")
    return page


def serve_page(page: gr.Blocks, listening: socket.socket) -> None:
    """Serve the page until Ctrl-C, without gradio's `launch`: that knows public links, and asks proxies."""
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None), page, "/", max_file_size=f"{MEGABYTES}mb", footer_links=[], run_history=False,
        ssr_mode=False, mcp_server=False, enable_monitoring=False, css_paths=ASIDE / "page.css", js=PASTE,
        theme=gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )  # fmt: skip
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)  # an open page holds a connection
    uvicorn.Server(config).run([listening])


def pad(words: str) -> gr.HTML:
    """Return a square to draw in; its value is a PNG as a data URL. gradio's own wants WebGL, and a tool chosen."""
    content = (
        f'<div class="paper"><canvas width="280" height="280" tabindex="0" role="application" '
        f'aria-label="{words}. {BY_KEYBOARD}"></canvas><i></i></div>'
        f"<p>{words}</p><p>{BY_KEYBOARD}</p><button>Clear</button>"
    )
    return gr.HTML("", html_template=content, js_on_load=(ASIDE / "pad.js").read_text(), elem_classes="pad")


def line(text: str) -> str:
    """Return HTML of a line that says something, whatever is in it."""
    return f'<p class="line">{escape(text)}</p>'


def read_file(networks: list[Network], file: dict | None) -> Iterator[str]:
    """Give HTML of what the networks read in an uploaded file; a line where it is no image of ours."""
    if file is None:
        yield line(EMPTY)
        return
    path = Path(file.get("path") or "")
    try:
        if path.stat().st_size > MEGABYTES * 10**6:
            raise UnreadableError(f"larger than {MEGABYTES} MB")
        image = read_crop(path)
    except (UnreadableError, OSError) as error:
        yield line(f"{path.name}: {error}")
        return
    yield from answers(networks, image.numpy())


def read_drawing(networks: list[Network], drawn: str) -> Iterator[str]:
    """Give HTML of what the networks read in a drawing, a PNG as a data URL."""
    try:
        yield from answers(networks, read_crop(drawing_file(drawn)).numpy()) if drawn else [line(EMPTY)]
    except UnreadableError as error:
        yield line(f"the drawing: {error}")


def read_small(reader: Network, drawn: str) -> str:
    """Return HTML of what the perceptron of question 3 reads in a drawing, beside its 8x8 pixels."""
    try:
        counted = count_ink(read_crop(drawing_file(drawn), 280).numpy()[0] < 128)  # as large as it was drawn
    except ValueError as error:
        return line(f"the drawing: {error}") if drawn else ""
    seen = picture((255 - 15 * counted.astype(int)).astype(np.uint8), "the drawing as 8x8 pixels")
    first = f'<figure class="card"><h2>What it sees</h2>{seen}</figure>'
    return f'<div class="cards">{first}{card(reader, reader.answer(counted[None]))}</div>'


def drawing_file(drawn: str) -> BytesIO:
    """Return the file that a data URL holds. Raises UnreadableError where it holds none."""
    try:
        return BytesIO(base64.b64decode(drawn.partition("base64,")[2], validate=True))
    except binascii.Error as error:
        raise UnreadableError("not a drawing") from error


@cache
def losses_page() -> str:
    """Return HTML of a frame with the losses of question 1 to move over: a page of its own, which may load nothing."""
    page = live_page(move_weights(breast_cancer().only(PICTURED), PICTURE_SIZE))
    return f'<iframe class="losses" title="Two losses" sandbox="allow-scripts" srcdoc="{escape(page)}"></iframe>'
