"""The experiment of question 1: data, pictures, races, models and verdicts, in one run."""

import math

import torch
from tqdm import tqdm

from dl import claims
from dl.logistic.descent import STARTS, Descent, descend, initial_weights
from dl.logistic.losses import LOSSES, corner_gradients
from dl.logistic.optimum import sklearn_gap, uniqueness
from dl.logistic.problems import Problem, breast_cancer, split_problem, synthetic
from dl.logistic.race import OPTIMISERS, PreparedProblem, Race
from dl.plots import races as race_plots
from dl.plots import surfaces as surface_plots
from dl.plots.live import live_page
from dl.plots.live import surfaces as live_surfaces
from entrypoints.loss_surfaces.models import register_models
from entrypoints.loss_surfaces.note import answer_question_1
from entrypoints.loss_surfaces.racing import race_losses, race_tables
from tracking.evidence import log_verdicts
from tracking.run import Run, start

PICTURED = ("mean radius", "mean texture")  # the two features of the surfaces over weights
PICTURE_LR, PICTURE_STEPS, PICTURE_SIZE = 1.0, 300, 12.0  # the descents drawn there, and how far the axes reach


def compare_losses(race: Race, device: torch.device, asked: dict[str, object]) -> str:
    """Run everything and log it; return the verdicts as Markdown. `asked`: the command's options, for the record."""
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    train, val, test = split_problem(breast_cancer())
    problems = (train, synthetic(separable=True), synthetic(separable=False))
    with start("loss_surfaces", asked, {"question": 1, "kind": "question", "device": device.type}) as run:
        for part, given in (("train", problems), ("val", (val,)), ("test", (test,))):
            for problem in given:
                run.dataset(problem.name, problem.source, problem.digest(), len(problem), part)
        draw_surfaces(run, race)
        searches = len(problems) * len(OPTIMISERS) * len(LOSSES)
        with tqdm(total=searches * (math.ceil(race.trials / 4) + 2), desc="races", disable=None) as bar:
            own, equal = race_losses(run, [PreparedProblem.of(problem, device) for problem in problems], race, bar)
        draw_races(run, own, equal, race)
        registered = register_models(run, race, train, val, test)
        verdicts = judge_question_1(run, [uniqueness(p, race.seeds, race.seed) for p in problems], own, equal)
        gap = sklearn_gap(problems[-1])
        run.metrics({"sklearn_coefficient_gap": gap})
        run.note(answer_question_1(own, registered, verdicts, race, gap))
    return claims.markdown(verdicts)


def draw_surfaces(run: Run, race: Race) -> None:
    """Draw the losses over (y, p), over the logit, and over two weights with the optimisers' paths."""
    run.figure("surfaces.png", surface_plots.corner_surfaces())
    run.text("surfaces.html", live_page(live_surfaces.turn_corner_surfaces()))
    run.figure("logit.png", surface_plots.logit_slopes())
    pair = breast_cancer().only(PICTURED)
    paths = {loss: descents_on_the_picture(pair, loss, race) for loss in LOSSES}
    run.figure("weights.png", surface_plots.weight_surfaces(pair, paths, PICTURE_LR, PICTURE_SIZE))
    run.text("weights.html", live_page(live_surfaces.turn_weight_surfaces(pair, paths, PICTURE_LR, PICTURE_SIZE)))


def descents_on_the_picture(pair: Problem, loss: str, race: Race) -> dict:
    """Return a path (steps + 1, 2) from each start by each optimiser, as "start, optimiser"."""
    x, y = pair.standardised(), pair.y
    lr, paths = torch.tensor([PICTURE_LR], dtype=x.dtype), {}
    for kind in STARTS:
        spread = 4 if kind == "random" else 1  # over the picture
        place = spread * initial_weights(kind, x, y, 1, race.seed)[None]
        for optimiser, batch in zip(OPTIMISERS, (None, race.batch), strict=True):
            trace = descend(x, y, lr, place, Descent(loss, PICTURE_STEPS, batch, race.seed, keep_path=True))
            paths[f"{kind}, {optimiser}"] = trace.path[:, 0, 0].numpy()
    return paths


def draw_races(run: Run, own: list[dict], equal: list[dict], race: Race) -> None:
    """Draw who reaches which goal when, at which learning rates, and who is faster beyond chance."""
    for goal, file in zip(dict.fromkeys(row["goal"] for row in own), ("95", "99", "gradient"), strict=True):
        run.figure(f"race_{file}.png", race_plots.survival_curves(own, goal, race.steps))
    run.figure("learning_rates.png", race_plots.learning_rates(equal, own, "99% accuracy"))
    run.figure("speedups.png", race_plots.speedups(own))


def judge_question_1(run: Run, unique: list[dict], own: list[dict], equal: list[dict]) -> list[claims.Verdict]:
    """Judge the four claims; log the verdicts and the tables behind them."""
    corners = corner_gradients()
    verdicts = [
        claims.judge_q1_unique(unique),
        claims.judge_q1_penalty(corners),
        claims.judge_q1_corner_gradient(corners),
        claims.judge_q1_convergence(own, equal),
    ]
    tables = {"corners.json": corners, "uniqueness.json": unique}
    tables |= {"races.json": race_tables(own), "races_equal_lr.json": race_tables(equal)}
    for name, rows in tables.items():
        run.log_table(name, rows)
    log_verdicts(run, claims.rows(verdicts))
    return verdicts
