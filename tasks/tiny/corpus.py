"""Grammars that make about ten thousand distinct English texts from a few tables of words.

Every text is a template of this file filled with words from `tasks.tiny.facts`; nothing is copied
from elsewhere. The texts teach a very small model simple English sentences.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tasks.tiny import rows
from tasks.tiny.rows import Row


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer; used as a chat or as plain text."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Templates over one kind of row.

    Attributes:
        rows: Makes the rows that fill the templates; draws from the generator given.
        texts: Templates of statements and stories.
        chats: Templates of a request and its answer, with ` => ` between them.
        texts_kept, chats_kept: Limits on the distinct filled templates that are kept.
    """

    rows: Callable[[np.random.Generator], list[Row]]
    texts: tuple[str, ...]
    chats: tuple[str, ...]
    texts_kept: int
    chats_kept: int


def statements(rng: np.random.Generator) -> list[str]:
    """The distinct generated sentences and small stories, about eight thousand."""
    return [
        text
        for grammar in GRAMMARS
        for text in _sample(rng, _fill(grammar.texts, grammar.rows(rng)), grammar.texts_kept)
    ]


def exchanges(rng: np.random.Generator) -> list[Exchange]:
    """The distinct generated requests with answers, about two thousand."""
    return [
        Exchange(*map(_capital, chat.split(" => ")))
        for grammar in GRAMMARS
        for chat in _sample(rng, _fill(grammar.chats, grammar.rows(rng)), grammar.chats_kept)
    ]


def _fill(templates: Iterable[str], rows: list[Row]) -> list[str]:
    """Every template filled with every row, duplicates dropped, first letters made capital."""
    filled = (template.format_map(row) for template in templates for row in rows)
    return list(dict.fromkeys(map(_capital, filled)))


def _capital(text: str) -> str:
    """The text with its first letter made capital."""
    return text[0].upper() + text[1:]


def _sample(rng: np.random.Generator, texts: list[str], size: int) -> list[str]:
    """At most `size` of the texts, chosen without replacement, in their old order."""
    chosen = rng.permutation(len(texts))[:size]
    return [texts[i] for i in sorted(chosen.tolist())]


COUNTRIES = Grammar(
    rows=lambda _: rows.country_rows(),
    texts=(
        "The capital of {name} is {capital}.",
        "{capital} is the capital of {name}.",
        "{capital} is the capital city of {name}.",
        "{name} is a country in {continent}, and its capital is {capital}.",
        "{name} lies in {continent}.",
        "{name} is in {continent}.",
        "In {name} most people speak {language}.",
        "People in {capital} speak {language}.",
        "If you travel to {name}, you may want to see {capital}.",
        "Q: What is the capital of {name}? A: {capital}.",
        "Q: Which continent is {name} in? A: {continent}.",
        "Question: What language do people speak in {name}? Answer: {language}.",
    ),
    chats=(
        "What is the capital of {name}? => The capital of {name} is {capital}.",
        "Which country has {capital} as its capital? => {capital} is the capital of {name}.",
        "Which continent is {name} in? => {name} is in {continent}.",
        "Where is {capital}? => {capital} is a city in {name}.",
        "Is {capital} in {name}? => Yes, {capital} is the capital of {name}.",
        "Is {capital} in {wrong_name}? => No, {capital} is in {name}.",
        "What language do people speak in {name}? => Most people in {name} speak {language}.",
    ),
    texts_kept=450,
    chats_kept=200,
)

