"""Suggestions are a pure function of the history; statements about the best keep what they promise."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dl.claims import MNIST, judge_q3_data, judge_q3_table2
from dl.ranking import compare, grid_regret, noise_groups, regret
from dl.table1 import GRID, PLACE, TABLE1, TABLE2, simulate, suggest


def bowl(config) -> float:
    """A smooth loss, least at table 2's configuration."""
    steps = [
        values.index(getattr(config, name)) - values.index(getattr(TABLE2, name)) for name, values in TABLE1.items()
    ]
    return 0.05 + 0.1 * float(np.dot(steps, steps))


BOWL = np.array([bowl(config) for config in GRID])


def history_of(count: int, algo: str = "random") -> list:
    return [(config, bowl(config)) for config in suggest([], count, algo)]


def test_the_grid_is_table_1():
    assert len(GRID) == len(set(GRID)) == 1400
    assert GRID[PLACE[TABLE2]] == TABLE2
    for name, values in TABLE1.items():
        assert {getattr(config, name) for config in GRID} == set(values)


@pytest.mark.parametrize("algo", ["tpe", "random"])
def test_suggestions_are_a_pure_function_of_history_and_seed(algo):
    history = history_of(22)
    first = suggest(history, 3, algo, seed=5)
    suggest(history_of(7), 2, algo, seed=5)  # another search in between leaves no trace
    assert suggest(history, 3, algo, seed=5) == first
    assert suggest(history[:5], 3, algo, seed=5) != suggest(history[:5], 3, algo, seed=6)
    assert set(first) <= set(GRID)


def test_tpe_listens_to_the_losses():
    history = history_of(25)
    upside_down = [(config, -loss) for config, loss in history]
    assert suggest(history, 2) != suggest(upside_down, 2)


def test_a_batch_is_what_single_suggestions_beside_pending_trials_would_be():
    history = history_of(21)
    assert suggest(history, 4)[:2] == suggest(history, 2)


def test_nothing_is_suggested_twice_and_the_table_can_be_exhausted():
    history = [(config, bowl(config)) for config in GRID[:1397]]
    assert set(suggest(history, 10, "random")) == set(GRID[1397:])
    assert suggest([(config, 1.0) for config in GRID], 1, "random") == []
    assert len(set(suggest([], 100, "random"))) == 100


@pytest.mark.parametrize("cut", [0, 6, 18, 24])
def test_a_search_goes_on_from_its_records_as_if_never_interrupted(cut):
    def search(known):
        history = list(known)
        while len(history) < 30:
            history += [(config, bowl(config)) for config in suggest(history, 6, "tpe", 1)]
        return history

    whole = search([])
    assert search(whole[:cut]) == whole


def test_failed_trials_count_as_bad_ones():
    history = history_of(22)
    failed = [(config, None if i % 3 else loss) for i, (config, loss) in enumerate(history)]
    assert len(suggest(failed, 2)) == 2


def test_random_search_gives_every_value_its_share():
    configs = [config for seed in range(10) for config in suggest([], 40, "random", seed)]
    for name, values in TABLE1.items():
        counts = Counter(getattr(config, name) for config in configs)
        expected = len(configs) / len(values)
        assert all(abs(counts[value] - expected) < 4.5 * expected**0.5 for value in values), (name, counts)


def test_unknown_algorithms_are_refused():
    with pytest.raises(KeyError):
        suggest([], 1, "grid")


def test_a_simulated_search_walks_downhill_and_tpe_beats_random():
    reached = {}
    for algo in ("tpe", "random"):
        paths = [BOWL[simulate(BOWL, algo, 40, 5, seed)] for seed in range(3)]
        assert all((np.diff(path) <= 0).all() for path in paths)
        reached[algo] = np.mean([path[-1] for path in paths])
    assert reached["tpe"] < reached["random"]


def test_regret_is_zero_for_a_grid_without_noise_and_never_negative():
    tables = np.stack([BOWL, BOWL, BOWL])
    assert grid_regret(tables).max() == 0
    result = regret(tables, "random", 30, 6, 4)
    assert result.seen.shape == (4, 30)
    assert result.seen.min() >= 0
    assert (np.diff(result.seen, axis=1) <= 0).all()
    np.testing.assert_array_equal(result.seen, result.new)


