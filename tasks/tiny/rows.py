"""Makes the rows of words that fill a grammar's templates, from the tables in `facts`."""

from dataclasses import asdict

import numpy as np

from tasks.tiny import facts

Row = dict[str, str]


def country_rows() -> list[Row]:
    """One row per country."""
    return _with_wrong([asdict(country) for country in facts.COUNTRIES], "name")


def animal_rows() -> list[Row]:
    """One row per animal."""
    rows = _with_wrong([asdict(animal) for animal in facts.ANIMALS], "kind")
    return [_with_articles(row, "name", "kind", "wrong_kind", "young") for row in rows]


def job_rows() -> list[Row]:
    """One row per job."""
    return [_with_articles(asdict(job), "name", "place") for job in facts.JOBS]


def color_rows() -> list[Row]:
    """One row per colored thing."""
    rows = [{"color": color, "thing": thing} for color, things in facts.COLORED for thing in things]
    return _with_wrong(rows, "color")


def opposite_rows() -> list[Row]:
    """One row per pair of opposites."""
    return [{"left": left, "right": right} for left, right in facts.OPPOSITES]


def sum_rows() -> list[Row]:
    """One row per sum up to twenty, with a name that varies."""
    return [
        {
            "x": str(x),
            "y": str(y),
            "z": str(x + y),
            "word_x": facts.NUMBERS[x],
            "word_y": facts.NUMBERS[y],
            "word_z": facts.NUMBERS[x + y],
            "name": facts.NAMES[(7 * x + y) % len(facts.NAMES)],
        }
        for x in range(21)
        for y in range(1, 21 - x)
    ]


def order_rows() -> list[Row]:
    """One row per day and per month with its successor."""
    return [
        {"unit": unit, "before": names[i], "after": names[(i + 1) % len(names)]}
        for unit, names in (("day", facts.DAYS), ("month", facts.MONTHS))
        for i in range(len(names))
    ]


def scene_rows(rng: np.random.Generator, size: int) -> list[Row]:
    """Rows about everyday life; every word is drawn independently."""
    return [_scene(rng) for _ in range(size)]


def list_rows(rng: np.random.Generator, size: int) -> list[Row]:
    """Rows with `words`, a list of three to seven nouns: texts that repeat it teach copying."""
    nouns = (*facts.THINGS, *facts.FOODS, *facts.HOBBIES, *facts.SUBJECTS, *facts.DRINKS)
    lists = [rng.permutation(len(nouns))[: rng.integers(3, 8)].tolist() for _ in range(size)]
    return [_scene(rng) | {"words": ", ".join(nouns[i] for i in chosen)} for chosen in lists]


def _scene(rng: np.random.Generator) -> Row:
    """One row about everyday life; `name` differs from `friend`, and `thing` from `other`."""
    tables = {
        "person": facts.PEOPLE,
        "food": facts.FOODS,
        "other_food": facts.FOODS,
        "drink": facts.DRINKS,
        "place": facts.PLACES,
        "time": facts.TIMES,
        "weather": facts.WEATHER,
        "adjective": facts.ADJECTIVES,
        "feeling": facts.FEELINGS,
        "hobby": facts.HOBBIES,
        "subject": facts.SUBJECTS,
        "day": facts.DAYS,
    }
    row = {key: words[int(rng.integers(len(words)))] for key, words in tables.items()}
    name, friend = (facts.NAMES[i] for i in rng.permutation(len(facts.NAMES))[:2].tolist())
    thing, other = (facts.THINGS[i] for i in rng.permutation(len(facts.THINGS))[:2].tolist())
    row |= {"name": name, "friend": friend, "thing": thing, "other": other}
    return _with_articles(row, "adjective")


def _with_wrong(rows: list[Row], key: str) -> list[Row]:
    """The rows with `wrong_KEY` added: the next different value in the rows below."""
    values = [row[key] for row in rows]
    below = [values[i + 1 :] + values[:i] for i in range(len(rows))]
    wrong = [next(v for v in others if v != own) for own, others in zip(values, below, strict=True)]
    return [row | {f"wrong_{key}": value} for row, value in zip(rows, wrong, strict=True)]


def _with_articles(row: Row, *keys: str) -> Row:
    """The row with `a_KEY` added for each key: the word with `a` or `an` before it."""
    articles = {key: "an" if row[key][0] in "aeiou" else "a" for key in keys}
    return row | {f"a_{key}": f"{article} {row[key]}" for key, article in articles.items()}
