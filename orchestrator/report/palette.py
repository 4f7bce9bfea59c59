"""The colours of a report, one set for light and one for dark, and how well they can be told.

Series colours differ in lightness as much as in hue: they were chosen so that readers without one
of the three cone types can tell each from each. Shapes tell series apart as well.
"""

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "card": "#f6f7f8",
    "ink": "#1b1f24",
    "muted": "#545c66",
    "link": "#0b57a4",
    "rule": "#d5d9de",
    "edge": "#7f8791",
    "slate": "#3b424a",
    "blue": "#0066c0",
    "orange": "#a33c00",
    "green": "#009970",
    "purple": "#c060a0",
    "gold": "#ad8500",
    "violet": "#8700ff",
    "lime": "#69964b",
    "brown": "#3c1e00",
}
DARK: Mapping[str, str] = {
    "page": "#14171a",
    "card": "#1d2125",
    "ink": "#e8eaed",
    "muted": "#a9b1ba",
    "link": "#84bdf2",
    "rule": "#3a4047",
    "edge": "#7d8791",
    "slate": "#e0e3e7",
    "blue": "#3b8be0",
    "orange": "#e0701f",
    "green": "#35c79a",
    "purple": "#dd93c6",
    "gold": "#f5dc7a",
    "violet": "#961eff",
    "lime": "#a5ff00",
    "brown": "#87693c",
}
BACKGROUNDS = ("page", "card")
TEXTS = ("ink", "muted", "link")
SERIES = ("slate", "blue", "orange", "green", "purple", "gold", "violet", "lime", "brown")
OTHER = "edge"
"""Series of a condition that declares no colour; several of them differ in marker and dash."""
GRAPHICS = (OTHER, *SERIES)
"""What must be seen to understand a figure or a mark; `rule` only guides the eye."""


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours `#rrggbb`, 1 to 21, as WCAG 2 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def variables(colours: Mapping[str, str]) -> str:
    """The colours as declarations of CSS variables."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def _luminance(colour: str) -> float:
    """Relative luminance of a colour `#rrggbb`, 0 to 1, as WCAG 2 defines it."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else float(((c + 0.055) / 1.055) ** 2.4) for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
