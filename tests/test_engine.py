"""A search: the same here and on Ray, from the start or from its records, whatever happens to trials and workers."""

import copy
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hyperopt import hp
from hyperopt.pyll import as_apply
from hyperopt.pyll.stochastic import sample

from dl import engine
from dl.engine import Cluster, Trial, search
from dl.models import ZOO
from dl.models.plan import space
from tracking.run import start
from tracking.trials import recording

EPOCHS = 4
SPACE = {"x": hp.loguniform("x", -3, 3), "size": hp.choice("size", [16, 32, 64]), "shift": hp.uniformint("shift", 0, 5)}
FIRST = {"x": 1.0, "size": 32, "shift": 2}
PLANS = [(name, preset) for name in ZOO for preset in ("full", "quick")]


class Silent:
    def began(self, trial): ...
    def epoch(self, trial, epoch, metrics): ...
    def ended(self, trial): ...


def toy(point, report, raises=lambda point: False):
    """Trains nothing: better with every epoch, best at x = 1."""
    if raises(point):
        raise ValueError("this point always raises\nwith details")
    for epoch in range(1, EPOCHS + 1):
        score = epoch / EPOCHS - abs(np.log(point["x"])) - 0.01 * point["shift"]
        report({"epoch": epoch, "score": score, "metrics": {"val_accuracy": score, "lr": 0.1}})


def run(count, known=(), job=toy, log=None, **options):
    return search(job, SPACE, copy.deepcopy(list(known)), count, log or Silent(), EPOCHS, FIRST, **options)


# ------------------------------------------------------------------------------------------ the spaces of the zoo


@pytest.mark.parametrize(("name", "preset"), PLANS)
def test_the_space_holds_the_shipped_recipe_and_nothing_that_cannot_train(name, preset):
    plan = getattr(ZOO[name], preset)
    expressions = space(plan)
    shipped = {key: getattr(plan.recipe, key) for key in expressions}
    given = engine.searcher(expressions, [], [shipped], 0, 0).suggest("first")
    assert engine.plain(given) == shipped
    draws = [sample(as_apply(expressions), np.random.default_rng(seed)) for seed in range(100)]
    for point in draws:
        recipe = replace(plan.recipe, **engine.plain(point))  # a Recipe validates itself
        assert recipe.batch_size <= (plan.images or 10**6)
        assert isinstance(recipe.translate, int)
        assert isinstance(recipe.cutout, int)
    for key, value in shipped.items():
        values = [point[key] for point in draws]
        assert len(set(values)) > 2
        if not engine.options(expressions[key]) and value:
            assert min(values) < value  # around it, or up to it from zero
            assert max(values) > value / 2


def test_no_batch_is_larger_than_the_training_data():
    plan = replace(ZOO["lenet5"].quick, images=100)
    assert engine.options(space(plan)["batch_size"]) == [32, 64]


def test_the_document_s_recipe_is_not_searched_around():
    plan = replace(ZOO["lenet5"].quick, recipe=replace(ZOO["lenet5"].quick.recipe, weight_decay=0.0))
    with pytest.raises(ValueError, match="tuned recipe"):
        space(plan)


# ------------------------------------------------------------------------------------------ this process


@pytest.fixture(scope="module")
def whole() -> list[Trial]:
    return run(14)


def test_a_search_begins_with_the_shipped_point_and_learns(whole):
    assert whole[0].point == FIRST
    assert [trial.number for trial in whole] == list(range(14))
    random, learnt = ([abs(np.log(t.point["x"])) for t in part] for part in (whole[1:8], whole[8:]))
    assert np.median(learnt) < np.median(random)


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 13])
@pytest.mark.parametrize("half", [False, True])
def test_it_goes_on_from_its_records_as_if_never_interrupted(whole, cut, half):
    known = copy.deepcopy(whole[: cut + half])
    if half:
        known[-1] = Trial(cut, known[-1].point, {1: known[-1].scores[1]})  # killed in its second epoch
    assert run(14, known) == whole


def test_it_stops_what_is_worse_than_the_median_of_the_earlier_ones(whole):
    rungs = {1: [], 2: [], 4: []}
    for trial in whole:
        for epoch in sorted(trial.scores):
            if epoch in rungs:
                worse = bool(rungs[epoch]) and trial.scores[epoch] < np.median(rungs[epoch])
                rungs[epoch].append(trial.scores[epoch])
                assert (max(trial.scores) == epoch) == (worse or epoch == EPOCHS)
        assert trial.stopped == (max(trial.scores) < EPOCHS)
    assert 2 < sum(trial.stopped for trial in whole) < 12


def test_one_that_raises_fails_alone_with_one_line():
    trials = run(8, job=partial(toy, raises=lambda point: point["size"] == 64))
    failed = [trial for trial in trials if trial.error]
    assert {trial.point["size"] for trial in failed} == {64}
    assert {trial.error for trial in failed} == {"ValueError: this point always raises"}
    assert all(trial.over for trial in trials)
    assert len(trials) == 8


def test_ctrl_c_ends_the_search():
    def job(point, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(3, job=job)


def test_the_engine_is_there_without_ray_and_hyperopt():
    program = "import sys, dl.engine, dl.models; assert not {'ray', 'hyperopt'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


def test_trials_are_child_runs_that_a_killed_search_takes_up_again(store):
    class Killed(BaseException): ...

    def dies(point, report, at=3, seen=[]):  # noqa: B006 (counts the trials)
        seen.append(point)
        for epoch in (1, 2):
            report({"epoch": epoch, "score": 0.1 * epoch, "metrics": {"val_accuracy": 0.1 * epoch}})
            if len(seen) == at:
                raise KeyboardInterrupt

    with start("search", {"algo": "tpe"}, {"kind": "zoo"}) as parent:
        for attempt in range(2):
            with recording(parent, "zoo / net", {"network": "net"}, dict) as log:
                known = [Trial(**row) for row in log.recall(FIRST)]
                if attempt == 0:
                    with pytest.raises(KeyboardInterrupt), recording(parent, "zoo / net", {"network": "net"}, dict) as log:
                        run(6, job=dies, log=log)
                else:
                    assert [trial.over for trial in known] == [True, True, False]
                    assert known[2].scores == {1: 0.1}
                    trials = run(6, known, job=dies, log=log)
        children = parent.children("trial")
    assert len(children) == len(trials) == 6
    assert sorted(int(child.data.params["trial"]) for child in children) == list(range(6))
    assert {child.info.status for child in children} == {"FINISHED"}


# ------------------------------------------------------------------------------------------ Ray


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine."""
    import ray

    engine.start_ray(num_cpus=2)
    yield Cluster()
    ray.shutdown()
