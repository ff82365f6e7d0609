"""The report's figures in a real browser: they answer to mouse and keyboard, and axe finds nothing serious in them."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from matplotlib.figure import Figure

from dl.plots.live import live_page
from dl.plots.live.digits import brush_configurations
from dl.plots.live.zoo import hover_mistakes, switch_networks
from dl.table1 import GRID, TABLE2
from dl.train import Epoch
from entrypoints.report.pages import write_pages
from tests.test_ui import browser, serious, wait  # noqa: F401
from tracking.run import start

SOME = [TABLE2, *GRID[:1400:50]]  # of all configurations
HOSTILE_TITLE = "<img src=x onerror=window.live=1></script><script>window.live=2</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory, empty_store) -> Path:
    """A report with three live figures, one of which somebody has meddled with."""
    history = [Epoch(i, 1 / i, 0.5, 1 / i, 0.2 * i, 0.1, 1.0, 1000.0, 3.0, 128) for i in range(1, 5)]
    row = {"network": "LeNet-5", "test_accuracy": 0.8, "test_accuracy_se": 0.01, "parameters": 62_006, "flops": 10**6}
    networks = switch_networks([row, row | {"network": "VGG-16"}], {"LeNet-5": history, "VGG-16": history}, 0.2, "Q4")
    believed = np.full((40, 10), 0.05) + 0.5 * np.eye(10)[np.arange(40) % 9]
    errors = hover_mistakes(np.zeros((40, 3, 32, 32), np.uint8), np.full(40, 9), believed, HOSTILE_TITLE)
    figures = {
        (3, "grid", "marginals"): brush_configurations(SOME, np.linspace(0.05, 1, len(SOME))),
        (4, "zoo", "comparison"): networks,
        (4, "zoo", "recipes"): errors,
    }
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        for question, kind in ((3, "grid"), (4, "zoo")):
            tags = {"question": question, "kind": kind, "recipe": "both", "dataset": "svhn", "preset": "full"}
            with start(kind, tags=tags) as run:
                for (asked, _, name), figure in figures.items():
                    if asked == question:
                        run.figure(f"{name}.png", Figure())
                        run.text(f"{name}.html", live_page(figure))
        (folder / "report.html").write_text(write_pages()[1])
        mlflow.set_tracking_uri(None)
    return folder / "report.html"


@pytest.fixture
def report(page, browser):  # noqa: F811
    """The browser with the report open in it."""
    browser.get(page.as_uri())
    return browser


def figure_with(report, words: str):
    """The live figure whose picture is described so, once it is drawn."""
    [holder] = [
        each
        for each in report.find_elements("css selector", "figure.live")
        if words in each.find_element("css selector", ":scope > img").get_attribute("alt")
    ]
    report.execute_script("arguments[0].scrollIntoView()", holder)
    wait(report, lambda: "alive" in holder.get_attribute("class"), words)
    return holder


def press(report, element, *keys: str) -> None:
    report.execute_script("arguments[0].focus()", element)
    element.send_keys(*keys)


def test_a_network_is_switched_off_and_points_answer_to_the_keyboard(report):
    from selenium.webdriver.common.keys import Keys

    zoo = figure_with(report, "LeNet-5 80.0%")
    lines = "return arguments[0].querySelectorAll('.plot .scatterlayer .trace .js-line').length"
    before = report.execute_script(lines, zoo)
    press(report, zoo.find_elements("css selector", "input[type=checkbox]")[1], " ")
    wait(report, lambda: report.execute_script(lines, zoo) < before, "a network less")
    press(report, zoo.find_element("css selector", ".plot"), Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    said = zoo.find_element("css selector", ".said")  # a live region: read aloud
    wait(report, lambda: "epoch 3: 60.0%" in said.text, "the third epoch's accuracy")


def test_an_error_shows_its_image_to_mouse_and_keyboard_and_nothing_that_was_planted_runs(report):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    errors = figure_with(report, "read wrongly")
    plot, peek = (errors.find_element("css selector", name) for name in (".plot", ".peek"))
    ActionChains(report).move_to_element_with_offset(plot, -plot.size["width"] // 16, -40).pause(0.3).move_by_offset(
        3, 2
    ).perform()
    wait(report, peek.is_displayed, "the enlarged image")
    assert peek.get_property("naturalWidth") == 32
    said = errors.find_element("css selector", ".said")
    assert "is 9" in said.text
    before, shown = said.text, peek.location
    press(report, plot, *[Keys.ARROW_RIGHT] * 31)  # the last image, below which there is no room
    wait(report, lambda: said.text != before and peek.location != shown, "the last image, by keyboard")
    assert peek.location["y"] + peek.size["height"] <= plot.location["y"] + plot.size["height"]
    assert "onerror=window.live" in errors.text
    assert report.execute_script("return window.live ?? null") is None


def test_configurations_are_brushed(report):
    brushed = figure_with(report, "Parallel coordinates")
    assert "29 of 29; lowest loss: 0.0500" in brushed.text
    press(report, brushed.find_element("css selector", "select"), "512")
    wait(report, lambda: " of 29;" in brushed.text and "29 of 29" not in brushed.text, "fewer configurations")
    kept = brushed.find_element("css selector", ".told").text
    assert kept.startswith(f"{sum(config.h1 == 512 for config in SOME)} of 29")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(report, scheme):
    report.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    figure_with(report, "LeNet-5 80.0%")
    assert serious(report) == []


@pytest.mark.parametrize("width", [400, 768, 1024, 1400, 1920])
def test_at_no_width_the_page_scrolls_sideways(report, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    report.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for words in ("Parallel coordinates", "LeNet-5 80.0%", "read wrongly"):
        plot = figure_with(report, words).find_element("css selector", ".plot")
        wait(report, lambda plot=plot: plot.size["width"] <= width, f"{words} within {width} pixels")
    assert report.execute_script("return document.documentElement.scrollWidth") <= width
    for table in report.find_elements("css selector", "h2 + .table"):  # of sentences: nobody reads sideways
        assert table.get_property("scrollWidth") <= table.get_property("clientWidth")
    report.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_paper_and_without_scripts_stand_the_pngs(report):
    zoo = figure_with(report, "LeNet-5 80.0%")
    picture, drawn = (zoo.find_element("css selector", name) for name in (":scope > img", ".drawn"))
    assert (picture.is_displayed(), drawn.is_displayed()) == (False, True)
    report.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert (picture.is_displayed(), drawn.is_displayed()) == (True, False)
    report.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    report.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    report.get(report.current_url)
    report.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    pictures = report.find_elements("css selector", "figure.live > img")
    assert [picture.is_displayed() for picture in pictures] == [True] * 3
