"""A chat template that writes today's date gives the same cell on every day, host and time zone."""

import json
import locale
import time
from datetime import datetime, timedelta

import pytest
from transformers.utils import chat_template_utils

from tasks.cell import run
from tasks.contract.generation import Decoding, GenerationSpec
from tasks.contract.phases import Phases
from tasks.contract.prompts import PromptSet
from tasks.data.prompts import load_prompts
from tasks.generation.generate import run as answer
from tasks.model.model import Models
from tests.tasks.test_cell import outcome, run_cell, spec_of
from tests.toys import CHAT, make_model

DATED = "{{ 'Today is ' + strftime_now('%A, %d %B %Y, %H:%M %Z, %s') + '.\n' }}" + CHAT


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("dated") / "m")
    return with_template(folder, DATED)


def with_template(folder, template):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    return folder


@pytest.fixture
def on_day(monkeypatch):
    """Sets the clock that transformers' templates read, the time zone and the locale."""

    def set_to(days: int, zone: str, name: str) -> None:
        class Faked(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(days=days)

        monkeypatch.setattr(chat_template_utils, "datetime", Faked)
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            locale.setlocale(locale.LC_ALL, "C.UTF-8")

    before = locale.setlocale(locale.LC_ALL)
    yield set_to
    locale.setlocale(locale.LC_ALL, before)
    monkeypatch.undo()
    time.tzset()


DAYS = [(0, "Pacific/Kiritimati", "C.UTF-8"), (40, "America/Adak", "de_DE.UTF-8")]


@pytest.mark.slow
def test_one_cell_id_and_one_adapter_on_two_days(dated, on_day):
    found = []
    for day in DAYS:
        on_day(*day)
        spec = spec_of(dated, "sft-only")
        found.append((spec.cell_id, outcome(run_cell(spec))))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_launch_of_one_day_is_trained_on_another(dated, on_day):
    on_day(*DAYS[0])
    spec = spec_of(dated, "sft-only")
    first = run_cell(spec)
    on_day(*DAYS[1])
    assert outcome(run_cell(spec)) == outcome(first)


@pytest.mark.slow
def test_prompts_have_the_same_tokens_on_two_days(dated, on_day):
    found = []
    for day in DAYS:
        on_day(*day)
        unit = GenerationSpec(
            cell_id="c" * 16,
            cell_label="baseline",
            seed=None,
            model=spec_of(dated, "baseline").model,
            train=None,
            adapter_sha256=None,
            prompts=PromptSet(name="few", prompts=load_prompts("starter").prompts[:3]),
            decoding=Decoding(max_tokens=8),
        )
        found.append(answer(unit, Models(), lambda _: None, Phases()).answers)
    assert found[0] == found[1]


def test_what_a_dated_template_renders_to_is_part_of_the_id(dated, toy):
    import dataclasses

    def with_tokens(spec, rendered):
        return dataclasses.replace(spec, data=dataclasses.replace(spec.data, rendered=rendered))

    moving, constant = spec_of(dated, "sft-only"), spec_of(toy, "sft-only")
    assert moving.data.template_date is not None
    assert constant.data.template_date is None
    assert with_tokens(moving, "other").cell_id != moving.cell_id
    assert with_tokens(constant, "other").cell_id == constant.cell_id


def test_a_cell_whose_texts_have_other_tokens_than_at_the_launch_is_refused(toy):
    import dataclasses

    from tasks.contract.cell import NodeError

    spec = spec_of(toy, "sft-only")
    other = dataclasses.replace(spec, data=dataclasses.replace(spec.data, rendered="0" * 64))
    with pytest.raises(NodeError, match="other tokens here than at the launch"):
        run(other, Models(), lambda _: None, Phases())
