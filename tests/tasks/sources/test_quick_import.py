"""transformers is imported with less work, and offers the same names."""

import json
import subprocess
import sys

import pytest

NAMES = """\
import builtins, json, sys
from pathlib import Path
opened, real = [], builtins.open
def count(path, *rest, **options):
    opened.append(str(path))
    return real(path, *rest, **options)
builtins.open = count
{how}
import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
builtins.open = real
from transformers.utils.import_utils import define_import_structure
models = Path(transformers.__file__).parent / "models"
found = define_import_structure(models)
read = [path for path in opened if path.startswith(str(models))]
names = [[sorted(k), sorted([m, sorted(n)] for m, n in v.items())] for k, v in found.items()]
print(json.dumps({{
    "names": sorted(names),
    "twice": len(read) - len(set(read)),
    "read": len(read),
    "top": sorted(dir(transformers)),
}}))
"""


def imported(how: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", NAMES.format(how=how)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_each_file_is_read_once_and_the_names_are_the_same():
    plain = imported("")
    quick = imported("from tasks.sources.quick_import import import_transformers as f; f()")
    assert plain["read"] > 1000
    assert (quick["names"], quick["top"]) == (plain["names"], plain["top"])
    assert quick["twice"] < 20
    assert plain["twice"] > 1000, "transformers reads each file once by itself: drop quick_import"


@pytest.mark.slow
def test_a_version_that_searches_otherwise_is_imported_as_it_is():
    how = """\
from importlib.machinery import SourceFileLoader as Loader
whole, compiled = Loader.get_data, Loader.path_stats
def ours(path):
    return path.endswith("transformers/utils/import_utils.py")
def renamed(self, path):
    data = whole(self, path)
    return data.replace(b"fetch__all__", b"renamed__all__") if ours(path) else data
def anew(self, path):
    if ours(path):
        raise OSError
    return compiled(self, path)
Loader.get_data, Loader.path_stats = renamed, anew
from tasks.sources.quick_import import import_transformers as f; f()
"""
    assert imported(how)["twice"] > 1000
