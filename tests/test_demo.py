"""The demo: what its networks answer, and its page in a real browser, with a server of its own."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from torch import nn

from dl.data.digits import count_ink
from dl.models import Preprocessed
from dl.models.lenet import lenet5
from dl.occlusion import occlusion_map
from dl.plots.occlusion import tint
from entrypoints.demo import __main__ as demo
from entrypoints.demo.networks import Network, answers, card, find_networks
from tests.test_project import ROOT
from tests.test_ui import browser, serious, text, wait  # noqa: F401
from tracking.model_card import About, HeldOut
from tracking.registry import champions, register
from tracking.run import start

HOSTILE = "<img src=x onerror=window.live=1>"
WATCHED = """import runpy, sys
def watch(event, given):
    if event in ("socket.connect", "socket.bind"):
        print(event, given[1], flush=True)
sys.addaudithook(watch)
sys.argv = ["demo", *sys.argv[1:]]
runpy.run_module("entrypoints.demo", run_name="__main__")
"""


def network(predict, title="LeNet-5") -> Network:
    return Network(title, "models:/net@champion", "no data", SimpleNamespace(predict=predict))


def register_some() -> None:
    """Two networks of crops, one of which is a zoo's champion too, the perceptron of question 3, one of question 1."""
    rng = np.random.default_rng(0)
    for names, module, shape in (
        (("tiny-lenet5", "tiny-zoo"), Preprocessed(lenet5(), 128.0, 64.0), (3, 32, 32)),
        (("tiny-other",), Preprocessed(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), 128.0, 64.0), (3, 32, 32)),
        (("digits-mlp",), Preprocessed(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 0.0, 16.0), (8, 8)),
    ):
        x = rng.integers(0, 17, (8, *shape), np.uint8)
        tags = {"network": names[0].removeprefix("tiny-"), "dataset": "tiny"}
        with start(names[0], tags=tags) as run:
            register(run, module, names, HeldOut("x", "0", x, np.zeros(8, np.int64)), About("", "", "", "", {}))


# ----------------------------------------------------------------------------------------- without gradio


