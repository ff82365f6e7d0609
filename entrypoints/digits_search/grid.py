"""All of table 1, trained: what is best, and what a search leaves on the table."""

import random
from dataclasses import fields
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dl import claims
from dl.plots import digits as plots
from dl.plots.live import digits as live_plots
from dl.plots.live import live_page
from dl.population import History, Repeat, train
from dl.ranking import Comparison, Regret, grid_regret, noise_groups, regret
from dl.reference import ordinary
from dl.table1 import GRID, TABLE2, Config
from entrypoints.digits_search.options import ALGORITHMS
from entrypoints.digits_search.records import Setting
from entrypoints.digits_search.verdicts import compare_both_ways, judge_question_3
from tracking.run import Run

SIMULATED = 50, 100  # searches replayed on the table, and their trials


def train_grid(setting: Setting) -> str:
    """Train all of table 1, a child run a repeat; returns the answer in Markdown."""
    run, options = setting.run, setting.options
    histories, times = [], []
    for r, repeat in enumerate(setting.repeats(0, options.repeats)):
        with run.child(f"digits_search / grid / repeat {r}", {"split_seed": repeat.seed}, {"kind": "repeat"}) as child:
            with tqdm(total=len(GRID), desc=f"repeat {r}", disable=None) as bar:
                before = usual_seconds(repeat, options.epochs, 2 * r)
                clock = perf_counter()
                history = train(GRID, [repeat], options.epochs, setting.device, bar.update)
                seconds = perf_counter() - clock
                usual = (before + usual_seconds(repeat, options.epochs, 2 * r + 1)) / 2
            save_table(child, history)
            best = int(history.val_loss[:, 0, -1].nan_to_num(np.inf).argmin())
            child.metrics(
                {
                    "seconds": seconds,
                    "usual_seconds": usual,
                    "speedup": usual / seconds,
                    "best_val_loss": float(history.val_loss[best, 0, -1]),
                    "best_val_accuracy": float(history.val_accuracy[:, 0, -1].max()),
                }
            )
            histories.append(history)
            times.append((seconds, usual))
    whole = History(*(torch.cat([getattr(h, f.name) for h in histories], 1) for f in fields(History)))
    by_loss, by_error = compare_both_ways(GRID, whole, noise_groups(GRID))
    draw_table(run, by_loss)
    curves, floor = replay_searches(run, whole, options.batch)
    verdicts = judge_question_3(run, setting.data, GRID, by_loss, by_error)
    rows = standings(by_loss, by_error)
    run.log_table("standings.json", rows)
    seconds, usual = np.mean(times, 0)
    run.metrics({"grid_seconds": seconds, "usual_seconds": usual, "speedup": usual / seconds})
    times_line = (
        f"All {len(GRID):,} configurations on {options.repeats} splits, {seconds:.0f} s each on {setting.device}; one "
        f"after the other, with `nn.Module` and `torch.optim.Adam`, they would take {usual:.0f} s (a sample was "
        f"measured): {usual / seconds:.1f} times as long."
    )
    tables = [write_standings(by_loss, by_error, rows), write_regrets(curves, floor), claims.markdown(verdicts)]
    return "\n\n".join([times_line, *tables])


def write_standings(by_loss: Comparison, by_error: Comparison, rows: list[dict]) -> str:
    """Return the best five and table 2's as Markdown."""
    lines = [
        f"By validation loss {by_loss.best.sum()} configurations cannot be told from the best (Hsu's multiple "
        f"comparisons with the best, {by_loss.level:.0%}), by validation error {by_error.best.sum()}.",
        "",
        "| rank | configuration | validation loss | accuracy |",
        "|---|---|---|---|",
    ]
    for row in [*rows[:5], *(row for row in rows[5:] if row["table 2"])]:
        mark = " (table 2)" if row["table 2"] else ""
        lines.append(
            f"| {row['rank']} | {row['configuration']}{mark} "
            f"| {row['loss']:.4f} ({row['low']:.4f} to {row['high']:.4f}) | {row['accuracy']:.2%} |"
        )
    return "\n".join(lines)


