"""Searches of table 1 on its recorded truth: what random search expects, who is better, what a budget is best spent on.

    mlflow run . -e digits_search -P exhaustive=True --env-manager uv       # the truth
    python docs/results/searches.py RUN_ID [RUN_ID ...] [--searches 200] [--figure docs/digits-budget.png]

Reads the losses of every split and epoch from the tracking store and trains nothing. Several runs (of other --seed) add
their splits. A simulated search may see the first half of the splits, in an order of its own; the other half judges.
Optuna's rows (pip install -r requirements-benchmark.txt) are left out where it is not installed. Prints Markdown.
"""

import argparse
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import mlflow
import numpy as np
from hyperopt import tpe
from matplotlib.figure import Figure

from dl.plots import COLOURS, figure, log_axis, style, tidy
from dl.searches import Searcher, allocate, beats, best_quantile, expected_best, halve, replay
from dl.table1 import GRID, TABLE1, TABLE1_SPACE
from dl.tuning import TPE, Point
from entrypoints.benchmark.rows import absent
from tracking.store import children, connect, find

MARKS = (20, 30, 60, 100)  # trials at which searches are compared
GP_TRIALS = 30  # a Gaussian process takes 0.2 s of processor time for each after its tenth
COUNTS = (1, 2, 5, 10, 20, 30, 60, 100, 300, 1400)
BUDGETS = (10, 20, 30, 60, 100, 200, 300, 600, 1000)
EPOCHS = (4, 8, 15, 30)
OURS = "hyperopt's TPE"

Replay = Callable[[np.ndarray, int, int], np.ndarray]  # losses (S, 1400, E), trials, seed -> incumbents


def recorded_losses(run_ids: list[str]) -> np.ndarray:
    """Return the validation losses of `digits_search -P exhaustive=True`, (splits, 1400, epochs).

    A network that diverged counts as the worst.
    """
    client, tables = connect(), []
    for run_id in run_ids:
        for child in children(client, find(client, run_id).info.experiment_id, run_id, "repeat"):
            if child.info.status != "FINISHED":
                continue
            path = mlflow.artifacts.download_artifacts(run_id=child.info.run_id, artifact_path="grid.npz")
            with np.load(path) as table:
                if any((table[name] != [getattr(c, name) for c in GRID]).any() for name in TABLE1):
                    raise SystemExit(f"{path}: another order than dl.table1.GRID")
                tables.append(table["val_loss"].astype(float))
    if len(tables) < 2:
        raise SystemExit("two splits at least: name finished runs of digits_search -P exhaustive=True")
    losses = np.stack(tables)
    return np.where(np.isfinite(losses), losses, np.nanmax(losses[np.isfinite(losses)]))


# ------------------------------------------------------------------------------------------ searchers


