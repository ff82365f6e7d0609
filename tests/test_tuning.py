"""A search: the same here and on Ray, from the start or from its records, whatever happens to trials and workers."""

import copy
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient

from dl import tuning
from dl.data import street_digits
from dl.data.digits import digits, resplit
from dl.population import Repeat, train
from dl.recipes import ZOO, Plan
from dl.recipes.jobs import Place, train_plan, try_recipe
from dl.recipes.space import recipe_space
from dl.table1 import TABLE1, Config
from dl.train import DivergedError
from dl.tuning import TPE, Choice, Cluster, Halving, Integer, LogUniform, Search, Trial, run_search
from entrypoints.digits_search import __main__ as digits_search
from entrypoints.svhn_zoo import __main__ as svhn_zoo
from entrypoints.svhn_zoo.__main__ import main
from tracking.run import start
from tracking.trials import SearchLog

EPOCHS = 4
SPACE = {"x": LogUniform(math.exp(-3), math.exp(3)), "size": Choice([16, 32, 64]), "shift": Integer(0, 5)}
FIRST = {"x": 2.5, "size": 32, "shift": 2}
SIZES = [32, 64, 64, 32, 16, 64, 16, 64, 64, 64]
XS = [2.5, 2.019612, 0.984193, 9.505918, 0.326449, 0.148978, 9.500157, 11.203685, 0.557425, 0.053082]
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
        score = epoch / EPOCHS - abs(math.log(point["x"])) - 0.01 * point["shift"]
        report({"epoch": epoch, "score": score, "metrics": {"val_accuracy": score, "lr": 0.1}})


def run(count, known=(), job=toy, log=None, **options):
    return run_search(job, Search(SPACE, count, EPOCHS, FIRST), copy.deepcopy(list(known)), log or Silent(), **options)


# ------------------------------------------------------------------------------------------ the spaces of the zoo


@pytest.mark.parametrize(("name", "preset"), PLANS)
def test_the_space_holds_the_shipped_recipe_and_nothing_that_cannot_train(name, preset):
    plan = getattr(ZOO[name], preset)
    dimensions = recipe_space(plan)
    shipped = {key: getattr(plan.recipe, key) for key in dimensions}
    assert Search(dimensions, 1, first=shipped).suggest([]) == shipped
    tpe = TPE(dimensions)
    tpe.tell(shipped, 0.0)
    draws = [tpe.ask(seed) for seed in range(100)]
    for point in draws:
        recipe = replace(plan.recipe, **point)  # a Recipe validates itself
        assert recipe.batch_size <= (plan.images or 10**6)
        assert isinstance(recipe.translate, int)
        assert isinstance(recipe.cutout, int)
    for key, value in shipped.items():
        values = [point[key] for point in draws]
        assert len(set(values)) > 2
        if not isinstance(dimensions[key], Choice) and value:
            assert min(values) < value  # around it, or up to it from zero
            assert max(values) > value / 2


def test_no_batch_is_larger_than_the_training_data():
    plan = replace(ZOO["lenet5"].quick, images=100)
    assert recipe_space(plan)["batch_size"].values == [32, 64]


def test_the_document_s_recipe_is_not_searched_around():
    plan = replace(ZOO["lenet5"].quick, recipe=replace(ZOO["lenet5"].quick.recipe, weight_decay=0.0))
    with pytest.raises(ValueError, match="tuned recipe"):
        recipe_space(plan)


# ------------------------------------------------------------------------------------------ this process


@pytest.fixture(scope="module")
def whole() -> list[Trial]:
    return run(14)


def test_a_search_begins_with_the_shipped_point_and_learns(whole):
    assert whole[0].point == FIRST
    assert [trial.number for trial in whole] == list(range(14))
    random, learnt = ([abs(math.log(t.point["x"])) for t in part] for part in (whole[1:8], whole[8:]))
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


