"""The report says what the runs say: which runs, which verdicts, and what is missing."""

import base64
import json
import re
import shlex
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from dl.claims import CLAIMS, judge_q1_corner_gradient, rows, tell_decision
from dl.logistic.losses import corner_gradients
from dl.table1 import GRID, TABLE1, TABLE2
from entrypoints.report.__main__ import main
from entrypoints.report.pages import QUESTIONS, write_pages
from tests.test_project import ENTRIES
from tracking.evidence import log_verdicts
from tracking.patience import without_password
from tracking.run import start

COMMANDS = [source.command for question in QUESTIONS for source in question.sources]


def claim(name: str, verdict: str, reason: str) -> dict:
    return asdict(CLAIMS[name]) | {"claim": name, "verdict": verdict, "reason": reason, "numbers": {}}


def zoo(name: str, claims: list[dict] = (), **tags: str) -> str:
    tags = {"question": 4, "kind": "zoo", "dataset": "street-digits", "preset": "quick", "recipe": "tuned"} | tags
    with start(name, {"models": tags.pop("models", "all")}, tags) as run:
        run.log_json("claims.json", list(claims))
        run.figure("comparison.png", Figure())
        run.note(f"**Answer of {name}**")
    return run.id


def row_of(markdown: str, name: str) -> str:
    [row] = [line for line in markdown.splitlines() if line.startswith(f"| {name} |")]
    return row


class Page(HTMLParser):
    """What a browser would fetch, and the text that it would show."""

    def __init__(self, html: str):
        super().__init__()
        self.fetched, self.tags, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "a":
            self.fetched += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_an_empty_store_gives_a_report_of_what_to_run(store):
    result = CliRunner().invoke(main, ["--out", "written"])
    assert result.exit_code == 0, result.output
    markdown = Path("written/report.md").read_text()
    assert "**14 not tested**" in markdown
    for name in CLAIMS:
        assert "**not tested**" in row_of(markdown, name)
        assert "mlflow run . -e" in row_of(markdown, name)
    assert markdown.count("**Not run yet.**") == len(COMMANDS)
    for command in COMMANDS:
        assert command in markdown
    assert "<html" in Path("written/report.html").read_text()
    assert not list(Path("written/figures").iterdir())
    [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FINISHED"
    assert {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)} == {"report.md", "report.html"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_that_it_names_are_commands(command):
    words = shlex.split(command)
    entry = ENTRIES[words[words.index("-e") + 1]]
    given = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "-P"]
    assert set(given) <= set(entry["parameters"])


def test_the_best_run_is_chosen_by_rule_and_the_others_are_not(store):
    with start("convexity / old", tags={"question": 2, "kind": "question"}) as run:
        run.log_json("claims.json", [claim("Q2-ce", "confirmed", "an old reason")])
    with start(
        "convexity / new", {"trials": 60, "points": 2000.0, "seed": 0}, {"question": 2, "kind": "question"}
    ) as run:
        run.log_json("claims.json", [claim("Q2-ce", "refuted", "a new reason | with a bar")])
    with start("convexity / short", {"trials": 3, "points": 2000}, {"question": 2, "kind": "question"}) as run:
        run.log_json("claims.json", [claim("Q2-ce", "confirmed", "three trials")])
    with pytest.raises(KeyError), start("convexity / failed", tags={"question": 2, "kind": "question"}):
        raise KeyError("why")
    real = zoo("real and full", [claim("Q4-vgg", "refuted", "by SVHN")], dataset="svhn", preset="full")
    zoo("real, one network", dataset="svhn", preset="full", models="lenet5")
    zoo("real and quick", [claim("Q4-vgg", "confirmed", "by little")], dataset="svhn")
    zoo("generated", [claim("Q4-vgg", "confirmed", "by drawings")], preset="full")
    zoo(
        "by the document",
        [claim("Q4-vgg", "not tested", "no"), claim("Q4-alexnet", "refuted", "yes")],
        recipe="document",
    )
    markdown, html, figures = write_pages()

    row = row_of(markdown, "Q2-ce")
    assert "**refuted** | a new reason \\| with a bar | [convexity / new]" in row
    assert "old reason" not in markdown
    assert "three trials" not in markdown
    assert "trials=60" in markdown  # not the default
    assert "points=2000" not in markdown
    assert "seed=0" not in markdown
    assert "**refuted** | by SVHN | [real and full]" in row_of(markdown, "Q4-vgg")
    assert f"/runs/{real}?" in row_of(markdown, "Q4-vgg")
    assert "Answer of real and full" in markdown
    # from the other recipe's run, and marked for what it is
    assert "**NOT SVHN** (generated street-digits, quick preset): yes | [by the document]" in row_of(
        markdown, "Q4-alexnet"
    )
    for other in ("one network", "real and quick", "Answer of generated"):
        assert other not in markdown
    assert "**not tested** | Not tested yet. `mlflow run . -e svhn_zoo -P recipe=both" in row_of(markdown, "Q4-depth")
    assert len(figures) == 2
    page = Page(html)
    assert page.text.count("NOT SVHN") >= 3  # the claim, the table of runs, the section
    assert "a new reason | with a bar" in page.text


