"""Packs are found, vouched for and refused with both values; nothing is fetched while offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from packshot.errors import PackRefused
from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack, find_pack, list_packs, sha256_of
from packshot.models.packs.roles import RoleName
from packshot.models.packs.weights import build, convert_pth
from packshot.settings import Settings
from tests.tiny_pack import build_tiny_pack

torch.set_num_threads(1)
Edit = Callable[[Callable[[dict[str, Any]], None]], Pack]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pack that tests only read."""
    return build_tiny_pack(tmp_path_factory.mktemp("shared") / "tiny", "sd15", shards=3)


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(pack_path=str(folder), home=folder.parent / "home", **more)


@pytest.fixture
def edited(tmp_path: Path, shared: Path) -> Edit:
    """A pack with the shared one's files and an edited manifest."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Pack:
        folder = tmp_path / "edited"
        folder.mkdir()
        manifest = yaml.safe_load((shared / "manifest.yaml").read_text())
        manifest["name"] = "edited"
        change(manifest)
        (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        for path in shared.iterdir():
            if path.name != "manifest.yaml":
                (folder / path.name).symlink_to(path)
        return find_pack("edited", settings(folder))

    return edit


def test_a_pack_loads_every_role_from_its_shards(shared: Path) -> None:
    pack = find_pack("tiny", settings(shared))
    pack.check()
    assert len(pack.role("unet").weight_files) == 3
    unet = pack.load("unet", "cpu", torch.bfloat16)
    assert {p.dtype for p in unet.parameters()} == {torch.bfloat16}
    assert not unet.training
    assert not any(p.requires_grad for p in unet.parameters())
    assert type(pack.load("segmenter")).__name__ == "Sam"
    assert pack.load("scheduler") is not pack.load("scheduler"), "a scheduler keeps state: each caller has its own"
    assert pack.load("tokenizer")(["marble"]).shape == (1, 16)


def test_what_is_loaded_is_what_was_saved(shared: Path) -> None:
    from safetensors.torch import load_file

    pack = find_pack("tiny", settings(shared))
    for role in ("vae", "text_encoder", "controlnet"):
        saved = load_file(shared / f"{role}.safetensors")
        loaded = pack.load(role).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items()), role


def test_names_of_older_checkpoints_are_read(tmp_path: Path, shared: Path) -> None:
    """The VAE's attention of 2022, and the text encoder's prefix and buffer."""
    from safetensors.torch import load_file, save_file

    from packshot.models.packs.weights import load_module

    pack = find_pack("tiny", settings(shared))
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    state = load_file(shared / "vae.safetensors")
    for new, was in old.items():
        state = {name.replace(new, was) if ".attentions." in name else name: t for name, t in state.items()}
    assert any(".proj_attn." in name for name in state)
    save_file(state, tmp_path / "vae.safetensors")
    load_module(pack.role("vae"), [tmp_path / "vae.safetensors"], torch.device("cpu"), torch.float32)
    text = {f"text_model.{name}": t for name, t in load_file(shared / "text_encoder.safetensors").items()}
    text["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    save_file(text, tmp_path / "text.safetensors")
    load_module(pack.role("text_encoder"), [tmp_path / "text.safetensors"], torch.device("cpu"), torch.float32)


def test_every_file_is_verified(shared: Path) -> None:
    rows = find_pack("tiny", settings(shared)).verify()
    assert {row.status for row in rows} == {"ok"}
    assert {row.role for row in rows} >= {"segmenter", "tokenizer", "text_encoder", "vae", "unet", "controlnet"}


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny")
    pack = find_pack("tiny", settings(folder))
    data = bytearray((folder / "vae.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "vae.safetensors").write_bytes(data)
    assert {row.role for row in pack.verify() if row.status == "corrupt"} == {"vae"}
    with pytest.raises(PackRefused, match="must have sha256") as refused:
        pack.load("vae")
    assert refused.value.code == "pack_corrupt"


def test_hashes_follow_weights_and_config(tmp_path: Path, shared: Path) -> None:
    first = find_pack("tiny", settings(shared)).hashes()
    other = build_tiny_pack(tmp_path / "tiny", "sd15", seed=1, shards=3)
    second = find_pack("tiny", settings(other)).hashes()
    assert set(first) == {"manifest", *find_pack("tiny", settings(shared)).manifest.roles}
    assert first["unet"] != second["unet"]
    assert first["scheduler"] == second["scheduler"]


def test_a_missing_local_file_names_the_folder(edited: Edit) -> None:
    pack = edited(lambda _: None)
    (pack.folder / "unet-2.safetensors").unlink()
    with pytest.raises(PackRefused, match=r"unet/unet-2\.safetensors") as refused:
        pack.load("unet")
    assert refused.value.code == "pack_missing"
    assert str(pack.folder) in refused.value.detail


def set_at(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Set manifest[path[0]][path[1]]… to the last of `path`."""

    def change(manifest: dict[str, Any]) -> None:
        *way, key, value = path
        for step in way:
            manifest = manifest[step]
        manifest[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_at("roles", "unet", "config", "in_channels", 8), "unet.in_channels must be 4 or 9 .* got 8"),
        (set_at("roles", "unet", "config", "out_channels", 8), "unet.out_channels must be 4 .* got 8"),
        (set_at("roles", "vae", "config", "latent_channels", 8), "unet.in_channels must be 8 or 17 .* got 9"),
        (set_at("roles", "controlnet", "config", "in_channels", 9), "controlnet.in_channels must be 4 .* got 9"),
        (set_at("roles", "unet", "config", "cross_attention_dim", 16), "unet.cross_attention_dim must be 8 .* got 16"),
        (
            set_at("roles", "controlnet", "config", "cross_attention_dim", 9),
            "controlnet.cross_attention_dim must be 8 .* got 9",
        ),
        (
            set_at("roles", "controlnet", "config", "block_out_channels", [8]),
            r"must be \[8, 16\] \(the UNet's\), got \[8\]",
        ),
        (set_at("roles", "controlnet", "control_channels", ["canny"]), "conditioning_channels must be 1, .* got 3"),
        (set_at("prediction_type", "v_prediction"), "prediction_type must be v_prediction .* got 'epsilon'"),
        (
            set_at("buckets", [[64, 64], [60, 64]]),
            r"multiples of 8, the pixels .*, got \[\(60, 64\)\]",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_both_values(edited: Edit, change: Any, told: str) -> None:
    with pytest.raises(PackRefused, match=told) as refused:
        edited(change).check()
    assert refused.value.code == "pack_mismatch"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_at("roles", "unet", "config", "in_channels", 4), "must have the config's shapes"),
        (lambda manifest: manifest["roles"]["unet"]["files"].pop("unet-2.safetensors"), r"[1-9]\d* missing"),
        (set_at("roles", "unet", "config", "in_chanels", 9), "in_chanels"),
        (set_at("roles", "unet", "config", "down_block_types", ["NoBlock", "DownBlock2D"]), "buildable"),
    ],
)
def test_weights_that_are_not_the_configs_are_refused(edited: Edit, change: Any, told: str) -> None:
    with pytest.raises(PackRefused, match=told) as refused:
        edited(change).load("unet")
    assert refused.value.code == "pack_mismatch"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_at("nmae", "x"), "nmae"),
        (set_at("roles", "unet", "class_name", "OsSystem"), "class_name"),
        (set_at("roles", "unet", "class_name", "AutoencoderKL"), "unet must be one of"),
        (
            set_at("roles", "scheduler", "class_name", "HeunDiscreteScheduler"),
            "so that requests can share it; got HeunDiscreteScheduler, use one of DDIM",
        ),
        (set_at("roles", "vae", "files", {"../vae.safetensors": {"sha256": "0" * 64}}), "stay in the pack's folder"),
        (set_at("roles", "vae", "files", {"/etc/passwd": {"sha256": "0" * 64}}), "stay in the pack's folder"),
        (set_at("roles", "vae", "files", {"vae.safetensors": {}}), "must state its sha256"),
        (set_at("roles", "vae", "files", {"vae.safetensors": {"sha256": "xyz"}}), "pattern"),
        (set_at("native_px", [128, 128]), "must be one of the buckets"),
        (set_at("defaults", "steps", 51), "within max_steps"),
        (set_at("renderable", False), "must state why"),
        (lambda manifest: manifest["roles"].pop("vae"), "missing: vae"),
    ],
)
def test_a_faulty_manifest_is_refused(edited: Edit, change: Any, told: str) -> None:
    with pytest.raises(PackRefused, match=told) as refused:
        edited(change)
    assert refused.value.code == "pack_mismatch"


