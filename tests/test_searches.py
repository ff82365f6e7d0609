"""Searches on recorded truth: exact expectations match enumeration and simulation, intervals cover planted truths."""

from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest
import torch

from dl.population import History
from dl.searches import allocate, beats, best_quantile, chances_to_be_best, expected_best, halve, replay
from dl.table1 import GRID, PLACE, TABLE1_SPACE, Config, simulate
from dl.tuning import TPE
from docs.results import searches
from entrypoints.digits_search.grid import save_table
from tests.test_search import BOWL
from tracking.run import start

SCORES = np.random.default_rng(0).permutation(np.arange(7.0) ** 2)
JUDGED = np.random.default_rng(1).normal(size=7)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_what_random_search_expects_is_the_mean_over_all_subsets(n):
    subsets = [list(chosen) for chosen in combinations(range(7), n)]
    best = [chosen[int(np.argmin(SCORES[chosen]))] for chosen in subsets]
    assert expected_best(SCORES, SCORES, [n])[0] == pytest.approx(SCORES[best].mean())
    assert expected_best(SCORES, JUDGED, [n])[0] == pytest.approx(JUDGED[best].mean())
    for q in (0.01, 0.5, 0.99):
        below = [(SCORES[best] <= v).mean() for v in np.sort(SCORES)]
        assert best_quantile(SCORES, [n], q)[0] == np.sort(SCORES)[np.argmax(np.array(below) >= q - 1e-12)]
        both = np.stack([SCORES, SCORES + 5])
        below = [(both[:, best] <= v).mean() for v in np.sort(both.ravel())]
        assert best_quantile(both, [n], q)[0] == np.sort(both.ravel())[np.argmax(np.array(below) >= q - 1e-12)]


def test_with_few_trials_of_many_it_is_the_papers_formula_with_replacement():
    i = np.arange(1400)
    with_replacement = ((1400 - i) / 1400) ** 5 - ((1399 - i) / 1400) ** 5
    np.testing.assert_allclose(chances_to_be_best(5, 1400), with_replacement, atol=3e-5)
    assert chances_to_be_best(1400, 1400)[0] == 1


@pytest.mark.parametrize("algo", ["tpe", "random"])
def test_a_replay_is_the_search_that_the_command_runs(algo):
    found = replay(TPE(TABLE1_SPACE, algorithm=algo), BOWL[None], 40, 3)
    assert found.tolist() == simulate(BOWL, algo, 40, 1, 3).tolist()


class Stubborn:
    """Asks for the same point for ever, and remembers what it was told."""

    def __init__(self):
        self.told = []

    def ask(self, seed):
        return asdict(GRID[0])

    def tell(self, point, loss):
        self.told.append((PLACE[Config(**point)], loss))


def test_no_trial_is_spent_twice_and_resampled_splits_take_turns():
    tables = np.stack([np.arange(1400.0), 5000 - np.arange(1400.0)])
    stubborn = Stubborn()
    incumbents = replay(stubborn, tables, 9, 0)
    places, losses = zip(*stubborn.told, strict=True)
    assert len(set(places)) == 9
    assert list(losses) == [tables[t % 2, place] for t, place in enumerate(places)]
    assert set(incumbents) == {0}


def test_halving_tries_more_for_the_same_epochs_and_keeps_only_the_fully_trained():
    final = np.random.default_rng(0).permutation(1400) / 1400
    losses = final[:, None] + np.linspace(1, 0, 30)  # what is best early stays best
    halved = np.array([final[halve(losses, 20, seed)] for seed in range(20)])
    assert (np.diff(halved, axis=1) <= 0).all()
    assert halved.mean(0)[-1] < 0.5 * expected_best(final, final, [20])[0]
    assert halve(losses, 1, 0)[0] == np.random.default_rng(0).permutation(1400)[0]  # one training: the first
    assert set(final[halve(losses[:3], 9, 0)][-3:]) == {final[:3].min()}  # all were tried


