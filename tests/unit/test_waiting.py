"""Tests wait as CONTRIBUTING.md says: what fails by chance on a busy machine is found in their text."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.browser.visits import FORGETS_MS

TESTS = Path(__file__).parents[1]
REQUESTS = {"get", "post", "put", "delete", "patch", "head", "options", "request", "stream", "Client", "AsyncClient"}
FUNCTION = re.compile(r"(async )?(\([^)]*\)|\w+) =>")


def calls(word: str) -> Iterator[tuple[str, ast.Call, ast.Module]]:
    """(place, call, file's tree) of each call in a file of the tests that has `word`."""
    for file in sorted(TESTS.rglob("*.py")):
        if word not in (text := file.read_text()):
            continue
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{file.relative_to(TESTS)}:{node.lineno}", node, tree


def test_every_request_of_a_test_has_a_limit_of_its_own() -> None:
    """httpx gives up after 5 s without a byte, and a server of the tests may stand still for longer."""
    short = [
        place
        for place, call, _ in calls("httpx.")
        if re.fullmatch(r"httpx\.\w+", name := ast.unparse(call.func))
        and name.partition(".")[2] in REQUESTS
        and not any(one.arg in ("timeout", None) for one in call.keywords)
        and not any(one.arg == "transport" and "HTTPTransport" not in ast.unparse(one.value) for one in call.keywords)
    ]
    assert short == [], "name timeout=WAIT_S (tests/waiting.py)"


def test_a_page_is_waited_for_by_functions_alone() -> None:
    """A bare expression is evaluated at every look, and after the first one the page's policy forbids that."""
    bare = []
    for place, call, tree in calls("wait_for_function("):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "wait_for_function":
            texts = {
                ast.unparse(target): ast.literal_eval(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                for target in node.targets
            }
            given = call.args[0]
            text = str(given.value if isinstance(given, ast.Constant) else texts.get(ast.unparse(given)))
            if not FUNCTION.match(text):
                bare.append(f"{place}: {text}")
    assert bare == [], "write `() => …`"


def test_the_visits_of_tests_know_when_a_page_forgets_what_it_said() -> None:
    scripts = "".join(file.read_text() for file in (TESTS.parent / "studio").glob("*.js"))
    assert {int(ms) for ms in re.findall(r"(?:settled\(|NOTE_MS = )(\d{4,})", scripts)} == set(FORGETS_MS)
