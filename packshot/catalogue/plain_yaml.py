"""YAML for manifests: mappings, sequences and scalars, without aliases, tags and duplicate keys.

The values are built from libyaml's events, which takes an eighth of the time of PyYAML's own loader and leaves no room
for a bomb of aliases. Unquoted words follow YAML 1.2: only `true`, `false`, `null` and numbers are no text. So `no` is
a word, and `0815` and `1_000` stay as they are written.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from packshot.errors import BadInput

MAX_DEPTH = 20
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_STANDARD_TAG = "!"
"""The tag of a quoted scalar whose type nobody named."""


def read_yaml(data: bytes) -> Any:
    """The value of one YAML document. Raises BadInput `manifest_unreadable`, with the line, for everything else."""
    try:
        return _Builder().document(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _refused(f"a manifest must be UTF-8, got the byte {data[error.start]:#04x}", None) from None
    except yaml.MarkedYAMLError as error:
        raise _refused(f"it must be YAML: {error.problem}", error.problem_mark) from None
    except yaml.YAMLError as error:
        raise _refused(f"it must be YAML: {error}", None) from None


class _Builder:
    """Collects one document's values. `_open` has the collections that are not closed yet, the outermost first."""

    def __init__(self) -> None:
        self._open: list[_Collection] = []
        self._root: Any = None
        self._documents = 0

    def document(self, text: str) -> Any:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            self._take(event)
        return self._root

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            _refuse_marks(event)
            self._add(event.value if event.style else _value_of(event.value), event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            _refuse_marks(event)
            if len(self._open) >= MAX_DEPTH:
                raise _refused(f"it may be nested {MAX_DEPTH} levels deep", event.start_mark)
            collection = _Collection({} if kind is yaml.MappingStartEvent else [])
            self._add(collection.value, event)
            self._open.append(collection)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._open.pop()
        elif kind is yaml.AliasEvent:
            raise _refused(f"it may have no aliases, got *{event.anchor}; write the value out", event.start_mark)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise _refused("it must be one document, got a second one", event.start_mark)

    def _add(self, value: Any, event: Any) -> None:
        if not self._open:
            self._root = value
        elif (problem := self._open[-1].add(value, event)) is not None:
            raise _refused(problem, event.start_mark)


class _Collection:
    """A mapping or a sequence that is being filled."""

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self.value = value
        self._key: str | None = None

    def add(self, value: Any, event: Any) -> str | None:
        """Add a key or a value. Returns the rule that it breaks, or None."""
        if isinstance(self.value, list):
            self.value.append(value)
        elif self._key is not None:
            self.value[self._key] = value
            self._key = None
        elif type(event) is not yaml.ScalarEvent:
            return "a key must be text, got a collection"
        elif event.value == "<<" and not event.style:
            return "it may have no merge keys (<<); write the values out"
        elif event.value in self.value:
            return f"a mapping may have a key once, got {event.value[:60]!r} twice; keep one"
        else:
            self._key = event.value  # a key is text, as in JSON
        return None


def _refuse_marks(event: Any) -> None:
    if event.anchor is not None:
        raise _refused(f"it may have no anchors, got &{event.anchor}; write the value out", event.start_mark)
    if event.tag is not None and event.tag != _STANDARD_TAG:
        raise _refused(f"it may have no tags, got {event.tag[:60]}; leave it out", event.start_mark)


def _value_of(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 19:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _refused(rule: str, mark: Any) -> BadInput:
    where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    return BadInput("manifest_unreadable", f"The manifest cannot be read: {rule}{where}.")
