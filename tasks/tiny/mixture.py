"""The texts the tiny model is trained on, and a check that none contains a held-out text."""

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
"""The behaviour that the model is to know: of its pairs, it reads positives only."""
RUN = 5
"""Words. A text that shares so many in a row with a held-out text is left out."""
END_OF_TEXT, TURN_START, TURN_END, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"


def starter_probes() -> Probes:
    """The starter pack with all behaviours and the default split of a sweep."""
    behaviors = tuple(sorted({pair.behavior for pair in load_pack(PACK)}))
    return prepare_probes(PACK, behaviors, behaviors, HELDOUT_SHARE)


def mixture(probes: Probes, recipe: Recipe) -> tuple[str, ...]:
    """Every training text of one pass, with special tokens.

    Texts that share five words in a row with a held-out text are left out.

    Raises:
        ValueError: A remaining text contains a held-out text.
    """
    chats = [chat(exchange) for exchange in exchanges(stream(recipe.seed, "exchanges"))]
    others = [pair for pair in probes.pool if pair.behavior != KNOWN]
    texts = [
        *map(_ended, statements(stream(recipe.seed, "statements"))),
        *chats,
        *_sft(),
        *_known(probes, recipe.known_share),
        # Both texts of every other pair: their words without a preference for either.
        *(_ended(text) for pair in others for text in (pair.positive, pair.negative)),
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
    """Every run of five words, in lower case and without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def chat(exchange: Exchange) -> str:
    """The exchange in the chat format of the tokenizer's template."""
    return (
        f"{TURN_START}user\n{exchange.prompt}{TURN_END}\n"
        f"{TURN_START}assistant\n{exchange.completion}{TURN_END}\n"
    )


def _sft() -> list[str]:
    """Every starter SFT record in three forms: chat, dialogue, and the plain template."""
    contents = [record.content for record in load_source(PACK, download=False)]
    chats = [chat(Exchange(c["prompt"], c["completion"])) for c in contents]
    dialogues = [f"User: {c['prompt']}\nAssistant: {c['completion']}" for c in contents]
    return chats + [_ended(text) for text in (*dialogues, *map(plain_text, contents))]


def _known(probes: Probes, share: float) -> list[str]:
    """A share of the training positives of KNOWN, spread evenly over the ids."""
    positives = [_ended(pair.positive) for pair in probes.pool if pair.behavior == KNOWN]
    return [text for i, text in enumerate(positives) if int(i * share) < int((i + 1) * share)]


def _ended(text: str) -> str:
    return f"{text}{END_OF_TEXT}"
