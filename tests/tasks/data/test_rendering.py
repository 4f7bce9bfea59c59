"""What a chat template may read: messages and the tokenizer, nothing of the machine or the day."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import load as mlx_lm_load

from tasks.contract.cell import NodeError
from tasks.data.rendering import NOW, fixed_time, load_tokenizer, prompt_ids, template_date
from tasks.starter import TINY

KNOWN = "YyCGgmBbhdejUWVAauwHIklMSpPDxFTXRrcnt%"


def templated(source: str):
    tokenizer = mlx_lm_load(TINY)
    tokenizer._tokenizer.chat_template = source
    return tokenizer


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "-"]), st.sampled_from(KNOWN))
        | st.tuples(st.text(st.characters(exclude_characters="%\0", codec="utf-8")), st.just(""))
    )
)
def test_the_fixed_time_is_what_strftime_writes_of_it(parts):
    pattern = "".join(f"%{flag}{d}" if d else flag for flag, d in parts if (flag, d) != ("-", "%"))
    if any(flag == "-" and d in "BbhAapPDFTRrcxXnt" for flag, d in parts):
        return  # what a flag does to a word differs between C libraries
    assert fixed_time(pattern) == NOW.strftime(pattern)


def test_seconds_and_zones_do_not_depend_on_the_process(monkeypatch):
    aware = NOW.replace(tzinfo=UTC)
    for zone in ("Pacific/Kiritimati", "America/Adak"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert fixed_time("%s %Z %z") == f"{aware.timestamp():.0f} UTC +0000"
    monkeypatch.undo()
    time.tzset()


def test_a_template_is_told_the_recorded_date():
    tokenizer = templated("{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}")
    assert tokenizer.decode(list(prompt_ids(tokenizer, "x"))) == f"{template_date(tokenizer)} x"
    assert datetime.fromisoformat(template_date(tokenizer)).date() == NOW.date()
    assert template_date(load_tokenizer(TINY)) is None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ lipsum() }}", "draws random text"),
        ("{{ ['a', 'b'] | random }}", "draws random text"),
        ("{{ strftime_now('%Q') }}", "asks for the time as '%Q'"),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ raise_exception | string }}", "an address in memory"),
        ("{{ messages[0].content }}{{ 'x ' * 500000 }}", "writes more than [0-9,]+ characters"),
        ("{% for i in range(99999) %}{{ messages }}{% endfor %}", "writes more than"),
        ("{{ namespace().get | string }}{{ messages[0].keys | string }}", "an address in memory"),
    ],
)
def test_a_template_that_cannot_be_repeated_or_refuses_is_one_sentence(source, says):
    with pytest.raises(NodeError, match=says):
        prompt_ids(templated(source), "x")


def test_an_address_that_the_user_wrote_is_only_text():
    text = "What is <object at 0x7f00deadbeef>?"
    tokenizer = templated("{{ messages[0]['content'] }}")
    assert tokenizer.decode(list(prompt_ids(tokenizer, text))) == text


@pytest.mark.slow
@given(st.text(min_size=1))
def test_the_driver_and_the_cell_have_the_same_tokens(text):
    source = (
        "{{ enable_thinking }}{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}"
    )
    cell, driver = templated(source), load_tokenizer(TINY)
    before, driver.chat_template = driver.chat_template, source
    try:
        assert prompt_ids(driver, text) == prompt_ids(cell, text)
    finally:
        driver.chat_template = before


def test_many_conversations_list_the_vocabulary_once(monkeypatch):
    tokenizer = load_tokenizer(TINY)
    kind, asked = type(tokenizer), []
    listed = kind.get_vocab
    monkeypatch.setattr(kind, "get_vocab", lambda self: asked.append(1) or listed(self))
    for text in "abc":
        prompt_ids(tokenizer, text)
    assert len(asked) <= 2  # whether a thought may be asked for, and which marks it has
