"""`packshot words`: what a server would ignore of words that name a product, and of a prompt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packshot.types import Detection
from tests.api_graph import Api, running
from tests.cli_server import call, last_json


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("words")) as api:
        api.graph.shown = {"mug": (Detection((20, 10, 60, 50), 0.9),)}
        yield api


@pytest.fixture(autouse=True)
def _key(asked: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", asked.key)


def test_words_of_a_search_and_of_a_prompt(asked: Api) -> None:
    named = call("words", "red", "mug", "--host", asked.url)
    assert (named.exit_code, named.stdout) == (0, "known: mug\nunknown: red\n")
    assert "unknown words were ignored: red" in named.stderr
    prompt = call("words", "--prompt", "zorbly on marble", "--engine", "second", "--host", asked.url, "--json")
    assert prompt.exit_code == 0, prompt.stderr
    assert last_json(prompt)["words"] == {"known": ["on", "marble"], "unknown": ["zorbly"]}
    assert "unknown words were left out: zorbly" in prompt.stderr


def test_what_does_not_fit_is_bad_usage(asked: Api) -> None:
    without = call("words", "mug", "--engine", "mini", "--host", asked.url)
    assert (without.exit_code, "add --prompt" in without.stderr) == (2, True)
    unknown = call("words", "--prompt", "mug", "--engine", "none", "--host", asked.url)
    assert (unknown.exit_code, "unknown_engine" in unknown.stderr) == (2, True)
