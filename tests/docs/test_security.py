"""Every line of docs/security.md names tests that there are."""

import re

from tests import ROOT
from tests.docs.tables import DOCS


def test_every_test_that_is_named_is_there():
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "security.md").read_text()))
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 100
    assert named - set(re.findall(r"^(?:async )?def (test_\w+)\(", code, re.MULTILINE)) == set()
