"""An adapter against the pack of its engine, without its networks: names and shapes from the files' headers."""

from __future__ import annotations

from dataclasses import dataclass

from packshot.errors import PackRefused
from packshot.models.adapters.file import AdapterFile, NetworkName
from packshot.models.adapters.fit import fitted, mismatch, shapes_of_files
from packshot.models.packs.pack import Pack

__all__ = ["AdapterFit", "check_base"]

EMBEDDINGS = ("text_model.embeddings.token_embedding", "embeddings.token_embedding")


@dataclass(frozen=True)
class AdapterFit:
    """How an adapter fits an engine of `family`. `notes` are (code, detail) pairs, as `AdapterNote`."""

    family: str
    notes: tuple[tuple[str, str], ...] = ()


def check_base(file: AdapterFile, pack: Pack) -> AdapterFit:
    """Check that the pack has the networks and layers that the file changes, in their shapes.

    A file that names the weights it was trained on, and they are others, gets the note `other_base`. Where the pack's
    files are not on this machine, only what the file says of itself is checked, and the note is `unchecked`; the engine
    checks the rest when it loads the adapter. Raises BadInput `adapter_mismatch`.
    """
    base = f"pack {pack.name!r}"
    family, named = pack.manifest.family, file.metadata.get("packshot.family", "")
    if named and named != family:
        raise mismatch(f"an adapter must be of its engine's family {family}, the file says {named}")
    notes: list[tuple[str, str]] = []
    for network in (*file.layers, *file.vectors):
        if network not in pack.manifest.roles:
            raise mismatch(f"an adapter must be for networks that its engine has, {base} has no {network}")
        if pack.missing(network):
            detail = f"the files of {base} are not on the machine that took the upload, so {network} was not compared"
            notes.append(("unchecked", detail))
            continue
        paths = [path for name in pack.role(network).files if (path := pack.locate(network, name)) is not None]
        shapes = shapes_of_files(paths)
        fitted(file, network, shapes, base)
        if network in file.vectors:
            width = next((shapes[name][1] for name in EMBEDDINGS if name in shapes), None)
            if width is not None and file.vectors[network].shape[1] != width:
                got = file.vectors[network].shape[1]
                raise mismatch(f"an inversion's vectors must have {base}'s width {width}, got {got}")
        notes += _other_base(file, network, pack)
    return AdapterFit(family, tuple(notes))


def _other_base(file: AdapterFile, network: NetworkName, pack: Pack) -> list[tuple[str, str]]:
    trained_on = file.metadata.get("packshot.base_sha256", "")
    main: NetworkName = "text_encoder" if file.vectors else "unet"
    if not trained_on or network != main:
        return []
    try:
        own = pack.hashes((network,))[network]
    except PackRefused:
        return []
    if trained_on == own:
        return []
    detail = (
        f"it was trained on {file.metadata.get('packshot.base', 'other weights')[:80]}, not on {pack.name}'s weights"
    )
    return [("other_base", detail)]
