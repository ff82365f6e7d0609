"""Question 1: cross-entropy or squared error for logistic regression?

    mlflow run . -e loss_surfaces --env-manager uv

draws both loss surfaces (over label and probability, over the logit, over two weights of a real problem), measures
their gradients in the corners, and races the losses by gradient descent and SGD, from three kinds of start, on three
data sets, each loss with its own best learning rate (hyperopt's TPE, every trial a child run). It judges the document's
four claims and registers `logistic-ce` and `logistic-mse`. About two minutes on two cores.
"""

import math

import click
import numpy as np
import torch
from tqdm import tqdm

from dl import claims
from dl.device import pick_device
from dl.logistic.descent import STARTS, Descent, Trace, descend, initial_weights
from dl.logistic.losses import LOSSES, corner_gradients
from dl.logistic.model import Logistic
from dl.logistic.optimum import sklearn_gap, uniqueness
from dl.logistic.problems import Problem, breast_cancer, split_problem, synthetic
from dl.logistic.race import OPTIMISERS, PreparedProblem, Race, first_step, goals
from dl.logistic.statistics import compare_steps
from dl.plots import landscape as plots
from tracking.evidence import log_verdicts
from tracking.registry import register
from tracking.run import Run, start

PICTURE_LR, PICTURE_STEPS, PICTURE_SIZE = 1.0, 300, 12.0  # the descents drawn on the surfaces over two weights


