"""`logistic-ce` and `logistic-mse`: trained, chosen on validation data, registered."""

from dataclasses import replace

import torch

from dl.logistic.descent import Descent, descend, initial_weights
from dl.logistic.losses import LOSSES
from dl.logistic.model import Logistic
from dl.logistic.problems import Problem
from dl.logistic.race import Race
from tracking.model_card import About, HeldOut
from tracking.registry import register
from tracking.run import Run

ABOUT_LOGISTIC = About(
    reads="the 30 features of Wisconsin's diagnostic breast-cancer data in their own units, in scikit-learn's order; "
    "standardisation is the model's own business",
    returns='float32 `(N,)`, the logit of "benign"',
    licence="CC BY 4.0 (W. Wolberg, O. Mangasarian, N. Street and W. Street: Breast Cancer Wisconsin (Diagnostic), "
    "UCI, 1993)",
    unfit="any diagnosis: it shows what a loss does, on 569 tumours of one hospital",
    recipe={},
)


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
        recipe = {"loss": loss, "lr": float(lrs[which]), "step": step}
        params = recipe | {"parameters": sum(p.numel() for p in model.parameters())}
        tags = {
            "kind": "network", "network": f"logistic-{loss}", "dataset": train.name, "recipe": "full-batch descent",
        }  # fmt: skip
        with run.child(f"loss_surfaces / model / {loss}", params, tags) as child:
            scores = {}
            for part, problem in (("train", train), ("val", val), ("test", test)):
                with torch.no_grad():
                    z = model(problem.x.float())
                child.dataset(problem.name, problem.source, problem.digest(), len(problem), part)
                scores[f"{part}_loss"] = float(LOSSES[loss].value(z, problem.y).mean())
                scores[f"{part}_accuracy"] = float(((z > 0) == (problem.y > 0.5)).double().mean())
            child.metrics(scores)
            held = HeldOut(val.name, val.digest(), val.x.float().numpy(), val.y.numpy() > 0.5)
            version = register(child, model, (f"logistic-{loss}",), held, replace(ABOUT_LOGISTIC, recipe=recipe))
        rows[loss] = scores | {"version": version}
    return rows
