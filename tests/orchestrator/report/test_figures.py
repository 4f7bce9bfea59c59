"""Figures: what they show, in numbers; what they leave out, with a reason."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from orchestrator.analysis.inference.record import Family
from orchestrator.analysis.tables.answers.stress import stress
from orchestrator.config.contrast_kinds import Kind
from orchestrator.report.blocks import Figure, Gap, Panel
from orchestrator.report.figures.canvas import drawn, swatch
from orchestrator.report.figures.curves import (
    ACTIVITY,
    CE_LOSS,
    HINGE_LOSS,
    MAX_POINTS,
    binned,
    curve_figure,
)
from orchestrator.report.figures.dose import (
    MARGIN,
    WEIGHT,
    curve_of_scores,
    dose_figure,
    other_axes,
)
from orchestrator.report.figures.forest import contrast_figure, delta_figure
from orchestrator.report.figures.refusals import refusal_figure
from orchestrator.report.figures.spread import spread_figure
from orchestrator.report.looks import MARKERS, Look, looks_of
from orchestrator.report.outline import outline
from orchestrator.report.palette import OTHER, SERIES
from tasks.contract.conditions import Condition
from tests.orchestrator.analysis.arms import answers
from tests.orchestrator.report.contents import (
    SEEDS,
    a_content,
    a_curve,
    a_row,
    a_stress_view,
    an_arm,
    arms,
)
from tests.orchestrator.report.reading import Node, read

ALL = (
    lambda c: dose_figure(c, WEIGHT),
    curve_of_scores,
    contrast_figure,
    delta_figure,
    spread_figure,
    lambda c: curve_figure(c, ACTIVITY),
    lambda c: curve_figure(c, HINGE_LOSS),
    lambda c: curve_figure(c, CE_LOSS),
    refusal_figure,
)


def shown(figure: Figure | Gap) -> Figure:
    assert isinstance(figure, Figure)
    return figure


def lines(panel: Panel) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, y) of everything that a panel draws as points or a line."""
    axes = Canvas().add_subplot()
    panel.draw(axes)
    return [tuple(np.asarray(v, float) for v in line.get_data()) for line in axes.lines]


def any_is(found, expected) -> bool:
    """Whether one of the arrays holds just these numbers."""
    return any(len(v) == len(expected) and np.allclose(v, expected) for v in found)


def svg(panel: Panel) -> Node:
    return read(str(drawn(panel, "p"))).one("svg")


@pytest.mark.slow
@pytest.mark.parametrize("figure_of", ALL)
def test_every_panel_has_a_name_a_description_in_numbers_and_axes_with_units(figure_of):
    figure = shown(figure_of(a_content()))
    for panel in figure.panels:
        image = svg(panel)
        assert image.attributes["role"] == "img"
        named = image.attributes["aria-labelledby"].split()
        texts = {n.attributes["id"]: n.text for n in image.all("title", "desc")}
        assert [texts[i] for i in named] == [panel.title, panel.description]
        assert re.search(r"\d\.\d{3}|\d%", panel.description)
        labels = {t.text for t in image.all("text")}
        units = ("nat/token", "no unit", "share of pairs", "% of prompts", "optimizer step")
        assert sum(any(u in label for u in units) for label in labels) >= 1
        assert image.attributes["viewbox"] == f"0 0 360 {panel.height}"
        assert "width" not in image.attributes, "the page decides"


@pytest.mark.slow
@pytest.mark.parametrize("figure_of", ALL)
def test_a_drawing_takes_all_its_colours_from_the_page(figure_of):
    for panel in shown(figure_of(a_content())).panels:
        text = str(drawn(panel, "p"))
        assert set(re.findall(r"var\(--(\w+)\)", text)) & {*SERIES}
        assert not re.findall(r"(?:fill|stroke): ?#|<style|font-family", text)
        assert "rgb(" not in text
        image = svg(panel)
        assert all("var(--" in t.attributes["style"] for t in image.all("text"))