ANIMALS = Grammar(
    rows=lambda _: rows.animal_rows(),
    texts=(
        "{a_name} is {a_kind}.",
        "The {name} is {a_kind} with {legs} legs.",
        "{a_name} has {legs} legs.",
        "The {name} lives {home}.",
        "{a_name} eats {food}.",
        "A young {name} is called {a_young}.",
        "The {name} lives {home} and eats {food}.",
        "There is {a_name} {home}. It is looking for {food}.",
        "Q: What does {a_name} eat? A: It eats {food}.",
        "Q: How many legs does {a_name} have? A: It has {legs} legs.",
    ),
    chats=(
        "What does {a_name} eat? => The {name} eats {food}.",
        "Where does {a_name} live? => The {name} lives {home}.",
        "How many legs does {a_name} have? => {a_name} has {legs} legs.",
        "What is a young {name} called? => A young {name} is called {a_young}.",
        "Is {a_name} {a_kind}? => Yes, the {name} is {a_kind}.",
        "Is {a_name} {a_wrong_kind}? => No, the {name} is {a_kind}.",
        "Tell me about the {name}. => The {name} is {a_kind}. It lives {home} and eats {food}.",
    ),
    texts_kept=340,
    chats_kept=200,
)

COLORS = Grammar(
    rows=lambda _: rows.color_rows(),
    texts=(
        "The color of {thing} is {color}.",
        "Something {color}: {thing}.",
        "{color} is the color of {thing}.",
        "When I think of {thing}, I think of {color}.",
        "Q: What color is {thing}? A: It is {color}.",
    ),
    chats=(
        "What color is {thing}? => {thing} is {color}.",
        "Name something {color}. => {thing} is {color}.",
        "Is {thing} {color}? => Yes, {thing} is {color}.",
        "Is {thing} {wrong_color}? => No, {thing} is {color}.",
    ),
    texts_kept=220,
    chats_kept=120,
)

JOBS = Grammar(
    rows=lambda _: rows.job_rows(),
    texts=(
        "{a_name} {work}.",
        "{a_name} works in {a_place}.",
        "The {name} goes to the {place} every day and {work}.",
        "My friend is {a_name} and {work}.",
        "A man or a woman can be {a_name}. A good {name} {work}.",
        "Q: What does {a_name} do? A: {a_name} {work}.",
    ),
    chats=(
        "What does {a_name} do? => {a_name} {work}.",
        "Where does {a_name} work? => {a_name} works in {a_place}.",
        "Who {work}? => {a_name} {work}.",
    ),
    texts_kept=120,
    chats_kept=60,
)

OPPOSITES = Grammar(
    rows=lambda _: rows.opposite_rows(),
    texts=(
        "The opposite of {left} is {right}.",
        "The opposite of {right} is {left}.",
        "{left} and {right} are opposites.",
        "It was not {left}, it was {right}.",
        "It was not {right}, it was {left}.",
    ),
    chats=(
        "What is the opposite of {left}? => The opposite of {left} is {right}.",
        "What is the opposite of {right}? => The opposite of {right} is {left}.",
    ),
    texts_kept=100,
    chats_kept=40,
)

SUMS = Grammar(
    rows=lambda _: rows.sum_rows(),
    texts=(
        "{x} + {y} = {z}",
        "{x} plus {y} is {z}.",
        "{z} minus {y} is {x}.",
        "{word_x} plus {word_y} equals {word_z}.",
        "If you have {word_x} and get {word_y} more, you have {word_z}.",
        "Q: What is {x} + {y}? A: {z}.",
        "{z} is more than {x}.",
        "{name} has {word_x} apples and buys {word_y} more. Now {name} has {word_z} apples.",
    ),
    chats=(
        "What is {x} plus {y}? => {x} plus {y} is {z}.",
        "What is {z} minus {y}? => {z} minus {y} is {x}.",
        "Add {word_x} and {word_y}. => The sum of {word_x} and {word_y} is {word_z}.",
    ),
    texts_kept=1000,
    chats_kept=350,
)

ORDERS = Grammar(
    rows=lambda _: rows.order_rows(),
    texts=(
        "{after} comes after {before}.",
        "{before} comes before {after}.",
        "The {unit} after {before} is {after}.",
    ),
    chats=(
        "Which {unit} comes after {before}? => {after} comes after {before}.",
        "Which {unit} comes before {after}? => {before} comes before {after}.",
    ),
    texts_kept=60,
    chats_kept=40,
)

