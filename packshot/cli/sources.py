"""The photos that a command line names: files, folders and patterns, each with the name of its results."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from packshot.errors import BadInput
from packshot.imaging.decoding.formats import FORMATS

__all__ = ["Source", "find_sources"]

_SUFFIXES = frozenset(f".{suffix}" for form in FORMATS.values() for suffix in form.suffixes)


@dataclass(frozen=True)
class Source:
    """A photo. `name` begins the names of its results. Slashes in it are folders, as they lie in a named folder."""

    path: Path
    name: str


def find_sources(named: Sequence[str]) -> list[Source]:
    """The photos of all arguments, in their order and each once.

    A folder stands for the pictures in it and in its folders, hidden ones excepted. A pattern such as `*.jpg` is
    resolved here when the shell has not done so. A file is taken whatever its name is. Two photos whose results would
    have one name keep their endings in it. Raises BadInput `bad_usage` when an argument names nothing.
    """
    found: dict[Path, PurePath] = {}
    for argument in named:
        for path, name in _resolved(argument):
            found.setdefault(path, name)
    stems = [name.with_suffix("") for name in found.values()]
    doubles = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    names = [
        str(name.with_name(name.name.replace(".", "-")) if stem in doubles else stem)
        for stem, name in zip(stems, found.values(), strict=True)
    ]
    return [Source(path, name) for path, name in zip(found, _distinct(names), strict=True)]


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """The names, with a number behind those that occurred before."""
    used: set[str] = set()
    for name in names:
        number, one = 2, name
        while one in used:
            number, one = number + 1, f"{name}-{number}"
        used.add(one)
        yield one


def _resolved(argument: str) -> Iterator[tuple[Path, PurePath]]:
    path = Path(argument).expanduser()
    if path.is_file():
        yield path, PurePath(path.name)
    elif path.is_dir():
        pictures = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
        inside = [(file, file.relative_to(path)) for file in pictures]
        shown = [(file, name) for file, name in inside if not any(part.startswith(".") for part in name.parts)]
        if not shown:
            raise BadInput("bad_usage", f"a folder must hold a picture, got {argument!r}; check the path")
        yield from shown
    elif glob.has_magic(argument):
        matches = sorted(match for match in glob.glob(str(path), recursive=True) if Path(match).is_file())
        if not matches:
            raise BadInput("bad_usage", f"a pattern must match a file, got {argument!r}; check the path")
        yield from ((Path(match), PurePath(Path(match).name)) for match in matches)
    else:
        raise BadInput("bad_usage", f"PHOTO must be a file, a folder or a pattern, got {argument!r}; check the path")