@pytest.mark.parametrize("figure_of", ALL)
def test_the_numbers_of_a_figure_are_a_table_beside_it(figure_of):
    figure = shown(figure_of(a_content()))
    told = " ".join(p.description for p in figure.panels)
    assert figure.numbers.rows
    for row in figure.numbers.rows:
        for column in figure.numbers.columns:
            text = column.text(row)
            assert not re.fullmatch(r"[+-]?\d\.\d{3}", text) or text in told


def test_every_seed_is_a_point_of_the_dose_response():
    found = a_content(evidence=arms())
    panel = shown(dose_figure(found, WEIGHT)).panels[0]
    drawn_y = {round(float(y), 6) for _, ys in lines(panel) for y in ys}
    for arm in found.evidence:
        if arm.condition.trains:
            assert {round(v, 6) for v in arm.scores.values()} <= drawn_y


def test_sft_alone_is_weight_0_and_begins_the_line_of_the_guided_arms():
    panel = shown(dose_figure(a_content(evidence=arms()), WEIGHT)).panels[0]
    means = [0.13, 0.3, 0.6]
    assert any_is((ys for _, ys in lines(panel)), means)
    assert "sft-only: at 0 +0.130" in panel.description


def test_a_mean_has_the_interval_of_students_t():
    panel = shown(dose_figure(a_content(evidence=arms()), WEIGHT)).panels[0]
    half = 4.302652730 * 0.1 / 3**0.5
    assert f"at 0.5 +0.600 [{0.6 - half:+.3f}, {0.6 + half:+.3f}], n 3" in panel.description
    assert any_is((ys for _, ys in lines(panel)), [0.6 - half, 0.6 + half])


def test_one_seed_has_no_interval():
    one = (an_arm(weight=0.1, rho=(0.2,)), an_arm(weight=0.5, rho=(0.3,)))
    figure = shown(dose_figure(a_content(evidence=one), WEIGHT))
    assert figure.numbers.rows[0]["low"] is None
    assert "at 0.1 +0.200, n 1" in figure.panels[0].description


def test_any_ordered_axis_has_a_figure_where_it_varies():
    def at(epochs: int, template: str, **more):
        values = {"train.epochs": epochs, "data.template": template}
        text = " ".join(f"{k}={v}" for k, v in values.items())
        return replace(an_arm(**more), settings=values, differs=text)

    found = [at(e, t) for e in (1, 4) for t in ("chat", "plain")]
    (axis,) = other_axes(found)
    assert axis.name == "train.epochs"
    figure = shown(dose_figure(a_content(evidence=tuple(found)), axis))
    assert [label for label, _ in figure.legend] == [
        "rho-guided w=0.2 m=0.1 data.template=chat",
        "rho-guided w=0.2 m=0.1 data.template=plain",
    ]
    assert "at 4 +0.300" in figure.panels[0].description
    content = a_content(evidence=tuple(found))
    titles = [getattr(b, "title", "") for s in outline(content).sections for b in s.blocks]
    assert "Response to train.epochs (heldout split)" in titles


def test_a_training_of_one_step_is_a_point():
    content = replace(a_content(), steps=(a_curve(seed=1, steps=1),))
    panel = curve_figure(content, CE_LOSS).panels[0]
    axes = Canvas().subplots()
    panel.draw(axes)
    assert {line.get_marker() for line in axes.lines} == {"o"}


def test_a_learning_curve_has_a_line_for_each_training_and_their_mean():
    figure = shown(curve_of_scores(a_content()))
    assert [label for label, _ in figure.legend] == ["rho-guided w=0.2 m=0.1"]
    (panel,) = figure.panels
    assert "at 4 +0.200" in panel.description
    ys = [y for _, y in lines(panel)]
    for expected in ([0.1, 0.2, 0.2], [0.2, 0.4, 0.3], [0.3, 0.3, 0.4], [0.2, 0.3, 0.3]):
        assert any_is(ys, expected)


def test_margins_have_a_figure_where_they_vary():
    two = (an_arm(margin=0.0), an_arm(margin=0.2))
    figure = shown(dose_figure(a_content(evidence=two), MARGIN))
    assert [label for label, _ in figure.legend] == ["rho-guided w=0.2"]
    assert "at 0 +0.300" in figure.panels[0].description
    reason = dose_figure(a_content(), MARGIN)
    assert isinstance(reason, Gap)
    assert reason.reason == "no condition has scores at two values of margin"


