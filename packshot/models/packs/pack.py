"""Find packs, check that their parts fit together, and load their roles.

    settings.pack_path ─┐
    packshot/packs      ├─> manifest.yaml ─> Pack ─> check() · verify() · load(role) ─> module, scheduler or tokenizer
    pack cache          ┘                     └─ files: beside the manifest, pack cache, hub cache, only then the hub

Torch is imported only when a model is loaded, so that `packshot packs list` is fast.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from packshot.contract.engines import EngineInfo
from packshot.contract.shot_spec import ConditionKind
from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import Tokenizer
from packshot.models.packs.files import file_fault, sha256_of
from packshot.models.packs.fit import check_fit, role_of, vae_factor
from packshot.models.packs.licence import check_licence
from packshot.models.packs.manifest import PackManifest, RoleSpec, read_manifest
from packshot.models.packs.roles import (
    ADAPTED_RECIPES,
    FURTHER_RENDER_ROLES,
    REFERENCE_ROLES,
    RENDER_ROLES,
    TRAINING_ROLES,
    ReferenceForm,
    RoleName,
)
from packshot.models.packs.weights import build, convert_pth, load_module, load_tokenizer
from packshot.models.read.rapid import RapidReader

if TYPE_CHECKING:
    import torch

    from packshot.settings import Settings

MANIFEST = "manifest.yaml"
GIB = 1024**3


@dataclass(frozen=True)
class FileCheck:
    """The state of one file of a pack on this machine.

    `status` is `ok` (the hash matches), `unverified` (the manifest states no hash), `missing` or `corrupt`. `bytes` is
    the file's size. `path` and `sha256` are None for a missing file.
    """

    role: str
    file: str
    status: Literal["ok", "unverified", "missing", "corrupt"]
    path: Path | None
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Pack:
    """A pack: its manifest, and the folder that holds it."""

    manifest: PackManifest
    folder: Path
    settings: Settings

    @property
    def name(self) -> str:
        return self.manifest.name

    def role(self, role: RoleName) -> RoleSpec:
        """The role's entry in the manifest. Raises PackRefused (pack_mismatch) when the pack does not have the role."""
        return role_of(self.manifest, role)

    @property
    def controls(self) -> tuple[ConditionKind, ...]:
        """The conditions that the pack's engine serves: canny, and those of the setting `controls` or the manifest.

        Raises PackRefused (pack_mismatch) when the setting names a condition for which the pack has no ControlNet.
        """
        possible, named = self.manifest.possible_controls, self.settings.controls
        if not named:
            return self.manifest.own_controls
        wanted = {"canny"} if named == "none" else {"canny", *(kind.strip() for kind in named.split(","))}
        unknown = ", ".join(sorted(wanted - set(possible) - {"canny"}))
        if unknown:
            further = ", ".join(kind for kind in possible if kind != "canny") or "none"
            rule = f"PACKSHOT_CONTROLS may name conditions of pack {self.name!r} besides canny ({further})"
            raise PackRefused("pack_mismatch", f"{rule}, got {unknown}; leave them out, or use another pack")
        return tuple(kind for kind in possible if kind in wanted)

    @property
    def references(self) -> ReferenceForm | None:
        """How the pack's engine reads reference pictures; None when it does not serve them (setting `references`)."""
        said = self.settings.references
        served = self.manifest.references if said == "auto" else said == "on"
        return self.manifest.reference_form if served else None

    @property
    def adapters(self) -> bool:
        """Whether the pack's engine takes adapters."""
        return self.manifest.recipe in ADAPTED_RECIPES

    @property
    def roles(self) -> tuple[RoleName, ...]:
        """The roles whose files a server uses: all but those of trainings, and of what is not served."""
        unused = {*self.manifest.unused_roles(self.controls), *TRAINING_ROLES}
        unused |= set() if self.references == "embedding" else set(REFERENCE_ROLES)
        return tuple(role for role in self.manifest.roles if role not in unused)

    @property
    def engine_roles(self) -> tuple[RoleName, ...]:
        """The roles that the engine loads."""
        recipe = self.manifest.recipe
        further = (role for role in FURTHER_RENDER_ROLES[recipe] if role in self.manifest.roles)
        controls = (self.manifest.control_role(kind) for kind in self.controls)
        adapter: tuple[RoleName, ...] = ("ip_adapter",) if self.references == "embedding" else ()
        return tuple(dict.fromkeys((*RENDER_ROLES[recipe], *further, *controls, *adapter)))

    # Files

    def locate(self, role: RoleName, file: str) -> Path | None:
        """The path of the file on this machine, or None."""
        source = self.role(role).source
        if source is None:
            local = self.folder / file
            return local if local.is_file() else None
        remote = f"{source.subfolder}/{file}" if source.subfolder else file
        for candidate in (self.folder / role / file, self.cached(role) / remote, self.cached(role) / file):
            if candidate.is_file():
                return candidate
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source.repo, remote, revision=source.revision)
        return Path(found) if isinstance(found, str) else None

    def cached(self, role: RoleName) -> Path:
        """The folder of the pack cache into which the role's files are fetched, with the subfolders of the hub."""
        return self.settings.pack_cache_dir / self.name / role

    def missing(self, role: RoleName | None = None) -> list[tuple[RoleName, str]]:
        """(role, file) of every file that is not on this machine. `role` None = all roles that are used."""
        roles = [role] if role else self.roles
        return [(name, file) for name in roles for file in self.role(name).files if self.locate(name, file) is None]

    def fetch(self, report: Callable[[str], None] = lambda _: None, *, role: RoleName | None = None) -> list[Path]:
        """Download the files that are missing or faulty from the hub to the pack cache, and return their paths.

        `report` gets a line before each download. `role` None = all roles that are used. Raises PackRefused:
        pack_missing when the hub is off, when a file has no hub source or when the hub does not give it, and
        pack_corrupt when a file differs from what the manifest states.
        """
        absent = self.missing(role)
        local_only = [f"{name}/{file}" for name, file in absent if self.role(name).source is None]
        if local_only:
            raise self._missing_files(local_only, f"put them into the pack's folder ({self.folder})")
        if absent and self.settings.offline:
            name, file = absent[0]
            remedy = f"run packshot packs fetch {self.name}; without a network, copy each file to ROLE/FILE in "
            remedy += f"{self.settings.pack_cache_dir / self.name}, as {self.cached(name) / file}"
            raise self._missing_files([f"{name}/{file}" for name, file in absent], remedy)
        from packshot.models.packs.hub import fetch

        return fetch(self, report, (role,) if role else self.roles)

    def _missing_files(self, names: list[str], remedy: str) -> PackRefused:
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        return PackRefused(
            "pack_missing", f"pack {self.name!r} needs files that are not on this machine: {shown}; {remedy}"
        )

    def paths(self, role: RoleName) -> dict[str, Path]:
        """The role's files by name, after their hashes were checked. Missing files are downloaded if the hub is on."""
        if self.missing(role):
            self.fetch(role=role)
        paths = {file: self.locate(role, file) for file in self.role(role).files}
        present = {file: path for file, path in paths.items() if path is not None}
        for file, path in present.items():
            self._check_hash(role, file, path)
        return present

    def _check_hash(self, role: RoleName, file: str, path: Path) -> None:
        spec = self.role(role)
        if fault := file_fault(path, spec.files[file]):
            remedy = f"run packshot packs fetch {self.name}, which replaces it" if spec.source else "replace it"
            raise PackRefused("pack_corrupt", f"{role}/{file} of pack {self.name!r}: {path} {fault}; {remedy}")

    def verify(self) -> list[FileCheck]:
        """Hash every file of the roles that are used, and compare it with the manifest."""
        rows = []
        for role in self.roles:
            for file, stated in self.role(role).files.items():
                path = self.locate(role, file)
                found = sha256_of(path) if path else None
                status: Literal["ok", "unverified", "missing", "corrupt"]
                if path is None:
                    status = "missing"
                elif file_fault(path, stated):
                    status = "corrupt"
                else:
                    status = "ok" if stated.sha256 else "unverified"
                rows.append(
                    FileCheck(role, file, status, path, path.stat().st_size if path else stated.bytes or 0, found)
                )
        return rows

    def hashes(self, roles: Sequence[RoleName] | None = None) -> dict[str, str]:
        """The hashes for a recipe: the sha256 of each role's manifest entry and files, and of `manifest`.

        `roles` None = all that are used. Raises PackRefused: pack_missing when a file is missing, and pack_corrupt when
        it does not have the hash that the manifest states.
        """
        hashes = {"manifest": hashlib.sha256(self.manifest.model_dump_json().encode()).hexdigest()}
        for role in self.roles if roles is None else roles:
            spec = self.role(role)
            digest = hashlib.sha256(spec.model_dump_json().encode())
            for file, path in sorted(self.paths(role).items()):
                digest.update(f"{file} {sha256_of(path)}\n".encode())
            hashes[role] = digest.hexdigest()
        return hashes

    def check(self) -> None:
        """Check that the pack can render and that its parts fit together. It reads only the manifest.

        Raises PackRefused: pack_not_renderable, or pack_mismatch with both values.
        """
        if not self.manifest.renderable:
            detail = f"pack {self.name!r} cannot render in this version: {self.manifest.reason}; use another pack"
            raise PackRefused("pack_not_renderable", detail)
        check_fit(self.manifest, self.controls, references=self.references)

    def check_segmenter(self) -> None:
        """Check that the pack can cut products out: a segmenter pack, or an engine's that has the role.

        Raises PackRefused (pack_mismatch).
        """
        self.role("segmenter")

    @property
    def vae_factor(self) -> int:
        """The number of pixels of one latent on each side."""
        return vae_factor(self.manifest)

    # Loading

    def load(
        self,
        role: RoleName,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        fp32: tuple[str, ...] = (),
    ) -> Any:
        """Load a role: its network in eval mode on `device`, a new scheduler, the tokenizer, or the reader.

        `dtype` is the number format of a network; None = fp32. Its tensors whose names begin with one of `fp32` stay in
        that. Raises PackRefused: pack_missing, pack_corrupt or pack_mismatch.
        """
        spec = self.role(role)
        if role == "scheduler":
            return build(spec.class_name, spec.config)
        if spec.class_name in ("CLIPTokenizer", "Qwen2Tokenizer", "WordTokenizer"):
            return load_tokenizer(spec, self.paths(role))
        if spec.class_name == "RapidReader":
            return RapidReader()
        import torch

        paths = self.paths(role)
        weights = [self._as_safetensors(role, file, paths[file]) for file in spec.weight_files]
        return load_module(spec, weights, torch.device(device), dtype or torch.float32, fp32=fp32)

    def tokenizer(self) -> Tokenizer:
        """Load the tokenizer. Raises PackRefused: pack_missing, pack_corrupt or pack_mismatch."""
        return load_tokenizer(self.role("tokenizer"), self.paths("tokenizer"))

    def _as_safetensors(self, role: RoleName, file: str, path: Path) -> Path:
        if path.suffix == ".safetensors":
            return path
        stated = self.role(role).files[file].sha256
        converted = self.cached(role) / "converted" / f"{stated}.safetensors"
        return converted if converted.is_file() else convert_pth(path, converted)

    def summary(self) -> EngineInfo:
        """The pack's public description, without paths of this machine."""
        return self.manifest.summary(self.controls, references=self.references is not None)


