"""Question 3: which perceptron of table 1 is best on the digits, and how sure may one be?

    mlflow run . -e digits_search --env-manager uv

searches table 1's 1,400 configurations with hyperopt (30 trials, each the mean over three splits; about a minute
on two cores), runs the best five and table 2's again on splits that the search never saw, names a winner, trains
it with five seeds, tests it once (97 to 98% of the held-out images), and registers `digits-mlp`. Every trial is a
child run, and a search that was killed goes on with `-P resume=RUN_ID`. With `-P engine=ray` every trial is a Ray Tune
trial, on this machine's cores or on the cluster that RAY_ADDRESS names.

    mlflow run . -e digits_search -P exhaustive=True --env-manager uv

trains all 1,400 on three splits instead (some four minutes each on two cores), and says which of them cannot be told
from the best, where table 2 ranks, and how much any search leaves on the table.

The artifact `grid.npz` of each repeat: h1, h2 (int64), lr, dropout (float64), activation (str), all (1400,), and
train_loss, val_loss, val_accuracy (float32, (1400, epochs)).
"""

import json
import random
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import ClassVar

import click
import numpy as np
import torch
import torch.nn.functional as F
from mlflow.entities import Run as Record
from sklearn.datasets import load_digits
from tqdm import tqdm

from dl import claims, tuning
from dl.data.digits import digits, resplit
from dl.data.split import Data
from dl.device import pick_device
from dl.models import Preprocessed
from dl.plots import digits as plots
from dl.population import History, Repeat, Stack, ordinary, train
from dl.ranking import Comparison, Regret, compare, grid_regret, noise_groups, regret
from dl.recipes.jobs import try_config
from dl.table1 import ALGORITHMS, GRID, TABLE1, TABLE1_SPACE, TABLE2, Config, suggest
from entrypoints.options import Command, engine_options, options_to_resume
from entrypoints.questions import Question, Source
from tracking.evidence import log_verdicts
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.resume import refuse_other_data, reopen, start_or_resume
from tracking.run import Run

FINALISTS = 5  # run again on as many new splits before one is named
SEEDS = 5  # of the winner
SIMULATED = 50, 100  # searches replayed on the table, and their trials
SPACE = json.dumps(TABLE1)
STATUS = {True: "FINISHED", False: "FAILED"}
ABOUT = About(
    reads="handwritten digits, 8x8 counts of inked pixels, values 0..16; scaling is the model's own business",
    returns="float32 `(N, 10)`, the logits of the digits 0 to 9",
    licence="CC BY 4.0 (E. Alpaydin and C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998)",
    unfit="MNIST's 28x28 images, photographs, other writers than this data set's without a test of one's own",
    recipe={},
)
Finished = dict[int, tuple[Config, float | None]]  # trials by number; None is a failed one's loss


@dataclass(frozen=True)
class Plan:
    """What decides a search. A resumed one takes it from its run."""

    trials: int = 30
    algo: str = "tpe"
    batch: int = 6
    repeats: int = 3
    epochs: int = 30
    seed: int = 0


QUESTION_3 = Question(
    3,
    "Which perceptron of table 1 is best on the digits?",
    "Table 2 presents the combination of the best hyper-parameters obtained through tuning.",
    (
        Source(
            "digits_search",
            "grid",
            "all 1,400 configurations of table 1",
            {
                "ranks.png": "All configurations in order, with their intervals.",
                "marginals.png": "What each hyper-parameter does.",
                "regret.png": "What a search leaves on the table, after so many trials.",
            },
            "-P exhaustive=True",
        ),
        Source("digits_search", "search", "hyperopt's search", {"search.png": "The search and its finalists."}),
    ),
)