@pytest.mark.parametrize("ties", [0.0, 0.4])
def test_the_interval_of_p_a_beats_b_covers_what_was_planted(ties):
    rng, truth, covered = np.random.default_rng(0), 0.7, 0
    for _ in range(400):
        tied = rng.random(200) < ties
        a = np.where(tied, 0.0, np.where(rng.random(200) < truth, -1.0, 1.0))
        p, low, high = beats(a, np.zeros(200))
        covered += low <= ties / 2 + (1 - ties) * truth <= high
        assert low < p < high
    assert covered >= 390
    assert beats(np.zeros(50), np.zeros(50))[0] == 0.5
    assert beats(np.zeros(50), np.ones(50))[1] > 0.85  # never lost: the interval is no point


def test_a_budget_is_spent_where_it_pays():
    clean = np.repeat(np.repeat(BOWL[None, :, None], 4, 0), 8, 2)
    one, two = (allocate(clean, k, 8, [20])[0] for k in (1, 2))  # nothing to average out: more trials
    assert one < two == pytest.approx(expected_best(BOWL, BOWL, [10])[0])
    assert allocate(clean, 1, 2, [20])[0] == pytest.approx(expected_best(BOWL, BOWL, [80])[0])
    rng, found = np.random.default_rng(0), []
    for _ in range(20):
        noisy = clean + rng.normal(0, 1.0, clean.shape)
        found.append([allocate(noisy, k, 8, [900])[0] for k in (1, 3)])
    one, three = np.mean(found, 0)  # by then more trials find luck
    assert three < one
    assert np.isnan(allocate(clean, 1, 8, [1401, 0.5])).all()  # there are no more; not one


def test_the_script_reads_what_the_command_recorded(store):
    losses = np.random.default_rng(0).uniform(0.1, 1, (3, 1400, 4))
    losses[0, 7, 3] = np.nan
    ids = []
    for first in (0, 2):
        with start("grid", {}, {"kind": "grid"}) as run:
            ids.append(run.id)
            for loss in losses[first : first + 2 - first // 2]:
                curves = torch.from_numpy(loss)[:, None]
                with run.child(f"repeat {loss[0, 0]}", {}, {"kind": "repeat"}) as child:
                    save_table(child, History(curves, curves, curves))
    found = searches.recorded_losses(ids)
    assert found[0, 7, 3] == found.max()
    losses[0, 7, 3] = found.max()
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    regrets = {
        name: searches.simulated_regrets(found, search, 30, 2)
        for name, search in searches.searchers().items()
        if "hyperopt" in name or "random" in name
    }
    assert all((values >= 0).all() for values in regrets.values())
    for text in (
        searches.write_expected(found),
        searches.write_allocations(found),
        searches.write_searches("", regrets, [*regrets], searches.mean_and_error),
    ):
        lines = text.splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert searches.draw(found).axes
    with start("none", {}, {"kind": "grid"}) as run, pytest.raises(SystemExit, match="two splits"):
        searches.recorded_losses([run.id])


def test_optunas_samplers_are_told_what_was_tried_instead():
    pytest.importorskip("optuna", reason="needs Optuna: pip install -r requirements-benchmark.txt")
    peer = searches.OptunaSearcher("TPESampler", 0)
    path = BOWL[replay(peer, BOWL[None], 30, 0)]
    assert (np.diff(path) <= 0).all()
    complete = [trial for trial in peer._study.trials if trial.value is not None]
    assert len({tuple(trial.params.values()) for trial in complete}) == len(complete) == 30
    other = searches.OptunaSearcher("TPESampler", 0)
    assert BOWL[replay(other, BOWL[None], 30, 0)].tolist() == path.tolist()


def test_without_optuna_its_rows_are_left_out_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(searches, "absent", lambda package: f"no {package} here")
    assert not any("Optuna" in name for name in searches.searchers())
    assert capsys.readouterr().err == "no optuna here\n"