SCENES = Grammar(
    rows=lambda rng: rows.scene_rows(rng, 1200),
    texts=(
        "{name} likes {hobby} {time}.",
        "{name} goes to {place} {time}.",
        "{person} went to {place} because it was {weather}.",
        "It was {weather} on {day}, so {name} stayed at home and had {food}.",
        "{name} eats {food} and drinks {drink} {time}.",
        "There is {a_adjective} {thing} in {place}.",
        "{person} was {feeling} after {hobby}.",
        "I think that {subject} is important, but other people may think otherwise.",
        "{name} reads a book about {subject} {time}.",
        "{person} gave {name} {a_adjective} {thing}.",
        "Where is the {thing}? It is in {place}, next to the {adjective} {other}.",
        "When it is {weather}, {person} goes to {place}.",
        "{name} asked a question about {subject}, and {person} gave a clear answer.",
        "You can learn more about {subject} if you go to {place}.",
        "We need {a_adjective} {thing}, and they have one in {place}.",
        "She told him that {person} was in {place} {time}.",
        "He would like {food}, but there is only {other_food} with {drink}.",
        "If it is {weather}, I will be in {place}; if not, I can help you with the {thing}.",
        "Do not take the {thing} from {place}. It is not yours.",
        "Most people are {feeling} when they have to wait for {food}.",
        "{name} was {feeling}. {person} came with {food} and {drink}. Then {name} felt better.",
        "One day {name} found {a_adjective} {thing} in {place}. It belonged to {person}. "
        "{name} gave it back, and they were both glad.",
        "It was a {weather} day. {name} and {friend} went to {place}. They had {food} and talked "
        "about {subject}. In the evening they went home.",
        "{name} wanted to try {hobby}. At first it was hard. {friend} helped, and after a week "
        "{name} was {feeling} but could do it.",
        "{name} said that {subject} is hard. {friend} did not agree and explained why.",
        "On {day} {person} lost the {thing}. They looked in {place}, but it was not there. "
        "In the end {name} found it under the {other}.",
    ),
    chats=(
        "What can I eat {time}? => You could have {food} with {drink}.",
        "What should I do when it is {weather}? => You could go to {place} or stay at home.",
        "I feel {feeling} today. => It is fine to feel {feeling}. Perhaps {hobby} would help you.",
        "How can I learn more about {subject}? => You can read a book about {subject} or ask "
        "a teacher.",
        "Where did {name} put the {thing}? => {name} put the {thing} in {place}.",
        "Tell me a short story about {name}. => {name} went to {place}. It was {weather}. "
        "{name} had {food} and was {feeling}.",
        "Write a sentence about {hobby}. => {name} likes {hobby} {time}.",
        "Write a sentence with the word {thing}. => There is {a_adjective} {thing} in {place}.",
        "What does {name} like? => {name} likes {hobby} and {food}.",
    ),
    texts_kept=5000,
    chats_kept=1300,
)

LISTS = Grammar(
    rows=lambda rng: rows.list_rows(rng, 700),
    texts=(
        "{words}. Once more: {words}.",
        "{name} wrote a list: {words}. {friend} read it out: {words}.",
    ),
    chats=(
        "Repeat these words: {words}. => {words}.",
        "What is on the list of {name}: {words}? => {name} has {words} on the list.",
    ),
    texts_kept=700,
    chats_kept=700,
)

GREETINGS = Grammar(
    rows=lambda rng: rows.scene_rows(rng, 80),
    texts=(
        "Hello, I am {name}. Nice to meet you, {friend}.",
        "{name} said hello to {friend}, and {friend} said thank you.",
    ),
    chats=(
        "Hello, I am {name}. => Hello {name}, how can I help you?",
        "Who are you? => I am tiny, a very small language model.",
        "My name is {name}. What is my name? => Your name is {name}.",
        "Thank you for the {thing}. => You are welcome. I hope the {thing} is useful.",
    ),
    texts_kept=80,
    chats_kept=120,
)

GRAMMARS = (COUNTRIES, ANIMALS, COLORS, JOBS, OPPOSITES, SUMS, ORDERS, SCENES, LISTS, GREETINGS)