def test_a_verdict_tells_what_decided_it_and_an_old_one_that_it_does_not_say(store):
    judged = judge_q1_corner_gradient(corner_gradients())
    with start("loss_surfaces", tags={"question": 1, "kind": "question"}) as run:
        broken = claim("Q1-penalty", "confirmed", "it is") | {"decision": {"test": "a test", "n": "many"}}
        log_verdicts(run, [*rows([judged]), claim("Q1-unique", "depends", "on the data"), broken])
    markdown = write_pages()[0]
    decision = rows([judged])[0]["decision"]
    told = tell_decision(decision).replace("|", "\\|")
    assert decision["change"] in told
    assert f"99%: {decision['interval'][1]:.3g} to" in told
    assert row_of(markdown, "Q1-corner-gradient").endswith(f"| {told} |")
    assert row_of(markdown, "Q1-unique").endswith("| - |")
    assert row_of(markdown, "Q1-penalty").endswith("| - |")


def test_a_zoo_that_failed_with_its_verdicts_is_evidence(store):
    tags = {"question": 4, "kind": "zoo", "dataset": "svhn", "preset": "full", "recipe": "both"}
    with pytest.raises(RuntimeError), start("died", tags=tags):
        raise RuntimeError("too early")
    assert "**Not run yet.**" in write_pages()[0].partition("## Question 4")[2]
    with start("diverged", tags=tags) as run:
        run.log_json("claims.json", [claim("Q4-vgg", "confirmed", "a loss was lost")])
        run.tags({"claim.Q4-vgg": "confirmed"})
        run.fail("VGG-16 | seed 0 failed")
    zoo("generated", [claim("Q4-vgg", "refuted", "by drawings")], recipe="both")
    markdown = write_pages()[0]
    assert "**confirmed** | a loss was lost | [diverged]" in row_of(markdown, "Q4-vgg")
    assert "(of 2), **failed**: VGG-16 \\| seed 0 failed" in markdown


