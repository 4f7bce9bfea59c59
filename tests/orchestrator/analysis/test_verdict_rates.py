"""The benchmark of wrong verdicts works; `make bench-verdicts` has enough runs to say a rate."""

from dataclasses import replace

import pytest

from benchmarks.bench_verdicts import measured, paired, runs_of, scenarios


@pytest.mark.slow
def test_twenty_results_without_an_effect_go_from_the_store_to_a_verdict(tmp_path):
    scenario = scenarios()["noise"]
    scenario = replace(scenario, seeds=4, behaviors=("a",), draw=paired(4, ("a",)))
    happened = [*runs_of(scenario, 20, tmp_path / "noise")]
    assert len(happened) == 20
    supported, contradicted = (sum(c.text in run for run in happened) for c in scenario.counts)
    assert supported <= 4
    assert contradicted <= 3
    assert not any(line.endswith("! |") for line in measured(scenario, happened))


def test_a_share_far_from_its_bound_is_marked():
    scenario = scenarios()["noise"]
    text = scenario.counts[0].text
    (line, _) = measured(scenario, [(text,)] * 30 + [()] * 70)
    assert line.endswith("| any supported | at most 0.05 | 0.300 (0.046) ! |")
