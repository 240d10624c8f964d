"""Wait until another process has brought a pack's files to this machine, for the start of a replica.

A replica that starts before its weights fails, and Serve gives up after a few failures. So a pod first waits here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from packshot.errors import PackRefused
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings

POLL_S = 2.0
NAMED_FILES = 6


def wait_for_pack(
    name: str,
    settings: Settings,
    *,
    timeout_s: float,
    poll_s: float = POLL_S,
    report: Callable[[str], None] = lambda _: None,
) -> Pack:
    """Return the pack when every file of it is on this machine and has the hash that the manifest states.

    Nothing is downloaded. `timeout_s` is the longest wait in seconds; 0 = no limit. `poll_s` is the time between two
    looks. `report` gets a line whenever what is missing has changed. Files are hashed only when all are there.
    Raises PackRefused: `pack_missing` after `timeout_s`, and at once what waiting cannot cure: `pack_licence`,
    `pack_mismatch` and `pack_not_renderable`.
    """
    give_up_at = time.monotonic() + timeout_s if timeout_s else float("inf")
    reported = ""
    while True:
        pack, lacks = _look(name, settings)
        if pack is not None and not lacks:
            pack.check()
            return pack
        if lacks != reported:
            report(f"waiting for pack {name}: {lacks}")
            reported = lacks
        if time.monotonic() >= give_up_at:
            raise PackRefused(
                "pack_missing",
                f"pack {name!r} must be whole within {timeout_s:g} s, got {lacks}; see the log of whatever brings the "
                "files (the job packshot-model-fetch on Kubernetes), or pass a longer --timeout",
            )
        time.sleep(min(poll_s, max(0.0, give_up_at - time.monotonic())))


def _look(name: str, settings: Settings) -> tuple[Pack | None, str]:
    """The pack, None without a manifest, and what it lacks: "" when it is whole and every hash is right."""
    try:
        pack = find_pack(name, settings)
    except PackRefused as error:
        if error.code != "pack_unknown":
            raise
        return None, f"no folder of packs holds a manifest of it ({error.detail})"
    absent = [f"{role}/{file}" for role, file in pack.missing()]
    if absent:
        return pack, f"missing files ({len(absent)}): {_first(absent)}"
    corrupt = [f"{check.role}/{check.file}" for check in pack.verify() if check.status not in ("ok", "unverified")]
    return pack, f"files without the manifest's hash ({len(corrupt)}): {_first(corrupt)}" if corrupt else ""


def _first(names: list[str]) -> str:
    more = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


__all__ = ["wait_for_pack"]
