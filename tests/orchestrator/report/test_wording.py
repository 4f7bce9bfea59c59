"""One spelling: `behavior`, as in the columns of the tables."""

import ast
from pathlib import Path

import pytest

import orchestrator

HERE = Path(orchestrator.__file__).parent
BODIES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("folder", ["report", "analysis/tables", "analysis/published"])
def test_what_a_reader_of_a_report_sees_is_spelled_in_one_way(folder):
    said = [
        (path.name, text)
        for path in sorted((HERE / folder).rglob("*.py"))
        for text in texts(path.read_text())
    ]
    assert len(said) > 50
    assert [(name, text) for name, text in said if "behaviour" in text.lower()] == []


def texts(source: str) -> list[str]:
    """Every text of a module but its docstrings."""
    tree = ast.parse(source)
    statements = [s for node in ast.walk(tree) if isinstance(node, BODIES) for s in node.body]
    docs = {id(s.value) for s in statements if isinstance(s, ast.Expr)}
    constants = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs)
    return [n.value for n in constants if isinstance(n.value, str)]
