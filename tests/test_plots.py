"""Figures say what they show: lines lie where their legend says, in the units of their axis."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex
from PIL import Image

from dl.cells import cells, examine_cell
from dl.data import street_digits
from dl.logistic.problems import breast_cancer
from dl.plots import COLOURS, convexity, digits, surfaces
from dl.plots import zoo as plots
from dl.plots.live import digits as live_digits
from dl.plots.live import live_page, read_live
from dl.plots.live import surfaces as live_surfaces
from dl.plots.live import zoo as live_zoo
from dl.plots.live.convexity import slide_witnesses
from dl.ranking import compare, grid_regret, noise_groups, regret
from dl.table1 import GRID, TABLE1, TABLE2
from dl.train import Epoch
from entrypoints.svhn_zoo.__main__ import main as svhn_zoo
from tracking.run import Run


def share_of_the_most_frequent(split) -> float:
    return split.y.bincount().max().item() / len(split)


def test_always_the_most_frequent_digit_is_drawn_at_its_share_of_the_images_that_the_panel_scores(store, monkeypatch):
    monkeypatch.setattr("entrypoints.svhn_zoo.data.SIZES", {"quick": (64, 100, 120)})
    figures = {}
    monkeypatch.setattr(Run, "figure", lambda self, name, figure: figures.update({name: figure}))
    arguments = ["--models", "lenet5", "--dataset", "street-digits", "--epochs", "1", "--recipe", "both"]
    result = CliRunner().invoke(svhn_zoo, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    data = street_digits(64, n_val=100, n_test=120)
    val, test = share_of_the_most_frequent(data.val), share_of_the_most_frequent(data.test)
    assert val != test
    panels = [axes for name in ("comparison.png", "recipes.png") for axes in figures[name].axes]
    scored = [axes for axes in panels if "alidation" in axes.get_title() + axes.get_ylabel()]
    assert len(scored) == 3
    for axes in scored:
        [line] = [
            line for line in axes.lines if to_hex(line.get_color()) == COLOURS[-1] and line.get_linestyle() == ":"
        ]
        assert list(line.get_ydata()) == pytest.approx([val, val])
    for name in ("comparison.png", "recipes.png"):
        [legend] = figures[name].legends
        assert f"the most frequent digit of the validation images ({val:.1%})" in [
            text.get_text().replace("always ", "") for text in legend.get_texts()
        ]


# ------------------------------------------------------------------------------------------- live figures


def search_of_table1():
    rng = np.random.default_rng(0)
    tables = np.exp(rng.normal(0, 0.5, (len(GRID), 1)) + rng.normal(0, 0.1, (len(GRID), 3)))
    return compare(np.log(tables), noise_groups(GRID)), tables.T


def some_mistakes(count: int = 60) -> tuple:
    images = street_digits(64, n_val=50, n_test=count).test
    return (
        images.x.numpy(),
        images.y.numpy(),
        np.random.default_rng(0).dirichlet(np.ones(10), count),
        "LeNet-5 on street",
    )


def pairs_of_figures() -> dict:
    """Each live figure beside the PNG whose name it has, from the same arguments."""
    pair = breast_cancer().only(("mean radius", "mean texture"))
    paths = {loss: {f"{i}": np.linspace((6, i), (0, 0), 11) for i in range(6)} for loss in ("ce", "mse")}
    findings = [examine_cell(cell, 5, 5, 0) for cell in cells()[2:4]]
    compared, tables = search_of_table1()
    history = [Epoch(i, 1 / i, 0.5, 1 / i, 0.2 * i, 0.1, 1.0, 1000.0, 3.0, 128) for i in range(1, 5)]
    row = {"network": "LeNet-5", "test_accuracy": 0.8, "test_accuracy_se": 0.01, "parameters": 62_006, "flops": 10**6}
    zoo = (
        [row, row | {"network": "AlexNet"}],
        {"LeNet-5": history, "AlexNet": history[:3]},
        0.2,
        "Question 4 on street",
    )
    regrets = {"tpe": regret(tables, "random", 6, 3, 3)}, grid_regret(tables)
    return {
        "surfaces": (surfaces.corner_surfaces, live_surfaces.turn_corner_surfaces, ()),
        "weights": (surfaces.weight_surfaces, live_surfaces.turn_weight_surfaces, (pair, paths, 1.0, 8.0)),
        "witnesses": (convexity.witness_curves, slide_witnesses, (findings,)),
        "marginals": (digits.marginals, live_digits.brush_configurations, (GRID, np.exp(compared.mean))),
        "ranks": (digits.ranks, live_digits.hover_ranks, (GRID, compared)),
        "regret": (digits.regret_curves, live_digits.hover_regret, regrets),
        "comparison": (plots.comparison, live_zoo.switch_networks, zoo),
        "errors": (plots.mistakes, live_zoo.hover_mistakes, some_mistakes()),
    }


@pytest.fixture(scope="module")
def drawn() -> dict:
    """PNG and live figure (as its page holds it) by name."""
    return {
        name: (png(*given), read_live(live_page(live(*given))))
        for name, (png, live, given) in pairs_of_figures().items()
    }


@pytest.mark.parametrize("name", ["surfaces", "weights", "witnesses", "marginals", "ranks", "regret", "comparison"])
def test_a_live_figure_has_the_titles_and_units_of_its_png(drawn, name):
    png, live = drawn[name]
    words = " ".join(
        text for axes in png.axes for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())
    ) + " ".join(axes.get_zlabel() for axes in png.axes if hasattr(axes, "get_zlabel"))
    layout = live["layout"]
    titles = [panel["title"] for panel in layout["meta"]["panels"]]
    axes = [axis for key, axis in layout.items() if key[1:].startswith("axis")]
    axes += [
        scene[key] for name_, scene in layout.items() if name_.startswith("scene") for key in scene if "axis" in key
    ]
    labels = [axis["title"]["text"] for axis in axes] + [d["label"] for d in live["data"][0].get("dimensions", [])]
    assert labels
    assert [text for text in titles + labels if text not in words] == []


@pytest.mark.parametrize("name", ["weights", "witnesses", "ranks", "regret", "comparison"])
def test_a_live_figure_has_the_colours_of_its_png(drawn, name):
    png, live = drawn[name]
    lines = [line.get_color() for axes in png.axes for line in axes.lines]
    there = {to_hex(colour).lower() for colour in lines} | {
        to_hex(colour) for axes in png.axes for part in axes.collections for colour in part.get_edgecolor()[:1]
    }
    here = {trace["line"]["color"].lower() for trace in live["data"] if "color" in trace.get("line", {})} - {"#262626"}
    assert len(here) >= 2
    assert here - {"#000", "#000000"} <= there


def test_a_live_figure_shows_the_values_of_its_png(drawn):
    png, live = drawn["comparison"]
    [(xs, ys)] = [line.get_data() for line in png.axes[0].lines if line.get_label() == "AlexNet"]
    [trace] = [each for each in live["data"] if each["name"] == "AlexNet" and "xaxis" not in each]
    assert (trace["x"], trace["y"]) == (list(xs), pytest.approx(list(ys)))
    by_epoch, by_time = (live["layout"][name] for name in ("xaxis", "xaxis2"))
    assert by_epoch["dtick"] == 1  # whole epochs, however few
    assert by_time["tickvals"] == list(png.axes[1].xaxis.get_major_locator().locs)
    frames = {frame["name"]: frame for frame in drawn["witnesses"][1]["frames"]}
    cells_ = drawn["witnesses"][1]["layout"]["meta"]["sliders"][0]["values"]
    middle = len(drawn["witnesses"][1]["layout"]["meta"]["sliders"][1]["values"]) // 2
    for number, cell in enumerate(cells_):
        proven = float(cell.rpartition("> ")[2])
        assert frames[f"{number}/{middle}"]["data"][1]["customdata"][0] >= proven  # the gap at the midpoint


def test_of_all_configurations_table_2_and_the_best_are_marked_and_each_is_brushed_by_its_own_values(drawn):
    [trace] = drawn["marginals"][1]["data"]
    named = [text for text in trace["customdata"] if text]
    assert len(named) == len(GRID)
    marked = {}
    for place, colour in enumerate(trace["line"]["color"]):
        marked.setdefault(colour, []).append(place)
    best = int(np.argmin(np.exp(search_of_table1()[0].mean)))
    assert {GRID[marked[0.93][0]], GRID[marked[1.0][0]]} == {TABLE2, GRID[best]}
    for axis, (key, values) in zip(trace["dimensions"], TABLE1.items(), strict=False):
        for config, place in zip(GRID, axis["values"], strict=False):
            assert abs(place - values.index(getattr(config, key))) < 0.3


def test_an_error_shows_its_own_image_and_what_was_believed(drawn):
    x, truth, probabilities, _ = some_mistakes()
    live = drawn["errors"][1]
    [grid] = [trace for trace in live["data"] if trace.get("meta") == "images"]
    wrong = np.flatnonzero(probabilities.argmax(1) != truth)
    first = wrong[probabilities[wrong].max(1).argmax()]
    shown = Image.open(BytesIO(base64.b64decode(live["layout"]["images"][0]["source"].partition(",")[2])))
    assert (np.asarray(shown) == x[first].transpose(1, 2, 0)).all()
    assert grid["customdata"][0].startswith(f"said {probabilities[first].argmax()}, is {truth[first]}<br>")


def test_a_page_fetches_nothing_and_no_text_in_it_becomes_markup():
    page = live_page(live_zoo.hover_mistakes(*some_mistakes()[:3], "</script><script>window.live = 1</script>"))
    assert page.count("<script") == page.count("</script>") == 3  # the figure, plotly's packed, ours
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    assert read_live(page)["layout"]["title"]["text"].startswith("</script>")
    assert len(page) < 2_200_000  # what a live figure costs on disk


@pytest.mark.parametrize("page", ["", "<p>", '<script type="application/json">{"data": [</script>',
                                  '<script type="application/json">[1]</script>'])  # fmt: skip
def test_what_is_no_live_figure_is_none(page):
    assert read_live(page) is None