def test_luck_on_the_split_that_was_seen_earns_nothing():
    luck = np.random.default_rng(0).permuted(np.stack([BOWL, BOWL]), axis=1)  # splits that have nothing in common
    result = regret(luck, "random", 100, 6, 30)
    assert result.seen[:, -1].mean() < 0.5 * result.seen[:, 0].mean()
    assert result.new[:, -1].mean() > 0.6 * result.new[:, 0].mean()


def noisy(seed: int, mean: np.ndarray, spread: np.ndarray, repeats: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 2, repeats)  # a hard split is hard for all
    return mean[:, None] + hard + rng.normal(size=(len(mean), repeats)) * spread[:, None]


def test_the_best_is_kept_and_the_hopeless_are_not():
    mean = np.concatenate([[-0.05], np.zeros(9), np.linspace(0.1, 4, 50)])
    groups = np.arange(60) % 4
    spread = np.array([0.1, 0.2, 0.4, 0.8])[groups]
    kept, covered, hopeless = 0, 0, 0
    for seed in range(60):
        result = compare(noisy(seed, mean, spread), groups, draws=300)
        kept += result.best[0]
        hopeless += result.best[mean > 3.5].sum()
        low, high = result.ranks(20)
        covered += low <= 21 <= high
    assert kept >= 57
    assert covered >= 57
    assert hopeless == 0


def test_with_little_noise_one_is_best_and_ranks_are_sharp():
    mean = np.linspace(0, 1, 40)
    result = compare(noisy(0, mean, np.full(40, 1e-4)), np.zeros(40, int))
    assert result.best.tolist() == [True] + [False] * 39
    assert result.ranks(7) == (8, 8)


def test_what_a_repeat_does_to_all_changes_nothing():
    scores = noisy(1, np.linspace(0, 1, 30), np.full(30, 0.2))
    moved = scores + np.array([10.0, -3.0, 0.5])
    first, second = (compare(s, np.zeros(30, int)) for s in (scores, moved))
    assert first.best.tolist() == second.best.tolist()
    np.testing.assert_allclose(first.error, second.error)


@pytest.mark.parametrize("scores", [np.zeros((5, 1)), np.full((5, 3), np.nan)])
def test_comparisons_need_finite_repeats(scores):
    with pytest.raises(ValueError, match="two repeats"):
        compare(scores, np.zeros(5, int))


def test_noise_is_pooled_over_the_shapes():
    groups = noise_groups(GRID)
    assert np.bincount(groups).tolist() == [35] * 40
    assert groups[PLACE[TABLE2]] == groups[PLACE[replace(TABLE2, h1=128, h2=128)]]


def finding(**changes) -> dict:
    common = {"measure": "loss", "in_best": True, "contenders": 30, "rank": 9, "rank_low": 1, "rank_high": 80}
    return common | {"gap": 0.01, "gap_error": 0.02, "p": 0.3, "p_rival": 0.001, "repeats": 3} | changes


@pytest.mark.parametrize(
    ("findings", "tried", "verdict"),
    [
        ([finding(in_best=False), finding(in_best=False)], 1400, "refuted"),
        ([finding(in_best=False)], 6, "refuted"),
        ([finding(in_best=False), finding()], 1400, "depends"),
        ([finding(), finding()], 1400, "depends"),
        ([finding(), finding()], 6, "not tested"),
        ([finding(contenders=1, rank=1)], 1400, "confirmed"),
    ],
)
def test_table_2_is_judged_by_its_place(findings, tried, verdict):
    assert judge_q3_table2(findings, tried, 1400).verdict == verdict


def test_the_data_are_judged_by_what_they_are():
    ours = {"images": 1797, "height": 8, "width": 8, "largest value": 16, "source": "UCI"}
    assert judge_q3_data(ours).verdict == "refuted"
    assert judge_q3_data(MNIST | {"source": "NIST"}).verdict == "confirmed"