def write_regrets(curves: dict[str, Regret], floor: np.ndarray) -> str:
    """Return as Markdown what searches of some lengths, and the whole grid on one split, leave on the table."""
    marks = (10, 20, 30, 60, 100)
    lines = [
        "| regret (nats) after | " + " | ".join(f"{n} trials" for n in marks) + " |",
        "|---|" + "---|" * len(marks),
    ]
    for (algo, result), kind in product(curves.items(), ("seen", "new")):
        runs = getattr(result, kind)[:, np.array(marks) - 1]
        pairs = zip(runs.mean(0), runs.std(0, ddof=1) / len(runs) ** 0.5, strict=True)
        where = {"seen": "on the split it saw", "new": "on the other splits"}[kind]
        lines.append(f"| {algo}, {where} | " + " | ".join(f"{mean:.4f} ± {error:.4f}" for mean, error in pairs) + " |")
    lines += ["", f"The whole grid on one split has {floor.mean():.4f} nats of regret on the others."]
    return "\n".join(lines)


def usual_seconds(repeat: Repeat, epochs: int, seed: int) -> float:
    """Estimate what the grid would take one network after the other, without the validation that the population does.

    Times a sample, one of each shape, for an epoch.
    """
    draw = random.Random(seed)
    sample = [draw.choice(GRID[i : i + 40]) for i in range(0, len(GRID), 40)]  # GRID's blocks of 40 share a shape
    clock = perf_counter()
    for config in sample:
        ordinary(config, repeat, epochs=1)
    return (perf_counter() - clock) * epochs * len(GRID) / len(sample)


def save_table(run: Run, history: History) -> None:
    """Log the whole table of a repeat as `grid.npz`; the command's help has its schema."""
    columns: dict[str, Any] = {f.name: np.array([getattr(c, f.name) for c in GRID]) for f in fields(Config)}
    columns |= {f.name: getattr(history, f.name)[:, 0].numpy().astype(np.float32) for f in fields(History)}
    with TemporaryDirectory() as folder:
        np.savez_compressed(path := Path(folder, "grid.npz"), **columns)
        run.file(path)


def draw_table(run: Run, by_loss: Comparison) -> None:
    loss = np.exp(by_loss.mean)
    run.figure("marginals.png", plots.marginals(GRID, loss))
    run.text("marginals.html", live_page(live_plots.brush_configurations(GRID, loss)))
    run.figure("shapes.png", plots.heat_map(GRID, loss))
    run.figure("ranks.png", plots.ranks(GRID, by_loss))
    run.text("ranks.html", live_page(live_plots.hover_ranks(GRID, by_loss)))


def replay_searches(run: Run, whole: History, batch: int) -> tuple[dict[str, Regret], np.ndarray]:
    """Return the regret of TPE and of random search, and of the whole grid, (repeats,)."""
    tables = whole.val_loss[..., -1].T.numpy()  # (R, 1400)
    runs, trials = SIMULATED
    curves = {algo: regret(tables, algo, trials, batch, runs) for algo in ALGORITHMS}
    floor = grid_regret(tables)
    run.figure("regret.png", plots.regret_curves(curves, floor))
    run.text("regret.html", live_page(live_plots.hover_regret(curves, floor)))
    for algo, values in curves.items():
        for n, (seen, new) in enumerate(zip(values.seen.mean(0), values.new.mean(0), strict=True)):
            run.metrics({f"regret_{algo}_seen": seen, f"regret_{algo}_new": new}, n + 1)
    run.metrics({"regret_grid": floor.mean()})
    return curves, floor


def standings(by_loss: Comparison, by_error: Comparison) -> list[dict]:
    """Return all configurations in order of their mean loss."""
    order = np.argsort(by_loss.mean)
    return [
        {
            "rank": n + 1,
            "configuration": str(GRID[i]),
            "loss": float(np.exp(by_loss.mean[i])),
            "low": float(np.exp(by_loss.mean[i] - by_loss.half[i])),
            "high": float(np.exp(by_loss.mean[i] + by_loss.half[i])),
            "accuracy": 1 - float(by_error.mean[i]),
            "may be best by loss": bool(by_loss.best[i]),
            "may be best by error": bool(by_error.best[i]),
            "table 2": GRID[i] == TABLE2,
        }
        for n, i in enumerate(order)
    ]
