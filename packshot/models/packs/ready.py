"""Whether packs can be served from this machine, checked before anything starts that would fail without their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from packshot.errors import PackRefused
from packshot.models.packs.files import file_fault
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName

OPTIONAL_ROLES: tuple[RoleName, ...] = ("matting", "geometry", "detector", "judge")
"""A stage whose files are not here does without them, or sleeps."""
SHOWN_FILES = 12


def require_ready(packs: Sequence[Pack], report: Callable[[str], None] = lambda _: None) -> None:
    """Return when every file that the packs need is here and looks whole. Files are not hashed; replicas do that.

    With the setting `offline` off, what lacks is fetched from the hub. `report` gets a line for each download and for
    each optional role that is not here. Raises PackRefused: pack_missing, which lists what lacks, or pack_corrupt.
    """
    for pack in packs:
        needed = [role for role in pack.roles if role not in OPTIONAL_ROLES]
        missing = [(role, file) for role, file in pack.missing() if role in needed]
        if missing and not pack.settings.offline:
            for role in dict.fromkeys(role for role, _ in missing):
                pack.fetch(report, role=role)
            missing = []
        if missing:
            names = [f"{role}/{file}" for role, file in missing]
            shown = ", ".join(names[:SHOWN_FILES]) + (" …" if len(names) > SHOWN_FILES else "")
            remedy = f"run packshot packs fetch {pack.name}"
            if any(pack.role(role).source is None for role, _ in missing):
                remedy = f"put them into {pack.folder}"
            rule = f"pack {pack.name!r} needs {len(names)} files that are not on this machine: {shown}"
            raise PackRefused("pack_missing", f"{rule}; {remedy}, then start again")
        for role in needed:
            for file, stated in pack.role(role).files.items():
                path = pack.locate(role, file)
                if path is not None and (fault := file_fault(path, stated, hashing=False)):
                    remedy = f"packshot packs fetch {pack.name} replaces it" if pack.role(role).source else "replace it"
                    raise PackRefused("pack_corrupt", f"{role}/{file} of pack {pack.name!r}: {path} {fault}; {remedy}")
        for role in dict.fromkeys(role for role, _ in pack.missing() if role in OPTIONAL_ROLES):
            report(f"pack {pack.name}: {role} is not here, and is done without; packshot packs fetch {pack.name}")


__all__ = ["OPTIONAL_ROLES", "require_ready"]
