"""Figures say what they show: lines lie where their legend says, in the units of their axis."""

import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex

from dl.data import street_digits
from dl.plots import COLOURS
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
