"""A multiple-choice set in a sweep file: found, checked, estimated, brought to hosts."""

import json
from pathlib import Path

import pytest

from orchestrator.cells.expand import expand
from orchestrator.cells.resolve import FileResolver
from orchestrator.cluster.assets import of_sweep
from orchestrator.config.sweep_file import as_text, parse
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import SweepError
from orchestrator.execution.scheduling.speed import cell_work
from tests.builders import expanded, parsed

SWEEP = """\
name: s
model: tiny
grid: {{condition: [sft-only], seed: [1, 2]}}
data: {{size: 20}}
probes: {{train: [factual], evaluate: [factual]}}
train: {{max_length: 64}}
{more}
"""
NAME = "evaluate: {capability: set.jsonl}"
ITEM = {"query": "The sky is", "choices": ["blue", "cold"], "gold": 0}


def sweep_in(folder: Path, *rows, more: str = NAME):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "set.jsonl").write_text(text)
    return parse(parse_yaml(SWEEP.format(more=more), "sweep.yaml", folder))


def test_every_cell_and_the_untrained_model_answer_the_set(tmp_path):
    sweep = sweep_in(tmp_path, ITEM)
    path = str(tmp_path / "set.jsonl")
    assert f"capability: {path}" in as_text(sweep)
    found, problems = expand(sweep, FileResolver(download=False))
    assert not problems
    assert {s.capability.name for s in found.all} == {path}
    assert {s.capability.texts for s in found.all} == {2}
    without, _ = expand(sweep_in(tmp_path, ITEM, more=""), FileResolver(download=False))
    assert {s.cell_id for s in without.all}.isdisjoint(s.cell_id for s in found.all)
    assert [s.training_id for s in without.cells] == [s.training_id for s in found.cells]
    assert len({s.arm_id for s in found.cells}) == 1


def test_a_plan_names_the_set(tmp_path, rho_sweep):
    sweep_in(tmp_path, ITEM)
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(more=NAME))
    said = rho_sweep("plan", tmp_path / "sweep.yaml").out
    assert f"asked    {tmp_path}/set.jsonl: 2 choices, of each cell" in said


def test_what_is_wrong_with_a_set_or_too_long_is_told_before_a_launch(tmp_path):
    long = ITEM | {"query": "word " * 80}
    resolver = FileResolver(download=False)
    found, problems = expand(sweep_in(tmp_path, ITEM, long), resolver)
    assert not problems
    note = f"{tmp_path}/set.jsonl: 1 of 2 items do not fit into 64 tokens (train.max_length)"
    assert f"{note}, and are left out" in resolver.notes(found.cells[0])
    for rows, said in (
        ((ITEM, ITEM | {"gold": 2}), 'set.jsonl:2: "gold" must be the place'),
        ((long,), "none of its items fits into 64 tokens; raise train.max_length"),
    ):
        (problem,) = expand(sweep_in(tmp_path, *rows), FileResolver(download=False))[1]
        assert said in str(problem)
        assert "evaluate.capability" in str(problem)


def test_a_set_costs_what_its_texts_cost(tmp_path):
    resolvers = [FileResolver(download=False) for _ in range(2)]
    many = [ITEM | {"choices": [f"{n}", "cold"]} for n in range(300)]
    (with_set, _), (without, _) = (
        expand(sweep_in(tmp_path, *many, more=more), resolver)
        for more, resolver in zip((NAME, ""), resolvers, strict=True)
    )
    for one, other in zip(with_set.all, without.all, strict=True):
        assert cell_work(one, 1) - cell_work(other, 1) == 600 * 64
        assert resolvers[0].effort(one).flops > resolvers[1].effort(other).flops
        assert resolvers[0].memory(one) >= resolvers[1].memory(other)
        assert resolvers[0].bound(one) >= resolvers[0].memory(one)


def test_hosts_get_a_copy_of_the_file(tmp_path):
    (need,) = of_sweep(sweep_in(tmp_path, ITEM), download=False)
    assert (need.kind, need.name) == ("file", str(tmp_path / "set.jsonl"))
    name = f"me/arc@{'0123456789' * 4}:test.jsonl"
    sweep = parsed(SWEEP.format(more=f"evaluate: {{capability: '{name}'}}"))
    (need,) = of_sweep(sweep, download=False)
    assert (need.kind, need.name, need.source) == ("file", name, None)


def test_a_set_is_no_axis_and_off_by_default():
    with pytest.raises(SweepError, match="no field that can be an axis"):
        parsed(SWEEP.format(more="").replace("seed:", "evaluate.capability: [a], seed:"))
    assert {s.capability for s in expanded(SWEEP.format(more="")).all} == {None}
