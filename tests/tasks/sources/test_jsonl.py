"""Files of others: one sentence that names file and line, whatever is in them."""

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract.cell import NodeError
from tasks.data.prompt_files import _json_rows
from tasks.sources import jsonl
from tasks.sources.jsonl import parse_json, read_objects, read_text
from tasks.sources.model_files import _object

HOSTILE = {
    "deep": b"[" * 20_000,
    "deep objects": b'{"a":' * 20_000,
    "huge number": b'{"a": ' + b"1" * 5_000 + b"}",
    "binary": bytes(range(256)) * 10,
    "nul": b"\0" * 100,
    "half a text": b'{"a": "b',
    "empty": b"",
    "a word": b"NaN",
    "a text": b'"a"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-8 cut off": b'{"a": "\xc3"}',
    "no number": b'{"a": NaN, "a": 1}',
    "twice": b'{"a": 1, "a": 2}',
    "twice below": b'{"b": {"a": 1, "a": 2}}',
    "half a character": b'{"a": "\\ud800"}',
    "half a character as a key": b'{"\\udfff": 1}',
    "a list": b"[1]",
}


@pytest.mark.parametrize("read", [read_objects, _object, lambda p: list(_json_rows(p))])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_one_sentence_that_names_it(tmp_path, content, read):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(NodeError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_a_value_error(content):
    with contextlib.suppress(ValueError):
        json.dumps(parse_json(content), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.slow
@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.integers() | st.text(), lambda x: st.lists(x)
                    | st.dictionaries(st.text(), x)), st.booleans())  # fmt: skip
def test_what_is_json_is_read_as_it_is_with_and_without_a_mark_before_it(value, mark):
    text = json.dumps(value)
    assert parse_json("\ufeff" * mark + text) == value
    assert parse_json(("\ufeff" * mark + text).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


def test_a_model_may_say_infinity_and_a_record_may_not(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"time_step_limit": [0.0, Infinity]}')
    assert _object(path)["time_step_limit"][1] == float("inf")
    with pytest.raises(NodeError, match=r":1: not JSON \(Infinity is no number in JSON\)"):
        read_objects(path)


def test_a_key_that_is_there_twice_in_a_record_is_named_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "1"}\n{"id": "2", "text": "a", "id": "3"}\n')
    with pytest.raises(NodeError, match=r":2: not JSON \(the key 'id' is there twice\)"):
        read_objects(path)


@pytest.mark.timeout(20)
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", type(tmp_path)("/dev/zero")):
        with pytest.raises(NodeError, match="a pipe or a device, no file"):
            read_text(path)


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "MOST_BYTES", 1_000)
    (tmp_path / "long").write_text("a" * 1_001)
    with pytest.raises(NodeError, match=r"1,001 bytes; at most 1,000 are read"):
        read_text(tmp_path / "long")


def test_a_key_that_is_there_twice_with_the_same_value_says_one_thing():
    assert parse_json('{"a": {"b": 1, "b": 1}, "a": {"b": 1}}') == {"a": {"b": 1}}


def test_a_record_that_is_too_long_is_named_with_its_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n' + json.dumps({"a": "x" * (1 << 20)}) + "\n")
    with pytest.raises(NodeError, match=r"x.jsonl:2: a record of 1,048,585 characters; shorten"):
        read_objects(path)