@click.command(cls=Command, help=__doc__)
@click.option("--trials", type=click.IntRange(1, len(GRID)), default=Plan.trials, show_default=True)
@click.option("--algo", type=click.Choice(ALGORITHMS), default=Plan.algo, show_default=True)
@click.option(
    "--batch", type=click.IntRange(1), default=Plan.batch, show_default=True, help="Trials suggested at once."
)
@click.option(
    "--repeats", type=click.IntRange(2, 50), default=Plan.repeats, show_default=True, help="Splits and seeds each."
)
@click.option("--epochs", type=click.IntRange(1), default=Plan.epochs, show_default=True)
@click.option("--seed", type=click.IntRange(0, 10**6), default=Plan.seed, show_default=True)
@click.option(
    "--exhaustive",
    type=bool,
    default=False,
    show_default=True,
    help="Train all 1,400 instead of searching.",
)
@click.option("--resume", default="", help="Id of an interrupted search; only --trials may be raised.")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
@engine_options
def main(exhaustive, resume, device, engine, cpus_per_trial, gpus_per_trial, **plan) -> None:
    if exhaustive and resume:
        raise click.UsageError("--resume goes on with a search; --exhaustive has nothing to resume")
    if exhaustive and engine == "ray":
        raise click.UsageError("--engine ray is for the search; --exhaustive trains here")
    # `mlflow run` passes every option: one that has its default was not asked for
    changed = [key for key in plan if plan[key] != getattr(Plan, key)]
    if idle := {"trials", "algo"}.intersection(changed) if exhaustive else ():
        raise click.UsageError(f"{flags(idle)} would do nothing: --exhaustive trains every configuration")
    if engine == "ray" and "batch" in changed and not resume:
        raise click.UsageError("--batch would do nothing: on Ray trials are suggested one by one")
    kind = {"question": "3", "kind": "grid" if exhaustive else "search"}
    before = reopen(resume, "digits_search", kind, options_to_resume(), "trials") if resume else None
    options = before.options if before else click.get_current_context().params
    if before and before.record.data.tags.get("table1", SPACE) != SPACE:
        raise click.UsageError(f"run {resume} searched another space than table 1: start a new run")
    plan = Plan(**{f.name: options[f.name] for f in fields(Plan)})
    try:
        cluster = tuning.pick_cluster(
            *(options[key] for key in ("engine", "cpus_per_trial", "gpus_per_trial", "device"))
        )
        device = str(pick_device(options["device"], mps=False))
        if cluster and plan.algo != "tpe":
            raise ValueError(f"--engine ray searches with tpe, not with {plan.algo}")
        if cluster:
            tuning.init_ray(cluster)
    except (ValueError, ConnectionError) as error:
        raise click.UsageError(str(error.args[0])) from error
    data = digits()
    if before:
        digests = {part: getattr(data, part).digest() for part in ("train", "val", "test")}
        refuse_other_data(before.record, data.name, digests)
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    tags = {**kind, "network": "mlp", "dataset": data.name, "device": device}
    name = "digits_search / " + ("all 1,400" if exhaustive else plan.algo)
    with start_or_resume(name, options | {"device": device}, tags, before) as (run, _):
        run.tags({"table1": SPACE})
        log_datasets(run, data)
        text = exhaust(run, plan, data, device) if exhaustive else search(run, plan, data, device, cluster)
        run.note(text)
    click.echo(text)


def flags(options) -> str:
    return " and ".join(f"--{name}" for name in sorted(options, reverse=True))


def log_datasets(run: Run, data: Data) -> None:
    """Log the three parts with their digests as inputs of `run`."""
    for split, part in ((data.train, "train"), (data.val, "val"), (data.test, "test")):
        run.dataset(data.name, data.source, split.digest(), len(split), part)


def repeats_of(data: Data, plan: Plan, first: int, count: int) -> list[Repeat]:
    """Splits and seeds number `first` and on of this search; equal numbers, equal splits."""
    seeds = range(1000 * plan.seed + first, 1000 * plan.seed + first + count)
    return [Repeat(resplit(data, seed), seed) for seed in seeds]


# ------------------------------------------------------------------------------------------ the search