@click.command(help=__doc__)
@click.option(
    "--features", default="mean radius,mean texture", show_default=True, help="Two, for the surface over weights."
)
@click.option("--seeds", default=Race.seeds, show_default=True, help="Of each race.")
@click.option("--trials", default=Race.trials, show_default=True, help="Learning rates a search tries.")
@click.option("--steps", default=Race.steps, show_default=True, help="Budget of a descent.")
@click.option("--batch", default=Race.batch, show_default=True, help="Examples a step of SGD.")
@click.option("--lr-min", default=Race.lr_min, show_default=True)
@click.option("--lr-max", default=Race.lr_max, show_default=True)
@click.option("--seed", type=click.IntRange(0, 10**6), default=Race.seed, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
def main(features, seeds, trials, steps, batch, lr_min, lr_max, seed, device) -> None:
    asked = click.get_current_context().params
    names = tuple(name.strip() for name in features.split(","))
    try:
        race = Race(seeds, trials, steps, batch, lr_min, lr_max, seed=seed)
        device = pick_device(device, mps=False)
        if len(set(names)) != 2:
            raise ValueError(f"--features takes two different names, separated by a comma, not {features!r}")
        pair = breast_cancer().only(names)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    train, val, test = split_problem(breast_cancer())
    problems = (train, synthetic(separable=True), synthetic(separable=False))
    if batch > (least := min(map(len, problems))):
        raise click.UsageError(f"--batch {batch}: the smallest data set has {least} examples")
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    with start("loss_surfaces", asked, {"question": 1, "kind": "question", "device": device.type}) as run:
        for problem in problems:
            run.dataset(problem.name, problem.source, problem.digest(), len(problem), "train")
        run.dataset(val.name, val.source, val.digest(), len(val), "val")
        run.dataset(test.name, test.source, test.digest(), len(test), "test")
        surfaces(run, pair, race)
        searches = len(problems) * len(OPTIMISERS) * len(LOSSES)
        with tqdm(total=searches * (math.ceil(trials / 4) + 2), desc="races", disable=None) as bar:
            own, equal, best = run_races(run, [PreparedProblem.of(p, device) for p in problems], race, bar)
        draw_races(run, own, equal, best, race)
        registered = register_models(run, race, train, val, test)
        verdicts = judge(run, problems, own, equal, race)
        gap = sklearn_gap(problems[-1])
        run.metrics({"sklearn_coefficient_gap": gap})
        run.note(answer(own, best, registered, verdicts, race, gap))
    click.echo(claims.markdown(verdicts))


def surfaces(run: Run, pair: Problem, race: Race) -> None:
    """The pictures: over (y, p), over the logit, and over two weights with the optimisers' paths."""
    run.figure("surfaces.png", plots.corner_surfaces())
    run.figure("logit.png", plots.logit_slopes())
    x, y = pair.standardised(), pair.y
    lr, paths = torch.tensor([PICTURE_LR], dtype=x.dtype), {}
    for loss in LOSSES:
        paths[loss] = {}
        for kind in STARTS:
            place = initial_weights(kind, x, y, 1, race.seed) * (
                4 if kind == "random" else 1
            )  # spread over the picture
            for optimiser, batch in zip(OPTIMISERS, (None, race.batch), strict=True):
                trace = descend(x, y, lr, place[None], Descent(loss, PICTURE_STEPS, batch, race.seed, keep_path=True))
                paths[loss][f"{kind}, {optimiser}"] = trace.path[:, 0, 0].numpy()
    run.figure("weights.png", plots.weight_surfaces(pair, paths, PICTURE_LR, PICTURE_SIZE))


def run_races(run: Run, courses: list[PreparedProblem], race: Race, bar: tqdm) -> tuple[list[dict], list[dict], dict]:
    """Tune, race and record everything.

    Returns the races with own best and with equal learning rates (a dict each, with both losses' (steps, reached)) and
    the best learning rates by (dataset, start, optimiser, loss).
    """
    own, equal, best = [], [], {}
    for course in courses:
        for optimiser in OPTIMISERS:
            tuned, same = {}, {}
            for loss in LOSSES:
                searches = course.tune(race, loss, optimiser, bar.update)
                chosen = [min(search, key=lambda trial: trial[1])[0] for search in searches]
                record_trials(run, course, optimiser, loss, searches)
                tuned[loss] = course.descend(race, loss, optimiser, np.array(chosen)[:, None])
                bar.update()
                record_races(run, course, optimiser, loss, chosen, tuned[loss], race)
                grid = np.tile(race.equal_lrs(), (len(STARTS), 1))
                same[loss] = course.descend(race, loss, optimiser, grid)
                bar.update()
                for kind, lr in zip(STARTS, chosen, strict=True):
                    best[course.problem.name, kind, optimiser, loss] = lr
            own += results(course, optimiser, tuned, [None])
            equal += results(course, optimiser, same, race.equal_lrs())
    return own, equal, best


def results(course: PreparedProblem, optimiser: str, traces: dict[str, Trace], lrs: list) -> list[dict]:
    """One dict a start, learning rate and goal; traces hold len(STARTS) * len(lrs) configurations."""
    reached = {loss: {g: first_step(met) for g, met in goals(t, course.best).items()} for loss, t in traces.items()}
    return [
        {"dataset": course.problem.name, "start": kind, "optimiser": optimiser, "goal": goal, "lr": lr}
        | {loss: tuple(array[i * len(lrs) + j] for array in reached[loss][goal]) for loss in LOSSES}
        for i, kind in enumerate(STARTS)
        for j, lr in enumerate(lrs)
        for goal in reached["ce"]
    ]


def record_trials(run: Run, course: PreparedProblem, optimiser: str, loss: str, searches: list) -> None:
    for kind, trials in zip(STARTS, searches, strict=True):
        for i, (lr, objective) in enumerate(trials):
            what = {"dataset": course.problem.name, "start": kind, "optimiser": optimiser, "loss": loss}
            name = f"loss_surfaces / trial / {' / '.join(what.values())} / {i}"
            tags = {"kind": "trial", "dataset": course.problem.name}
            run.record(name, what | {"lr": lr, "trial": i}, tags, final={"mean_log10_steps": objective})


def record_races(
    run: Run, course: PreparedProblem, optimiser: str, loss: str, lrs: list[float], trace: Trace, race: Race
) -> None:
    """A child run a start: medians over seeds as curves, steps to the goals as final metrics."""
    met = {goal: first_step(mask) for goal, mask in goals(trace, course.best).items()}
    plateau = (trace.gradient < 1e-3) & (trace.accuracy < 0.95 * course.best)
    for i, (kind, lr) in enumerate(zip(STARTS, lrs, strict=True)):
        series = [
            (
                step,
                {
                    "train_loss": trace.loss[j, i].median(),
                    "train_accuracy": trace.accuracy[step, i].median(),
                    "grad_norm": trace.gradient[step, i].median(),
                },
            )
            for j, step in enumerate(trace.marks)
        ]
        final = {"false_stops": plateau[:, i].any(0).sum()}  # seeds that passed a plateau: no gradient, and wrong
        for goal, (steps, reached) in met.items():
            key = goal.replace("%", "").replace("<", "below").replace(" ", "_")
            final |= {f"steps_{key}_median": np.median(steps[i]), f"steps_{key}_censored": (~reached[i]).sum()}
        what = {"dataset": course.problem.name, "start": kind, "optimiser": optimiser, "loss": loss}
        name = f"loss_surfaces / race / {' / '.join(what.values())}"
        tags = {"kind": "race", "dataset": course.problem.name}
        run.record(name, what | {"lr": lr, "best_accuracy": course.best}, tags, series, final)


def label(race: dict) -> dict:
    return {key: race[key] for key in ("dataset", "start", "optimiser", "goal")}


def draw_races(run: Run, own: list[dict], equal: list[dict], best: dict, race: Race) -> None:
    rows = [label(r) | compare_steps(r["ce"], r["mse"]) for r in own]
    for i, goal in enumerate(dict.fromkeys(r["goal"] for r in own)):
        run.figure(("race_95.png", "race_99.png", "race_gradient.png")[i], plots.survival_curves(own, goal, race.steps))
    run.figure("learning_rates.png", plots.learning_rates(equal, own, best, "99% accuracy"))
    run.figure("speedups.png", plots.speedups(rows, claims.tally(rows)))


def register_models(run: Run, race: Race, train: Problem, val: Problem, test: Problem) -> dict:
    """`logistic-ce` and `logistic-mse` on all 30 features: raw (N, 30) float32 in, logits (N,) of "benign" out.

    Full-batch descent; learning rate and last step are where the validation loss is lowest, because on data that a
    hyperplane separates the training loss has no minimum.
    """
    x, y = train.design(), train.y
    mean, scale = train.x.mean(0), train.x.std(0, correction=0)
    held_out = torch.cat([(val.x - mean) / scale, torch.ones(len(val), 1, dtype=x.dtype)], 1)
    lrs = torch.tensor(race.equal_lrs(), dtype=x.dtype)
    place = initial_weights("well placed", x, y, 1, race.seed).expand(len(lrs), 1, -1)
    rows = {}
    for loss in LOSSES:
        path = descend(x, y, lrs, place, Descent(loss, race.steps, keep_path=True)).path[
            :, :, 0
        ]  # (steps + 1, lrs, 31)
        val_loss = LOSSES[loss].value(path @ held_out.T, val.y).mean(-1)
        step, which = divmod(int(val_loss.argmin()), len(lrs))
        model = Logistic(train, path[step, which])
        params = {"loss": loss, "lr": float(lrs[which]), "step": step}
        with run.child(f"loss_surfaces / model / {loss}", params, {"kind": "network"}) as child:
            scores = {}
            for part, problem in (("train", train), ("val", val), ("test", test)):
                with torch.no_grad():
                    z = model(problem.x.float())
                scores[f"{part}_loss"] = float(LOSSES[loss].value(z, problem.y).mean())
                scores[f"{part}_accuracy"] = float(((z > 0) == (problem.y > 0.5)).double().mean())
            child.metrics(scores)
            example = val.x[:2].float().numpy()
            tags = {"test_accuracy": f"{scores['test_accuracy']:.6f}", "run": child.id, "data_digest": train.digest()}
            version = register(child, model, f"logistic-{loss}", example, scores["val_accuracy"], tags)
        rows[loss] = scores | {"version": version}
    return rows


def judge(
    run: Run, problems: tuple[Problem, ...], own: list[dict], equal: list[dict], race: Race
) -> list[claims.Verdict]:
    """Measure what is left to measure, judge the four claims, log tables, tags and claims.json."""
    unique = [uniqueness(problem, race.seeds, race.seed) for problem in problems]
    rows, same = (
        [label(r) | {"lr": r["lr"]} | compare_steps(r["ce"], r["mse"]) for r in races] for races in (own, equal)
    )
    verdicts = [
        claims.judge_q1_unique(unique),
        claims.judge_q1_penalty(corner_gradients()),
        claims.judge_q1_corner_gradient(corner_gradients()),
        claims.judge_q1_convergence(rows, same),
    ]
    run.log_table("corners.json", corner_gradients())
    run.log_table("uniqueness.json", unique)
    run.log_table(
        "races.json", [row | {"winner": winner} for row, winner in zip(rows, claims.tally(rows), strict=True)]
    )
    run.log_table("races_equal_lr.json", [row | {"winner": w} for row, w in zip(same, claims.tally(same), strict=True)])
    log_verdicts(run, claims.rows(verdicts))
    return verdicts


def answer(own: list[dict], best: dict, registered: dict, verdicts: list, race: Race, gap: float) -> str:
    """The question's answer as Markdown, all from what was measured."""
    rows = [label(r) | compare_steps(r["ce"], r["mse"]) for r in own]
    lines = [
        "**Cross-entropy or squared error for logistic regression?** Of the document's claims, "
        + "; ".join(
            f"{verdict}: {', '.join(found)}"
            for verdict in claims.VERDICTS
            if (found := [v.claim for v in verdicts if v.verdict == verdict])
        )
        + ".",
        claims.markdown(verdicts),
        f"{len(rows)} races of {race.seeds} seeds and {race.steps} steps at most; {race.trials} learning rates tried "
        "by TPE, on other seeds, for each loss, optimiser and start.",
        "Steps to 99% of the best accuracy (median; `>`: more than half the seeds did not get there), and the learning "
        "rate found:",
    ]
    table = [
        "| data | start | optimiser | CE: steps, lr | MSE: steps, lr | faster beyond chance |",
        "|---|---|---|---|---|---|",
    ]
    for row, winner in zip(rows, claims.tally(rows), strict=True):
        if row["goal"] == "99% accuracy":
            place = (row["dataset"], row["start"], row["optimiser"])
            cells = [
                f"{'>' if row[f'{loss}_censored'] > race.seeds / 2 else ''}{row[f'{loss}_median']:.0f}, "
                f"{best[*place, loss]:.3g}"
                for loss in LOSSES
            ]
            table.append(f"| {' | '.join((*place, *cells, winner))} |")
    lines += ["\n".join(table), "Registered (30 raw features in, logit of `benign` out):"]
    lines.append(
        "\n".join(
            f"- `logistic-{loss}` version {row['version']}: validation {row['val_accuracy']:.1%}, test "
            f"{row['test_accuracy']:.1%}"
            for loss, row in registered.items()
        )
    )
    lines.append(
        f"On the overlapping set our optimum differs from scikit-learn's LogisticRegression (no penalty) by {gap:.0e} "
        "at most in any coefficient."
    )
    return "\n\n".join(lines)


if __name__ == "__main__":
    main()