def test_halving_is_the_published_one():
    """Beside Ray's own, on scores that are drawn at random, with trials that report out of turn."""
    from types import SimpleNamespace

    from ray.tune.schedulers import ASHAScheduler

    rng = np.random.default_rng(0)
    for epochs in (1, 2, 3, 5, 8, 13):
        ours = Halving(epochs)
        theirs = ASHAScheduler("epoch", "score", "max", max_t=epochs, grace_period=1, reduction_factor=2)
        running = {n: 0 for n in range(30)}
        for n in running:
            theirs.on_trial_add(None, SimpleNamespace(trial_id=str(n)))
        while running:
            n = int(rng.choice(list(running)))
            running[n] += 1
            score = float(rng.integers(5))
            result = {"epoch": running[n], "score": score}
            expected = theirs.on_trial_result(None, SimpleNamespace(trial_id=str(n)), result) == theirs.STOP
            assert ours.stops(n, running[n], score) == (expected and running[n] < epochs)
            if expected:
                del running[n]


def test_suggestions_are_those_of_the_searches_on_record():
    """Frozen numbers of the searches that were published: another version of hyperopt must not change them."""
    found = run(10)
    assert [trial.point["size"] for trial in found] == SIZES
    assert [round(trial.point["x"], 6) for trial in found] == XS


def test_one_that_raises_fails_alone_with_one_line():
    trials = run(8, job=partial(toy, raises=lambda point: point["size"] == 64))
    failed = [trial for trial in trials if trial.error]
    assert {trial.point["size"] for trial in failed} == {64}
    assert {trial.error for trial in failed} == {"ValueError: this point always raises"}
    assert all(trial.over for trial in trials)
    assert len(trials) == 8


def test_a_fault_of_the_program_ends_the_search_and_its_trial_is_taken_up_again(store):
    def faulty(point, report):
        report({"epoch": 1, "score": 0.1, "metrics": {"val_accuracy": 0.1}})
        if point != FIRST:
            raise AttributeError("no such thing\nwith details")

    with (
        pytest.raises(AttributeError, match="no such thing"),
        start("zoo") as parent,
        SearchLog(parent, "net", {"network": "a"}, dict) as log,
    ):
        run(5, job=faulty, log=log)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(run.info.status for run in runs) == [
        "FAILED",
        "FINISHED",
        "KILLED",
    ]  # the parent, one trial, the other
    [broken] = [run for run in runs if run.info.status == "KILLED"]
    assert broken.data.tags["error"] == "AttributeError: no such thing"
    with start("zoo", resume=parent.id) as parent, SearchLog(parent, "net", {"network": "a"}, dict) as log:
        known = [Trial(**row) for row in log.recall(FIRST)]
        assert [trial.over for trial in known] == [True, False]
        assert [trial.over for trial in run(2, known, log=log)] == [True, True]
        assert {child.info.status for child in parent.children("trial")} == {"FINISHED"}


def test_a_search_without_a_result_names_its_most_frequent_reason():
    assert tuning.explain_failure(["a", "b: c", "b: c"]) == "all 3 trials failed, 2 of them with: b: c"