@pytest.mark.parametrize("folder", ["/proc/report", "file"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(store, folder):
    Path("file").touch()
    result = CliRunner().invoke(main, ["--out", folder])
    assert result.exit_code == 2
    assert "--out" in result.output.splitlines()[-1]
    assert not mlflow.search_runs(search_all_experiments=True, output_format="list")


def test_a_run_of_both_recipes_is_told_once(store):
    run = zoo("both", [claim("Q4-vgg", "depends", "on it")], recipe="both")
    markdown, _, figures = write_pages()
    assert markdown.count("Answer of both") == 1
    assert f"The same [run](http://127.0.0.1:5000/#/experiments/0/runs/{run}?workflowType=machine_learning)" in markdown
    assert len(figures) == 1
    assert "**depends**" in row_of(markdown, "Q4-vgg")
    assert "Missing" not in markdown


@pytest.mark.parametrize("source", [source for question in QUESTIONS for source in question.sources])
def test_one_run_alone_makes_a_report(store, source):
    tags = {"kind": source.kind} | {key: values[0] for key, values in source.tags.items()}
    question = next(question.number for question in QUESTIONS if source in question.sources)
    with start("alone", tags=tags | {"question": question, "dataset": "svhn", "preset": "full"}) as run:
        run.note("**The only answer**")
    markdown, _, _ = write_pages()
    assert "The only answer" in markdown
    assert markdown.count("**Not run yet.**") in (len(COMMANDS) - 1, len(COMMANDS) - 2)  # a run may serve two sources


def test_the_page_stands_alone_and_shows_markup_instead_of_obeying_it(store):
    zoo("<script>alert(1)</script>", [claim("Q4-vgg", "refuted", "<img src=x> a < b")])
    _, html, figures = write_pages()
    page = Page(html)
    assert "script" not in page.tags
    assert "<img src=x> a < b" in page.text
    assert len(page.fetched) == len(figures) == 1
    for address in page.fetched:
        found = re.fullmatch(r"data:image/png;base64,(.+)", address)
        assert base64.b64decode(found[1]) in figures.values()
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert not re.search(r"https?://(?!127\.0\.0\.1:5000/#/)", html)


def test_what_failed_or_lost_its_files_is_named(store):
    with pytest.raises(RuntimeError), start("convexity", tags={"question": 2, "kind": "question"}):
        raise RuntimeError("the disk | is full")
    with start("loss_surfaces", tags={"question": 1, "kind": "question"}) as run:
        run.text("claims.json", "{damaged")
    markdown, html, _ = write_pages()
    assert "The last attempt, [convexity]" in markdown
    assert "is FAILED: RuntimeError: the disk \\| is full" in markdown
    assert "Missing from the run's artifacts: surfaces.png, weights.png" in markdown
    assert "**not tested**" in row_of(markdown, "Q1-unique")
    assert "the disk | is full" in Page(html).text


def test_tables_1_and_2_come_from_the_runs(store):
    tags = {"question": 3, "dataset": "digits", "table1": json.dumps(TABLE1)}
    best, contenders = GRID[7], [GRID[7], TABLE2, GRID[100]]
    order = [best, *(config for config in GRID if config != best)]
    numbers = {"low": 0.05, "high": 0.2, "accuracy": 0.97, "may be best by error": True}
    with start("digits_search / all", {"repeats": 3, "exhaustive": True}, tags | {"kind": "grid"}) as run:
        rows = [
            {"rank": i + 1, "configuration": str(c), "loss": 0.1, "may be best by loss": c in contenders} | numbers
            for i, c in enumerate(order)
        ]
        run.log_table("standings.json", rows)
        run.log_json("claims.json", [claim("Q3-table2", "depends", "by all")])
    with start("digits_search / tpe", {"trials": 30}, tags | {"kind": "search"}) as run:
        finalists = [(GRID[100], 0.0674, 0.0064), (TABLE2, 0.0954, 0.009)]
        run.log_table(
            "finalists.json", [{"configuration": str(c), "new splits": a, "error": b} for c, a, b in finalists]
        )
        run.log_json("claims.json", [claim("Q3-table2", "not tested", "only six")])
        for seed in range(2):
            with run.child(f"winner / {seed}", asdict(GRID[100]), {"kind": "network"}):
                pass
        run.metrics({"test_accuracy": 0.9733, "test_accuracy_std": 0.0015})
    markdown, _, _ = write_pages()
    assert "by all" in row_of(markdown, "Q3-table2")
    count = sum(config.lr == TABLE2.lr for config in contenders)
    table1, table2 = (line for line in markdown.splitlines() if line.startswith("| learning rate of Adam |"))
    assert f" 0.01 ({count})" in table1
    assert table2 == f"| learning rate of Adam | 0.01 | {GRID[100].lr} | {best.lr} |"
    ranks = [order.index(config) + 1 for config in (TABLE2, GRID[100], best)]
    assert row_of(markdown, "rank of 1,400") == "| rank of 1,400 | " + " | ".join(map(str, ranks)) + " |"
    assert row_of(markdown, "geometric mean validation loss on new splits (± standard error)").endswith(
        "| 0.0954 ± 0.0090 | 0.0674 ± 0.0064 | - |"
    )
    assert row_of(markdown, "test accuracy (± standard deviation over 2 seeds)").endswith("| - | 97.33% ± 0.15% | - |")


def test_a_password_is_not_printed():
    assert without_password("postgresql://me:secret@db/mlflow") == "postgresql://db/mlflow"
    assert without_password("https://me:secret@host:5000") == "https://host:5000"
    assert without_password("sqlite:////tmp/a@b.db") == "sqlite:////tmp/a@b.db"
