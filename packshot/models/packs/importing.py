"""Make a pack of somebody's own checkpoint: its networks, and the other roles of a pack of the same family.

    one file ─> networks (single_file.py) ─┐
    diffusers folder, hub repository ──────┴─> configs, tensor shapes, hashes ─┐
    pack of the same family (`like`) ──────────────────────────────────────────┴─> manifest.yaml, and links or copies

What a checkpoint does not hold (segmenter, ControlNets, matting) comes from the pack that it is like.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import yaml

from packshot.errors import PackRefused
from packshot.models.packs.files import sha256_of
from packshot.models.packs.pack import MANIFEST, Pack, find_pack
from packshot.models.packs.roles import CLASSES_OF_ROLE, RoleName

if TYPE_CHECKING:
    from packshot.settings import Settings

IMPORTED: tuple[RoleName, ...] = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "vae", "unet")
FAMILY_OF_WIDTH = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
"""The family by the width of the text that the UNet attends to."""
SCHEDULE_KEYS = ("prediction_type", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr")
"""What a checkpoint was trained with; the solver is the base pack's."""
_NOT_OF_CLASS = ("architectures", "dtype", "model_type", "torch_dtype", "transformers_version")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_LORA = re.compile(r"(attn2[._]to_k)[._].*(lora_down|lora_A)|(attn2[._]to_k[._](lora_down|lora_A))")


class Tree(Protocol):
    """The files of a checkpoint in diffusers' layout."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a subfolder."""
        ...

    def read_json(self, path: str) -> dict[str, Any]:
        """A small JSON file; empty if there is none."""
        ...

    def entry(self, folder: str, names: list[str]) -> dict[str, Any]:
        """`files`, and `source` if they are on the hub, as a manifest states them."""
        ...


@dataclass(frozen=True)
class LocalTree:
    """A folder of this machine. `keep` brings a file into the pack's folder, under a relative path."""

    folder: Path
    keep: Callable[[Path, str], None]

    def names(self, folder: str) -> list[str]:
        inside = self.folder / folder
        return sorted(path.name for path in inside.iterdir() if path.is_file()) if inside.is_dir() else []

    def read_json(self, path: str) -> dict[str, Any]:
        file = self.folder / path
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}

    def entry(self, folder: str, names: list[str]) -> dict[str, Any]:
        files = {}
        for name in names:
            path = self.folder / folder / name
            self.keep(path, f"{folder}/{name}")
            files[f"{folder}/{name}"] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        return {"files": files}


@dataclass(frozen=True)
class HubTree:
    """A repository of the hub at a commit. `listed` has the hub's word on each file: its size, and its hash."""

    repo: str
    commit: str
    listed: dict[str, Any]

    def names(self, folder: str) -> list[str]:
        return sorted(Path(path).name for path in self.listed if path.rpartition("/")[0] == folder)

    def read_json(self, path: str) -> dict[str, Any]:
        from huggingface_hub import hf_hub_download

        from packshot.models.packs.hub import endpoint

        if path not in self.listed:
            return {}
        file = hf_hub_download(self.repo, path, revision=self.commit, endpoint=endpoint())
        return dict(json.loads(Path(file).read_text("utf-8")))

    def entry(self, folder: str, names: list[str]) -> dict[str, Any]:
        files: dict[str, Any] = {}
        for name in names:
            about = self.listed[f"{folder}/{name}"]
            files[name] = {"sha256": about.lfs.sha256, "bytes": about.lfs.size} if about.lfs else {"bytes": about.size}
        return {"source": {"repo": self.repo, "revision": self.commit, "subfolder": folder}, "files": files}


