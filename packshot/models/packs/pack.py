"""Packs: find them, check that their parts fit, and load a role.

    settings.pack_path ─┐
    packshot/packs      ├─> manifest.yaml ─> Pack ─> check() · verify() · load(role) ─> module, scheduler or tokenizer
    pack cache          ┘                     └─ files: beside the manifest, pack cache, hub cache, only then the hub

Torch is imported when a model is loaded, not before: `packshot packs list` answers at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from packshot.contract.engines import EngineInfo
from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import Tokenizer
from packshot.models.packs.manifest import PackManifest, RoleName, RoleSpec, read_manifest
from packshot.models.packs.weights import build, convert_pth, load_module, load_tokenizer

if TYPE_CHECKING:
    import torch

    from packshot.settings import Settings

MANIFEST = "manifest.yaml"
CHUNK_BYTES = 4 * 1024 * 1024
GIB = 1024**3


@dataclass(frozen=True)
class FileCheck:
    """One file of a pack. `status`: ok (hash as stated), unverified (the manifest states none), missing or corrupt."""

    role: str
    file: str
    status: Literal["ok", "unverified", "missing", "corrupt"]
    path: Path | None
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Pack:
    """A manifest and the folder that it lies in."""

    manifest: PackManifest
    folder: Path
    settings: Settings

    @property
    def name(self) -> str:
        return self.manifest.name

    def role(self, role: RoleName) -> RoleSpec:
        """The role's spec. Raises PackRefused (pack_mismatch) when the pack does not fill it."""
        if role not in self.manifest.roles:
            self._refuse(f"the role {role} must be filled, only {', '.join(self.manifest.roles)} are")
        return self.manifest.roles[role]

    # Files

    def locate(self, role: RoleName, file: str) -> Path | None:
        """Where the file is on this machine, or None."""
        source = self.role(role).source
        if source is None:
            here = self.folder / file
            return here if here.is_file() else None
        remote = f"{source.subfolder}/{file}" if source.subfolder else file
        for candidate in (self.folder / role / file, self._cached(role) / remote):
            if candidate.is_file():
                return candidate
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source.repo, remote, revision=source.revision)
        return Path(found) if isinstance(found, str) else None

    def _cached(self, role: RoleName) -> Path:
        return self.settings.pack_cache_dir / self.name / role

    def missing(self, role: RoleName | None = None) -> list[tuple[RoleName, str]]:
        """(role, file) of every file that is not on this machine."""
        roles = [role] if role else list(self.manifest.roles)
        return [(name, file) for name in roles for file in self.role(name).files if self.locate(name, file) is None]

    def fetch(self, report: Callable[[str], None] = lambda _: None, *, role: RoleName | None = None) -> list[Path]:
        """Bring the missing files from the hub into the pack cache; `told` gets a line before each.

        Raises PackRefused: pack_missing when offline, when a file has no hub source or when the hub fails; pack_corrupt
        when a file is not the one that the manifest states.
        """
        absent = self.missing(role)
        here_only = [f"{name}/{file}" for name, file in absent if self.role(name).source is None]
        if here_only:
            raise self._absent(here_only, f"put them into the pack's folder ({self.folder})")
        if absent and self.settings.offline:
            remedy = f"run packshot packs fetch {self.name} where the hub can be reached, or copy each to "
            remedy += f"{self.settings.pack_cache_dir / self.name}/ROLE/FILE"
            raise self._absent([f"{name}/{file}" for name, file in absent], remedy)
        return [self._download(name, file, report) for name, file in absent]

    def _absent(self, what: list[str], remedy: str) -> PackRefused:
        shown = ", ".join(what[:6]) + (f" and {len(what) - 6} more" if len(what) > 6 else "")
        return PackRefused(
            "pack_missing", f"pack {self.name!r} needs files that are not on this machine: {shown}; {remedy}"
        )

    def _download(self, role: RoleName, file: str, report: Callable[[str], None]) -> Path:
        from huggingface_hub import hf_hub_download

        source = self.role(role).source
        assert source is not None, "fetch asks only for hub files"
        report(f"{role}: {source.repo}@{source.revision[:12]} {file}")
        try:
            path = Path(
                hf_hub_download(
                    source.repo,
                    file,
                    subfolder=source.subfolder or None,
                    revision=source.revision,
                    local_dir=self._cached(role),
                )
            )
        except Exception as error:  # the hub's client raises many kinds; each means that the file did not come
            raise self._absent(
                [f"{role}/{file}"], f"the hub answered {type(error).__name__}: {error}; try again"
            ) from error
        self._assert_whole(role, file, path)
        return path

    def _paths(self, role: RoleName) -> dict[str, Path]:
        """The role's files, on this machine and whole; fetched first when the settings allow it."""
        if self.missing(role):
            self.fetch(role=role)
        paths = {file: self.locate(role, file) for file in self.role(role).files}
        present = {file: path for file, path in paths.items() if path is not None}
        for file, path in present.items():
            self._assert_whole(role, file, path)
        return present

    def _assert_whole(self, role: RoleName, file: str, path: Path) -> None:
        wanted = self.role(role).files[file].sha256
        if wanted is None:
            return
        found = sha256_of(path)
        if found != wanted:
            detail = f"{role}/{file} of pack {self.name!r} must have sha256 {wanted}, {path} has {found}; "
            raise PackRefused("pack_corrupt", f"{detail}delete it, then run packshot packs fetch {self.name}")

    def verify(self) -> list[FileCheck]:
        """What every file of the pack is like on this machine; hashes all of them."""
        rows = []
        for role, spec in self.manifest.roles.items():
            for file, stated in spec.files.items():
                path = self.locate(role, file)
                found = sha256_of(path) if path else None
                status: Literal["ok", "unverified", "missing", "corrupt"]
                if path is None:
                    status = "missing"
                elif stated.sha256 is None:
                    status = "unverified"
                else:
                    status = "ok" if found == stated.sha256 else "corrupt"
                rows.append(
                    FileCheck(role, file, status, path, path.stat().st_size if path else stated.bytes or 0, found)
                )
        return rows

    def hashes(self, roles: Sequence[RoleName] | None = None) -> dict[str, str]:
        """What a recipe keeps: role to sha256 over its config and files, and `manifest`. `roles` None = all.

        Raises PackRefused (pack_missing) when a file is not there.
        """
        made = {"manifest": hashlib.sha256(self.manifest.model_dump_json().encode()).hexdigest()}
        for role in roles or tuple(self.manifest.roles):
            spec = self.role(role)
            digest = hashlib.sha256(spec.model_dump_json().encode())
            for file, path in sorted(self._paths(role).items()):
                digest.update(f"{file} {sha256_of(path)}\n".encode())
            made[role] = digest.hexdigest()
        return made

    # Fit

    def check(self) -> None:
        """Refuse parts that do not fit together.

        Raises PackRefused: pack_mismatch with both values, or pack_not_renderable.
        """
        if not self.manifest.renderable:
            detail = f"pack {self.name!r} is declared, but cannot render yet: {self.manifest.reason}; take another pack"
            raise PackRefused("pack_not_renderable", detail)
        channels = self._number("vae", "latent_channels")
        inpaint = 2 * channels + 1
        self._same(
            "unet",
            "in_channels",
            (channels, inpaint),
            f"the VAE's {channels} latent channels, or 2c + 1 for inpainting",
        )
        self._same("unet", "out_channels", (channels,), "the VAE's latent channels")
        self._same("controlnet", "in_channels", (channels,), "the VAE's latent channels")
        width = self._number("text_encoder", "hidden_size")
        self._same("unet", "cross_attention_dim", (width,), "the text encoder's hidden_size")
        self._same("controlnet", "cross_attention_dim", (width,), "the text encoder's hidden_size")
        for key in ("block_out_channels", "layers_per_block"):
            self._same("controlnet", key, (self.role("unet").config.get(key),), "the UNet's")
        control = self.role("controlnet")
        named = len(control.control_channels)
        if control.config.get("conditioning_channels", 3) != named:
            got = control.config.get("conditioning_channels", 3)
            self._refuse(
                f"controlnet.conditioning_channels must be {named}, as many as control_channels names, got {got}"
            )
        if control.config.get("controlnet_conditioning_channel_order", "rgb") != "rgb":
            self._refuse("controlnet.controlnet_conditioning_channel_order must be rgb, got bgr")
        predicted = self.manifest.prediction_type
        self._same("scheduler", "prediction_type", (predicted,), "the manifest's")
        factor = self.vae_factor
        odd = [bucket for bucket in self.manifest.buckets if bucket[0] % factor or bucket[1] % factor]
        if odd:
            self._refuse(f"buckets must be multiples of the VAE's factor {factor}, got {odd}")

    @property
    def vae_factor(self) -> int:
        """Pixels a latent, on either side."""
        spec = self.role("vae")
        key = "encoder_block_out_channels" if spec.class_name == "AutoencoderTiny" else "block_out_channels"
        blocks = spec.config.get(key)
        if not isinstance(blocks, list | tuple):
            self._refuse(f"vae.{key} must be a list of channels, got {blocks!r}")
        return int(2 ** (len(blocks) - 1))

    def _number(self, role: RoleName, key: str) -> int:
        value = self.role(role).config.get(key)
        if not isinstance(value, int):
            self._refuse(f"{role}.{key} must be stated in the manifest, got {value!r}")
        return value

    def _same(self, role: RoleName, key: str, allowed: tuple[Any, ...], whose: str) -> None:
        value = self.role(role).config.get(key)
        if value not in allowed:
            wanted = " or ".join(map(str, allowed))
            self._refuse(f"{role}.{key} must be {wanted} ({whose}), got {value!r}")

    def _refuse(self, detail: str) -> NoReturn:
        raise PackRefused("pack_mismatch", f"pack {self.name!r}: {detail}; mend the manifest or take parts that fit")

    # Loading

    def load(self, role: RoleName, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> Any:
        """The role's network in eval mode, or a new scheduler, or the tokenizer. `dtype` None = fp32.

        Raises PackRefused: pack_missing, pack_corrupt or pack_mismatch.
        """
        spec = self.role(role)
        if role == "scheduler":
            return build(spec.class_name, spec.config)
        if spec.class_name in ("CLIPTokenizer", "WordTokenizer"):
            return self.tokenizer()
        import torch

        paths = self._paths(role)
        weights = [self._as_safetensors(role, file, paths[file]) for file in spec.weight_files]
        return load_module(spec, weights, torch.device(device), dtype or torch.float32)

    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.role("tokenizer"), self._paths("tokenizer"))

    def _as_safetensors(self, role: RoleName, file: str, path: Path) -> Path:
        if path.suffix == ".safetensors":
            return path
        stated = self.role(role).files[file].sha256
        converted = self._cached(role) / "converted" / f"{stated}.safetensors"
        return converted if converted.is_file() else convert_pth(path, converted)

    def summary(self) -> EngineInfo:
        """`PackManifest.summary`: what clients and people read about the pack."""
        return self.manifest.summary()


