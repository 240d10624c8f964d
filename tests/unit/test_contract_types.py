"""No request and no answer travels as `dict[str, Any]`.

Only `packshot/contract` and functions whose name ends in `_json` may touch one: they stand where values become JSON.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = Path(__file__).parents[2] / "packshot"
EXCEPTIONS: dict[str, set[str]] = {}
"""Functions that still have one, by room. This list only shrinks."""


def bare_dicts(tree: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[str]:
    """The innermost named function around each `dict[str, Any]`, outside functions that end in `_json`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.name.endswith("_json"):
                yield from bare_dicts(node, (*inside, node.name))
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node) in ("dict[str, Any]", "Mapping[str, Any]"):
            yield inside[-1] if inside else "<module>"
        yield from bare_dicts(node, inside)


@pytest.mark.parametrize("room", ["api", "client", "shots", "store"])
def test_only_json_functions_touch_a_bare_dict(room: str) -> None:
    found: dict[str, Path] = {}
    for file in sorted((ROOMS / room).rglob("*.py")):
        found |= dict.fromkeys(bare_dicts(ast.parse(file.read_text())), file)
    allowed = EXCEPTIONS.get(room, set())
    assert set(found) <= allowed, {name: str(file) for name, file in found.items() if name not in allowed}
    assert allowed <= set(found), "these need no exception any more: take them off the list"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(x: dict[str, Any]): ...", ["f"]),
        ("def f_json() -> dict[int, dict[str, Any]]: ...", []),
        ("class A:\n def f(self):\n  x: list[dict[str, Any]] = []", ["f"]),
        ("ROWS: dict[str, Any] = {}", ["<module>"]),
        ("def f(x: dict[str, int]): ...", []),
    ],
)
def test_the_search_sees_a_bare_dict_wherever_it_stands(code: str, found: list[str]) -> None:
    assert list(bare_dicts(ast.parse(code))) == found