def search(run: Run, plan: Plan, data: Data, device: str, cluster: tuning.Cluster | None) -> str:
    """Search, check the finalists, train and register the winner; returns the answer in Markdown."""
    repeats = repeats_of(data, plan, 0, plan.repeats)
    finished = recall(run)
    with tqdm(total=plan.trials, initial=len(finished), desc="trials", disable=None) as bar:
        tried = try_on_ray if cluster else try_in_batches
        finished |= tried(run, plan, finished, repeats, cluster or device, bar)
    # of all processes that have searched: the sum of the trials' own
    seconds = sum(child.data.metrics.get("seconds", 0.0) for child in over(run, "trial"))

    trials = [finished[n] for n in sorted(finished)]
    best = leaders(trials)
    if not best:
        errors = [child.data.tags.get("error", "no score") for child in run.children("trial")]
        raise click.ClickException(tuning.explain_failure(errors))
    finalists = best + [TABLE2] * (TABLE2 not in best)
    new = repeats_of(data, plan, 500, FINALISTS)
    again = record(run, "rerun", finalists, range(len(finalists)), new, plan.epochs, device)[1]
    by_loss, by_error = comparisons(finalists, again, np.zeros(len(finalists), int))
    winner = best[int(np.argmin(by_loss.mean[: len(best)]))]
    run.figure("search.png", plots.progress([loss for _, loss in trials], finalists, by_loss))

    networks = crown(run, winner, data, plan, device)
    verdicts = judge(run, data, finalists, by_loss, by_error)
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
        f"**{winner}** is the winner of {len(trials)} trials ({plan.algo}); trained with {SEEDS} seeds, it "
        f"reads {np.mean(tested):.2%} ± {np.std(tested, ddof=1):.2%} of the {len(data.test)} held-out digits.",
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


def leaders(trials: list[tuple[Config, float | None]]) -> list[Config]:
    """Those of lowest loss, each once: Ray's searcher asks for some again, and a copy scores as its original does."""
    ranked = sorted((loss, number, config) for number, (config, loss) in enumerate(trials) if loss is not None)
    return list(dict.fromkeys(config for *_, config in ranked))[:FINALISTS]


def try_in_batches(run: Run, plan: Plan, finished: Finished, repeats: list[Repeat], device: str, bar: tqdm) -> Finished:
    """The trials that are missing from `finished`, each batch one population."""
    finished = dict(finished)
    for begin in range(0, plan.trials, plan.batch):
        numbers = range(begin, min(begin + plan.batch, plan.trials))
        missing = [n for n in numbers if n not in finished]
        if missing:
            history = [finished[n] for n in range(begin)]
            chosen = suggest(history, len(numbers), plan.algo, plan.seed)
            configs = [chosen[n - begin] for n in missing]
            finished |= record(run, "trial", configs, missing, repeats, plan.epochs, device)[0]
            bar.update(len(missing))
    return finished


def try_on_ray(
    run: Run, plan: Plan, finished: Finished, repeats: list[Repeat], cluster: tuning.Cluster, bar: tqdm
) -> Finished:
    """The trials that are missing from `finished`, each a Ray Tune trial: one configuration on all repeats."""

    class Log:
        curves: ClassVar[dict] = {}

        def began(self, trial: tuning.Trial) -> None: ...

        def epoch(self, trial: tuning.Trial, epoch: int, metrics: dict) -> None:
            self.curves[trial.number] = metrics

        def ended(self, trial: tuning.Trial) -> None:
            curves, config = self.curves.pop(trial.number, {}), Config(**trial.point)
            seconds = curves.pop("seconds", 0.0)
            write(run, "trial", trial.number, config, curves, repeats, seconds, trial.error, {"trial_id": trial.id})
            bar.update()

    known = [
        tuning.Trial(n, asdict(config), {plan.epochs: -np.inf if loss is None else -loss}, over=True)
        for n, (config, loss) in finished.items()
    ]
    job = partial(try_config, repeats=repeats, epochs=plan.epochs, device=cluster.device)
    search = tuning.Search(TABLE1_SPACE, plan.trials, seed=plan.seed)
    trials = tuning.run_search(job, search, known, Log(), cluster)
    return {t.number: (Config(**t.point), None if t.score in (None, -np.inf) else -t.score) for t in trials}