_HASHES: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """The file's sha256, remembered for as long as its size and time of change stay."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _HASHES:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
        _HASHES[key] = digest.hexdigest()
    return _HASHES[key]


def pack_folders(settings: Settings) -> list[Path]:
    """Folders that hold packs, in the order in which they are searched."""
    named = [Path(part).expanduser() for part in settings.pack_path.split(os.pathsep) if part]
    return [*named, Path(str(package_files("packshot"))) / "packs", settings.pack_cache_dir]


def _manifests(settings: Settings) -> dict[str, Path]:
    """Pack name (its folder's) to manifest; the first of a name wins. A folder of `pack_path` may be a pack itself."""
    found: dict[str, Path] = {}
    for folder in pack_folders(settings):
        if (folder / MANIFEST).is_file():
            found.setdefault(folder.name, folder / MANIFEST)
        elif folder.is_dir():
            for path in sorted(folder.glob(f"*/{MANIFEST}")):
                found.setdefault(path.parent.name, path)
    return found


def find_pack(name: str, settings: Settings) -> Pack:
    """The pack of that name. Raises PackRefused: pack_unknown, pack_licence, or pack_mismatch for a faulty manifest."""
    found = _manifests(settings)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PackRefused("pack_unknown", f"pack must be one of {known}, got {name!r}; PACKSHOT_PACK_PATH adds folders")
    manifest = read_manifest(found[name])
    if manifest.name != name:
        raise PackRefused("pack_mismatch", f"a pack's folder must have its name, got {manifest.name!r} in {name!r}")
    if not manifest.commercial and not settings.accept_noncommercial:
        detail = f"pack {name!r} is licensed {manifest.licence}, which forbids commercial use; "
        raise PackRefused("pack_licence", f"{detail}PACKSHOT_ACCEPT_NONCOMMERCIAL=true accepts it")
    return Pack(manifest, found[name].parent, settings)


def list_packs(settings: Settings) -> list[Pack]:
    """Every pack that is found, by name; also those that `find_pack` would refuse for their licence."""
    return [Pack(read_manifest(path), path.parent, settings) for _, path in sorted(_manifests(settings).items())]


__all__ = ["FileCheck", "Pack", "find_pack", "list_packs", "pack_folders", "sha256_of"]