def test_the_map_is_highest_where_the_network_looks_and_nothing_elsewhere():
    asked = []

    def corner(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        seen = images[:, :, :8, 24:].mean((1, 2, 3)) / 64
        return np.stack([seen, 0 * seen], 1).astype(np.float32)

    image = np.zeros((3, 32, 32), np.uint8)
    image[:, :8, 24:] = 255
    fall = occlusion_map(corner, image, 0)
    assert asked == [82]  # the image and 9 x 9 patches, in one batch
    y, x = np.unravel_index(fall.argmax(), fall.shape)
    assert y < 8
    assert x >= 24
    assert fall.max() > 0.1
    assert not fall[12:].any()  # no patch that covers these touches the corner
    assert not fall[:, :20].any()
    np.testing.assert_allclose(occlusion_map(corner, image, 1), -fall, atol=1e-6)  # of two labels, one gains it


def test_a_tint_is_orange_where_covering_lowers_and_blue_where_it_raises():
    fall = np.zeros((32, 32))
    fall[0, 0], fall[31, 31] = 0.5, -0.5
    pixels = tint(np.full((3, 32, 32), 128, np.uint8), fall).astype(int)
    assert pixels[0, 0, 0] > 128 > pixels[0, 0, 2]
    assert pixels[31, 31, 0] < 128 < pixels[31, 31, 2]
    assert (pixels[8, 8] == 128).all()


def test_a_card_names_the_three_likeliest_and_nothing_in_a_name_runs():
    logits = np.log(np.array([[0.05, 0.6, 0.04, 0.2, 0.01, 0.02, 0.03, 0.03, 0.01, 0.01]], np.float32))
    net = network(lambda images: logits, HOSTILE)
    html = card(net, net.answer(np.zeros((1, 3, 32, 32), np.uint8)))
    assert re.findall(r"<li><b>(\d)</b>.*?([\d.]+%)</li>", html) == [("1", "60.0%"), ("3", "20.0%"), ("0", "5.0%")]
    assert "<img" not in html


def test_answers_come_at_once_and_a_map_more_each_time():
    nets = [network(lambda images: np.zeros((len(images), 10), np.float32), title) for title in "ab"]
    pages = list(answers(nets, np.zeros((3, 32, 32), np.uint8)))
    assert [page.count("Occlusion map of") for page in pages] == [0, 1, 2]
    assert all(page.count('class="label"') == 2 for page in pages)


def test_ink_is_counted_in_blocks_wherever_and_however_large_it_is_drawn():
    pattern = np.random.default_rng(0).random((8, 8)) > 0.5
    pattern[[0, -1], [0, -1]] = True  # it touches all sides
    drawn = np.kron(pattern, np.ones((20, 20), bool))
    np.testing.assert_array_equal(count_ink(drawn), 16 * pattern)
    np.testing.assert_array_equal(count_ink(np.pad(drawn, ((90, 3), (0, 50)))), 16 * pattern)
    one = count_ink(np.ones((100, 25), bool))  # its shape is kept, in the middle
    np.testing.assert_array_equal(one, np.repeat([[0, 0, 0, 16, 16, 0, 0, 0]], 8, 0))
    with pytest.raises(ValueError, match="nothing is drawn"):
        count_ink(np.zeros((9, 9), bool))


def test_every_champion_of_crops_answers_once_and_another_is_left_out_with_a_line(store, capsys):
    register_some()
    client = mlflow.MlflowClient()
    assert champions(client) == [f"models:/{name}@champion" for name in ("digits-mlp", "tiny-lenet5", "tiny-other")]
    client.copy_model_version("models:/digits-mlp@champion", "other-digits")
    client.set_registered_model_alias("other-digits", "champion", "1")
    networks, reader = find_networks(client)
    assert [net.title for net in networks] == ["LeNet-5", "tiny-other"]
    assert reader.uri == "models:/digits-mlp@champion"
    [told] = capsys.readouterr().err.splitlines()[-1:]
    assert told.startswith("left out: 'models:/other-digits@champion' takes")


def test_without_gradio_or_networks_or_on_a_taken_port_it_ends_with_a_line(store, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda package: None)
    assert (
        CliRunner().invoke(demo.main).output.startswith("Error: no gradio here: pip install -r requirements-demo.txt")
    )
    monkeypatch.setattr(demo, "find_spec", lambda package: package)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert CliRunner().invoke(demo.main, ["--port", port]).output == (
            f"Error: 127.0.0.1:{port}: Address already in use; choose another --port\n"
        )
    result = CliRunner().invoke(demo.main, ["--port", port])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"Error: no street-digit network is registered on {store}: first mlflow run . -e svhn_zoo --env-manager uv"
    ]


