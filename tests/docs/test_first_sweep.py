"""The page `first-sweep.md` and the notebook, run as they stand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NOTEBOOK = ROOT / "docs/notebook.ipynb"


@pytest.mark.slow
def test_the_page_leads_from_ones_own_files_to_a_verdict(tmp_path):
    bin_ = Path(sys.executable).parent
    around = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    said = ""
    for language, text in BLOCK.findall((ROOT / "docs/first-sweep.md").read_text()):
        if language == "yaml":
            (tmp_path / "polite.yaml").write_text(text)
            continue
        words = [sys.executable, "-c", text] if language == "python" else ["sh", "-ec", text]
        ran = subprocess.run(words, cwd=tmp_path, env=around, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        said = ran.stdout
    assert re.search(r"supported +rho-guided training makes polite answers likelier", said), said
    assert (tmp_path / "results/polite/report.html").is_file()


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "rho-guided scores above SFT alone" in capsys.readouterr().out
