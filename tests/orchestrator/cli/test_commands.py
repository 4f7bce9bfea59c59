"""Data on stdout, progress on stderr, exit codes by name."""

import inspect
import json
from pathlib import Path

import pytest
import typer
import yaml

from orchestrator import __version__
from orchestrator.cli.app import app
from orchestrator.config.sweep_file import presets
from tests.builders import a_failure, a_result, a_spec, filled, launched, model_folder
from tests.orchestrator.inspection.test_status import SWEEP


@pytest.fixture
def results(tmp_path):
    """A results folder with one scored and one failed cell."""
    store, expansion = launched(tmp_path / "good", SWEEP)
    store.commit(a_result(expansion.all[1]), attempts=1, ray=None)
    store.commit_failure(a_failure(expansion.all[2], "no memory"), attempts=1, ray=None)
    return store


def test_presets_are_listed_one_to_a_line(rho_sweep):
    ran = rho_sweep("presets")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == presets()
    assert all(len(line.split()) > 3 for line in ran.out.splitlines())


@pytest.mark.parametrize("preset", presets())
def test_a_preset_that_is_written_out_is_planned_like_the_preset(rho_sweep, preset, tmp_path):
    ran = rho_sweep("init", preset, "-o", "mine.yaml")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "mine.yaml: edit it, then: rho-sweep plan mine.yaml\n"
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == preset


def test_init_overwrites_only_when_told_to(rho_sweep, tmp_path):
    (tmp_path / "sweep.yaml").write_text("precious")
    assert rho_sweep("init", "quickstart").code == 2
    assert (tmp_path / "sweep.yaml").read_text() == "precious"
    assert rho_sweep("init", "quickstart", "--force").code == 0
    assert (tmp_path / "sweep.yaml").read_text().startswith("# ")


def test_init_overwrites_no_schema_but_its_own(rho_sweep, tmp_path):
    (tmp_path / "my.schema.json").write_text("precious")
    assert rho_sweep("init", "quickstart", "-o", "my.yaml").code == 2
    assert (tmp_path / "my.schema.json").read_text() == "precious"
    assert not (tmp_path / "my.yaml").exists()
    for name in ("other.yaml", "other.yml"):
        assert rho_sweep("init", "quickstart", "-o", name).code == 0


def test_plan_prints_json_and_nothing_else(rho_sweep, tmp_path):
    (tmp_path / "s.yaml").write_text(SWEEP.replace("model: m", f"model: {tmp_path / 'model'}"))
    model_folder(tmp_path / "model")
    ran = rho_sweep("plan", "s.yaml", "s.yaml", "--json", "--set", "grid.seed=[1, 2, 3]")
    assert (ran.code, ran.err) == (0, "")
    body = json.loads(ran.out)
    assert (body["named"], body["distinct"], body["seeds_of_smallest_arm"]) == (12, 6, 3)
    ran = rho_sweep("plan", "s.yaml")
    assert ran.out.startswith("cells    4 named, 4 distinct, plus 1 baseline\n")


def test_status_is_json_or_lines(rho_sweep, results):
    assert json.loads(rho_sweep("status", "good", "--json").out)["ok"] == 1
    ran = rho_sweep("status", "good")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("good: 1 of 5 cells scored, 1 failed; no launch running\n")


def test_watching_ends_when_no_launch_runs(rho_sweep, results):
    assert rho_sweep("status", "good", "--watch").out.count("cells scored") == 1


def test_analyze_prints_tables_on_stdout_and_failures_on_stderr(rho_sweep, results):
    ran = rho_sweep("analyze", "good")
    assert ran.code == 0
    assert "rho-guided" in ran.out
    assert "no memory" not in ran.out
    assert "without rho-guided seed=2 (failed)" in ran.out
    assert "no memory" in ran.err
    assert json.loads(rho_sweep("analyze", "good", "--json").out)["unscored"][0]["seed"] == 2


def test_logs_of_a_cell_by_its_label(rho_sweep, results):
    ran = rho_sweep("logs", "good", "rho-guided w=0.1 m=0.1 seed=2")
    assert (ran.code, ran.err) == (0, "")
    assert "failed in stage load: no memory" in ran.out


def test_export_names_the_files_it_wrote(rho_sweep, results, tmp_path):
    ran = rho_sweep("export", "good", "--to", "csv")
    assert ran.code == 0
    assert "seed=2: no memory\n3 of 5 cells have no result yet\n" in ran.err
    for line in ran.out.splitlines():
        assert (tmp_path / line).is_file()
    assert (tmp_path / "good/export/scores.csv").is_file()


def test_compare_counts_cells_and_names_those_that_differ(rho_sweep, tmp_path):
    filled(tmp_path / "a", a_result(a_spec(seed=1)), a_result(a_spec(seed=2)))
    filled(tmp_path / "b", a_result(a_spec(seed=1)), a_result(a_spec(seed=2), weights=b"other"))
    ran = rho_sweep("compare", "a", "b")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines() == [
        "1 same, 1 different, 0 only in a, 0 only in b",
        f"  {a_spec(seed=2).cell_id}: adapter",
    ]
    in_json = rho_sweep("compare", "a", "b", "--json")
    assert in_json.code == 1
    body = json.loads(in_json.out)
    assert (body["same"], body["different"], body["only_left"], body["only_right"]) == (1, 1, 0, 0)


