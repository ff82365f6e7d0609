"""The experiment of question 1: data, pictures, races, models and verdicts, in one run."""

import math
from dataclasses import replace

import torch
from tqdm import tqdm

from dl import claims
from dl.logistic.descent import STARTS, Descent, descend, initial_weights
from dl.logistic.losses import LOSSES, corner_gradients
from dl.logistic.optimum import sklearn_gap, uniqueness
from dl.logistic.problems import Problem, breast_cancer, split_problem, synthetic, ten_digits
from dl.logistic.race import AT_ONCE, OPTIMISERS, PreparedProblem, Race
from dl.plots import races as race_plots
from dl.plots import surfaces as surface_plots
from dl.plots.live import live_page
from dl.plots.live import surfaces as live_surfaces
from entrypoints.loss_surfaces.models import register_models
from entrypoints.loss_surfaces.note import answer_question_1
from entrypoints.loss_surfaces.racing import race_at_equal_rates, race_losses, race_tables
from tracking.evidence import log_verdicts
from tracking.run import Run, start

PICTURED = ("mean radius", "mean texture")  # the two features of the surfaces over weights
PICTURE_LR, PICTURE_STEPS, PICTURE_SIZE = 1.0, 300, 12.0  # the descents drawn there, and how far the axes reach


def compare_losses(race: Race, device: torch.device, asked: dict[str, object]) -> str:
    """Run everything and log it; return the verdicts as Markdown. `asked`: the command's options, for the record."""
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    train, val, test = split_problem(breast_cancer())
    problems, digits = (train, synthetic(separable=True), synthetic(separable=False)), ten_digits()
    shorter = on_ten_digits(race)
    with start("loss_surfaces", asked, {"question": 1, "kind": "question", "device": device.type}) as run:
        for part, given in (("train", (*problems, digits)), ("val", (val,)), ("test", (test,))):
            for problem in given:
                run.dataset(problem.name, problem.source, problem.digest(), len(problem), part)
        draw_surfaces(run, race)
        prepared = [PreparedProblem.of(problem, device) for problem in problems]
        rounds = len(problems) * (math.ceil(race.trials / AT_ONCE) + 2) + math.ceil(shorter.trials / AT_ONCE) + 1
        with tqdm(total=len(OPTIMISERS) * len(LOSSES) * rounds, desc="races", disable=None) as bar:
            own, equal = race_losses(run, prepared, race, bar), race_at_equal_rates(prepared, race, bar)
            many = race_losses(run, [PreparedProblem.of(digits, device)], shorter, bar)
        draw_races(run, own, equal, race)
        run.figure("faster.png", race_plots.chances(own, many))
        run.log_table("races_digits.json", race_tables(many))
        registered = register_models(run, race, train, val, test)
        verdicts = judge_question_1(run, [uniqueness(p, race.seeds, race.seed) for p in problems], own, equal)
        gap = sklearn_gap(problems[-1])
        run.metrics({"sklearn_coefficient_gap": gap})
        run.note(answer_question_1((own, many), registered, verdicts, (race, shorter), gap))
    return claims.markdown(verdicts)


def on_ten_digits(race: Race) -> Race:
    """Return the race as it is run on ten classes, where a step costs twenty times as much.

    Shorter, and with learning rates from 0.1 to 1,000, between which each loss has its best.
    """
    return replace(race, steps=min(race.steps, 200), trials=min(race.trials, 12), lr_min=0.1, lr_max=1000.0)


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
    """Draw who reaches which goal when, and at which learning rates."""
    for goal, file in zip(dict.fromkeys(row["goal"] for row in own), ("95", "99", "gradient"), strict=True):
        run.figure(f"race_{file}.png", race_plots.survival_curves(own, goal, race.steps))
    run.figure("learning_rates.png", race_plots.learning_rates(equal, own, "99% accuracy"))


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
