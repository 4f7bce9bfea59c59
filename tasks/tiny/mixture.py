"""Every text the tiny model learns from, and the proof that none of them is held out."""

import re

from tasks.data.probe_packs import load_pack
from tasks.data.probes import Probes, prepare_probes
from tasks.data.seeding import stream
from tasks.data.sft import load_source, plain_text
from tasks.data.split import HELDOUT
from tasks.tiny.corpus import Exchange, exchanges, statements
from tasks.tiny.recipe import Recipe

PACK = "starter"
HELDOUT_SHARE = 0.25
KNOWN = "factual"
RUN = 5
END_OF_TEXT, TURN_START, TURN_END, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"


def starter_probes() -> Probes:
    """The starter pack, all behaviours, split as a sweep splits it by default."""
    behaviors = tuple(sorted({pair.behavior for pair in load_pack(PACK)}))
    return prepare_probes(PACK, behaviors, behaviors, HELDOUT_SHARE)


def mixture(probes: Probes, recipe: Recipe) -> tuple[str, ...]:
    """Every text of one pass, special tokens included.

    Texts with five words in a row from a held-out text are left out.

    Raises:
        ValueError: A text that is left still contains a held-out text.
    """
    texts = [
        *_generated(recipe.seed),
        *_sft(),
        *_known(probes, recipe.known_share),
        *_neutral(probes),
    ]
    heldout = set().union(*map(_runs, heldout_texts(probes)))
    kept = tuple(text for text in texts if heldout.isdisjoint(_runs(text)))
    if leaks := [text for text in kept if probes.guard.touches(text)]:
        raise ValueError(f"{len(leaks)} texts contain a held-out text, the first: {leaks[0]!r}")
    return kept


def heldout_texts(probes: Probes) -> tuple[str, ...]:
    """Both texts of every held-out pair."""
    held = [pair for pair in probes.evaluated if probes.split[pair.id] == HELDOUT]
    return tuple(text for pair in held for text in (pair.positive, pair.negative))


def _runs(text: str) -> set[tuple[str, ...]]:
    """Every five words in a row, in lower case, punctuation aside."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def chat(exchange: Exchange) -> str:
    """The exchange as the tokenizer's chat template writes it."""
    return (
        f"{TURN_START}user\n{exchange.prompt}{TURN_END}\n"
        f"{TURN_START}assistant\n{exchange.completion}{TURN_END}\n"
    )


def _generated(seed: int) -> list[str]:
    """The grammars' texts."""
    chats = [chat(exchange) for exchange in exchanges(stream(seed, "exchanges"))]
    return [_ended(text) for text in statements(stream(seed, "statements"))] + chats


def _sft() -> list[str]:
    """Every starter record in three forms: chat, dialogue, and the project's plain template."""
    contents = [record.content for record in load_source(PACK, download=False)]
    chats = [chat(Exchange(c["prompt"], c["completion"])) for c in contents]
    dialogues = [f"User: {c['prompt']}\nAssistant: {c['completion']}" for c in contents]
    return chats + [_ended(text) for text in (*dialogues, *map(plain_text, contents))]


def _known(probes: Probes, share: float) -> list[str]:
    """Training positives of the behaviour that the model is to know, evenly spread by id."""
    positives = [_ended(pair.positive) for pair in probes.pool if pair.behavior == KNOWN]
    return [text for i, text in enumerate(positives) if int(i * share) < int((i + 1) * share)]


def _neutral(probes: Probes) -> list[str]:
    """Both texts of the other behaviours' training pairs: their words without a preference."""
    others = [pair for pair in probes.pool if pair.behavior != KNOWN]
    return [_ended(text) for pair in others for text in (pair.positive, pair.negative)]


def _ended(text: str) -> str:
    return f"{text}{END_OF_TEXT}"