def recall(run: Run) -> Finished:
    """The trials that are over, by number, as the tracking server has them; None is a failed one's loss."""
    known = {}
    for child in over(run, "trial"):
        params = child.data.params
        config = Config(**{key: type(values[0])(params[key]) for key, values in TABLE1.items()})
        loss = child.data.metrics["val_loss"] if child.info.status == "FINISHED" else None
        known[int(params["trial"])] = config, loss
    return known


def over(run: Run, kind: str) -> list[Record]:
    """The children of that kind that came to their end; the others were killed."""
    return [child for child in run.children(kind) if child.info.status in STATUS.values()]


def record(
    run: Run,
    kind: str,
    configs: list[Config],
    numbers: list[int],
    repeats: list[Repeat],
    epochs: int,
    device: str,
) -> tuple[Finished, History]:
    """Train these together; a finished child run each, but for those that a killed search recorded already."""
    clock = perf_counter()
    history = train(configs, repeats, epochs, device)
    seconds = (perf_counter() - clock) / len(configs)
    there = {child.data.params["trial"] for child in over(run, kind)}
    outcome = {}
    for i, (number, config) in enumerate(zip(numbers, configs, strict=True)):
        curves = {f.name: getattr(history, f.name)[i].numpy() for f in fields(History)}
        loss = float(curves["val_loss"][:, -1].mean())
        outcome[number] = config, loss if np.isfinite(loss) else None
        if str(number) not in there:
            write(run, kind, number, config, curves, repeats, seconds)
    return outcome, history


def write(
    run: Run,
    kind: str,
    number: int,
    config: Config,
    curves: dict[str, np.ndarray],
    repeats: list[Repeat],
    seconds: float,
    error: str = "",
    tags: dict[str, str] | None = None,
) -> None:
    """A child run that is over. curves: (repeats, epochs) each, empty where there was an error."""
    if not error and not np.isfinite(curves["val_loss"][:, -1]).all():
        error = "diverged"
    final, series = {"seconds": seconds}, []
    if curves:
        final |= {f"{key}_std": curves[key][:, -1].std(ddof=1) for key in ("val_loss", "val_accuracy")}
        means = {key: curve.mean(0) for key, curve in curves.items()}
        final["best_val_accuracy"] = means["val_accuracy"].max()
        series = [(e + 1, {key: mean[e] for key, mean in means.items()}) for e in range(len(means["val_loss"]))]
    run.record(
        f"digits_search / {kind} {number:02d} / {config}",
        asdict(config) | {"trial": number, "split_seeds": " ".join(str(r.seed) for r in repeats)},
        {"kind": kind} | (tags or {}) | ({"error": error} if error else {}),
        series,
        final,
        STATUS[not error],
    )


def comparisons(configs: list[Config], history: History, groups: np.ndarray) -> tuple[Comparison, Comparison]:
    """By the logarithm of the final validation loss, and by the error rate. One that diverged counts as the worst."""
    loss = history.val_loss[..., -1].numpy()
    loss = np.where(np.isfinite(loss), loss, np.nanmax(loss[np.isfinite(loss)]))
    return compare(np.log(loss), groups), compare(1 - history.val_accuracy[..., -1].numpy(), groups)


def crown(run: Run, winner: Config, data: Data, plan: Plan, device: str) -> list[dict]:
    """Train the winner with five seeds on the data's own split, test each once, register the best on validation."""
    seeds = range(1000 * plan.seed + 900, 1000 * plan.seed + 900 + SEEDS)
    stack = Stack([winner], [Repeat(data, seed) for seed in seeds], device)
    history = stack.fit(plan.epochs)
    best = int(history.val_accuracy[0, :, -1].argmax())
    results = []
    for r, seed in enumerate(seeds):
        net = Preprocessed(stack.network(0, r), 0.0, 16.0).eval()
        with torch.no_grad():
            logits = net(data.test.x)
        result = {
            "test_loss": F.cross_entropy(logits, data.test.y).item(),
            "test_accuracy": (logits.argmax(1) == data.test.y).double().mean().item(),
        }
        results.append(result)
        params = asdict(winner) | {"network_seed": seed, "parameters": sum(p.numel() for p in net.parameters())}
        name = f"digits_search / winner / seed {seed}"
        with run.child(name, params, {"kind": "network", "network": "digits-mlp", "recipe": "found"}) as child:
            log_datasets(child, data)
            for e in range(plan.epochs):
                child.metrics({f.name: float(getattr(history, f.name)[0, r, e]) for f in fields(History)}, e + 1)
            child.metrics(result | {"best_val_accuracy": float(history.val_accuracy[0, r, -1])})
            if r == best:
                val = HeldOut(data.name, data.val.digest(), data.val.x.numpy(), data.val.y.numpy())
                about = replace(ABOUT, recipe=asdict(winner) | {"epochs": plan.epochs, "network_seed": seed})
                register(child, net, ("digits-mlp",), val, about)
    return results


