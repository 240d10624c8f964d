"""Which packs one cluster serves: one for each engine, and one for the models that find and cut products.

Each engine has its own generators, so that each scales alone. All other models exist once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packshot.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack
    from packshot.models.packs.roles import RoleName
    from packshot.settings import Settings

GENERATOR = "generator"


@dataclass(frozen=True)
class Served:
    """The packs of a cluster: those of its `engines`, the default first, and that of the `segmenter`.

    The matting network and the geometry come from the segmenter's pack too, or else from an engine's (`pack_with`).
    """

    engines: tuple[str, ...]
    segmenter: str

    @property
    def generators(self) -> dict[str, str]:
        """The deployment that paints with each engine: `generator` with the default one, `generator-NAME` else."""
        default, *others = self.engines
        return {default: GENERATOR} | {name: generator_of(name) for name in others}


def generator_of(engine: str) -> str:
    """The name of the deployment of an engine that is not the default one."""
    return f"{GENERATOR}-{engine}"


def served_packs(settings: Settings, *, pack: str = "", engines: Sequence[str] = (), segmenter: str = "") -> Served:
    """Return what a profile or its arguments serve, and what the settings say where these leave it out.

    `pack` is the only engine, and excludes `engines`. Raises BadInput `bad_usage` for both, or for an engine that is
    named twice. No pack is looked up.
    """
    if pack and engines:
        raise BadInput("bad_usage", f"pack and engines exclude each other, got {pack!r} and {', '.join(engines)}")
    named = [pack] if pack else list(engines) or split_names(settings.engines) or [settings.pack]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise BadInput("bad_usage", f"each engine must be named once, got {', '.join(named)}; remove one of {twice[0]}")
    return Served(tuple(named), segmenter or settings.segmenter or named[0])


def split_names(names: str) -> list[str]:
    """The names in a setting such as `mini,sdxl`."""
    return [name.strip() for name in names.split(",") if name.strip()]


def not_served(engine: str, served: Iterable[str]) -> Unavailable:
    """The error for work of an engine that this cluster does not serve."""
    listed = ", ".join(served)
    rule = f"a shot's engine must be served ({listed}), got {engine!r}, which is not any more"
    return Unavailable("engine_not_served", f"{rule}; the operator can serve it again, or make another shot")


def pack_with(role: RoleName, served: Served, settings: Settings) -> Pack:
    """Find the pack whose network a role gets: the segmenter's, or the first engine's that has the role.

    Returns the segmenter's pack when none has it. Raises PackRefused as `find_pack` does.
    """
    from packshot.models.packs.pack import find_pack

    packs = [find_pack(name, settings) for name in dict.fromkeys((served.segmenter, *served.engines))]
    return next((pack for pack in packs if role in pack.manifest.roles), packs[0])


def detector_pack(served: Served, settings: Settings) -> Pack:
    """Find the pack whose detector is used, as `pack_with` does.

    A detector that reads embeddings reads only those of its own pack's segmenter.
    """
    from packshot.models.packs.pack import find_pack

    packs = [find_pack(name, settings) for name in dict.fromkeys((served.segmenter, *served.engines))]
    able = (one for one in packs if one.manifest.detector_reads == "photo" or one.name == served.segmenter)
    return next((pack for pack in able if "detector" in pack.manifest.roles), packs[0])


def find_engines(served: Served, settings: Settings) -> dict[str, Pack]:
    """Find the packs of the engines, the default first. Raises PackRefused as `find_pack` does."""
    from packshot.models.packs.pack import find_pack

    return {name: find_pack(name, settings) for name in served.engines}
