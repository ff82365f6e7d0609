"""`logistic-ce` and `logistic-mse`: trained, chosen on validation data, registered."""

import torch

from dl.logistic.descent import Descent, descend, initial_weights
from dl.logistic.losses import LOSSES
from dl.logistic.model import Logistic
from dl.logistic.problems import Problem
from dl.logistic.race import Race
from tracking.registry import register
from tracking.run import Run


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
