"""Colours that can be read, and told from each other, in light and in dark."""

from itertools import combinations

import numpy as np
import pytest

from orchestrator.report.palette import BACKGROUNDS, DARK, GRAPHICS, LIGHT, SERIES, TEXTS, contrast

SCHEMES = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
CONES = {
    "all": np.eye(3),
    "no long cones": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no middle cones": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no short cones": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
"""Linear RGB as seen: Machado, Oliveira and Fernandes 2009, severity 1."""


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)


@SCHEMES
def test_text_can_be_read(colours):
    for name in TEXTS:
        for ground in BACKGROUNDS:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


@SCHEMES
def test_graphics_can_be_seen(colours):
    for name in GRAPHICS:
        for ground in BACKGROUNDS:
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)


def test_both_schemes_have_the_same_names():
    assert LIGHT.keys() == DARK.keys() == {*BACKGROUNDS, *TEXTS, *GRAPHICS, "rule"}


@SCHEMES
@pytest.mark.parametrize("sight", CONES.values(), ids=CONES)
def test_series_differ_for_every_kind_of_sight(colours, sight):
    """Fifteen units of CIELAB are several times what can just be noticed."""
    seen = {name: _lab(np.array(sight) @ _linear(colours[name])) for name in SERIES}
    near = min(np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(SERIES, 2))
    assert near > 15


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
