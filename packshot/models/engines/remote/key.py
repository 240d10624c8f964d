"""The key of a vendor's service: from a file, such as a mounted secret, or from the environment. It is never logged."""

from __future__ import annotations

from pathlib import Path

from packshot.errors import PackRefused
from packshot.models.packs.pack import Pack
from packshot.settings import Settings

__all__ = ["read_key"]


def read_key(pack: Pack, settings: Settings) -> str:
    """The key for the pack's endpoint; "" when the endpoint needs none.

    The file is read at each call, so a token that expires can be replaced while the server runs. Raises PackRefused
    `pack_key` when there is no key.
    """
    endpoint = pack.manifest.endpoint
    if endpoint is None or not endpoint.key_header:
        return ""
    key, where = settings.remote_key.get_secret_value(), "PACKSHOT_REMOTE_KEY"
    if settings.remote_key_file:
        path, where = Path(settings.remote_key_file), "PACKSHOT_REMOTE_KEY_FILE"
        try:
            key = (path / pack.name if path.is_dir() else path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            key = ""
    key = key.strip()
    if not key or not key.isprintable() or not key.isascii():
        rule = f"pack {pack.name!r} calls a vendor's service and needs its key, {where} has none that can be sent"
        raise PackRefused("pack_key", f"{rule}; put the key there")
    return key
