"""The numbers of the pages: those that the code says are right, and a wrong one is named."""

import re

import pytest
from click.testing import CliRunner

from tests import numbers
from tests.numbers import AGREE, DIFFER, MACHINES, NO_RUN, README, agrees, examine, read_pages
from tracking.run import start

LENET = re.compile(r"\| LeNet-5 \| ([\d.]+)% ± ([\d.]+)% \| (\S+) \|")


def nothing(source):
    return None


def examined(pages, find=nothing):
    return [(finding.said, finding.state) for finding in examine(pages, find)]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("87.8%", 0.87834),
        ("62,006", 62006),
        ("5e-16", 5.4e-16),
        ("0.054", 0.0538),
        ("12", 12.49),
        ("depends", "depends"),
    ],
)
def test_a_number_agrees_with_what_rounds_to_it(said, value):
    assert agrees(said, value)


@pytest.mark.parametrize(
    ("said", "value"),
    [("87.8%", 0.87751 - 0.0005), ("62,006", 62007), ("5e-16", 4e-16), ("12", 12.6), ("depends", "refuted"), ("no", 1)],
)
def test_a_number_does_not_agree_with_what_does_not(said, value):
    assert not agrees(said, value)


def test_what_the_code_says_stands_in_the_readme_and_for_the_rest_there_is_no_run():
    states = [state for _, state in examined(read_pages())]
    assert states.count(AGREE) == 4 * 6  # parameters, MFLOP, images and epochs of six networks
    assert set(states) == {AGREE, NO_RUN}


def test_a_wrong_count_of_parameters_is_named():
    pages = read_pages()
    pages[README] = pages[README].replace("| 62,006 |", "| 62,007 |")
    assert [said for said, state in examined(pages) if state == DIFFER] == ["62,007"]


def test_a_sentence_that_is_not_there_any_more_is_an_error():
    pages = read_pages()
    pages[README] = pages[README].replace("CE converges faster", "CE is faster")
    with pytest.raises(ValueError, match=r"README\.md has this 0 times, not once: CE converges faster"):
        examined(pages)


@pytest.fixture
def zoo(store):
    """A run of the quick preset that says what the README says, of all networks."""
    numbers.run_of.cache_clear()
    rows = []
    for title in (each.title for each in numbers.ZOO.values()):
        accuracy, spread = re.search(rf"\| {title} \| ([\d.]+)% ± ([\d.]+)%", read_pages()[README]).groups()
        rows.append(
            {
                "network": title,
                "test_accuracy": float(accuracy) / 100,
                "test_accuracy_std": float(spread) / 100,
                "images_per_second": 1.0,
                "seconds": 2.0,
            }
        )
    with start("zoo", numbers.QUICK, {"question": 4, "kind": "zoo", **numbers.QUICK}) as run:
        run.log_table("zoo.json", rows)
        run.log_json(
            "claims.json",
            [
                {"claim": claim, "verdict": "not tested", "reason": "not SVHN", "numbers": {}}
                for claim in ("Q4-lenet", "Q4-alexnet", "Q4-vgg", "Q4-resnet18", "Q4-depth")
            ],
        )
    yield run
    numbers.run_of.cache_clear()


def test_the_command_names_what_differs_from_the_runs_of_the_store(zoo, tmp_path, monkeypatch):
    """All is well; then a verdict and an accuracy are changed in a copy of the pages."""
    done = CliRunner().invoke(numbers.main)
    assert done.exit_code == 0, done.output
    assert "0 differs" in done.output
    assert done.output.count(MACHINES) == 12 + 1  # seconds and images/s of six, and the sum
    for name, text in read_pages().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    page = tmp_path / README
    accuracy = LENET.search(page.read_text())[1]
    wrong = page.read_text().replace(f"| LeNet-5 | {accuracy}%", "| LeNet-5 | 12.3%")
    page.write_text(wrong.replace("spikes in its loss | **not tested**", "spikes in its loss | **confirmed**"))
    monkeypatch.setattr(numbers, "ROOT", tmp_path)
    done = CliRunner().invoke(numbers.main)
    assert done.exit_code == 1
    named = [line for line in done.output.splitlines() if line.startswith(DIFFER)]
    assert len(named) == 2
    assert "README.md says confirmed, measured: not tested, in VGG-16 is erratic" in named[0]
    assert "README.md says 12.3%, measured: 0.8" in named[1]
