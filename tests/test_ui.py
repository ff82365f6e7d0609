"""What a user sees: the six networks beside each other in MLflow's own pages, in a real browser."""

import shutil
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from mlflow import MlflowClient

from dl.claims import CLAIMS
from dl.recipes import ZOO
from entrypoints.report.pages import write_pages
from entrypoints.svhn_zoo import __main__ as svhn_zoo
from tests.test_server import serving
from tracking.run import start
from tracking.store import page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1700,1100",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
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
        patch.setattr("entrypoints.svhn_zoo.data.SIZES", {"quick": (96, 50, 50)})
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


def serious(browser) -> list:
    """What axe's rules of accessibility find serious or critical in the page: rule and element."""
    axe = pytest.importorskip("axe_core_python", reason="needs axe: pip install -r requirements.txt")
    browser.execute_script(resources.files(axe).joinpath("axe.min.js").read_text())
    browser.set_script_timeout(120)
    found = browser.execute_async_script("axe.run().then((result) => arguments[0](result.violations))")
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


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
    wait(
        browser, lambda: all(f"{each.title}, seed 0" in text(browser) for each in ZOO.values()), "six names in the list"
    )
    for run in runs.values():
        box = f"//*[@role='row'][.//a[contains(@href, '{run.info.run_id}')]]//input[@type='checkbox']"
        browser.execute_script("arguments[0].click()", browser.find_element("xpath", box))
    button = browser.find_element("css selector", "[data-testid='runs-compare-button']")
    wait(browser, button.is_enabled, "the button Compare")
    button.click()
    wait(browser, lambda: "Comparing 6 Runs" in text(browser), "the page of comparison")
    wait(browser, lambda: "test_accuracy" in text(browser), "the metrics")
    shown = " ".join(text(browser).split())
    for name, run in runs.items():
        assert f"{ZOO[name].title}, seed 0" in shown
        assert run.info.run_id in shown
    assert "batch_size " + " ".join(6 * ["32"]) in shown  # a row of parameters, one value a network
    for metric in ("train_loss", "val_accuracy", "best_val_accuracy", "test_accuracy", "images_per_second"):
        assert metric in shown
    for run in runs.values():
        assert f"{run.data.metrics['test_loss']:.4g}".rstrip("0") in shown  # the values, as the page rounds them


def test_a_printed_address_opens_the_run_among_training_runs(browser, zoo):
    url, runs = zoo
    run = runs["resnet18"]
    browser.get(f"{url}/health")
    browser.execute_script("localStorage.clear()")
    browser.get(page("0", run.info.run_id))
    wait(browser, lambda: "ResNet-18, seed 0" in text(browser), "the run")
    wait(browser, lambda: "Model registry" in text(browser), "the menu")
    assert "Evaluation runs" not in text(browser)
    browser.get(page("0", run.info.run_id).replace("?", "/system-metrics?"))
    wait(browser, lambda: "cpu_utilization_percentage" in text(browser), "the processor's load")


def test_the_curves_of_the_six_are_drawn(browser, zoo):
    url, _ = zoo
    unfold(browser, url, "compareRunsMode=CHART")
    wait(
        browser,
        lambda: all(f"{each.title}, seed 0" in text(browser) for each in ZOO.values()),
        "six names beside the charts",
    )
    search = browser.find_element("css selector", "input[placeholder='Search metric charts']")
    search.send_keys("^(train|val)_(accuracy|loss)$")

    def drawn(metric: str) -> set[str]:
        """Colours of the curves of that metric, three epochs each."""
        card = f"//*[@data-testid='experiment-view-compare-runs-card'][.//h4[@title='{metric}']]"
        lines = browser.find_element("xpath", card).find_elements("css selector", ".trace path.js-line")
        return {line.value_of_css_property("stroke") for line in lines if "L" in line.get_attribute("d")}

    for metric in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        wait(browser, lambda metric=metric: len(drawn(metric)) == 6, f"six curves of {metric}, told apart by colour")


HOSTILE = """**Bold** <script>window.live = "script"</script> <b onmouseover="window.live = 1">over me</b>

<img src="x" onerror="window.live = 'onerror'">

<svg onload="window.live = 'svg'"><script>window.live = "in svg"</script></svg>

<iframe srcdoc="<script>parent.live = 'frame'</script>"></iframe>

[one](javascript:window.live=1) [two](JaVaScRiPt:window.live=2) [three](&#106;avascript:window.live=3)
[four](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==) [five](vbscript:live) [six][six]
<javascript:window.live=7> ![eight](javascript:window.live=8) ![nine](https://example.com/seen.png)
![ten](data:image/svg+xml,<svg/onload=alert(1)>) ![eleven](data:image/png;base64,AAAA)

[six]: javascript:window.live=6
"""


def test_what_a_shared_store_holds_is_shown_by_the_report_but_never_runs(store, browser, tmp_path):
    inline = "<script>window.live=1</script>[x](javascript:window.live=1)<img src=x onerror=window.live=1>| **b** `"
    tags = {"question": 4, "kind": "zoo", "dataset": inline, "preset": inline, "recipe": "both", "error": inline}
    with start(f"zoo {inline}", {"models": "all", "epochs": inline, "data_dir": inline}, tags) as run:
        row = {"claim": "Q4-vgg", "verdict": "depends", "reason": inline, "numbers": {}}
        odd = [{"claim": "Q4-lenet", "verdict": inline, "reason": "by nobody"}, {"claim": inline}, inline]
        run.log_json("claims.json", [asdict(CLAIMS["Q4-vgg"]) | row, *odd])
        run.figure("comparison.png", Figure())
        run.note(HOSTILE)
        run.tags({"claim.Q4-vgg": "depends"})
        run.fail(inline)
    markdown, html, figures = write_pages()
    Path("report.html").write_text(html)
    browser.get((tmp_path / "report.html").as_uri())
    assert "over me" in text(browser)
    assert text(browser).count("<script>window.live=1</script>") >= 4  # name, tags, parameter, reason: as they are
    for link in browser.find_elements("css selector", "a"):
        assert link.get_attribute("href").startswith("http://127.0.0.1:5000/#/")
    images = browser.find_elements("css selector", "img")
    assert len(images) == len(figures) == 1
    assert all(image.get_property("naturalWidth") > 0 for image in images)
    marks = "return [...document.querySelectorAll('*')].flatMap(e => [e.localName, ...e.getAttributeNames()])"
    found = set(browser.execute_script(marks))
    assert not found & {"script", "svg", "iframe", "object", "embed", "form"}
    assert not [name for name in found if name.startswith("on")]
    late = "let e = document.createElement('script'); e.textContent = 'window.live = 1'; document.body.append(e)"
    browser.execute_script(late)  # the page itself forbids scripts, should one ever come through
    assert browser.execute_script("return window.live ?? null") is None
    assert "<script>" not in markdown  # many viewers of Markdown let HTML through