def import_pack(
    source: str,
    name: str,
    settings: Settings,
    *,
    like: str = "",
    copy: bool = False,
    licence: str,
    commercial: str,
    prediction: str = "",
) -> Pack:
    """Make the pack `name` in the pack cache of somebody's checkpoint.

    `source` is a diffusers folder, one safetensors file, or a hub repository OWNER/NAME. `like` is the pack that gives
    the other roles; "" = the shipped pack of the same family. Files of a folder are linked, or copied with `copy`.
    `prediction` is what the UNet of one file predicts; "" = as that of `like`, except for sd2, of which there are two
    kinds. A local checkpoint's networks are loaded once, so that what is imported works. Raises PackRefused:
    pack_mismatch for what does not fit, and pack_missing for a repository that the hub does not give.
    """
    folder = settings.pack_cache_dir / name
    if folder.exists():
        _refuse(f"the pack's name must be new, {folder} is there; delete it, or pass another --name")
    path = Path(source).expanduser()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            if path.is_file():
                like = _take_apart(path, Path(scratch), settings, like, prediction)
                tree: Tree = LocalTree(Path(scratch), _keeper(folder, copy=True))
            elif path.is_dir():
                tree = LocalTree(path, _keeper(folder, copy=copy))
            else:
                tree = _hub_tree(source)
            manifest = _manifest(tree, source, settings, like, _keeper(folder, copy=copy))
            manifest |= {"name": name, "licence": licence, "terms": {"commercial": commercial}}
            if commercial == "limited":
                manifest["terms"]["restrictions"] = f"see {licence}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).write_text(yaml.safe_dump(manifest, sort_keys=False), "utf-8")
            pack = find_pack(name, settings.model_copy(update={"accept_noncommercial": True}))
            pack.check()
            if path.exists():
                _load_once(pack, tree)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return Pack(pack.manifest, pack.folder, settings)


def _manifest(
    tree: Tree, source: str, settings: Settings, like: str, keep: Callable[[Path, str], None]
) -> dict[str, Any]:
    unet = tree.read_json("unet/config.json")
    if not unet:
        _refuse(f"{source} must be in diffusers' layout, with unet/config.json; it has none. See docs/packs.md, Import")
    width = unet.get("cross_attention_dim")
    family = FAMILY_OF_WIDTH.get(width) if isinstance(width, int) else None
    if not like and family is None:
        known = ", ".join(f"{value} ({key})" for key, value in FAMILY_OF_WIDTH.items())
        _refuse(f"unet.cross_attention_dim must be of a known family, {known}, got {width!r}; pass --like PACK")
    base = find_pack(like or str(family), settings)
    manifest: dict[str, Any] = yaml.safe_load((base.folder / MANIFEST).read_text("utf-8"))
    manifest.pop("commercial", None)
    manifest["title"] = f"{Path(source).name} on {base.manifest.title}"
    schedule = tree.read_json("scheduler/scheduler_config.json")
    trained = {key: schedule[key] for key in SCHEDULE_KEYS if key in schedule}
    manifest["roles"]["scheduler"]["config"] |= trained
    manifest["prediction_type"] = trained.get("prediction_type", base.manifest.prediction_type)
    for role in base.manifest.roles:
        found = _role(tree, role, base) if role in IMPORTED else None
        if found is not None:
            manifest["roles"][role] = {"licence": manifest["roles"][role]["licence"]} | found
            continue
        for file in base.role(role).files:  # what the base has is not fetched again
            if present := base.locate(role, file):
                keep(present, f"{role}/{file}" if base.role(role).source else file)
    if "unet" not in manifest["roles"] or "class_name" not in manifest["roles"]["unet"]:
        _refuse(f"{source} must hold a UNet's weights")
    return manifest


def _role(tree: Tree, role: RoleName, base: Pack) -> dict[str, Any] | None:
    """The role's entry in the manifest; None when the checkpoint does not hold it."""
    names = tree.names(role)
    if role.startswith("tokenizer"):
        words = [name for name in names if name in ("vocab.json", "merges.txt")]
        entry = {"class_name": "CLIPTokenizer", "config": base.role(role).config}
        return entry | tree.entry(role, words) if len(words) == 2 else None
    files = weight_files(names)
    if not files:
        return None
    config = tree.read_json(f"{role}/config.json")
    class_name = config.get("_class_name") or next(iter(config.get("architectures", [])), "")
    if class_name not in CLASSES_OF_ROLE[role]:
        _refuse(f"{role} must be one of {', '.join(CLASSES_OF_ROLE[role])}, its config says {class_name!r}")
    kept = {key: value for key, value in config.items() if not key.startswith("_") and key not in _NOT_OF_CLASS}
    return {"class_name": class_name, "config": kept} | tree.entry(role, files)