def judge(
    run: Run, data: Data, configs: list[Config], by_loss: Comparison, by_error: Comparison
) -> list[claims.Verdict]:
    """Both claims of question 3, logged."""
    everything = torch.cat([part.x for part in (data.train, data.val, data.test)])
    found = {
        "images": len(everything),
        "height": everything.shape[1],
        "width": everything.shape[2],
        "largest value": int(everything.max()),
        "source": next(line.strip() for line in load_digits().DESCR.splitlines() if "digits dataset" in line),
    }
    findings = [
        place(configs, by_loss, "log validation loss"),
        place(configs, by_error, "validation error"),
    ]
    verdicts = [claims.judge_q3_data(found), claims.judge_q3_table2(findings, len(configs), len(GRID))]
    log_verdicts(run, claims.rows(verdicts))
    return verdicts


def place(configs: list[Config], result: Comparison, measure: str) -> dict:
    """Where table 2 stands in a comparison."""
    i, best = configs.index(TABLE2), int(result.mean.argmin())
    low, high = result.ranks(i)
    return {
        "measure": measure,
        "in_best": bool(result.best[i]),
        "contenders": int(result.best.sum()),
        "rank": int((result.mean < result.mean[i]).sum()) + 1,
        "rank_low": low,
        "rank_high": high,
        "best": str(configs[best]),
        "gap": float(result.mean[i] - result.mean[best]),
        "gap_error": float(np.hypot(result.error[i], result.error[best])),
    }


# ------------------------------------------------------------------------------------------ the grid