def test_yaml_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("name: [")
    with pytest.raises(PackRefused, match="not YAML"):
        read_manifest(tmp_path / "manifest.yaml")


def test_noncommercial_packs_need_the_flag(edited: Edit) -> None:
    with pytest.raises(PackRefused, match="PACKSHOT_ACCEPT_NONCOMMERCIAL") as refused:
        edited(set_at("commercial", False))
    assert refused.value.code == "pack_licence"


def test_the_flag_accepts_noncommercial_packs(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "tiny", edit={"commercial": False, "licence": "CC-BY-NC-4.0"})
    assert find_pack("tiny", settings(folder, accept_noncommercial=True)).name == "tiny"


def test_an_unknown_pack_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(PackRefused, match="sd15") as refused:
        find_pack("sd51", Settings(home=tmp_path))
    assert refused.value.code == "pack_unknown"


def test_folders_are_searched_in_order(tmp_path: Path, shared: Path) -> None:
    """pack_path, then the shipped packs, then the cache; a named folder may hold packs or be one."""
    cached = build_tiny_pack(tmp_path / "home/packs/late", "sd15")
    named = tmp_path / "named"
    (named / "late").mkdir(parents=True)
    manifest = (cached / "manifest.yaml").read_text().replace("Tiny random", "The named")
    (named / "late/manifest.yaml").write_text(manifest)
    from_cache = Settings(home=tmp_path / "home")
    assert find_pack("late", from_cache).folder == cached
    assert find_pack("late", from_cache.model_copy(update={"pack_path": str(named)})).manifest.title == "The named sd15"
    names = [pack.name for pack in list_packs(from_cache)]
    assert names == sorted(names)
    assert {"late", "sd15", "sd2", "sdxl"} <= set(names)