def test_compare_ends_with_0_only_if_every_cell_is_in_both_and_the_same(rho_sweep, tmp_path):
    filled(tmp_path / "a", a_result(a_spec(seed=1)), a_result(a_spec(seed=2)))
    filled(tmp_path / "b", a_result(a_spec(seed=1)), a_result(a_spec(seed=2)))
    filled(tmp_path / "c", a_result(a_spec(seed=1)))
    assert rho_sweep("compare", "a", "b").code == 0
    assert rho_sweep("compare", "a", "c").code == 1
    assert rho_sweep("compare", "c", "a", "--json").code == 1
    filled(tmp_path / "d", a_result(a_spec(seed=3)))
    assert "add --arms" in rho_sweep("compare", "c", "d").err


def test_stop_without_a_launch_says_so(rho_sweep, results):
    ran = rho_sweep("stop", "good")
    assert (ran.code, ran.out) == (0, "good: no launch is running\n")


def test_the_version_is_printed(rho_sweep):
    for words in ("version", "--version"):
        ran = rho_sweep(words)
        assert (ran.code, ran.out, ran.err) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--slots", "1_0"),
        ("--slots", " 2"),
        ("--slots", "2.0"),
        ("--max-tokens", "1_0"),
        ("--temperature", "1_0"),
        ("--temperature", "0.5 "),
        ("--temperature", "\u0661"),
    ],
)
def test_a_number_of_an_option_is_what_is_written_there(rho_sweep, option, value):
    ran = rho_sweep("stress", "r", "--inline", option, value)
    assert ran.code == 2
    assert f"Invalid value for '{option}': {value!r} is no " in ran.err


@pytest.mark.parametrize("group", [(), ("cluster",), ("import",), ("judge",)])
def test_help_is_what_a_command_without_words_shows(rho_sweep, group):
    bare = rho_sweep(*group)
    assert bare == rho_sweep(*group, "--help")
    assert (bare.code, bare.err) == (0, "")


def test_a_list_of_commands_cuts_no_sentence(rho_sweep):
    for group in ((), ("cluster",)):
        assert "..." not in rho_sweep(*group).out.partition("Commands:")[2]


def test_results_that_are_not_there_are_named_with_those_that_are(rho_sweep, tmp_path):
    (tmp_path / "results/quickstart").mkdir(parents=True)
    (tmp_path / "results/quickstart/sweep.yaml").touch()
    for typed in ("quickstart", "results/quickstrat", "result/quickstart"):
        ran = rho_sweep("status", typed)
        assert (ran.code, ran.out) == (2, "")
        says = f'{typed}: no results here; did you mean "results/quickstart"?'
        assert ran.err == f"error: {says}\n"
    assert "make some with" in rho_sweep("status", "elsewhere").err
    for command in ("status", "analyze", "serve"):
        ran = rho_sweep(command, "results")
        assert ran.code == 2
        assert "results: is a folder of results, not one of them; name one, " in ran.err
        assert "e.g. results/quickstart; all: rho-sweep results results" in ran.err


def test_results_of_a_plan_are_the_folder_that_a_launch_would_write(rho_sweep, tmp_path):
    store, expansion = launched(tmp_path / "deep" / "mine", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    (tmp_path / "s.yaml").write_text(SWEEP)
    ran = rho_sweep("plan", "s.yaml", "s.yaml", "--results", "deep/mine")
    assert ran.code == 2
    assert "deep/mine: is the folder of one sweep" in ran.err


def a_link(place):
    place.mkdir()
    (place / "cells").symlink_to("/")


def a_file_of_the_user(place):
    place.mkdir()
    (place / "sweep.yaml").write_text("name: mine\n")


@pytest.mark.parametrize("arrange", [a_link, a_file_of_the_user, Path.touch])
def test_a_plan_refuses_the_folder_that_a_launch_would_refuse(rho_sweep, tmp_path, arrange):
    model_folder(tmp_path / "m")
    (tmp_path / "s.yaml").write_text(SWEEP.replace("model: m", "model: ./m"))
    arrange(tmp_path / "r")
    for command in (("plan", "s.yaml"), ("launch", "s.yaml", "--inline")):
        said = rho_sweep(*command, "--results", "r")
        assert (said.code, said.out) == (2, ""), said
        assert said.err.splitlines()[-1].startswith("error: r"), said


def commands(group, path=()):
    """(words, command) of every command below a group."""
    for name in group.commands:
        command = group.get_command(typer.Context(group), name)
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


def test_every_example_of_a_help_is_on_a_line_of_its_own(rho_sweep, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = 0
    for words, command in commands(typer.main.get_command(app)):
        said = inspect.getdoc(command.callback) or ""
        examples = [x for x in said.splitlines() if x.startswith(("Example:", "  rho-sweep "))]
        if examples:
            shown = [line.strip() for line in rho_sweep(*words, "--help").out.splitlines()]
            assert {x.strip() for x in examples} <= set(shown), words
            assert "Examples:" in shown or "Examples:" not in said, words
            found += len(examples)
    assert found > 20


def test_help_shows_every_command(rho_sweep):
    ran = rho_sweep("--help")
    assert ran.code == 0
    for command in ("presets", "init", "plan", "launch", "status", "logs", "stop", "analyze"):
        assert f"\n  {command} " in ran.out
