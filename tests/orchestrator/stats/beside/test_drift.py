"""Scores that depend on the launch are noticed, and scores that do not are left alone."""

import numpy as np
import pytest

from orchestrator.stats.beside.drift import drift

ARMS = [a for _ in range(8) for a in ("sft-only", "rho-guided", "shuffled-pairs")]
LEVEL = {"sft-only": 0.0, "rho-guided": 0.5, "shuffled-pairs": -0.3}
SEEDS = [i // 3 for i in range(len(ARMS))]
STARTS = [float(i) for i in range(len(ARMS))]
HOSTS = ["a" if (i // 3) % 2 else "b" for i in range(len(ARMS))]


def scores(rng, error) -> list[float]:
    return [LEVEL[a] + e + 0.05 * rng.normal() for a, e in zip(ARMS, error, strict=True)]


def test_a_slope_over_the_launch_is_named():
    values = scores(np.random.default_rng(0), np.linspace(0, 0.3, 24))
    found = drift(values, ARMS, SEEDS, STARTS, HOSTS)
    assert found.rho > 0.5
    assert found.p_order < 0.01
    assert "drift with the order of the launch (rho 0." in found.warnings[0]


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(1)
    values, mixed = scores(rng, np.linspace(0, 0.3, 24)), rng.permutation(24)
    lists = (values, ARMS, SEEDS, STARTS, HOSTS)
    here, there = drift(*lists), drift(*([x[i] for i in mixed] for x in lists))
    assert there.rho == pytest.approx(here.rho)
    assert there.n == here.n == 24


def test_a_slow_machine_is_named():
    error = [0.2 if h == "a" else 0.0 for h in HOSTS]
    rng = np.random.default_rng(0)
    values = scores(rng, error) + scores(rng, error)
    found = drift(values, ARMS * 2, [i // 3 for i in range(48)], range(48), HOSTS * 2)
    assert found.p_hosts < 0.01
    assert any("between hosts" in w for w in found.warnings)


def test_correlated_neighbours_are_named():
    rng, named = np.random.default_rng(4), 0
    for _ in range(20):
        noise = [0.0]
        for _ in range(95):
            noise.append(0.7 * noise[-1] + rng.normal())
        arms = ARMS * 4
        values = [LEVEL[a] + e for a, e in zip(arms, noise, strict=True)]
        found = drift(values, arms, [i // 3 for i in range(96)], list(range(96)), ["a"] * 96)
        named += bool(found.warnings)
        assert found.p_hosts is None
    assert named >= 18


@pytest.mark.slow
def test_noise_is_left_alone_whatever_the_arms_and_hosts():
    rng, named = np.random.default_rng(5), np.zeros(3)
    runs = 300
    for _ in range(runs):
        found = drift(scores(rng, np.zeros(24)), ARMS, SEEDS, STARTS, HOSTS)
        named += [p <= 0.05 for p in (found.p_order, found.p_serial, found.p_hosts)]
    assert (named / runs < 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5).all()
    assert (named / runs > 0.02).all()


def test_what_the_arms_of_a_seed_share_is_no_drift():
    rng, named, runs = np.random.default_rng(6), np.zeros(2), 200
    for _ in range(runs):
        shared = np.repeat(0.3 * rng.normal(size=8), 3)
        found = drift(scores(rng, shared), ARMS, SEEDS, STARTS, HOSTS)
        named += [p <= 0.05 for p in (found.p_order, found.p_serial)]
    assert (named / runs < 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5).all()


def test_seeds_that_ran_in_other_arms_are_ordered_among_themselves():
    rng = np.random.default_rng(7)
    some = [i for i in range(24) if ARMS[i] != "sft-only" or SEEDS[i] % 2]
    lists = [[x[i] for i in some] for x in (ARMS, SEEDS, STARTS, HOSTS)]
    for along, named in ((0.0, False), (0.5, True)):
        values = scores(rng, np.linspace(0, along, 24))
        found = drift([values[i] for i in some], *lists)
        assert (found.n, found.p_order < 0.01) == (20, named)


def test_arms_on_hosts_of_their_own_say_nothing_of_the_hosts():
    rng = np.random.default_rng(0)
    hosts = ["a" if arm == "sft-only" else "b" for arm in ARMS]
    assert drift(scores(rng, np.zeros(24)), ARMS, SEEDS, STARTS, hosts).p_hosts > 0.9


def test_too_few_cells_give_no_number():
    found = drift([0.1, 0.2, 0.5], ["a", "a", "b"], [1, 2, 1], [1, 2, 3], ["h"] * 3)
    assert (found.n, found.rho, found.p_order, found.warnings) == (2, None, None, ())
    with pytest.raises(ValueError, match="each cell has one"):
        drift([0.1], ["a", "b"], [1, 1], [1, 2], ["h", "h"])