def test_ctrl_c_ends_the_search():
    def job(point, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(3, job=job)


def test_the_engine_is_there_without_ray_and_hyperopt():
    modules = "dl.tuning, dl.models, dl.table1, dl.landscape, dl.logistic.race"
    program = f"import sys, {modules}; assert not {{'ray', 'hyperopt'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


def test_trials_are_child_runs_that_a_killed_search_takes_up_again(store):
    reports = []

    def job(point, report, deadly=6):
        for epoch in (1, 2):
            report({"epoch": epoch, "score": 0.1 * epoch, "metrics": {"val_accuracy": 0.1 * epoch}})
            reports.append(point)
            if len(reports) == deadly - 1:  # the third trial's first epoch
                raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        start("zoo") as parent,
        SearchLog(parent, "net", {"network": "a"}, dict) as log,
    ):
        run(5, job=job, log=log)
    with start("zoo", resume=parent.id) as parent, SearchLog(parent, "net", {"network": "a"}, dict) as log:
        known = [Trial(**row) for row in log.recall(FIRST)]
        assert [trial.over for trial in known] == [True, True, False]
        assert known[2].scores == {1: 0.1}
        trials = run(5, known, job=job, log=log)
        children = parent.children("trial")
    assert sorted(int(child.data.params["trial"]) for child in children) == list(range(5))
    children = {int(child.data.params["trial"]): MlflowClient().get_run(child.info.run_id) for child in children}
    for trial in trials:
        assert children[trial.number].info.status == "FINISHED"
        assert children[trial.number].data.params["x"] == str(trial.point["x"])
        history = MlflowClient().get_metric_history(children[trial.number].info.run_id, "val_accuracy")
        assert {metric.step: metric.value for metric in history} == trial.scores
        assert len(history) == len(trial.scores)


# ------------------------------------------------------------------------------------------ Ray


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine, and a GPU that only Ray believes in; they get the jobs of this file without having
    to import it."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield Cluster()
    ray.shutdown()


