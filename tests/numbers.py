"""Check the numbers of the README and the docs against the code and against runs: `python -m tests.numbers`.

CHECKS is what is checked. The runs are those of MLFLOW_TRACKING_URI's store that the report would choose. Each number
that differs is named, and then the command ends with 1; where a store has no run that says it, that is told.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from mlflow import MlflowClient

from dl.models import flops, parameters
from dl.recipes import ZOO
from dl.table1 import PLACE, TABLE2
from docs.results.searches import allocations, expected_curves, recorded_losses
from entrypoints.report.sections import cut_short, rank_run, verdicts_of
from tracking.evidence import Evidence, best, parents
from tracking.store import connect

ROOT = Path(__file__).resolve().parents[1]
README, Q1, Q2, Q3, Q4 = "README.md", *(f"docs/question{n}.md" for n in (1, 2, 3, 4))
QUICK = {"dataset": "street-digits", "preset": "quick", "seeds": "3", "models": "all", "images": "0", "epochs": "0"}
RUNS: dict[str, tuple[str, int, str, Mapping[str, str]]] = {  # command, question, kind; tags and options it must have
    "Q1": ("loss_surfaces", 1, "question", {}),
    "Q2": ("convexity", 2, "question", {}),
    "Q3": ("digits_search", 3, "grid", {}),
    "search": ("digits_search", 3, "search", {}),
    "Q4": ("svhn_zoo", 4, "zoo", {}),
    "quick zoo": ("svhn_zoo", 4, "zoo", QUICK),
}
STATES = AGREE, DIFFER, NO_RUN, MACHINES = "agrees", "differs", "no run here says", "the machine's"


class Machine(float):
    """A number that is another on another machine: told, not compared."""


@dataclass(frozen=True)
class Check:
    """A piece of a page, with a # where a number or a verdict stands, and what gives them."""

    page: str
    text: str
    values: Callable[[Any], list]  # of the run (None where the code says it), one a #; None: not checked here
    source: str | None = None  # a key of RUNS

    def said(self, pages: Mapping[str, str]) -> list[str]:
        """Return what the page says at each #. ValueError where the piece does not stand there once."""
        pattern = re.sub(r"\\ ", r"\\s+", re.escape(self.text)).replace(r"\#", r"(not tested|[\w.,-]*\w%?)")
        found = list(re.finditer(pattern, pages[self.page]))
        if len(found) != 1:
            raise ValueError(f"{self.page} has this {len(found)} times, not once: {self.text}")
        return list(found[0].groups())


class Finding(NamedTuple):
    """A number of a page beside what it should be; None where no run says it."""

    check: Check
    said: str
    measured: float | str | None = None

    @property
    def state(self) -> str:
        if self.measured is None:
            return NO_RUN
        return MACHINES if isinstance(self.measured, Machine) else AGREE if agrees(self.said, self.measured) else DIFFER


def agrees(said: str, value: float | str) -> bool:
    """True if a text, "87.8%", "62,006" or "5e-16", is what the value rounds to in as many digits."""
    mantissa, _, exponent = said.rstrip("%").replace(",", "").partition("e")
    try:
        power, scale = int(exponent or 0), 100 if said.endswith("%") else 1
        unit = 10.0 ** (power - len(mantissa.partition(".")[2]))
        return abs(float(mantissa) * 10.0**power - float(value) * scale) <= 0.50001 * unit
    except ValueError:
        return said == value


def examine(pages: Mapping[str, str], find: Callable[[str], Evidence | None]) -> Iterator[Finding]:
    """Compare every number of CHECKS; pages: text by name; find: the run of a key of RUNS, None where there is none."""
    for check in CHECKS:
        said, run = check.said(pages), find(check.source) if check.source else None
        if check.source and not run:
            yield from (Finding(check, text) for text in said)
        else:
            pairs = zip(said, check.values(run), strict=True)
            yield from (Finding(check, text, value) for text, value in pairs if value is not None)


@cache
def run_of(source: str) -> Evidence | None:
    """Return the run that the report would choose of those that have what RUNS asks for and their whole budget."""
    command, question, kind, wanted = RUNS[source]
    candidates = [
        run
        for run in parents(question, kind)
        if wanted.items() <= (run.params | run.tags).items() and not cut_short(command, run.params)
    ]
    return best(candidates, partial(rank_run, command))


