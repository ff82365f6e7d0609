"""What a user sees: the six networks beside each other in MLflow's own pages, in a real browser."""

import shutil
from dataclasses import replace

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from dl.models import ZOO
from entrypoints import svhn_zoo
from tests.test_server import serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1700,1100",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A server with a zoo of six in it. The networks are small ones: this is about names, parameters and curves."""
    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch, serving(folder) as url:
        patch.chdir(folder)
        small = replace(ZOO["lenet5"].quick, recipe=replace(ZOO["lenet5"].quick.recipe, batch_size=32))
        for name, architecture in ZOO.items():
            patch.setitem(ZOO, name, replace(architecture, quick=small))
        patch.setattr("entrypoints.zoo.SIZES", {"quick": (96, 50, 50)})
        mlflow.set_tracking_uri(url)
        arguments = ["--dataset", "street-digits", "--epochs", "3", "--preset", "quick", "--device", "cpu"]
        result = CliRunner().invoke(svhn_zoo.main, arguments)
        assert result.exit_code == 0, result.output
        runs = {run.data.tags["network"]: run for run in MlflowClient(url).search_runs(["0"], "tags.kind = 'network'")}
        yield url, runs
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install -r requirements.txt")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    driver.implicitly_wait(30)
    yield driver
    driver.quit()


def wait(browser, condition, what: str):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30, 0.2).until(lambda _: condition(), f"never seen: {what}")


def text(browser) -> str:
    return browser.execute_script("return document.body.innerText")


def unfold(browser, url: str, view: str = "") -> None:
    """Open the experiment as for the first time, and unfold the parent run, as a user does by a click on its [+]."""
    browser.get(f"{url}/health")
    browser.execute_script("localStorage.clear(); localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = true")
    browser.get(f"{url}/#/experiments/0/runs?{view}")
    fold = "//*[@role='gridcell'][.//a[contains(., 'street-digits')]]//button"
    browser.execute_script("arguments[0].click()", browser.find_element("xpath", fold))


def test_the_six_are_listed_selected_and_compared(browser, zoo):
    url, runs = zoo
    assert list(reversed(runs)) == list(ZOO)
    unfold(browser, url)
    wait(browser, lambda: all(f"{name} / svhn_zoo" in text(browser) for name in ZOO), "six names in the list")
    for run in runs.values():
        box = f"//*[@role='row'][.//a[contains(@href, '{run.info.run_id}')]]//input[@type='checkbox']"
        browser.execute_script("arguments[0].click()", browser.find_element("xpath", box))
    button = browser.find_element("css selector", "[data-testid='runs-compare-button']")
    wait(browser, button.is_enabled, "the button Compare")
    button.click()
    wait(browser, lambda: "Comparing 6 Runs" in text(browser), "the page of comparison")
    wait(browser, lambda: "test_accuracy" in text(browser), "the metrics")
    page = " ".join(text(browser).split())
    for name, run in runs.items():
        assert f"{name} / svhn_zoo / seed 0" in page
        assert run.info.run_id in page
    assert "batch_size " + " ".join(6 * ["32"]) in page  # a row of parameters, one value a network
    for metric in ("train_loss", "val_accuracy", "best_val_accuracy", "test_accuracy", "images_per_second"):
        assert metric in page
    for run in runs.values():
        assert f"{run.data.metrics['test_loss']:.4g}".rstrip("0") in page  # the values, as the page rounds them


def test_the_curves_of_the_six_are_drawn(browser, zoo):
    url, runs = zoo
    unfold(browser, url, "compareRunsMode=CHART")
    wait(browser, lambda: all(f"{name} / svhn_zoo" in text(browser) for name in runs), "six names beside the charts")
    search = browser.find_element("css selector", "input[placeholder='Search metric charts']")
    search.send_keys("^(train|val)_(accuracy|loss)$")

    def drawn(metric: str) -> set[str]:
        """Colours of the curves of that metric, three epochs each."""
        card = f"//*[@data-testid='experiment-view-compare-runs-card'][.//h4[@title='{metric}']]"
        lines = browser.find_element("xpath", card).find_elements("css selector", ".trace path.js-line")
        return {line.value_of_css_property("stroke") for line in lines if "L" in line.get_attribute("d")}

    for metric in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        wait(browser, lambda metric=metric: len(drawn(metric)) == 6, f"six curves of {metric}, told apart by colour")
