"""Notes in the cache folder: made once, made again when damaged, never in the way."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sources.remembered import UNUSED_S, cache_folder, recalled, remembered


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def asked(given: object, value: object) -> tuple[object, int]:
    """What is found, and how often it had to be made."""
    made: list[object] = []

    def make() -> object:
        made.append(value)
        return value

    return remembered("kind", given, make), len(made)


def notes() -> list:
    return [p for p in cache_folder().rglob("*") if p.is_file()]


def test_a_value_is_made_once_for_all_that_it_depends_on():
    assert asked(["a", 1], {"x": [1, 2]}) == ({"x": [1, 2]}, 1)
    assert asked(["a", 1], "not made") == ({"x": [1, 2]}, 0)
    assert asked(["a", 2], "other") == ("other", 1)


@given(st.binary(max_size=40))
def test_a_damaged_note_is_made_anew(garbage):
    remembered("kind", "given", lambda: [1])
    (note,) = notes()
    note.write_bytes(b"\xff" + garbage)
    assert asked("given", [1]) == ([1], 1)
    assert asked("given", [1]) == ([1], 0)


def test_a_note_of_another_kind_of_value_is_damaged():
    remembered("kind", "given", lambda: 5)
    for _ in range(2):
        found = remembered("kind", "given", lambda: "text", lambda value: isinstance(value, str))
        assert found == "text"


def test_a_note_is_looked_up_without_making_it():
    assert recalled("kind", "given") == []
    for value in (None, "value"):
        remembered("kind", ["given", value], lambda value=value: value)
        assert recalled("kind", ["given", value]) == [value]
    assert recalled("kind", ["given", "value"], lambda value: value == 5) == []


def test_what_was_not_made_is_not_remembered():
    with pytest.raises(ZeroDivisionError):
        remembered("kind", "given", lambda: 1 // 0)
    assert asked("given", 5) == (5, 1)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert asked("given", 5) == (5, 1)
    assert asked("given", 5) == (5, 1)


def test_notes_that_nothing_asks_for_are_deleted_after_a_month():
    for name in ("old", "used"):
        asked(name, name)
    for note in notes():
        os.utime(note, (time.time() - UNUSED_S - 60,) * 2)
    assert asked("used", "") == ("used", 0)
    asked("new", "new")
    assert len(notes()) == 2
    assert asked("used", "") == ("used", 0)


def test_a_note_that_cannot_be_written_whole_leaves_no_part(monkeypatch):
    def full(path, text):
        path.open("w").write(text[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        assert asked("given", [1, 2, 3]) == ([1, 2, 3], 1)
    assert notes() == []


def test_a_note_on_a_disk_that_is_read_only_is_used(monkeypatch):
    asked("given", 5)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert asked("given", 5) == (5, 0)
