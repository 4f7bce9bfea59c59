"""Tables of docs/ that are generated from declarations in the code.

`python -m tests.docs.tables` writes them again; `test_tables.py` fails while one is out of date.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from benchmarks.models import LARGE
from orchestrator.analysis.inference.record import Family
from orchestrator.cells.memory import Texts
from orchestrator.cells.model_size import Sizes
from orchestrator.cells.roofline import CHIPS, step_effort
from orchestrator.config.checked import Checked, at, must, schema_of
from orchestrator.config.contrast_kinds import NAT, Kind, Population
from orchestrator.config.fields import (
    Base,
    Cell,
    Data,
    Evaluate,
    Probes,
    RunSettings,
    StressSettings,
    Track,
    Train,
)
from orchestrator.config.hosts import Cluster, Host, Ports
from orchestrator.results.schema import TABLES
from orchestrator.stats.records import Alternative
from orchestrator.stats.verdict import Verdict
from tasks.contract.cell import TrainSpec
from tasks.contract.conditions import Condition
from tasks.contract.measures import MEASURES
from tasks.data.lengths import Lengths
from tasks.data.probe_packs import PACKS
from tasks.data.sft import SOURCES
from tasks.sources.declared import Delivery, Source
from tasks.sources.model_files import ModelFiles
from tests import ROOT
from tests.builders import a_spec

DOCS = ROOT / "docs"
JSON_SCHEMA = "analyze.schema.json"
SWAPPED = {None: "-", 0.0: "as they are", 0.5: "swapped with p = 1/2", 1.0: "swapped"}


def conditions() -> list[tuple[str, ...]]:
    """One row per condition."""
    return [
        ("condition", "SFT loss", "loss of pairs", "its pairs", "notes"),
        *(
            (
                f"`{c}`",
                "yes" if c.has_sft else "-",
                c.traits.pair_loss if c.has_pairs else "-",
                SWAPPED.get(c.traits.swapped, f"swapped with p = {c.traits.swapped}"),
                c.traits.notes,
            )
            for c in Condition
        ),
    ]


def kinds() -> list[tuple[str, ...]]:
    """One row per kind of contrast."""
    rows = ((f"`{kind}`", kind.rules.asks, kind.rules.test) for kind in Kind)
    return [("kind", "asks", "test"), *rows]


def measures() -> list[tuple[str, ...]]:
    """One row per measurement that a claim may name."""
    rows = ((f"`{m.name}`", m.about, m.unit or NAT) for m in MEASURES)
    return [("name", "value", "unit"), *rows]


def sources(declared: Iterable[Source], head: str) -> list[tuple[str, ...]]:
    """One row per built-in source."""
    ways = {
        Delivery.SHIPPED: "part of the program",
        Delivery.INSTALLED: "with `cluster install`",
    }
    return [
        (head, "content", "on a cluster"),
        *((f"`{s.name}`", s.about, ways.get(s.delivery, "`cluster prefetch`")) for s in declared),
    ]


def columns(schema: pa.Schema) -> list[tuple[str, ...]]:
    """One row per column of a table."""
    rows = (
        (
            f.name,
            f"{f.type}{'' if f.nullable else ' not null'}",
            (f.metadata or {}).get(b"unit", b"").decode(),
        )
        for f in schema
    )
    return [("column", "type", "unit"), *rows]


BOUNDS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
}
HEAD = ("field", "value", "default", "meaning")
SECTIONS = {
    Cell: "",
    Base: "",
    Train: "train.",
    Data: "data.",
    Probes: "probes.",
    Evaluate: "evaluate.",
    StressSettings: "stress.",
    RunSettings: "run.",
    Track: "track.",
}


def fields(kind: type[Checked], prefix: str = "") -> list[tuple[str, ...]]:
    """One row per field of a checked record: name, what it must be, default, meaning."""
    schema = schema_of(kind)
    rows = []
    for name, raw in schema["properties"].items():
        node = at(schema, (name,))
        bounds = [
            f"{sign} {node[key]:g}"
            for key, sign in BOUNDS.items()
            if key in node and node[key] < 1e18
        ]
        value = " ".join([must(node).removeprefix("be "), " and ".join(bounds)]).strip()
        default = raw.get("default")
        if name in schema.get("required", ()):
            shown = "required"
        elif default is None or isinstance(default, dict):
            shown = ""
        elif isinstance(default, list):
            shown = ", ".join(map(str, default))
        else:
            shown = str(default).lower() if isinstance(default, bool) else str(default)
        rows.append((f"`{prefix}{name}`", value, shown, raw.get("description", "")))
    return rows


TEXTS = Texts(
    scored=Lengths(mean=48, longest=256, total=2 * 600 * 48),
    sft=Lengths(mean=129, longest=256),
    pairs=Lengths(mean=48, longest=256),
)
SHOWN = ("Apple M1 Max", "Apple M2 Ultra", "Apple M3 Ultra")
MODELS = {
    "Qwen2.5-7B, bf16": LARGE["7B"],
    "Qwen2.5-7B, 4 bits": replace(LARGE["7B"], bits=4),
    "Llama-3.1-8B, bf16": LARGE["8B"],
    "Llama-3.1-8B, 4 bits": LARGE["8B-4bit"],
}


def roofline() -> list[tuple[str, ...]]:
    """One row per model: what a step of the published campaign takes, and the least seconds."""
    train = TrainSpec(lora_rank=8, lora_keys=("q_proj", "k_proj", "o_proj"))
    spec = a_spec()
    if spec.hinge is None:
        raise AssertionError("a cell with a hinge")
    spec = replace(spec, train=train, hinge=replace(spec.hinge, pairs_per_step=4))
    head = ("model", "TFLOP", "GB moved", "launches", *(f"{c[6:]}, s" for c in SHOWN))
    rows = [head]
    for name, shape in MODELS.items():
        files = ModelFiles(folder=DOCS, config=shape.config(), digest="", weight_bytes=0)
        sizes = Sizes.of(files)
        values = sum(a * b for a, b in sizes.matrices.values()) * sizes.layers
        values += 2 * sizes.vocabulary * sizes.hidden
        each = (shape.bits + 2 * 16 / 64 if shape.bits else 16) / 8  # scale and bias of 64 values
        effort = step_effort(spec, sizes, round(values * each), TEXTS)
        seconds = (f"{effort.least_s(CHIPS[chip]):.1f}" for chip in SHOWN)
        numbers = (f"{effort.flops / 1e12:.1f}", f"{effort.bytes / 1e9:.0f}")
        rows.append((name, *numbers, f"{effort.launches:.0f}", *seconds))
    return rows


def expected() -> dict[str, str]:
    """File in docs/ -> its text, with every generated table as the code declares it now."""
    schema = json.loads((DOCS / JSON_SCHEMA).read_text())
    named = (Condition, Kind, Population, Alternative, Family, Verdict)
    schema["$defs"] = {n.__name__.lower(): {"enum": [str(member) for member in n]} for n in named}
    pages = {JSON_SCHEMA: json.dumps(schema, indent=1, ensure_ascii=False) + "\n"}
    derived = {
        "analysis.md": {"### Kinds": kinds(), "## What else changed": measures()},
        "conditions.md": {"# Conditions": conditions()},
        "data.md": {
            "## Probe packs": sources(PACKS, "pack"),
            "## SFT data": sources(SOURCES, "source"),
        },
    }
    derived["sweep-file.md"] = {
        "## Fields": [
            HEAD,
            *(row for kind, prefix in SECTIONS.items() for row in fields(kind, prefix)),
        ]
    }
    derived["cluster.md"] = {
        "## The cluster file": [HEAD, *fields(Cluster)],
        "### A host": [HEAD, *fields(Host)],
        "### Ports": [HEAD, *fields(Ports)],
    }
    derived["performance.md"] = {"## Roofline": roofline()}
    derived["tables.md"] = {f"## {name}": columns(schema) for name, schema in TABLES.items()}
    for name, tables in derived.items():
        text = (DOCS / name).read_text()
        for heading, rows in tables.items():
            text = _with_table(text, heading, rows)
        pages[name] = text
    return pages


def _with_table(text: str, heading: str, rows: Iterable[tuple[str, ...]]) -> str:
    """The page, with these rows (head first) in place of the first table below the heading."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    rule = "|" + "---|" * (head.count(" | ") + 1)
    pattern = rf"(^{re.escape(heading)}\n(?:(?!#|\|).*\n)*)(?:^\|.*\n)+"
    table = "".join(f"{line}\n" for line in (head, rule, *body))
    new, count = re.subn(pattern, lambda m: m[1] + table, text, count=1, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"no table below {heading!r}")
    return new


if __name__ == "__main__":
    for name, text in expected().items():
        (DOCS / name).write_text(text)
