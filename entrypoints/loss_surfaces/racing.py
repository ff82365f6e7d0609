"""The races of question 1: tuned, run, and recorded as child runs."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from dl.claims import tally
from dl.logistic.descent import STARTS, Trace
from dl.logistic.losses import LOSSES
from dl.logistic.race import OPTIMISERS, PreparedProblem, Race, first_step, goals
from dl.logistic.statistics import compare_steps
from tracking.run import Run


@dataclass(frozen=True)
class Contender:
    """A loss on a problem with an optimiser; it descends from every start at once."""

    problem: PreparedProblem
    optimiser: str
    loss: str

    def labels(self, start: str) -> dict[str, str]:
        """Return the parameters that name one of its descents."""
        return {
            "dataset": self.problem.problem.name, "start": start, "optimiser": self.optimiser, "loss": self.loss,
        }  # fmt: skip


def race_losses(run: Run, problems: list[PreparedProblem], race: Race, bar: tqdm) -> list[dict]:
    """Tune, race and record both losses, each with its own best learning rate.

    Returns the races: dicts of `compare_races`, with their `winner`.
    """
    races = []
    for problem in problems:
        for optimiser in OPTIMISERS:
            best, tuned = {}, {}
            for loss in LOSSES:
                contender = Contender(problem, optimiser, loss)
                searches = problem.tune(race, loss, optimiser, bar.update)
                record_lr_trials(run, contender, searches)
                best[loss] = np.array([min(search, key=lambda trial: trial[1])[:1] for search in searches])
                tuned[loss] = problem.descend(race, loss, optimiser, best[loss])
                record_descents(run, contender, best[loss][:, 0], tuned[loss])
                bar.update()
            labels = {"dataset": problem.problem.name, "optimiser": optimiser}
            races += [labels | row for row in compare_races(tuned, best, problem.best)]
    return name_winners(races)


def race_at_equal_rates(problems: list[PreparedProblem], race: Race, bar: tqdm) -> list[dict]:
    """Race both losses at the learning rates of `Race.equal_lrs`; return the races."""
    races = []
    grid = np.tile(race.equal_lrs(), (len(STARTS), 1))  # (starts, K)
    for problem in problems:
        for optimiser in OPTIMISERS:
            traces = {}
            for loss in LOSSES:
                traces[loss] = problem.descend(race, loss, optimiser, grid)
                bar.update()
            labels = {"dataset": problem.problem.name, "optimiser": optimiser}
            races += [labels | row for row in compare_races(traces, dict.fromkeys(LOSSES, grid), problem.best)]
    return name_winners(races)


def name_winners(races: list[dict]) -> list[dict]:
    """Return the races with their `winner`, all tested together."""
    return [race | {"winner": winner} for race, winner in zip(races, tally(races), strict=True)]


def compare_races(traces: dict[str, Trace], lrs: dict[str, np.ndarray], best: float) -> list[dict]:
    """Compare the losses from each start, with each learning rate, to each goal: one dict a race.

    traces: of starts * K configurations; lrs: (starts, K), both by loss; best: the best reachable accuracy. A race has
    `start`, `goal`, `ce_lr`, `mse_lr`, each loss's (steps (S,), reached (S,)) and what `compare_steps` says of them.
    """
    reached = {
        loss: {goal: first_step(met) for goal, met in goals(trace, best).items()} for loss, trace in traces.items()
    }
    rows = []
    for (i, k), _ in np.ndenumerate(lrs["ce"]):
        place = i * lrs["ce"].shape[1] + k
        for goal in reached["ce"]:
            ce, mse = ((steps[place], there[place]) for steps, there in (reached[loss][goal] for loss in ("ce", "mse")))
            rates = {f"{loss}_lr": float(lrs[loss][i, k]) for loss in LOSSES}
            row = {"start": STARTS[i], "goal": goal, "ce": ce, "mse": mse} | rates
            rows.append(row | compare_steps(ce, mse))
    return rows


def race_tables(races: list[dict]) -> list[dict]:
    """Return the races as rows of a table: without the steps of each seed."""
    return [{key: value for key, value in race.items() if key not in LOSSES} for race in races]


def record_lr_trials(run: Run, contender: Contender, searches: list) -> None:
    """Record every trial of the searches for a learning rate as a child run; searches: one a start."""
    for start, trials in zip(STARTS, searches, strict=True):
        for i, (lr, objective) in enumerate(trials):
            labels = contender.labels(start)
            name = f"loss_surfaces / trial / {' / '.join(labels.values())} / {i}"
            tags = {"kind": "trial", "dataset": labels["dataset"]}
            run.record(name, labels | {"lr": lr, "trial": i}, tags, final={"mean_log10_steps": objective})


def record_descents(run: Run, contender: Contender, lrs: np.ndarray, trace: Trace) -> None:
    """Record a child run a start: medians over seeds as curves, steps to the goals as final metrics."""
    best = contender.problem.best
    met = {goal: first_step(mask) for goal, mask in goals(trace, best).items()}
    plateau = (trace.gradient < 1e-3) & (trace.accuracy < 0.95 * best)
    for i, (start, lr) in enumerate(zip(STARTS, lrs.tolist(), strict=True)):
        series = [
            (
                step,
                {
                    "train_loss": trace.loss[j, i].median().item(),
                    "train_accuracy": trace.accuracy[step, i].median().item(),
                    "grad_norm": trace.gradient[step, i].median().item(),
                },
            )
            for j, step in enumerate(trace.marks)
        ]
        final = {
            "false_stops": plateau[:, i].any(0).sum().item()
        }  # seeds that passed a plateau: no gradient, and wrong
        for goal, (steps, reached) in met.items():
            key = goal.replace("%", "").replace("<", "below").replace(" ", "_")
            final |= {f"steps_{key}_median": np.median(steps[i]), f"steps_{key}_censored": (~reached[i]).sum()}
        labels = contender.labels(start)
        name = f"loss_surfaces / race / {' / '.join(labels.values())}"
        tags = {"kind": "race", "dataset": labels["dataset"]}
        run.record(name, labels | {"lr": lr, "best_accuracy": best}, tags, series, final)