def test_only_the_claims_split_is_drawn():
    train = a_content(evidence=arms(split="train"), split="heldout")
    for figure in (dose_figure(train, WEIGHT), delta_figure(train), spread_figure(train)):
        assert isinstance(figure, Gap)
        assert figure.reason == "the analysis has no arm on this split"


def test_a_forest_has_a_line_for_each_trained_arm():
    panel = shown(delta_figure(a_content(evidence=arms()))).panels[0]
    points = [float(xs[0]) for xs, _ in lines(panel) if len(xs) == 1]
    assert np.allclose(points, [0.03, 0.2, 0.5, -0.1 / 3])
    assert "sft-only: +0.030" in panel.description
    assert "baseline" not in panel.description


def test_contrasts_stand_with_their_own_interval_and_verdict():
    rows = (a_row(), a_row(kind=Kind.SD_RATIO, contrast_id="spread"), a_row(split="train"))
    figure = shown(contrast_figure(a_content(inference=rows)))
    (panel,) = figure.panels
    assert panel.title == "rho-guided w=0.5 m=0.1 minus sft-only (primary, new seeds)"
    assert "factual: supported: +0.123 [-0.011, +0.257], n 3 pairs" in panel.description
    assert any_is((xs for xs, _ in lines(panel)), [-0.011, 0.257])


def test_two_contrasts_of_the_same_arms_are_two_panels():
    rows = (a_row(), a_row(contrast_id="again", alternative="less"))
    first, second = shown(contrast_figure(a_content(inference=rows))).panels
    assert first.title.startswith("guided-above-sft: rho-guided")
    assert second.title.startswith("again: rho-guided")


def test_a_contrast_without_interval_is_a_point_alone():
    rows = (a_row(ci_low=None, family=Family.EXPLORATORY),)
    (panel,) = shown(contrast_figure(a_content(inference=rows))).panels
    assert "+0.123, n 3 pairs" in panel.description


def test_the_spread_of_an_arm_is_its_sd_over_seeds():
    panel = shown(spread_figure(a_content(evidence=arms()))).panels[0]
    assert "rho-guided w=0.5 m=0.1 0.100, n 3" in panel.description
    assert any_is((xs for xs, _ in lines(panel)), [-0.1, 0.1])
    assert any_is((sorted(xs) for xs, _ in lines(panel)), [-0.1, 0.0, 0.1])


def test_a_silent_hinge_is_told_in_numbers():
    figure = shown(curve_figure(a_content(), ACTIVITY))
    assert [p.title for p in figure.panels] == ["rho-guided w=0.5 m=0.1"]
    assert "first tenth 0.750, of the last tenth 0.000" in figure.panels[0].description
    assert "Silent in 50% of all steps." in figure.panels[0].description
    assert figure.numbers.rows[0]["silent"] == 50


def test_each_seed_is_a_line_and_the_mean_goes_as_far_as_all_of_them():
    short = a_curve(seed=1, steps=8)
    found = a_content(steps=(a_curve(seed=0), short))
    (panel,) = shown(curve_figure(found, CE_LOSS)).panels
    lengths = [len(ys) for _, ys in lines(panel)]
    assert lengths == [12, 8, 8]
    seeds, mean = [ys for _, ys in lines(panel)][:2], lines(panel)[2][1]
    assert np.allclose(mean, (seeds[0][:8] + seeds[1]) / 2)


def test_a_loss_that_was_not_measured_is_a_hole_and_not_0():
    curve = a_curve()
    curve.ce_loss[3] = np.nan
    (panel,) = shown(curve_figure(a_content(steps=(curve,)), CE_LOSS)).panels
    assert np.isnan(lines(panel)[0][1][3])
    assert np.nanmin(lines(panel)[0][1]) > 0