# ----------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def address(tmp_path_factory, empty_store):
    """The address of a demo that runs as its users start it; in the end Ctrl-C, and what it has bound and called."""
    pytest.importorskip("gradio", reason="needs gradio: pip install -r requirements-demo.txt")
    folder = tmp_path_factory.mktemp("demo")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    uri = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mlflow.set_tracking_uri(uri)
        register_some()
        mlflow.set_tracking_uri(None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log, url = folder / "log", f"http://127.0.0.1:{port}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT), "GRADIO_SHARE": "True"}
    with log.open("w") as file:
        command = [sys.executable, "-c", WATCHED, "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    until = time.monotonic() + 300
    while url not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)
    yield url
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    said = log.read_text()
    assert "Traceback" not in said
    assert f"2 networks: {url}, for this machine alone" in said
    reached = set(re.findall(r"^socket\.\w+ \('([^']*)'", said, re.MULTILINE))
    assert reached <= {"127.0.0.1", "::1"}, said  # urllib3 tries whether there is IPv6


@pytest.fixture
def page(address, browser):  # noqa: F811
    """The browser with the page open in it."""
    browser.get(address)
    wait(browser, lambda: "Test images, " in text(browser), "the page")
    yield browser
    assert browser.execute_script("return window.live ?? null") is None
    called = "return performance.getEntriesByType('resource').map(({name}) => name)"
    assert [name for name in browser.execute_script(called) if not name.startswith((address, "data:", "blob:"))] == []


def upload(page, path: Path) -> None:
    page.find_element("css selector", "#photo input[type=file]").send_keys(str(path))


def open_tab(page, name: str) -> None:
    wait(page, lambda: [tab for tab in tabs(page) if tab.text == name], name)
    page.execute_script("arguments[0].click()", next(tab for tab in tabs(page) if tab.text == name))


def tabs(page) -> list:
    return page.find_elements("css selector", "button[role=tab]")


def draw_one(page) -> None:
    from selenium.webdriver import ActionChains

    wait(page, lambda: [each for each in page.find_elements("tag name", "canvas") if each.is_displayed()], "a pad")
    [pad] = [each for each in page.find_elements("tag name", "canvas") if each.is_displayed()]
    ActionChains(page).move_to_element_with_offset(pad, 0, -100).click_and_hold().move_by_offset(
        2, 200
    ).release().perform()


def answered(page) -> bool:
    """True once both networks have answered, with their maps."""
    shown = "return [...document.querySelectorAll('#answers h2')].map((title) => title.textContent)"
    maps = "return document.querySelectorAll('#answers img[alt^=Occlusion]').length"
    return page.execute_script(shown)[1:] == ["LeNet-5", "tiny-other"] and page.execute_script(maps) == 2


def test_an_uploaded_image_is_read_by_all_whatever_its_name(page, tmp_path):
    path = tmp_path / f"{HOSTILE}.png"
    Image.new("RGB", (60, 90), "red").save(path)
    upload(page, path)
    wait(page, lambda: answered(page), "two answers")
    assert len(page.find_elements("css selector", "#answers .label")) == 2
    [seen] = page.find_elements("css selector", "#answers img[alt='the crop']")
    crop = Image.open(BytesIO(base64.b64decode(seen.get_attribute("src").partition(",")[2])))
    assert crop.size == (32, 32)
    assert crop.getpixel((0, 0)) == (255, 0, 0)  # the edge goes on


def test_a_script_in_an_svg_a_broken_and_a_large_file_get_a_line_each(page, tmp_path):
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="window.live=1"><script>window.live=2</script></svg>{HOSTILE}'
    )
    (tmp_path / "live.svg").write_text(svg)
    upload(page, tmp_path / "live.svg")
    wait(page, lambda: "live.svg: not a PNG, JPEG or WebP image" in text(page), "a line about the SVG")
    page.refresh()
    Image.effect_noise((99, 99), 50).save(tmp_path / "whole.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    upload(page, tmp_path / "broken.png")
    wait(page, lambda: "broken.png: damaged" in text(page), "a line about the broken file")
    page.refresh()
    (tmp_path / "large.png").write_bytes(bytes(21 * 10**6))
    upload(page, tmp_path / "large.png")
    wait(page, lambda: "exceed the maximum allowed size of 20.0 Mb" in text(page), "a line about the large file")
    assert not page.find_elements("css selector", "#answers .label")


def test_a_drawing_and_a_test_image_are_read_by_all(page):
    open_tab(page, "Draw")
    draw_one(page)
    wait(page, lambda: answered(page), "two answers to the drawing")
    [clear] = [each for each in page.find_elements("css selector", ".pad button") if each.is_displayed()]
    clear.click()
    wait(page, lambda: "Drop a photograph" in text(page), "an empty page")
    page.find_elements("css selector", "#offered img")[0].click()
    wait(page, lambda: answered(page), "two answers to the test image")


RED_AND_BLUE = """const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
canvas.width = canvas.height = 64;
pen.fillStyle = "#f00"; pen.fillRect(0, 0, 32, 64); pen.fillStyle = "#00f"; pen.fillRect(32, 0, 32, 64);
"""


def seen(page) -> tuple:
    """The crop's colours, left and right."""
    wait(page, lambda: answered(page), "two answers")
    [shown] = page.find_elements("css selector", "#answers img[alt='the crop']")
    crop = Image.open(BytesIO(base64.b64decode(shown.get_attribute("src").partition(",")[2]))).convert("RGB")
    return crop.getpixel((4, 16)), crop.getpixel((27, 16))


def test_what_is_pasted_anywhere_is_read(page):
    page.execute_script(
        RED_AND_BLUE
        + """canvas.toBlob((blob) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([blob], "pasted.png", { type: "image/png" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        });"""
    )
    assert seen(page) == ((255, 0, 0), (0, 0, 255))


def test_the_camera_is_not_a_mirror(page):
    page.execute_script(
        RED_AND_BLUE
        + """navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(9);
        setInterval(() => pen.drawImage(canvas, 0, 0), 50);"""
    )
    for words in ("Capture from camera", "Access Webcam", "capture photo"):
        button = f"//*[@id='photo']//button[contains(@aria-label, '{words}') or contains(., '{words}')]"
        page.execute_script("arguments[0].click()", page.find_element("xpath", button))
        time.sleep(1)  # until the camera has a picture
    left, right = seen(page)
    assert left[0] > 200 > 50 > left[2]
    assert right[2] > 200 > 50 > right[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_page(page, scheme):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    page.find_elements("css selector", "#offered img")[0].click()
    wait(page, lambda: answered(page), "two answers")
    assert serious(page) == []


def test_the_perceptron_reads_the_pad_and_says_so_where_nothing_is_drawn(page):
    open_tab(page, "8x8")
    draw_one(page)
    wait(page, lambda: page.find_elements("css selector", "#small .label"), "an answer")
    [small] = page.find_elements("css selector", "#small img")
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(small.get_attribute("src").partition(",")[2]))))
    assert pixels.shape == (8, 8)
    assert pixels[:, 0].min() == 255  # a stroke down the middle
    assert pixels[:, 3:5].max() < 255