def pack_folders(settings: Settings) -> list[Path]:
    """The folders that are searched for packs, in their order."""
    named = [Path(part).expanduser() for part in settings.pack_path.split(os.pathsep) if part]
    return [*named, Path(str(package_files("packshot"))) / "packs", settings.pack_cache_dir]


def _manifests(settings: Settings) -> dict[str, Path]:
    """The manifest's path for each pack name, which is its folder's name. The first pack of a name is used.

    A folder of `pack_path` holds packs, or is a pack itself.
    """
    found: dict[str, Path] = {}
    for folder in pack_folders(settings):
        if (folder / MANIFEST).is_file():
            found.setdefault(folder.name, folder / MANIFEST)
        elif folder.is_dir():
            for path in sorted(folder.glob(f"*/{MANIFEST}")):
                found.setdefault(path.parent.name, path)
    return found


def find_pack(name: str, settings: Settings) -> Pack:
    """Find the pack with the given name.

    Raises PackRefused: pack_unknown, pack_mismatch for an invalid manifest, or pack_licence when the licence forbids or
    limits commercial use and the settings do not accept that.
    """
    found = _manifests(settings)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PackRefused("pack_unknown", f"pack must be one of {known}, got {name!r}; PACKSHOT_PACK_PATH adds folders")
    manifest = read_manifest(found[name])
    if manifest.name != name:
        raise PackRefused(
            "pack_mismatch", f"a pack's folder must have the pack's name, got {manifest.name!r} in {name!r}"
        )
    check_licence(manifest, settings)
    return Pack(manifest, found[name].parent, settings)


def list_packs(settings: Settings) -> list[Pack]:
    """All packs with a valid manifest, sorted by name, including packs that `find_pack` refuses for their licence."""
    return [found for _, found in _each(settings) if isinstance(found, Pack)]


def broken_packs(settings: Settings) -> dict[str, PackRefused]:
    """The packs whose manifest is invalid, by the name of their folder, each with its refusal."""
    return {name: found for name, found in _each(settings) if isinstance(found, PackRefused)}


def _each(settings: Settings) -> Iterator[tuple[str, Pack | PackRefused]]:
    for name, path in sorted(_manifests(settings).items()):
        try:
            yield name, Pack(read_manifest(path), path.parent, settings)
        except PackRefused as error:
            yield name, error


__all__ = ["FileCheck", "Pack", "broken_packs", "find_pack", "list_packs", "pack_folders", "sha256_of"]
