"""YAML with line numbers, and `--set`."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.config import yaml_lines
from orchestrator.config.yaml_lines import (
    LOADERS,
    MAX_DEPTH,
    MAX_VALUES,
    Document,
    assign,
    dotted,
    dump_yaml,
    parse_yaml,
    raise_problems,
)
from orchestrator.errors import SweepError, UserError

TEXT = """\
name: x
model: m

grid:
  condition: [rho-guided]
  seed:
    - 1
    - 2
probes: {pack: starter}
"""

BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)

TWICE = "a0: &a0 {a: 1}\n" + "".join(
    f"a{n}: &a{n} {{{', '.join([f'a: *a{n - 1}'] * 10)}}}\n" for n in range(1, 9)
)
DEEP = "[" * MAX_DEPTH + "]" * MAX_DEPTH

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(text: str) -> Document:
    return parse_yaml(text, "s.yaml", Path("/f"))


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), trees, min_size=1, max_size=4))
def test_plain_values_are_read_as_yaml_reads_them(value):
    text = dump_yaml(value)
    assert read(text).value == yaml.safe_load(text) == value


@given(st.from_regex(r"[-+]?[0-9._:oxeE]{1,6}|yes|no|on|off|true|null|~", fullmatch=True))
def test_a_text_that_looks_like_something_else_stays_a_text(text):
    written = dump_yaml({"v": text})
    assert read(written).value["v"] == yaml.safe_load(written)["v"] == text


@given(st.text("ab \x85\u2028\ufeff\n\t'\"\\#:"))
@example("a\x85b")
def test_any_text_is_read_as_it_was_written(text):
    assert read(dump_yaml({"v": text, f"k{text}": 1})).value == {"v": text, f"k{text}": 1}


@given(st.text(max_size=60))
def test_any_text_is_a_document_or_a_clear_error(text):
    try:
        found = read(text)
    except UserError as error:
        found = str(error)
    assert isinstance(found, Document) or found.startswith("s.yaml")


FORMS = ["[{}]", "{{a: {}}}", "{{<<: {}}}", "{{a: {0}, b: {0}}}", "{{a: {0}, a: {0}}}"]
FORMS += ["{{<<: {0}, <<: {0}}}", "[{0}, {0}, {0}]", "{{a: [{0}, {0}], a: {0}, b: 1}}"]
levels = st.lists(st.tuples(st.sampled_from(FORMS), st.booleans()), max_size=30)


def nested(levels: list[tuple[str, bool]]) -> str:
    """Every level holds the one before it, by an alias or written out once more."""
    text, inner = "l: &l [1, 1]\n", "*l"
    for n, (form, named) in enumerate(levels):
        inner = form.format(inner)
        if named or len(inner) > 2_000:
            text, inner = f"{text}l{n}: &l{n} {inner}\n", f"*l{n}"
    return f"{text}top: {inner}\n"


@given(levels)
@example([(FORMS[4], True)] * 30)
@example([(FORMS[5], True)] * 30)
def test_any_aliases_and_keys_given_twice_are_read_or_refused_in_few_steps(levels):
    with pytest.MonkeyPatch.context() as context:
        context.setattr(yaml_lines, "MAX_VALUES", 500)
        plain, steps = yaml_lines._plain, []
        context.setattr(yaml_lines, "_plain", lambda *a: (steps.append(1), plain(*a))[1])
        try:
            found, says = read(nested(levels)), ""
        except UserError as error:
            found, says = None, str(error)
    assert len(steps) <= 500 if found else "more than 500 values" in says and len(steps) == 501


SIGNS = [*"ab\n-:,[]{}&*!?|>'\"#%\t\\\x85\ufeff", "\n  ", "- ", ": ", "&a ", "*a", "---\n", "0x1f"]


def alone(loader: type, text: str) -> Document | UserError:
    with pytest.MonkeyPatch.context() as context:
        context.setattr(yaml_lines, "LOADERS", (loader,))
        try:
            return read(text)
        except UserError as error:
            return error


@given(st.lists(st.sampled_from(SIGNS), max_size=14).map("".join))
@example("k: !\n- a")
@example("a:\tb")
@example("a: \ud800")
def test_what_both_parsers_read_has_the_same_values_lines_and_problems(text):
    assert len(LOADERS) == 2  # PyYAML's wheels hold libyaml
    slow = alone(LOADERS[1], text)
    if isinstance(slow, Document):
        assert read(text) == slow


@pytest.mark.parametrize(
    "text", ["a: [1,\nb: 2", "a: *b", "a: 1\nb: \x07", "a: &a [*a]", "- a", "a: !!set {b}", "a: '"]
)
def test_what_is_wrong_reads_the_same_with_and_without_libyaml(text):
    with pytest.raises(UserError) as error:
        read(text)
    assert str(error.value) == str(alone(LOADERS[1], text))


@pytest.mark.parametrize(
    ("route", "line"),
    [
        (("name",), 1),
        (("grid",), 4),
        (("grid", "condition", 0), 5),
        (("grid", "seed", 1), 8),
        (("probes", "pack"), 9),
    ],
)
def test_every_path_knows_its_line(route, line):
    assert read(TEXT).problem(route, "wrong").line == line


def test_a_path_that_is_absent_has_the_line_of_its_parent():
    assert read(TEXT).problem(("probes", "heldout"), "wrong").line == 9
    assert read(TEXT).problem(("data", "size"), "wrong").line is None


@pytest.mark.parametrize("number", ["2e-4", "2E-4", "2.0e-4", "-1e3", "+1e+3", ".5e1"])
def test_an_exponent_makes_a_number_as_in_python(number):
    assert read(f"v: {number}").value["v"] == float(number)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_every_spelling_of_nan_is_a_number(text):
    assert math.isnan(read(f"v: {text}").value["v"])


@pytest.mark.parametrize("text", [".inf", ".Inf", ".INF", "+.inf"])
def test_every_spelling_of_infinity_is_a_number(text):
    assert read(f"v: {text}").value["v"] == float("inf")
    assert read(f"v: -{text.lstrip('+')}").value["v"] == float("-inf")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("010", 10), ("08", 8), ("-010", -10), ("+7", 7), ("0o10", 8), ("0x1F", 31)],
        *[(".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("010.5", 10.5)],
        *[("true", True), ("False", False), ("null", None), ("~", None), ("", None)],
    ],
)
def test_numbers_and_words_are_those_of_yaml_1_2(written, value):
    document = read(f"v: {written}")
    assert document.value["v"] == value
    assert type(document.value["v"]) is type(value)
    assign(document, f"v={written}")
    assert document.value["v"] == value


@pytest.mark.parametrize(
    "written", ["9" * 5000, f"-{'9' * 5000}", f"0x{'f' * 5000}", "0o" + "7" * 5000]
)
def test_a_whole_number_of_more_digits_than_python_writes_is_a_text(written):
    document = read(f"v: {written}")
    assert document.value["v"] == written
    assign(document, f"v={written}")
    assert document.value["v"] == written


TEXTS = ["2024-13-45", "2024-01-02", "1:30.5", "0x_", "1:30", "1_0", "1_0e2", "0b1", "yes", "Off"]


@pytest.mark.parametrize("text", [*TEXTS, "!!int 1_0", "!!float 1:30", "!!timestamp 2024-01-02"])
def test_what_only_yaml_1_1_takes_for_a_number_date_or_flag_is_a_text(text):
    assert read(f"v: {text}").value["v"] == text.split()[-1]


def test_a_key_given_twice_is_a_problem_with_both_lines_told_apart():
    document = read("a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 2\n")
    assert [(p.path, p.line) for p in document.problems] == [("a", 3), ("c.d", 6)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1,\nb: 2", "s.yaml:2: not YAML"),
        ("a: !python/object:os.system x", "s.yaml:1: not YAML"),
        ("a: *nobody", "s.yaml:1: not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("a: \x00", "not YAML"),
        ("- a\n- b", "expected keys and values"),
        ("just text", "expected keys and values"),
        ("", "expected keys and values"),
        ("# only a comment", "expected keys and values"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "s.yaml: nested too deeply"),
        ("- " * 20_000 + "a", "nested too deeply"),
        ("a: 1\nb: \x07", "s.yaml:2: not YAML (special characters are not allowed)"),
        ("a: 1\n? [b]\n: 2", "s.yaml:2: not YAML (a key must be one word)"),
        ("a: !!set {b}", "s.yaml:1: not YAML (the tag"),
        ("a: !!binary aGVsbG8=", "s.yaml:1: not YAML (the tag"),
        (BOMB, f"more than {MAX_VALUES:,} values"),
        (TWICE, f"s.yaml:1: more than {MAX_VALUES:,} values"),
        (f"a: &a {DEEP}\nb: [*a]", "s.yaml: nested too deeply"),
    ],
)
def test_what_is_no_mapping_is_one_clear_error(text, says):
    with pytest.raises(UserError) as error:
        read(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("setting", "route", "value"),
    [
        ("name=y", ("name",), "y"),
        ("probes.heldout=0", ("probes", "heldout"), 0),
        ("train.learning_rate=1e-3", ("train", "learning_rate"), 1e-3),
        ("grid.seed=[3, 4]", ("grid", "seed"), [3, 4]),
        ("grid.seed.1=9", ("grid", "seed.1"), 9),
        ("grid.train.epochs=[1, 2]", ("grid", "train.epochs"), [1, 2]),
        ("model=", ("model",), None),
        ("name=a=b", ("name",), "a=b"),
    ],
)
def test_a_setting_changes_one_place(setting, route, value):
    document = read(TEXT)
    assign(document, setting)
    found = document.value
    for part in route:
        found = found[part]
    assert found == value


def test_a_setting_reaches_into_one_of_several_grids():
    document = read("grids:\n  - seed: [1]\n  - seed: [2]\n")
    assign(document, "grids.1.seed=[7]")
    assign(document, "grids.0.train.epochs=[1, 2]")
    assert document.value["grids"] == [{"seed": [1], "train.epochs": [1, 2]}, {"seed": [7]}]


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "=1",
        "name",
        "name.x=1",
        "grids.5.seed=[1]",
        "grids.x.seed=1",
        "grids.².seed=[1]",
        "grids.\u0660.seed=[1]",
        "grids.00.seed=[1]",
        f"grids.{'9' * 5000}.seed=[1]",
        "a=[1",
        "a=b: c",
        "a=!x 1",
    ],
)
def test_a_setting_that_leads_nowhere_is_named(setting):
    document = read("name: x\ngrids:\n  - seed: [1]\n")
    with pytest.raises(UserError) as error:
        assign(document, setting)
    assert f"--set {setting}" in str(error.value)


@pytest.mark.parametrize("rest", ["2\nname: y", "2\nv: 3", "\n---\n3"])
def test_a_setting_of_two_values_is_refused_and_none_is_passed_over(rest):
    document = read(TEXT)
    with pytest.raises(UserError, match=r"--set probes\.heldout"):
        assign(document, f"probes.heldout={rest}")
    assert "heldout" not in document.value["probes"]


def test_a_value_that_came_from_a_setting_has_no_line():
    document = read(TEXT)
    assign(document, "probes.heldout=2")
    assign(document, "grid.seed=[5, 6]")
    assert document.problem(("probes", "heldout"), "wrong").line is None
    assert document.problem(("grid", "seed", 1), "wrong").line is None
    assert document.problem(("probes", "pack"), "wrong").line == 9


def test_problems_are_raised_together_in_order_of_their_lines():
    document = read(TEXT)
    found = [document.problem((k,), "wrong") for k in ("probes", "data", "name")]
    with pytest.raises(SweepError) as error:
        raise_problems(document, found)
    assert str(error.value).splitlines() == [
        "s.yaml: 3 problems",
        "  name (line 1): wrong",
        "  probes (line 9): wrong",
        "  data: wrong",
    ]
    raise_problems(document, [])


def test_paths_are_written_as_people_write_them():
    assert dotted(("grid", "seed", 0)) == "grid.seed[0]"
    assert dotted(("grids", 1, "train.epochs")) == "grids[1].train.epochs"
    assert dotted(()) == "the file"