class OptunaSearcher:
    """A sampler of Optuna's as ask and tell over table 1, each row a categorical choice, as hyperopt has it."""

    def __init__(self, sampler: str, seed: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
        self._space: dict[str, Any] = {
            name: optuna.distributions.CategoricalDistribution(values) for name, values in TABLE1.items()
        }
        self._asked: Any = None

    def ask(self, seed: int) -> Point:
        """Suggest a point; a second suggestion withdraws the first. Its randomness is the sampler's own."""
        if self._asked:
            self._study.tell(self._asked, state=self._optuna.trial.TrialState.FAIL)
        self._asked = self._study.ask(self._space)
        return self._asked.params

    def tell(self, point: Point, loss: float) -> None:
        if self._asked and self._asked.params == point:
            self._study.tell(self._asked, loss)
            self._asked = None
        else:
            trial = self._optuna.trial.create_trial(params=dict(point), distributions=self._space, value=loss)
            self._study.add_trial(trial)


def on_one_split(make: Callable[[int], Searcher]) -> Replay:
    """Return the search by what `make` makes of a seed, on the first split alone."""
    return lambda losses, trials, seed: replay(make(seed), losses[:1, :, -1], trials, seed)


def searchers() -> dict[str, Replay]:
    """Return what is compared, by name."""
    rows: dict[str, Replay] = {
        OURS: on_one_split(lambda seed: TPE(TABLE1_SPACE)),
        "random": on_one_split(lambda seed: TPE(TABLE1_SPACE, algorithm="random")),
        "random, halving": lambda losses, trials, seed: halve(losses[0], trials, seed),
        f"{OURS}, resampled": lambda losses, *rest: replay(TPE(TABLE1_SPACE), losses[..., -1], *rest),
    }
    if missing := absent("optuna"):
        print(missing, file=sys.stderr)
        return rows
    peers = {"Optuna's TPE": "TPESampler", "Optuna's GP": "GPSampler"}
    return rows | {name: on_one_split(partial(OptunaSearcher, sampler)) for name, sampler in peers.items()}


def simulated_regrets(losses: np.ndarray, search: Replay, trials: int, searches: int) -> np.ndarray:
    """Return the regrets in nats on the split that was seen and on those that judge, (2, searches, trials)."""
    found = []
    for seed in range(searches):
        order = np.random.default_rng(seed).permutation(len(losses))
        half = (len(losses) + 1) // 2
        incumbents = search(losses[order[:half]], trials, seed)
        tables = losses[order[0], :, -1], losses[order[half:], :, -1].mean(0)
        found.append([table[incumbents] - table.min() for table in tables])
    return np.moveaxis(np.array(found), 1, 0)


# ------------------------------------------------------------------------------------------ written and drawn


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def write_expected(losses: np.ndarray) -> str:
    curves = expected_curves(losses, COUNTS)
    rows = [
        [f"{n:,}", f"{seen:.4f}", f"{low:.4f} to {high:.4f}", f"{new:.4f}"]
        for n, seen, low, high, new in zip(COUNTS, *curves, strict=True)
    ]
    return table(["random trials", "least loss, on the split seen", "99% of searches", "its loss on others"], rows)


def expected_curves(losses: np.ndarray, counts: tuple[int, ...]) -> np.ndarray:
    """Return mean, lower and upper end on the split seen, and the mean on the other splits, (4, counts), in nats."""
    final, found = losses[..., -1], []
    for r, seen in enumerate(final):
        judged = np.delete(final, r, 0).mean(0)
        found.append([expected_best(seen, each, counts) for each in (seen, judged)])
    mean, new = np.mean(found, 0)
    return np.array([mean, *(best_quantile(final, counts, q) for q in (0.005, 0.995)), new])


def write_searches(
    head: str, regrets: dict[str, np.ndarray], names: list[str], cell: Callable[[np.ndarray, np.ndarray], str]
) -> str:
    """Return a row for each searcher and kind of split; `cell` sees its regrets and those of hyperopt's TPE."""
    rows = []
    for k, where in enumerate(("on the split it saw", "on new splits")):
        for name in names:
            values = regrets[name]
            if k or "resampled" not in name:  # which saw several
                marks = [n - 1 for n in MARKS if n <= values.shape[2]]
                cells = [cell(values[k, :, n], regrets[OURS][k, :, n]) for n in marks]
                rows.append([f"{name}, {where}", *cells, *["-"] * (len(MARKS) - len(cells))])
    return table([head, *(f"{n} trials" for n in MARKS)], rows)


def mean_and_error(values: np.ndarray, ours: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"


def chance_and_interval(values: np.ndarray, ours: np.ndarray) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*beats(values, ours))


def allocations(losses: np.ndarray, budgets: tuple[float, ...]) -> dict[tuple[int, int], np.ndarray]:
    """Return the expected loss on a new split by splits and epochs of a trial, (budgets,) each."""
    splits = range(1, min(4, len(losses)))
    return {(k, e): allocate(losses, k, e, budgets) for k in splits for e in EPOCHS if e <= losses.shape[2]}


def write_allocations(losses: np.ndarray) -> str:
    found = allocations(losses, BUDGETS)
    least = np.nanmin(list(found.values()), 0)
    rows = []
    for (k, e), values in found.items():
        cells = [
            "-" if np.isnan(v) else f"**{v:.4f}**" if v == m else f"{v:.4f}" for v, m in zip(values, least, strict=True)
        ]
        rows.append([f"{k} split{'s' * (k > 1)}, {e} epochs", *cells])
    return table(["loss on a new split after", *(f"{b:,} trainings" for b in BUDGETS)], rows)


def draw(losses: np.ndarray) -> Figure:
    """Draw what random search expects of more trials, and what a budget yields by how it is spent."""
    drawing = figure(11, 4.6)
    left, right = drawing.subplots(1, 2)
    counts = tuple(np.unique(np.geomspace(1, len(GRID), 80).astype(int)).tolist())
    seen, low, high, new = expected_curves(losses, counts)
    left.plot(counts, seen, **style(0, markers=False), label="on the split that the search saw")
    left.fill_between(counts, low, high, color=COLOURS[0], alpha=0.15, linewidth=0, label="99% of searches there")
    left.plot(counts, new, **style(1, markers=False), label="the same networks on other splits")
    tidy(left, "Random search, exactly", "trials (one split, 30 epochs)", "validation loss of the best (nats)")

    budgets = tuple(np.geomspace(5, 1400, 60).tolist())
    found = allocations(losses, budgets)
    for (k, e), values in found.items():
        if e in (EPOCHS[0], EPOCHS[-2], losses.shape[2]):
            look = style(EPOCHS.index(e), markers=False) | {"color": COLOURS[k - 1], "alpha": 0.8}
            right.plot(budgets, values, **look, label=f"{k} split{'s' * (k > 1)}, {e} epochs")
    frontier = np.fmin.accumulate(np.nanmin(list(found.values()), 0))  # what is left over need not be spent
    right.plot(budgets, frontier, color="black", alpha=0.25, linewidth=6, label="the frontier", zorder=1)
    tidy(right, "A budget, spent in several ways", "budget (trainings of 30 epochs)", "loss on a new split (nats)")
    right.set_ylim(frontier.min() * 0.93, np.nanmax(frontier) * 1.3)
    for axes, ticks in ((left, (1, 3, 10, 30, 100, 300, 1400)), (right, (5, 10, 30, 100, 300, 1000))):
        axes.set(xscale="log", yscale="log")
        log_axis(axes.xaxis, ticks)
        axes.legend(frameon=False, fontsize=8)
    log_axis(left.yaxis, (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))
    marks = [t for t in np.arange(0.02, 0.4, 0.01) if right.get_ylim()[0] < t < right.get_ylim()[1]]
    log_axis(right.yaxis, marks)
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    losses = recorded_losses(options.runs)
    print(f"{len(losses)} splits of {losses.shape[1]:,} configurations, {losses.shape[2]} epochs\n")
    print(write_expected(losses))
    print(write_allocations(losses), flush=True)
    if options.figure:
        draw(losses).savefig(options.figure)
    tpe.build_posterior_wrapper = lru_cache(1)(tpe.build_posterior_wrapper)  # hyperopt builds the same again each time
    regrets = {
        name: simulated_regrets(losses, search, GP_TRIALS if "GP" in name else MARKS[-1], options.searches)
        for name, search in searchers().items()
    }
    print(write_searches("regret (nats) after", regrets, [*regrets], mean_and_error))
    print(write_searches(f"P(A > {OURS}) after", regrets, [*regrets][1:], chance_and_interval))


if __name__ == "__main__":
    main()