def claimed(page: str, pieces: Mapping[str, str]) -> list[Check]:
    """Return checks against claims.json; pieces: text -> a claim and places in its numbers, as `reach` takes them."""

    def give(run: Evidence, claim: str, places: list[str]) -> list:
        row = verdicts_of(run)[claim]
        return [reach({"verdict": row["verdict"]} | row["numbers"], place) for place in places]

    split = {text: wanted.split("; ") for text, wanted in pieces.items()}
    return [Check(page, text, partial(give, claim=c, places=places), c[:2]) for text, (c, *places) in split.items()]


def reach(tree: Any, place: str) -> Any:
    """Return what stands at "by_goal/95% accuracy/ce", of "a + b" the sum, None at "-".

    What nothing was counted of is 0; any other number that is missing is nan, which agrees with nothing.
    """
    if place == "-":
        return None
    if " + " in place:
        return sum(reach(tree, part) for part in place.split(" + "))
    missing = 0 if place.startswith(("by_", "equal_lr/")) else math.nan
    for key in place.split("/"):
        if not isinstance(tree, Mapping | list):
            return missing
        tree = tree[int(key)] if isinstance(tree, list) else tree.get(key, missing)
    return tree


def hidden_cells(run: Evidence) -> list:
    """Return the verdict on "neither", and of the cells with a hidden layer how many are not convex, of how many."""
    row = verdicts_of(run)["Q2-none"]
    cells = [cell["verdict"] for name, cell in row["numbers"].items() if "hidden" in name]
    return [row["verdict"], cells.count("not convex"), len(cells)]


def won_on_digits(run: Evidence) -> list:
    won = Counter(row["winner"] for row in run.read_table("races_digits.json"))
    return [won["ce"], won.total(), won["mse"], won["undecided"]]


def built(_: None, name: str) -> list:
    """Return the columns of a row of the README's table of networks that the code says."""
    plan = ZOO[name].quick
    with torch.device("meta"):
        count = parameters(plan.build())
    return [None, None, count, flops(plan.build, plan.size) / 1e6, plan.images, plan.recipe.epochs, None, None]


def trained(run: Evidence, name: str) -> list:
    """Return the columns that were measured."""
    [row] = [row for row in run.read_table("zoo.json") if row["network"] == ZOO[name].title]
    machine = Machine(row["images_per_second"]), Machine(row["seconds"])
    return [row["test_accuracy"], row["test_accuracy_std"], None, None, None, None, *machine]


def losses_of_table_2(run: Evidence) -> list:
    """Return the validation loss of table 2's configuration on the first three splits, in their order."""
    found = {}
    for repeat in run.children("repeat"):
        with np.load(BytesIO(Evidence(repeat).file("grid.npz") or b"")) as grid:
            found[int(repeat.data.params["split_seed"])] = float(grid["val_loss"][PLACE[TABLE2], -1])
    return [found[seed] for seed in sorted(found)[:3]]


def contenders(run: Evidence, kinds: Sequence[str]) -> list:
    """Return of how many configurations that may be the best by loss the name has each of `kinds` (a pattern)."""
    names = [row["configuration"] for row in run.read_table("standings.json") if row["may be best by loss"]]
    return [sum(bool(re.search(kind, name)) for name in names) for kind in kinds]


def regrets(run: Evidence, algorithm: str, splits: str) -> list:
    """Return the mean regrets of a row of that table; their standard errors are in the run's note only."""
    history = MlflowClient().get_metric_history(run.id, f"regret_{algorithm}_{splits}")
    by_trials = {point.step: point.value for point in history}
    floor = [run.metrics["regret_grid"]] if splits == "new" else [0]
    return [value for trials in (20, 30, 60, 100) for value in (by_trials[trials], None)] + floor


def on_new_splits(run: Evidence) -> list:
    """Return the loss and its error on new splits, of the winner and of table 2's configuration."""
    rows = run.read_table("finalists.json")
    winner = min((row for row in rows if row["search"] is not None), key=lambda row: row["new splits"])
    [table_2] = [row for row in rows if row["configuration"] == str(TABLE2)]
    return [row[key] for row in (winner, table_2) for key in ("new splits", "error")]


