"""The search of table 1: trials, finalists on splits that it never saw, and the winner."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

import click
import numpy as np
from tqdm import tqdm

from dl import claims, tuning
from dl.plots import digits as plots
from dl.population import Repeat
from dl.recipes.jobs import try_config
from dl.table1 import TABLE1_SPACE, TABLE2, Config, suggest
from entrypoints.digits_search.records import (
    Outcome,
    Setting,
    ended_children,
    finished_trials,
    train_on_record,
    write_outcome,
)
from entrypoints.digits_search.verdicts import compare_both_ways, judge_question_3
from entrypoints.digits_search.winner import SEEDS, train_winner
from tracking.run import Run

FINALISTS = 5  # run again on as many new splits before one is named
Finished = dict[int, tuple[Config, float | None]]  # trials by number; None is a failed one's loss


def search_table1(setting: Setting, cluster: tuning.Cluster | None) -> str:
    """Search, check the finalists, train and register the winner; returns the answer in Markdown."""
    run, options = setting.run, setting.options
    repeats = setting.repeats(0, options.repeats)
    known = finished_trials(run)
    with tqdm(total=options.trials, initial=len(known), desc="trials", disable=None) as bar:
        if cluster:
            finished = try_on_ray(setting, known, repeats, cluster, bar)
        else:
            finished = try_in_batches(setting, known, repeats, bar)
    # of all processes that have searched: the sum of the trials' own
    seconds = sum(child.data.metrics.get("seconds", 0.0) for child in ended_children(run, "trial"))

    trials = [finished[n] for n in sorted(finished)]
    best = best_configurations(trials)
    if not best:
        errors = [child.data.tags.get("error", "no score") for child in run.children("trial")]
        raise click.ClickException(tuning.explain_failure(errors))
    finalists = best + [TABLE2] * (TABLE2 not in best)
    new = setting.repeats(500, FINALISTS)
    again = train_on_record(setting, "rerun", dict(enumerate(finalists)), new)[1]
    by_loss, by_error = compare_both_ways(finalists, again, np.zeros(len(finalists), int))
    winner = best[int(np.argmin(by_loss.mean[: len(best)]))]
    run.figure("search.png", plots.progress([loss for _, loss in trials], finalists, by_loss))

    networks = train_winner(setting, winner)
    verdicts = judge_question_3(run, setting.data, finalists, by_loss, by_error)
    rows = [
        {
            "configuration": str(config),
            "search": next((loss for c, loss in trials if c == config), None),
            "new splits": float(np.exp(by_loss.mean[i])),
            "error": float(np.exp(by_loss.mean[i]) * by_loss.error[i]),
            "accuracy": 1 - float(by_error.mean[i]),
        }
        for i, config in enumerate(finalists)
    ]
    run.log_table("finalists.json", rows)
    tested = [net["test_accuracy"] for net in networks]
    run.metrics(
        {
            "search_seconds": seconds,
            "best_val_loss": min(loss for _, loss in trials if loss is not None),
            "test_accuracy": float(np.mean(tested)),
            "test_accuracy_std": float(np.std(tested, ddof=1)),
        }
    )
    lines = [
        f"**{winner}** is the winner of {len(trials)} trials ({options.algo}); trained with {SEEDS} seeds, it "
        f"reads {np.mean(tested):.2%} ± {np.std(tested, ddof=1):.2%} of the {len(setting.data.test)} held-out digits.",
        "",
        f"| finalist | mean loss in the search | geometric mean loss on {FINALISTS} new splits | accuracy there |",
        "|---|---|---|---|",
    ]
    for row in rows:
        searched = "not tried" if row["search"] is None else f"{row['search']:.4f}"
        mark = " (table 2)" if row["configuration"] == str(TABLE2) else ""
        lines.append(
            f"| {row['configuration']}{mark} | {searched} | {row['new splits']:.4f} ± {row['error']:.4f} "
            f"| {row['accuracy']:.2%} |"
        )
    return "\n".join([*lines, "", claims.markdown(verdicts)])


def best_configurations(trials: list[tuple[Config, float | None]]) -> list[Config]:
    """Return those of lowest loss, each once: on Ray some are asked for again, and a copy scores as its original."""
    ranked = sorted((loss, number, config) for number, (config, loss) in enumerate(trials) if loss is not None)
    return list(dict.fromkeys(config for *_, config in ranked))[:FINALISTS]


def try_in_batches(setting: Setting, known: Finished, repeats: list[Repeat], bar: tqdm) -> Finished:
    """Run the trials that are missing from `known`, each batch one population; returns all."""
    options, finished = setting.options, dict(known)
    for begin in range(0, options.trials, options.batch):
        numbers = range(begin, min(begin + options.batch, options.trials))
        missing = [n for n in numbers if n not in finished]
        if missing:
            history = [finished[n] for n in range(begin)]
            chosen = suggest(history, len(numbers), options.algo, options.seed)
            configs = {n: chosen[n - begin] for n in missing}
            outcomes, _ = train_on_record(setting, "trial", configs, repeats)
            finished |= {each.number: (each.config, each.loss) for each in outcomes}
            bar.update(len(missing))
    return finished


class RayTrials:
    """What `dl.tuning` says of trials on Ray: each is put on record when it is over."""

    def __init__(self, run: Run, repeats: list[Repeat], bar: tqdm):
        self.run, self.repeats, self.bar = run, repeats, bar
        self.metrics: dict[int, dict] = {}

    def began(self, trial: tuning.Trial) -> None: ...

    def epoch(self, trial: tuning.Trial, epoch: int, metrics: Mapping) -> None:
        self.metrics[trial.number] = dict(metrics)

    def ended(self, trial: tuning.Trial) -> None:
        curves = self.metrics.pop(trial.number, {})
        seconds = curves.pop("seconds", 0.0)
        outcome = Outcome(trial.number, Config(**trial.point), curves, seconds, trial.error)
        write_outcome(self.run, "trial", outcome, self.repeats, {"trial_id": trial.id})
        self.bar.update()


def try_on_ray(
    setting: Setting, known: Finished, repeats: list[Repeat], cluster: tuning.Cluster, bar: tqdm
) -> Finished:
    """Run the trials that are missing from `known`, each a Ray Tune trial of one configuration; returns all."""
    options = setting.options
    trials = [
        tuning.Trial(n, asdict(config), {options.epochs: -np.inf if loss is None else -loss}, over=True)
        for n, (config, loss) in known.items()
    ]
    job = partial(try_config, repeats=repeats, epochs=options.epochs, device=cluster.device)
    search = tuning.Search(TABLE1_SPACE, options.trials, seed=options.seed)
    trials = tuning.run_search(job, search, trials, RayTrials(setting.run, repeats, bar), cluster)
    return {t.number: (Config(**t.point), None if t.score in (None, -np.inf) else -t.score) for t in trials}
