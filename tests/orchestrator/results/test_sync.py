"""On macOS what is written reaches the disk, not only its cache."""

import errno
import fcntl
import os

import pytest

from orchestrator.cluster.trust.confined import write_in
from orchestrator.results import files


@pytest.fixture
def asked(monkeypatch):
    """Which of the two calls were made, with a stand-in for the one of macOS."""
    found = []

    def control(handle, what):
        assert what == 51
        found.append("full")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda _: found.append("fsync"))
    return found


def test_a_file_and_its_folder_are_flushed_in_full(asked, tmp_path):
    files.write_whole(tmp_path / "a", b"x")
    assert asked == ["full", "full"]
    write_in(tmp_path, "b", b"x")
    assert asked == ["full"] * 4


def test_a_file_system_without_it_gets_the_other(asked, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    files.write_whole(tmp_path / "a", b"x")
    assert asked == ["fsync", "fsync"]


def test_elsewhere_there_is_only_the_other(monkeypatch, tmp_path):
    found = []
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    monkeypatch.setattr(os, "fsync", found.append)
    files.write_whole(tmp_path / "a", b"x")
    assert len(found) == 2
