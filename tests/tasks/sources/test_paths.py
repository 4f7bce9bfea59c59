"""Paths without links, and what there is of a path."""

from tasks.sources.paths import nearest, real
from tests import ROOT


def test_a_loop_of_links_is_a_path_like_others(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert real(tmp_path / "a" / "x").name == "x"
    (tmp_path / "c").symlink_to(tmp_path / "here")
    assert real(tmp_path / "c" / "x") == tmp_path / "here" / "x"


def test_no_path_is_resolved_in_a_way_that_fails_for_a_loop():
    code = [p for part in ("orchestrator", "tasks") for p in (ROOT / part).rglob("*.py")]
    assert [p for p in code if ".resolve()" in p.read_text()] == []


def test_the_nearest_folder_of_a_path_is_the_lowest_that_exists(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert nearest(tmp_path / "link" / "not" / "yet") == tmp_path / "there"
    assert nearest(tmp_path / "there") == tmp_path / "there"
