"""Scores probe pairs with torch, transformers and PEFT; shares no code with this project.

    PYTHON -m tests.orchestrator.report.sharing.peft_scores BASE ADAPTER PAIRS.jsonl

Prints one JSON object: id of a pair -> mean log-probability, in nats per token, of its two texts.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, pairs = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
model = PeftModel.from_pretrained(whole, adapter).eval()


@torch.no_grad()
def mean_log_probability(text: str) -> float:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    scores = model(ids).logits[0, :-1].log_softmax(-1)
    return float(scores.gather(1, ids[0, 1:, None]).mean())


found = {}
for line in Path(pairs).read_text(encoding="utf-8").splitlines():
    pair = json.loads(line)
    found[pair["id"]] = [mean_log_probability(pair[side]) for side in ("positive", "negative")]
print(json.dumps(found))