UNPINNED = {("sd2", "controlnet"), ("sdxl", "controlnet"), ("sdxl", "controlnet_inpaint")}
"""Roles whose repository's commits were not at hand."""


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl", "klein", "zimage"])
def test_shipped_packs_fit_and_can_be_built(name: str, tmp_path: Path) -> None:
    """Channels, widths and sizes agree, and each network has the published number of weights."""
    pack = find_pack(name, Settings(home=tmp_path))
    pack.check()
    millions: dict[str, dict[RoleName, float]] = {
        "sd15": {"unet": 859.5, "controlnet": 361.3, "vae": 83.7, "text_encoder": 123.1, "segmenter": 93.7},
        "sd2": {"unet": 865.9, "controlnet": 364.2, "vae": 83.7, "text_encoder": 340.4, "segmenter": 93.7},
        "sdxl": {"unet": 2567.5, "controlnet_inpaint": 1251.0, "vae": 83.7, "text_encoder_2": 694.7, "segmenter": 93.7},
        "klein": {"transformer": 3875.5, "text_encoder": 4022.5, "vae": 84.0, "segmenter": 93.7},
        "zimage": {"transformer": 6154.9, "controlnet": 3356.2, "text_encoder": 4022.5, "vae": 83.8},
    }
    for role, wanted in millions[name].items():
        with torch.device("meta"):
            made = build(pack.role(role).class_name, pack.role(role).config)
        assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(wanted, abs=0.06), role
    if pack.manifest.prediction_type != "flow_prediction":  # a flow-matching scheduler does not state it
        assert pack.load("scheduler").config.prediction_type == pack.manifest.prediction_type
    for role, spec in pack.manifest.roles.items():
        assert spec.source is None or spec.source.pinned or (name, role) in UNPINNED


@pytest.mark.parametrize(("name", "millions"), [("sam-vit-b", 93.7), ("sam-vit-h", 641.1), ("sam2.1", 216.9)])
def test_segmenter_packs_are_pinned_and_have_the_published_size(name: str, millions: float, tmp_path: Path) -> None:
    pack = find_pack(name, Settings(home=tmp_path))
    pack.check_segmenter()
    spec = pack.role("segmenter")
    assert spec.source is not None
    assert spec.source.pinned
    made = build(spec.class_name, spec.config)
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    assert pack.manifest.terms.commercial == "yes"
    with pytest.raises(PackRefused, match="paints nothing") as refused:
        pack.check()
    assert refused.value.code == "pack_not_renderable"


def test_offline_a_missing_file_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("offline, the hub must not be asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    pack = find_pack("sd15", Settings(home=tmp_path, offline=True))
    with pytest.raises(PackRefused, match="packshot packs fetch sd15") as refused:
        pack.load("vae")
    assert refused.value.code == "pack_missing"
    assert "vae/diffusion_pytorch_model.fp16.safetensors" in refused.value.detail
    assert {row.status for row in pack.verify()} == {"missing"}


def test_a_pth_is_checked_then_converted_once(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = build_tiny_pack(tmp_path / "tiny")
    torch.save(load_file(folder / "segmenter.safetensors"), folder / "sam.pth")
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["roles"]["segmenter"]["files"] = {"sam.pth": {"sha256": sha256_of(folder / "sam.pth")}}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    pack = find_pack("tiny", settings(folder))
    first = pack.load("segmenter").state_dict()
    saved = load_file(folder / "segmenter.safetensors")
    assert all(torch.equal(first[name], tensor) for name, tensor in saved.items())
    (converted,) = (tmp_path / "home").rglob("*.safetensors")
    stamp = converted.stat().st_mtime_ns
    pack.load("segmenter")
    assert converted.stat().st_mtime_ns == stamp
    (folder / "sam.pth").write_bytes((folder / "sam.pth").read_bytes() + b"\0")
    with pytest.raises(PackRefused, match="must have sha256"):
        pack.load("segmenter")


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        convert_pth(tmp_path / "evil.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_listing_packs_loads_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys; from packshot.models.packs.pack import list_packs; from packshot.settings import Settings; "
        "assert list_packs(Settings()); "
        "print(sorted({'torch', 'diffusers', 'transformers', 'ray', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_on_packs_tells_every_field_and_class() -> None:
    from typing import get_args

    from packshot.models.packs.manifest import Defaults, Limits, PackManifest, RoleSpec
    from packshot.models.packs.roles import ROLES, ClassName

    page = (Path(__file__).parents[3] / "docs/packs.md").read_text("utf-8")
    names = [*get_args(ClassName), *ROLES]
    for model in (PackManifest, RoleSpec, Defaults, Limits):
        names += model.model_fields
    assert [name for name in names if f"`{name}`" not in page] == []