@cache
def losses_of_all(run_id: str) -> np.ndarray:
    return recorded_losses([run_id])


def expected(run: Evidence, rows: Sequence[int]) -> list:
    """Return rows of what random search may expect: mean, lower and upper end, mean on new splits."""
    curves = expected_curves(losses_of_all(run.id), (1, 5, 10, 20, 30, 100, 1400))
    return curves[list(rows)].T.ravel().tolist()


def allocated(run: Evidence, way: tuple[int, int], budgets: int = 7) -> list:
    """Return the loss on a new split after budgets of trainings; way: splits and epochs of a trial."""
    asked = (10.0, 20.0, 30.0, 60.0, 100.0, 300.0, 1000.0)[:budgets]
    return allocations(losses_of_all(run.id), asked)[way].tolist()


ROW = "| {} | # ± # | # | # | # | # | # | # |"
LOSS = "log validation loss"
CHECKS = [
    *claimed(README, {
        "a single correct solution | **#** |": "Q1-unique; verdict",
        "With overlapping classes # starts": "Q1-unique; overlapping/starts",
        "errors more heavily | **#** | In all # cases, raw": "Q1-penalty; verdict; ce_heavier",
        "lower gradient at (1, 0) and (0, 1) | **#** |": "Q1-corner-gradient; verdict",
        "CE converges faster | **#** |": "Q1-convergence; verdict",
        "CE wins # races of #, MSE #, and # are undecided": "Q1-convergence; ce_faster; races; mse_faster; undecided",
        "CE is not convex because of the logarithms | **#** |": "Q2-ce; verdict",
        "MSE is not convex because of the squares | **#** |": "Q2-mse; verdict",
        "digits are MNIST | **#** |": "Q3-data; verdict",
        "these are # of #x# in 0..#, from": "Q3-data; images; height; width; largest value",
        "Table 2 is the optimum of table 1 | **#** |": "Q3-table2; verdict",
        "Rank # of 1,400 (#: # to #)": f"Q3-table2; {LOSS}/rank; -; {LOSS}/rank_low; {LOSS}/rank_high",
        "# configurations cannot be told from the best": f"Q3-table2; {LOSS}/contenders",
        "LeNet-5 rises steadily from 17% to 84% | **#** |": "Q4-lenet; verdict",
        "AlexNet stays at 18% because of its architecture | **#** |": "Q4-alexnet; verdict",
        "VGG-16 is erratic, with spikes in its loss | **#** |": "Q4-vgg; verdict",
        "ResNet-18 rises from 71% to 91% | **#** |": "Q4-resnet18; verdict",
        "ResNet-50 and -101 do not surpass ResNet-18 | **#** |": "Q4-depth; verdict",
    }),
    Check(README, "a convex problem | **#** | True with a hidden layer (# of # cells)", hidden_cells, "Q2"),
    *(Check(README, ROW.format(each.title), partial(built, name=name)) for name, each in ZOO.items()),
    *(Check(README, ROW.format(each.title), partial(trained, name=name), "quick zoo") for name, each in ZOO.items()),
    *claimed(Q1, {
        "a single correct solution | **#** |": "Q1-unique; verdict",
        "# starts end at one point (to # of its length; smallest Hessian eigenvalue #;":
            "Q1-unique; overlapping/starts; overlapping/spread; overlapping/smallest_eigenvalue",
        "errors more heavily | **#** |": "Q1-penalty; verdict",
        "at p = # squared error is the heavier": "Q1-penalty; lighter_at/0",
        "lower at (1, 0) and (0, 1) | **#** |": "Q1-corner-gradient; verdict",
        "converges faster | **#** | At equal learning rates CE is faster in # of # races and MSE in #;":
            "Q1-convergence; verdict; equal_lr/ce; equal_lr/ce + equal_lr/mse + equal_lr/undecided; equal_lr/mse",
        "best learning rate it is # to # of #, and # are undecided":
            "Q1-convergence; ce_faster; mse_faster; races; undecided",
        "99% of the best accuracy it is # to #": "Q1-convergence; "
            "by_goal/95% accuracy/ce + by_goal/99% accuracy/ce; by_goal/95% accuracy/mse + by_goal/99% accuracy/mse",
        "below 1e-3 it is # to #": "Q1-convergence; by_goal/gradient < 1e-3/ce; by_goal/gradient < 1e-3/mse",
    }),
    Check(Q1, "CE wins # of # such races, MSE #, and # are undecided", won_on_digits, "Q1"),
    *claimed(Q2, {
        "because of the logarithms | **#** |": "Q2-ce; verdict",
        "no witness in # trials each": "Q2-ce; cross-entropy, p/trials",
        "because of the squares | **#** |": "Q2-mse; verdict",
        "proven to lie # above a chord": "Q2-mse; MSE of a probability, logistic weights/proven_gap",
    }),
    Check(Q2, "problem | **#** | True with a hidden layer, even a linear one: # of # cells", hidden_cells, "Q2"),
    *claimed(Q3, {
        "ranks #th of 1,400": f"Q3-table2; {LOSS}/rank",
        "interval of that rank runs from # to #": f"Q3-table2; {LOSS}/rank_low; {LOSS}/rank_high",
        "# configurations cannot be told from the best by loss, # by accuracy":
            f"Q3-table2; {LOSS}/contenders; validation error/contenders",
    }),
    Check(Q3, "this one configuration is #, # and #.", losses_of_table_2, "Q3"),
    Check(Q3, "rate: # of the # use 0.01 or 0.001. ReLU is better than tanh (# of the #), a second",
          partial(contenders, kinds=("lr 0.01,|lr 0.001,", "", "relu", "")), "Q3"),
    Check(Q3, "layer of 64 or 128 units (#) is a little better than one of 16 or 20 (#)",
          partial(contenders, kinds=("-(64|128),", "-(16|20),")), "Q3"),
    *(Check(Q3, f"{title}, on the {where} | # ± # | # ± # | # ± # | # ± # | # |",
            partial(regrets, algorithm=algorithm, splits=splits), "Q3")
      for title, algorithm in (("TPE", "tpe"), ("random", "random"))
      for where, splits in (("split it saw", "seen"), ("other splits", "new"))),
    Check(Q3, "least loss on the split seen |" + " # |" * 7, partial(expected, rows=[0]), "Q3"),
    Check(Q3, "99% of searches end between |" + " #, # |" * 7, partial(expected, rows=[1, 2]), "Q3"),
    Check(Q3, "loss on new splits | # | # | # | # | **#** | # | # |", partial(expected, rows=[3]), "Q3"),
    *(Check(Q3, f"{name} | {cells} |", partial(allocated, way=way, budgets=cells.count("#")), "Q3")
      for name, way, cells in (
          ("1 split, 8 epochs a trial", (1, 8), "# | # | # | # | # | #"),
          ("1 split, 15 epochs", (1, 15), "# | # | # | # | # | #"),
          ("1 split, 30 epochs", (1, 30), "**#** | **#** | # | # | # | # | #"),
          ("2 splits, 15 epochs", (2, 15), "# | # | # | # | # | # | #"),
          ("2 splits, 30 epochs", (2, 30), "# | # | **#** | **#** | **#** | **#** | **#**"),
      )),
    Check(Q3, "ReLU: # ± # on the new splits, against # ± # for table 2's", on_new_splits, "search"),
    Check(Q3, "it reads **# ± #** (", lambda run: [run.metrics[f"test_accuracy{s}"] for s in ("", "_std")], "search"),
    Check(Q4, "generated images, three seeds | # | # | # | # | # | # |",
          lambda run: [row["test_accuracy"] for row in run.read_table("zoo.json")], "quick zoo"),
]  # fmt: skip


@click.command(help=__doc__)
def main() -> None:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    connect()
    findings = list(examine(read_pages(), run_of))
    for finding in findings:
        if finding.state != AGREE:
            value = "" if finding.measured is None else f" measured: {finding.measured},"
            click.echo(f"{finding.state}: {finding.check.page} says {finding.said},{value} in {finding.check.text}")
    count = Counter(finding.state for finding in findings)
    click.echo(", ".join(f"{count[state]} {state}" for state in STATES))
    raise SystemExit(count[DIFFER] > 0)


def read_pages() -> dict[str, str]:
    return {name: (ROOT / name).read_text() for name in {check.page for check in CHECKS}}


if __name__ == "__main__":
    main()