def weight_files(names: list[str]) -> list[str]:
    """Of a folder's files the weights: whole precision before fp16, safetensors before pickles, shards together."""
    for suffix in (".safetensors", ".bin"):
        for half in (False, True):
            of_kind = [name for name in names if name.endswith(suffix) and (".fp16." in name) == half]
            own = [name for name in of_kind if "non_ema" not in name and "ema_only" not in name]
            shards = [name for name in own if _SHARD.search(name)]
            whole = [name for name in own if name not in shards]
            if whole or shards:
                return whole[:1] or shards
    return []


def _hub_tree(source: str) -> HubTree:
    from huggingface_hub import HfApi

    from packshot.models.packs.hub import endpoint, explain
    from packshot.models.packs.manifest import HubSource

    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source):
        _refuse(f"the checkpoint must be a folder, a file, or a hub repository OWNER/NAME, got {source!r}")
    api = HfApi(endpoint=endpoint())
    try:
        commit = api.model_info(source).sha
        rows = api.list_repo_tree(source, recursive=True, revision=commit)
        return HubTree(source, str(commit), {row.path: row for row in rows if hasattr(row, "size")})
    except Exception as error:  # the hub's client raises many kinds of errors
        why = explain(error, HubSource(repo=source, revision="main"), "model_index.json")
        raise PackRefused("pack_missing", f"{source} could not be read: {why}") from error


def _keeper(folder: Path, *, copy: bool) -> Callable[[Path, str], None]:
    def keep(path: Path, relative: str) -> None:
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copy2(path, target)
        else:
            os.symlink(path.resolve(), target)

    return keep


def _load_once(pack: Pack, tree: Tree) -> None:
    """Load every network of the checkpoint: its tensors must be exactly those of its config."""
    import torch

    for role in IMPORTED:
        if role in pack.manifest.roles and tree.names(role):
            pack.load(role, "cpu", torch.bfloat16)


def _take_apart(path: Path, scratch: Path, settings: Settings, like: str, prediction: str) -> str:
    """Write the networks of one file to `scratch` in diffusers' layout, and return the pack that it is like."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from packshot.models.packs.single_file import family_of, unpack

    if path.suffix != ".safetensors":
        _refuse(f"{path.name} must be safetensors; a pickle may hold code. Ask its author for a safetensors file")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise PackRefused("pack_corrupt", f"{path.name} must be a whole safetensors file, got {error}") from error
    if adapter := lora_of({key: tuple(tensor.shape) for key, tensor in state.items()}):
        trained_on, rank = adapter
        _refuse(
            f"{path.name} is an adapter (LoRA of rank {rank} for {trained_on}) and no checkpoint; add it with "
            f"`packshot adapters add {path.name}`, or POST /v1/adapters, on a server with a pack of {trained_on}"
        )
    family = family_of(state)
    base = find_pack(like or family, settings)
    if base.manifest.family == "sd2" and not prediction:
        _refuse(
            f"{path.name} is of Stable Diffusion 2, of which there are two kinds that tensors do not tell apart; pass "
            "--prediction epsilon (512 px) or --prediction v_prediction (768 px)"
        )
    unpack(state, base, scratch, prediction)
    return base.name


def lora_of(shapes: dict[str, tuple[int, ...]]) -> tuple[str, int] | None:
    """(family, rank) of a LoRA with the names of kohya or peft; None for any other file."""
    for name, shape in shapes.items():
        if _LORA.search(name) and len(shape) >= 2:
            return FAMILY_OF_WIDTH.get(shape[1], f"a text width of {shape[1]}"), shape[0]
    return ("an unknown family", 0) if any("lora_" in name for name in shapes) else None


def _refuse(detail: str) -> NoReturn:
    raise PackRefused("pack_mismatch", detail)


__all__ = ["IMPORTED", "HubTree", "LocalTree", "import_pack", "lora_of", "weight_files"]