def test_a_line_is_drawn_with_the_keyboard_alone(page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(page).send_keys(*keys).perform()

    page.execute_script("arguments[0].focus()", tabs(page)[0])
    press(Keys.TAB)
    assert page.switch_to.active_element.text == "8x8"
    press(Keys.ENTER)
    wait(page, lambda: [each for each in page.find_elements("tag name", "canvas") if each.is_displayed()], "a pad")
    press(Keys.TAB, Keys.TAB)  # over the third tab
    assert page.switch_to.active_element.tag_name == "canvas"
    press(" ", *[Keys.ARROW_DOWN] * 18, " ")
    wait(page, lambda: page.find_elements("css selector", "#small .label"), "an answer")
    [small] = page.find_elements("css selector", "#small img")
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(small.get_attribute("src").partition(",")[2]))))
    assert pixels[:, 0].min() == 255  # as with the mouse: a stroke down the middle
    assert pixels[:, 3:5].max() < 255
    press(Keys.TAB, Keys.ENTER)
    wait(page, lambda: not page.find_elements("css selector", "#small .label"), "an empty pad")


def test_a_second_line_is_read_though_the_first_is_not_answered_yet(page):
    open_tab(page, "Draw")
    wait(page, lambda: [each for each in page.find_elements("tag name", "canvas") if each.is_displayed()], "a pad")
    line, left, right = (" ", *["ArrowDown"] * 18, " "), ["ArrowLeft"] * 11, ["ArrowRight"] * 22
    page.execute_script(
        """const [canvas] = [...document.querySelectorAll("canvas")].filter((each) => each.offsetParent);
        const press = (keys) => keys.forEach((key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key })));
        press(arguments[0]);
        setTimeout(press, 60, arguments[1]);""",  # in between the first is sent
        [*left, *line],
        [*["ArrowUp"] * 18, *right, *line],
    )
    wait(page, lambda: max(max(colour) for colour in seen(page)) < 128, "both lines, left and right")


def test_the_weights_move_over_both_losses(page):
    from selenium.webdriver.common.keys import Keys

    open_tab(page, "Losses")
    wait(page, lambda: page.find_elements("css selector", "iframe.losses"), "the figure")
    page.switch_to.frame(page.find_element("css selector", "iframe.losses"))
    told = "return [...document.querySelectorAll('.xtitle, .x2title')].map((each) => each.textContent).join()"
    wait(page, lambda: page.execute_script(told).count("gradient (") == 2, "loss and gradient of both")
    before = page.execute_script(told)
    page.find_element("css selector", "input[type=range]").send_keys(Keys.ARROW_LEFT)
    wait(page, lambda: page.execute_script(told) != before, "another loss")
    page.switch_to.default_content()


def test_a_narrow_page_needs_no_scrolling_sideways(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    page.find_elements("css selector", "#offered img")[0].click()
    wait(page, lambda: answered(page), "two answers")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_file_of_this_machine_is_not_served(address):
    with suppress(OSError), urllib.request.urlopen(f"{address}/gradio_api/file=/etc/hostname") as answer:
        pytest.fail(f"served: {answer.status}")