def once(path: Path) -> bool:
    """True in one process, once."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def mixed(point, report, folder: Path, plan: Plan, data):
    """What may happen to a trial, by its point: it raises, its worker dies once, always, or not at all."""
    what, name = point["what"], f"{point['what']} {point['lr']}"

    def tell(values):
        with open(folder / f"{name}.log", "a") as file:
            file.write(f"{os.getpid()} {values['epoch']}\n")
        report(values)
        if values["epoch"] == 2 and (what == "dies always" or (what == "dies once" and once(folder / f"{name}.died"))):
            os.kill(os.getpid(), signal.SIGKILL)

    with open(folder / f"{name}.log", "a") as file:
        file.write("began\n")
    if what == "raises":
        raise ValueError("not a good point")
    try_recipe({"lr": point["lr"]}, tell, plan=plan, data=data, place=Place("cpu", folder / name))


def test_what_happens_to_workers_and_trials(store, tmp_path, cluster, monkeypatch):
    """Workers that die, points that raise, and those that end well: one child run each, with every epoch once."""
    monkeypatch.setattr("dl.tuning.cluster.MAX_FAILURES", 1)
    data = street_digits(64, n_val=32, n_test=8)
    plan = Plan(ZOO["lenet5"].quick.build, replace(ZOO["lenet5"].quick.recipe, epochs=4, batch_size=16))
    job = partial(mixed, folder=tmp_path, plan=plan, data=data)
    fates = ["raises", "dies once", "dies always", "well"]
    dimensions = {"what": Choice(fates), "lr": LogUniform(1e-3, 1e-2)}
    left = [Trial(n, {"what": fate, "lr": 2e-3}) for n, fate in enumerate(fates)]  # as by a search that was killed
    with start("zoo") as parent, SearchLog(parent, "net", {"network": "lenet5"}, dict) as log:
        trials = run_search(job, Search(dimensions, 4), left, log, cluster)
        children = {child.data.params["what"]: child for child in parent.children("trial")}
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len(children) == 4

    assert {what: child.info.status for what, child in children.items()} == {
        "raises": "FAILED", "dies always": "FAILED", "dies once": "FINISHED", "well": "FINISHED",
    }  # fmt: skip
    assert children["raises"].data.tags["error"] == "ValueError: not a good point"
    assert (tmp_path / "raises 0.002.log").read_text().split() == ["began"]  # not tried again
    assert children["dies always"].data.tags["error"] == "its worker died 2 times"

    here = []  # the same training, never interrupted, in this process
    torch.set_num_threads(1)
    tell = lambda values: here.append(values["metrics"]["val_loss"])  # noqa: E731
    try_recipe({"lr": 2e-3}, tell, plan=plan, data=data, place=Place("cpu", tmp_path / "here"))
    for what in ("dies once", "well"):
        history = MlflowClient().get_metric_history(children[what].info.run_id, "val_loss")
        assert [(metric.step, metric.value) for metric in history] == list(enumerate(here, 1))
        assert children[what].data.tags["trial_id"]
    lines = (tmp_path / "dies once 0.002.log").read_text().splitlines()
    assert lines.count("began") == 2
    assert len({line.split()[0] for line in lines if line != "began"}) == 2  # two workers


def test_a_fault_of_the_program_ends_a_search_on_ray_with_the_workers_traceback(store, cluster):
    def faulty(point, report):
        report({"epoch": 1, "score": 0.1, "metrics": {"val_accuracy": 0.1}})
        if point != FIRST:
            raise AttributeError("no such thing")

    with (
        pytest.raises(tuning.BrokenJobError, match="AttributeError: no such thing") as caught,
        start("zoo") as parent,
        SearchLog(parent, "net", {"network": "a"}, dict) as log,
    ):
        run(6, job=faulty, log=log, cluster=cluster)
    assert "in faulty" in str(caught.value)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in runs if run.info.run_id != parent.id} <= {"FINISHED", "KILLED"}
    assert len(runs) < 7
    broken = [run for run in runs if run.info.status == "KILLED"]
    assert {run.data.tags["error"] for run in broken} == {"BrokenJobError: AttributeError: no such thing"}


def test_the_same_halving_on_ray(store, cluster):
    """Whatever order the reports of two workers come in, what is stopped is what `Halving` says of that order."""
    reports = []
    with start("zoo") as parent, SearchLog(parent, "net", {"network": "a"}, dict) as log:
        known = run(3, log=log)
        on_record, log.epoch = log.epoch, lambda *report: (reports.append(report), on_record(*report))
        trials = run(8, known, log=log, cluster=cluster)
        children = {int(child.data.params["trial"]): child for child in parent.children("trial")}
    assert sorted(children) == list(range(8))
    halving = Search(SPACE, 8, EPOCHS).halving(known)
    stopped = {t.number for t, epoch, metrics in reports if halving.stops(t.number, epoch, metrics["val_accuracy"])}
    assert stopped == {trial.number for trial in trials[3:] if trial.stopped} != set()
    for trial in trials:
        assert ("stopped_early" in children[trial.number].data.tags) == trial.stopped
        assert trial.stopped == (max(trial.scores) < EPOCHS)


def test_a_cluster_that_is_too_small_is_said_in_a_line(cluster):
    with pytest.raises(ValueError, match="a trial wants 3 CPU, the whole cluster has 2"):
        run(1, cluster=replace(cluster, cpus=3))
    with pytest.raises(ValueError, match="a trial wants 2 GPU, the whole cluster has 1"):
        run(1, cluster=replace(cluster, gpus=2))


@pytest.mark.parametrize(("gpus", "shared"), [(0.5, True), (1.0, False)])
def test_trials_share_a_gpu_by_fractions(cluster, tmp_path, gpus, shared):
    """Two trials, one GPU: with halves of it they meet there, with the whole of it the second one waits."""

    def job(point, report):
        (tmp_path / f"{point['x']} began").touch()
        until = time.monotonic() + (60 if shared else 3)
        while len(list(tmp_path.glob("* began"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        met = len(list(tmp_path.glob("* began"))) - len(list(tmp_path.glob("* ended")))
        report({"epoch": 1, "score": float(met), "metrics": {"gpu": int(os.environ["CUDA_VISIBLE_DEVICES"])}})
        (tmp_path / f"{point['x']} ended").touch()

    seen = []
    log = Silent()
    log.epoch = lambda trial, epoch, metrics: seen.append(metrics["gpu"])
    trials = tuning.run_points(job, [{"x": 1}, {"x": 2}], log, replace(cluster, cpus=0.5, gpus=gpus))
    assert [trial.error for trial in trials] == ["", ""]
    assert seen == [0, 0]  # both on the only one
    assert max(trial.score for trial in trials) == (2 if shared else 1)


# ------------------------------------------------------------------------------------------ svhn_zoo


TINY = ["--models", "lenet5", "--dataset", "street-digits", "--images", "192", "--epochs", "4", "--device", "cpu"]


def zoo(*arguments: str):
    return CliRunner().invoke(main, [*TINY, *arguments])


def runs(kind: str) -> list:
    return mlflow.search_runs(search_all_experiments=True, output_format="list", filter_string=f"tags.kind = '{kind}'")


def check_zoo(count: int) -> None:
    """The whole record of a finished search of LeNet-5: exact in number, nothing RUNNING, the better one registered."""
    [top] = runs("zoo")
    everything = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert {run.data.tags.get("mlflow.parentRunId") for run in everything} == {None, top.info.run_id}
    trials = runs("trial")
    assert sorted(int(run.data.params["trial"]) for run in trials) == list(range(count))
    whole = [run for run in trials if "stopped_early" not in run.data.tags]
    for run in trials:
        steps = [m.step for m in MlflowClient().get_metric_history(run.info.run_id, "val_accuracy")]
        assert steps == list(range(1, len(steps) + 1))  # every epoch once
        assert (len(steps) == 2) == (run in whole)
        assert run.data.params["epochs"] == "2"
    best = max(whole, key=lambda run: (run.data.metrics["val_accuracy"], -int(run.data.params["trial"])))
    networks = {run.data.tags["recipe"]: run for run in runs("network")}
    shipped, found = networks["tuned"], networks.get("found")
    assert (found is None) == (best.data.params["trial"] == "0")
    if found:
        assert found.data.params["lr"] == best.data.params["lr"]
        assert "the best recipe of the search (" in top.data.tags["mlflow.note.content"]
    scores = {run.info.run_id: run.data.metrics["val_accuracy"] for run in networks.values()}
    version = MlflowClient().get_model_version_by_alias("street-digits-lenet5", "champion")
    assert scores[version.run_id] == max(scores.values())
    assert shipped.data.params["epochs"] == "4"
    assert not Path("checkpoints").exists()


def test_the_zoo_searches_and_the_better_recipe_goes_on(store, monkeypatch):
    def interrupted(point, report, **work):
        if point["lr"] != ZOO["lenet5"].quick.recipe.lr:
            raise KeyboardInterrupt
        try_recipe(point, report, **work)

    monkeypatch.setattr("entrypoints.svhn_zoo.searching.try_recipe", interrupted)
    assert zoo("--search", "4").exit_code == 1
    [top] = runs("zoo")
    assert [run.info.status for run in (top, *runs("trial"))] == ["KILLED", "KILLED", "FINISHED"]

    spaces = top.data.tags["spaces"]
    MlflowClient().set_tag(top.info.run_id, "spaces", '{"lenet5": "another"}')
    result = zoo("--resume", top.info.run_id)
    assert result.exit_code == 2
    assert "searched another space than this program has for lenet5" in result.output.splitlines()[-1]
    MlflowClient().set_tag(top.info.run_id, "spaces", spaces)

    monkeypatch.setattr("entrypoints.svhn_zoo.searching.try_recipe", try_recipe)
    result = zoo("--resume", top.info.run_id)
    assert result.exit_code == 0, result.output
    assert "LeNet-5 trial 3:" in result.output
    check_zoo(4)


def failing(point, report, how: str, **work):
    """Every trial fails; or the first one does after a promising epoch, beside which the others are stopped."""
    if how == "all fail":
        raise MemoryError(f"no room for batches of {point['batch_size']}"[:11])
    first = point["lr"] == ZOO["lenet5"].quick.recipe.lr
    report({"epoch": 1, "score": float(first), "metrics": {"val_accuracy": float(first)}})
    if first:
        raise ArithmeticError("too large")


@pytest.mark.parametrize(
    ("how", "exit_code", "says"),
    [
        ("all fail", 1, "search for a recipe: all 3 trials failed, 3 of them with: MemoryError: no room for"),
        ("the rest is stopped", 0, "no trial was trained to its end, 1 failed and the others were stopped early"),
    ],
)
def test_a_search_that_found_nothing_says_why(store, monkeypatch, how, exit_code, says):
    monkeypatch.setattr("entrypoints.svhn_zoo.searching.try_recipe", partial(failing, how=how))
    result = zoo("--search", "3")
    assert result.exit_code == exit_code, result.output
    [top] = runs("zoo")
    assert top.info.status == ("FAILED" if exit_code else "FINISHED")
    assert says in top.data.tags["mlflow.note.content"]
    assert "was better than the shipped recipe" not in top.data.tags["mlflow.note.content"]
    assert [run.info.status for run in runs("network")] == ["FINISHED"]  # the shipped recipe, trained all the same
    if exit_code:
        assert "all 3 trials failed, 3 of them with: MemoryError" in result.output.splitlines()[-1]
        assert "all 3 trials failed" in top.data.tags["error"]


@pytest.mark.parametrize("end", ["dies", "diverges"])
def test_a_network_that_failed_on_a_worker_is_failed_and_not_trained_again(store, cluster, monkeypatch, end):
    def job(point, report, **work):
        if "seed1" in point["network"]:
            if end == "diverges":
                raise DivergedError("loss nan in epoch 1 of 4")
            os.kill(os.getpid(), signal.SIGKILL)
        train_plan(point, report, **work)

    monkeypatch.setattr("dl.tuning.cluster.MAX_FAILURES", 0)
    monkeypatch.setattr("entrypoints.svhn_zoo.on_ray.train_plan", job)
    result = zoo("--seeds", "2", "--engine", "ray")
    reason = "its worker died 1 times" if end == "dies" else "DivergedError: loss nan in epoch 1 of 4"
    assert result.exit_code == 1, result.output
    assert f"LeNet-5, seed 1: {reason}" in result.output
    assert "1 of 2 networks failed: LeNet-5, seed 1" in result.output.splitlines()[-1]
    networks = {run.data.params["seed"]: run for run in runs("network")}
    assert {seed: run.info.status for seed, run in networks.items()} == {"0": "FINISHED", "1": "FAILED"}
    assert networks["1"].data.tags["error"] == reason
    assert "test_accuracy" not in networks["1"].data.metrics
    assert runs("zoo")[0].info.status == "FAILED"

    if end == "dies":  # the machine's fault: with a worker that lives it is trained after all
        monkeypatch.setattr("entrypoints.svhn_zoo.on_ray.train_plan", train_plan)
        again = zoo("--seeds", "2", "--engine", "ray", "--resume", runs("zoo")[0].info.run_id)
        assert again.exit_code == 0, again.output
        assert {run.info.status for run in runs("network")} == {"FINISHED"}


def killed(arguments: list[str], ready: Callable[[], bool]) -> str:
    """A zoo on a Ray of its own whose process is killed as soon as it is `ready`; the id of its run."""
    command = [sys.executable, "-m", "entrypoints.svhn_zoo", *TINY, *arguments, "--engine", "ray"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not ready():
            time.sleep(0.05)
        assert process.poll() is None, "ended by itself"
    finally:
        process.kill()
        process.wait()
    return runs("zoo")[0].info.run_id


def test_networks_whose_driver_was_killed_go_on_from_their_checkpoints(store, cluster):
    arguments = ["--images", "3000", "--epochs", "6", "--seeds", "2"]
    run_id = killed(arguments, lambda: any("val_accuracy" in run.data.metrics for run in runs("network")))
    began = {run.info.run_id for run in runs("network")}
    assert "FINISHED" not in {run.info.status for run in runs("network")}
    result = zoo(*arguments, "--resume", run_id)
    assert result.exit_code == 0, result.output
    everything = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in everything} == {"FINISHED"}
    networks = runs("network")
    assert began <= {run.info.run_id for run in networks}
    assert {run.info.run_name: run.data.params["seed"] for run in networks} == {
        f"LeNet-5, seed {seed}": str(seed) for seed in (0, 1)
    }
    assert {(run.data.params["epochs"], run.data.params["images"]) for run in networks} == {("6", "3000")}
    for run in networks:
        steps = [m.step for m in MlflowClient().get_metric_history(run.info.run_id, "val_accuracy")]
        assert steps == list(range(1, 7))
    assert not Path("checkpoints").exists()


def test_a_driver_that_was_killed_goes_on_with_exactly_what_is_missing(store, cluster):
    run_id = killed(["--search", "5"], lambda: "FINISHED" in {run.info.status for run in runs("trial")})
    before = {run.info.run_id: run for run in runs("trial") if run.info.status == "FINISHED"}
    assert len(before) < 5
    result = zoo("--resume", run_id)
    assert result.exit_code == 0, result.output
    check_zoo(5)
    for run_id, run in before.items():
        after = MlflowClient().get_run(run_id)
        assert (after.info.end_time, after.data.metrics) == (run.info.end_time, run.data.metrics)


def test_digits_on_ray(store, cluster):
    arguments = ["--trials", "3", "--repeats", "2", "--epochs", "1", "--engine", "ray", "--device", "cpu"]
    result = CliRunner().invoke(digits_search.main, arguments)
    assert result.exit_code == 0, result.output
    trials = runs("trial")
    assert sorted(int(run.data.params["trial"]) for run in trials) == list(range(3))
    for run in trials:
        assert run.info.status == "FINISHED"
        config = Config(**{key: type(values[0])(run.data.params[key]) for key, values in TABLE1.items()})
        seeds = [int(seed) for seed in run.data.params["split_seeds"].split()]
        history = train([config], [Repeat(resplit(digits(), seed), seed) for seed in seeds], 1)  # in this process
        assert run.data.metrics["val_loss"] == pytest.approx(history.val_loss.mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (svhn_zoo, ["--search", "-1"], "--search"),
        (svhn_zoo, ["--gpus-per-trial", "2"], "--gpus-per-trial 2 would do nothing: add --engine ray"),
        (digits_search, ["--cpus-per-trial", "2"], "--cpus-per-trial 2 would do nothing: add --engine ray"),
        (digits_search, ["--engine", "ray", "--batch", "3"], "--batch would do nothing: on Ray"),
        (svhn_zoo, ["--engine", "mesos"], "'mesos' is not one of 'local', 'ray'"),
        (svhn_zoo, ["--recipe", "document", "--search", "2"], "around a tuned recipe"),
        (svhn_zoo, ["--engine", "ray", "--gpus-per-trial", "1", "--device", "cpu"], "contradict each other"),
        (svhn_zoo, ["--engine", "ray", "--gpus-per-trial", "-1"], "--gpus-per-trial"),
        (svhn_zoo, ["--engine", "ray", "--cpus-per-trial", "0"], "--cpus-per-trial"),
        (svhn_zoo, ["--engine", "ray", "--cpus-per-trial", "3"], "a trial wants 3 CPU, the whole cluster has 2"),
        (digits_search, ["--engine", "ray", "--algo", "random"], "searches with tpe, not with random"),
        (digits_search, ["--engine", "ray", "--exhaustive", "True"], "--exhaustive trains here"),
    ],
)
def test_a_mistake_is_one_line_and_no_run(store, cluster, command, arguments, message):
    result = CliRunner().invoke(command.main, arguments)
    assert result.exit_code in (1, 2)
    assert message in result.output.splitlines()[-1]
    assert isinstance(result.exception, SystemExit)
    assert not mlflow.search_runs(search_all_experiments=True, output_format="list")
