"""Bring a pack's files from the model hub: those that are missing, truncated, or of another hash than stated.

    file's metadata ─> size and hash as the manifest states? ─> download (it continues a cut one) ─> check ─> cache

Every failure of the hub has its own message, which names the remedy. `HF_ENDPOINT` names another hub, and `HF_TOKEN`
the token for gated and private repositories.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packshot.errors import PackRefused
from packshot.models.packs.files import file_fault
from packshot.models.packs.manifest import PICKLED, WEIGHT_SUFFIXES, FileSpec, HubSource
from packshot.models.packs.roles import RoleName

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

Report = Callable[[str], None]
WRONG_SUFFIX = ".wrong"
"""A faulty file outside the caches gets this suffix when it is replaced. It may be somebody's own."""
SHOWN_FILES = 6
_HALF = re.compile(r"\.fp16(?=\.)")


def endpoint() -> str:
    """The hub's base URL: `HF_ENDPOINT`, or the public hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def fetch(pack: Pack, report: Report, roles: tuple[RoleName, ...]) -> list[Path]:
    """Download the files of `roles` that are missing or faulty, and return their paths.

    `report` gets a line before each download. Raises PackRefused: pack_missing for a file that the hub does not give,
    and pack_corrupt for one that differs from what the manifest states, or that is faulty and has no hub source.
    """
    fetched = []
    for role in roles:
        spec = pack.role(role)
        for file, stated in spec.files.items():
            path = pack.locate(role, file)
            fault = file_fault(path, stated) if path else ""
            if path is not None and not fault:
                continue
            if path is not None:
                if spec.source is None:
                    remedy = "put the right file there; the manifest names no hub source for it"
                    raise PackRefused("pack_corrupt", f"{path} {fault}; {remedy}")
                report(f"{role}: {path} {fault}; it is fetched again")
                _set_aside(pack, path)
            assert spec.source is not None, "Pack.fetch refuses missing files without a source"
            fetched.append(_download(pack, role, file, spec.source, stated, report))
    return fetched


def _set_aside(pack: Pack, path: Path) -> None:
    """Remove a faulty file of a cache, and rename any other."""
    from huggingface_hub import constants

    caches = (pack.settings.pack_cache_dir, Path(constants.HF_HUB_CACHE))
    if any(path.is_relative_to(cache) for cache in caches):
        path.unlink()
    else:
        path.rename(path.with_name(path.name + WRONG_SUFFIX))


def _download(pack: Pack, role: RoleName, file: str, source: HubSource, stated: FileSpec, report: Report) -> Path:
    from huggingface_hub.errors import RemoteEntryNotFoundError

    report(f"{role}: {source.repo}@{source.revision[:12]} {file}")
    place = f"{role}/{file} of pack {pack.name!r}"
    try:
        try:
            found, promised = file, _promised(source, file)
        except RemoteEntryNotFoundError:
            other = None if stated.sha256 else _other_precision(source, file)
            if other is None:
                raise
            report(
                f"{role}: the repository has no {file} here; fetching {other}, the same weights in another precision"
            )
            found, promised = other, _promised(source, other)
        if found == file:
            _agree(place, source, stated, promised)
        for force in (False, True):  # a copy in the hub's own cache may be faulty, too
            path = _get(pack, role, found, source, force=force)
            fault = file_fault(path, promised)
            if not fault:
                break
        else:
            path.unlink()
            rule = f"{place} {fault}, as {endpoint()} itself announced; it was removed"
            raise PackRefused(
                "pack_corrupt", f"{rule}. Something on the way alters downloads: unset HF_ENDPOINT, or use no proxy"
            )
    except PackRefused:
        raise
    except Exception as error:  # the hub's client raises many kinds of errors; each means a failed download
        raise PackRefused("pack_missing", f"{place} could not be fetched: {explain(error, source, file)}") from error
    if found != file:
        path = path.replace(path.with_name(Path(file).name))
    return path


def _get(pack: Pack, role: RoleName, file: str, source: HubSource, *, force: bool) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            source.repo,
            file,
            subfolder=source.subfolder or None,
            revision=source.revision,
            local_dir=pack.cached(role),
            endpoint=endpoint(),
            force_download=force,
        )
    )


def _promised(source: HubSource, file: str) -> FileSpec:
    """What the hub says that the file is: its size, and its sha256 if it is a large file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(
        source.repo, file, subfolder=source.subfolder or None, revision=source.revision, endpoint=endpoint()
    )
    about = get_hf_file_metadata(url, endpoint=endpoint())
    large = about.etag is not None and re.fullmatch(r"[0-9a-f]{64}", about.etag)
    return FileSpec(sha256=about.etag if large else None, bytes=about.size or None)


def _agree(place: str, source: HubSource, stated: FileSpec, promised: FileSpec) -> None:
    """Refuse a file before its download when the hub says that it is another than the manifest states."""
    for name in ("sha256", "bytes"):
        wanted, offered = getattr(stated, name), getattr(promised, name)
        if wanted is not None and offered is not None and wanted != offered:
            raise PackRefused(
                "pack_corrupt",
                f"{place} must have {name} {wanted}, {source.repo}@{source.revision} has {offered}; nothing was "
                "downloaded. If you trust this file, state that in the manifest; otherwise pin `revision` to the "
                "commit that has the stated one",
            )