def exhaust(run: Run, plan: Plan, data: Data, device: str) -> str:
    """Train all of table 1, a child run a repeat; returns the answer in Markdown."""
    histories, times = [], []
    for r, repeat in enumerate(repeats_of(data, plan, 0, plan.repeats)):
        with run.child(f"digits_search / grid / repeat {r}", {"split_seed": repeat.seed}, {"kind": "repeat"}) as child:
            with tqdm(total=len(GRID), desc=f"repeat {r}", disable=None) as bar:
                before = usual_seconds(repeat, plan.epochs, 2 * r)
                clock = perf_counter()
                history = train(GRID, [repeat], plan.epochs, device, bar.update)
                seconds = perf_counter() - clock
                usual = (before + usual_seconds(repeat, plan.epochs, 2 * r + 1)) / 2
            save(child, history)
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
    by_loss, by_error = comparisons(GRID, whole, noise_groups(GRID))
    draw(run, by_loss)
    curves, floor = simulations(run, whole, plan)
    verdicts = judge(run, data, GRID, by_loss, by_error)
    rows = standings(by_loss, by_error)
    run.log_table("standings.json", rows)
    seconds, usual = np.mean(times, 0)
    run.metrics({"grid_seconds": seconds, "usual_seconds": usual, "speedup": usual / seconds})
    lines = [
        f"All {len(GRID):,} configurations on {plan.repeats} splits, {seconds:.0f} s each on {device}; one after the "
        f"other, with `nn.Module` and `torch.optim.Adam`, they would take {usual:.0f} s (a sample was measured): "
        f"{usual / seconds:.1f} times as long.",
        "",
        f"By validation loss {by_loss.best.sum()} configurations cannot be told from the best (Hsu's multiple "
        f"comparisons with the best, 95%), by validation error {by_error.best.sum()}.",
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
    marks = (10, 20, 30, 60, 100)
    lines += [
        "",
        "| regret (nats) after | " + " | ".join(f"{n} trials" for n in marks) + " |",
        "|---|" + "---|" * len(marks),
    ]
    for (algo, result), kind in product(curves.items(), ("seen", "new")):
        runs = getattr(result, kind)[:, np.array(marks) - 1]
        pairs = zip(runs.mean(0), runs.std(0, ddof=1) / len(runs) ** 0.5, strict=True)
        where = {"seen": "on the split it saw", "new": "on the other splits"}[kind]
        lines.append(f"| {algo}, {where} | " + " | ".join(f"{mean:.4f} ± {error:.4f}" for mean, error in pairs) + " |")
    lines += ["", f"The whole grid on one split has {floor.mean():.4f} nats of regret on the others."]
    return "\n".join([*lines, "", claims.markdown(verdicts)])


def usual_seconds(repeat: Repeat, epochs: int, seed: int) -> float:
    """What the grid would take one network after the other: the time of a sample, one of each shape, for an epoch.

    Without the validation that the population does.
    """
    draw = random.Random(seed)
    sample = [draw.choice(GRID[i : i + 40]) for i in range(0, len(GRID), 40)]  # GRID's blocks of 40 share a shape
    clock = perf_counter()
    for config in sample:
        ordinary(config, repeat, epochs=1)
    return (perf_counter() - clock) * epochs * len(GRID) / len(sample)


def save(run: Run, history: History) -> None:
    """The whole table of a repeat as `grid.npz`; the module's docstring has its schema."""
    columns = {f.name: np.array([getattr(c, f.name) for c in GRID]) for f in fields(Config)}
    curves = {f.name: getattr(history, f.name)[:, 0].numpy().astype(np.float32) for f in fields(History)}
    with TemporaryDirectory() as folder:
        np.savez_compressed(path := Path(folder, "grid.npz"), **columns, **curves)
        run.file(path)


def draw(run: Run, by_loss: Comparison) -> None:
    loss = np.exp(by_loss.mean)
    run.figure("marginals.png", plots.marginals(GRID, loss))
    run.figure("shapes.png", plots.heat_map(GRID, loss))
    run.figure("ranks.png", plots.ranks(GRID, by_loss))


def simulations(run: Run, whole: History, plan: Plan) -> tuple[dict[str, Regret], np.ndarray]:
    """Regret of TPE and of random search, and of the whole grid, (repeats,)."""
    tables = whole.val_loss[..., -1].T.numpy()  # (R, 1400)
    runs, trials = SIMULATED
    curves = {algo: regret(tables, algo, trials, plan.batch, runs) for algo in ALGORITHMS}
    floor = grid_regret(tables)
    run.figure("regret.png", plots.regret_curves(curves, floor))
    for algo, values in curves.items():
        for n, (seen, new) in enumerate(zip(values.seen.mean(0), values.new.mean(0), strict=True)):
            run.metrics({f"regret_{algo}_seen": seen, f"regret_{algo}_new": new}, n + 1)
    run.metrics({"regret_grid": floor.mean()})
    return curves, floor


def standings(by_loss: Comparison, by_error: Comparison) -> list[dict]:
    """All configurations in order of their mean loss."""
    order = np.argsort(by_loss.mean)
    return [
        {
            "rank": n + 1,
            "configuration": str(GRID[i]),
            "loss": float(np.exp(by_loss.mean[i])),
            "low": float(np.exp(by_loss.mean[i] - 1.96 * by_loss.error[i])),
            "high": float(np.exp(by_loss.mean[i] + 1.96 * by_loss.error[i])),
            "accuracy": 1 - float(by_error.mean[i]),
            "may be best by loss": bool(by_loss.best[i]),
            "may be best by error": bool(by_error.best[i]),
            "table 2": GRID[i] == TABLE2,
        }
        for n, i in enumerate(order)
    ]


if __name__ == "__main__":
    main()