def test_long_trainings_are_averaged_and_nothing_is_lost():
    steps = np.arange(1.0, 1001)
    values = np.sin(steps)
    x, y = binned(steps, values)
    assert len(x) == len(y) <= MAX_POINTS
    sizes = np.full(len(y), 13.0)
    sizes[-1] = 1000 - 13 * (len(y) - 1)
    assert np.average(y, weights=sizes) == pytest.approx(values.mean())
    assert np.isnan(binned(steps, np.full(1000, np.nan))[1]).all()


@pytest.mark.parametrize(
    ("figure_of", "changes", "reason"),
    [
        (delta_figure, {"evidence": (an_arm("baseline"),)}, "beside a baseline's"),
        (spread_figure, {"evidence": (an_arm(rho=(0.1,)),)}, "scores of two seeds"),
        (contrast_figure, {"inference": ()}, "no difference of means was tested"),
        (refusal_figure, {"views": ()}, "no generation test was run"),
        (lambda c: curve_figure(c, ACTIVITY), {"steps": (a_curve("sft-only"),)}, "contrastive"),
        (lambda c: curve_figure(c, CE_LOSS), {"steps": ()}, "SFT texts"),
    ],
)
def test_a_figure_with_nothing_to_show_is_left_out_with_a_reason(figure_of, changes, reason):
    found = figure_of(a_content(**changes))
    assert isinstance(found, Gap)
    assert reason in found.reason


def test_refusals_are_drawn_in_percent_with_the_bounds_that_exist():
    figure = shown(refusal_figure(a_content(views=(a_stress_view(),))))
    harmful, benign = figure.panels
    assert "baseline 68% (17/25), from 48%, up to 83%" in harmful.description
    assert "sft-only 0%, up to 20%" in benign.description
    assert any_is((xs for xs, _ in lines(harmful)), [48, 83])


def test_refusals_of_a_generation_test_are_drawn_arm_by_arm():
    counts = [*answers("baseline", [True] * 5 + [False] * 15, seed=None)]
    counts += answers("sft-only", [True] * 12 + [False] * 8)
    view = stress(counts)
    (panel,) = shown(refusal_figure(a_content(views=(view,)))).panels
    low, high = (100 * view.rows[1][k] for k in ("jb_low", "jb_high"))
    assert f"60% (12/20), from {low:.0f}%, up to {high:.0f}%" in panel.description
    assert any_is((xs for xs, _ in lines(panel)), [low, high])


def test_series_of_a_figure_differ_in_marker_and_conditions_in_colour():
    keys = [("rho-guided", m, "") for m in (0.0, 0.1, 0.2)]
    keys += [("sft-only", None, ""), ("shuffled-pairs", 0.1, "")]
    looks = looks_of(keys)
    assert len({look.marker for look in looks.values()}) == len(keys)
    assert len({looks[k].colour for k in keys[:3]}) == 1
    assert len({looks[k].colour for k in keys}) == 3
    assert len({looks[k].dash for k in keys[:3]}) == 3


def test_a_condition_without_a_colour_is_drawn_in_the_colour_for_others(monkeypatch):
    bare = replace(Condition.INVERTED_PAIRS.traits, colour=None)
    monkeypatch.setattr(Condition.INVERTED_PAIRS, "traits", bare)
    keys = [("inverted-pairs", m, "") for m in (0.0, 0.1)] + [("rho-guided", 0.1, "")]
    looks = looks_of(keys)
    assert [looks[k].colour for k in keys] == [OTHER, OTHER, "blue"]
    assert len({look.marker for look in looks.values()}) == len(keys)


def test_conditions_have_colours_of_their_own_that_the_palette_has():
    declared = [c.traits.colour for c in Condition if c.traits.colour]
    assert len(set(declared)) == len(declared)
    assert set(declared) <= set(SERIES)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_legend_shows_every_marker_there_is(marker):
    image = read(str(swatch(Look(colour="blue", marker=marker)))).one("svg")
    _, shape = image.all("path")
    assert shape.attributes["d"].startswith("M")
    assert shape.attributes["d"].count("L") >= 3
    assert image.attributes["aria-hidden"] == "true"


def test_seeds_of_the_builders_are_those_of_the_figures():
    assert set(arms()[1].scores) == set(SEEDS)