def _other_precision(source: HubSource, file: str) -> str | None:
    """The same file with or without `.fp16` in its name, if the repository has it."""
    other = _HALF.sub("", file) if _HALF.search(file) else re.sub(r"(\.\w+)$", r".fp16\1", file)
    return other if other in _listed(source) else None


def _listed(source: HubSource) -> dict[str, Any]:
    """The repository's files at this revision inside the source's subfolder, with what the hub says of each."""
    from huggingface_hub import HfApi

    inside = f"{source.subfolder}/" if source.subfolder else ""
    tree = HfApi(endpoint=endpoint()).list_repo_tree(source.repo, recursive=True, revision=source.revision)
    return {row.path.removeprefix(inside): row for row in tree if hasattr(row, "size") and row.path.startswith(inside)}


def explain(error: Exception, source: HubSource, file: str) -> str:
    """What failed and what helps, for any error of the hub's client."""
    import httpx2  # the HTTP library of the hub's client
    from huggingface_hub import errors

    repo, page = source.repo, f"{endpoint()}/{source.repo}"
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    token = os.environ.get("HF_TOKEN")
    if isinstance(cause, errors.GatedRepoError):
        if token:
            return f"{repo} is gated, and the account of HF_TOKEN has no access; accept its terms at {page}"
        return f"{repo} is gated; accept its terms at {page}, then set HF_TOKEN to a token of that account"
    if status == 401 and token:
        return f"the hub does not accept HF_TOKEN (or {repo} does not exist); set a valid one, or unset it"
    if isinstance(cause, errors.RepositoryNotFoundError):
        remedy = "correct `source.repo` in the manifest; for a private one set HF_TOKEN"
        return f"{endpoint()} has no repository {repo} that may be read without more rights; {remedy}"
    if isinstance(cause, errors.RevisionNotFoundError):
        return f"{repo} has no revision {source.revision}; {_known_revision(repo)}"
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return _no_such_file(source, file)
    if status == 403:
        return f"the hub refuses {repo} to this account (403); give the token of HF_TOKEN the right to read it"
    if status == 429:
        return "the hub answers that there are too many requests (429); wait some minutes, or set HF_TOKEN"
    if status is not None:
        return f"the hub answered {status}; run the command again later, what is here is kept"
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({cause}); free some space, or set PACKSHOT_HOME to a larger disk"
    if isinstance(cause, errors.FileMetadataError):
        return f"{endpoint()} does not answer as a model hub does; correct HF_ENDPOINT, or check the proxy"
    what = " ".join(str(cause).split())[:200]
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids the model hub; unset it"
    if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        return f"{endpoint()} cannot be reached ({what}); check the network, the proxy and HF_ENDPOINT"
    return f"the download was cut off ({type(cause).__name__}: {what}); run the command again, it goes on from there"


def _known_revision(repo: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        commit = HfApi(endpoint=endpoint()).model_info(repo).sha
    except (HfHubHTTPError, OSError):
        return "correct `source.revision` in the manifest"
    return f"its branch main is at {commit}: set `source.revision` to that in the manifest, if you trust it"


def _no_such_file(source: HubSource, file: str) -> str:
    """Name what the repository has instead: another precision, a pickle with its hash, or its weights."""
    from huggingface_hub.errors import HfHubHTTPError

    where = f"{source.repo}@{source.revision}" + (f" in {source.subfolder}" if source.subfolder else "")
    try:
        listed = _listed(source)
    except (HfHubHTTPError, OSError):
        return f"{where} has no {file}; correct `files` in the manifest"
    stem = _HALF.sub("", file).rpartition(".")[0]
    stems = {stem, stem.replace("diffusion_pytorch_model", "pytorch_model"), stem.replace("model", "pytorch_model")}
    near = [name for name in listed if _HALF.sub("", name).rpartition(".")[0] in stems]
    if whole := [name for name in near if name.endswith(".safetensors")]:
        return f"{where} has no {file}, but {whole[0]}; name that under `files` in the manifest"
    if pickled := [name for name in near if name.endswith(PICKLED)]:
        about = listed[pickled[0]].lfs
        entry = f": {{sha256: {about.sha256}, bytes: {about.size}}}" if about else " with its sha256"
        return (
            f"{where} has no {file}, only the pickle {pickled[0]}; it is read without running code and converted once "
            f"if the manifest names it under `files` as `{pickled[0]}{entry}`"
        )
    names = [name for name in listed if name.endswith((*WEIGHT_SUFFIXES, ".json", ".txt"))]
    shown = ", ".join(names[:SHOWN_FILES]) + (" …" if len(names) > SHOWN_FILES else "") if names else "no weights"
    return f"{where} has no {file}; it has {shown}. Correct `files` or `source.subfolder` in the manifest"


__all__ = ["endpoint", "explain", "fetch"]
