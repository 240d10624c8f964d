"""`packshot packs …`, and the check of a pack's files before `packshot serve` starts anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from packshot.cli import app
from tests.tiny_pack import build_tiny_pack


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of packs, which PACKSHOT_PACK_PATH names."""
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PACKSHOT_PACK_PATH", str(tmp_path / "packs"))
    (tmp_path / "packs").mkdir()
    return tmp_path / "packs"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pack(tmp_path_factory.mktemp("command") / "tiny", "sd15")


def call(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def answer(result: Result) -> Any:
    return json.loads(result.stdout.strip().splitlines()[-1])


def edited(source: Path, target: Path, **fields: Any) -> None:
    """Copy a pack under another name, with some fields of its manifest changed; None removes one."""
    shutil.copytree(source, target)
    manifest = yaml.safe_load((source / "manifest.yaml").read_text()) | {"name": target.name} | fields
    kept = {key: value for key, value in manifest.items() if value is not None}
    (target / "manifest.yaml").write_text(yaml.safe_dump(kept))


def test_the_list_survives_a_broken_manifest_and_names_its_fault(folder: Path, tiny: Path) -> None:
    edited(tiny, folder / "tiny")
    edited(tiny, folder / "odd", nmae="x")
    (folder / "torn").mkdir()
    (folder / "torn/manifest.yaml").write_text("name: [")
    result = call("packs", "list", "--json")
    assert result.exit_code == 0
    told = answer(result)
    assert {"tiny", "mini", "sd15", "sam-vit-b"} <= {row["name"] for row in told["packs"]}
    assert set(told["broken"]) == {"odd", "torn"}
    assert "odd cannot be used: manifest.yaml of pack 'odd': nmae" in result.stderr
    assert call("packs", "show", "odd").exit_code != 0


def test_the_list_tells_what_a_licence_allows(folder: Path, tiny: Path) -> None:
    terms = {"commercial": "limited", "revenue_usd": 1_000_000, "attribution": True}
    edited(tiny, folder / "bound", commercial=None, terms=terms)
    (row,) = [row for row in answer(call("packs", "list", "--json"))["packs"] if row["name"] == "bound"]
    assert row["terms"] == terms | {"disclosure": False, "restrictions": ""}
    assert row["commercial"] is True


def test_limited_terms_are_refused_until_they_are_accepted(
    folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(tiny, folder / "bound", commercial=None, terms={"commercial": "limited", "revenue_usd": 1_000_000})
    refused = call("packs", "show", "bound", "--json")
    assert answer(refused)["error"]["code"] == "pack_licence"
    assert "commercial use up to 1,000,000 USD revenue a year" in refused.stderr
    remedy = refused.stderr.partition("set ")[2].split()[0]
    monkeypatch.setenv(*remedy.split("="))
    assert answer(call("packs", "show", "bound", "--json"))["terms"]["revenue_usd"] == 1_000_000


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"commercial": "limited"}, "must state its bound"),
        ({"commercial": "yes", "revenue_usd": 5}, "is a bound of commercial: limited"),
        ({"commercial": "maybe"}, "'yes', 'no' or 'limited'"),
        ({"commercial": True, "attributoin": True}, "attributoin"),
    ],
)
def test_terms_that_say_nothing_are_refused(folder: Path, tiny: Path, terms: Any, told: str) -> None:
    edited(tiny, folder / "vague", commercial=None, terms=terms)
    assert told in call("packs", "show", "vague").stderr


def test_unverified_files_are_told_from_verified_ones(folder: Path, tiny: Path) -> None:
    manifest = yaml.safe_load((tiny / "manifest.yaml").read_text())
    vae = manifest["roles"]["vae"]
    vae["source"], vae["files"] = {"repo": "some/one", "revision": "main"}, {"vae.safetensors": {}}
    edited(tiny, folder / "tiny", roles=manifest["roles"])
    (folder / "tiny/vae").mkdir()
    shutil.copy2(tiny / "vae.safetensors", folder / "tiny/vae")
    result = call("packs", "verify", "tiny", "--json")
    assert result.exit_code == 0
    assert "1 unverified" in result.stderr
    assert "unverified: the manifest states no sha256" in result.stderr
    (row,) = [row for row in answer(result)["files"] if row["status"] == "unverified"]
    assert len(row["sha256"]) == 64


def test_several_packs_in_one_call(folder: Path, tiny: Path) -> None:
    """The job and the gate on Kubernetes name every pack of a cluster; a torn one must not hide behind a whole one."""
    edited(tiny, folder / "tiny")
    edited(tiny, folder / "other")
    waited = call("packs", "wait", "tiny", "other", "--json")
    assert (waited.exit_code, [row["name"] for row in answer(waited)]) == (0, ["tiny", "other"])
    (folder / "other/vae.safetensors").unlink()
    verified = call("packs", "verify", "other", "tiny", "--json")
    assert (verified.exit_code, [row["ok"] for row in answer(verified)]) == (1, [False, True])
    assert "[pack_missing]" in call("packs", "wait", "tiny", "other", "--timeout", "0.1").stderr
    assert "[pack_unknown]" in call("packs", "fetch", "tiny", "nothing").stderr


def test_a_total_with_unknown_sizes_is_told_as_the_least(folder: Path, tiny: Path) -> None:
    edited(tiny, folder / "tiny")
    roles = yaml.safe_load((tiny / "manifest.yaml").read_text())["roles"]
    roles["vae"] |= {"source": {"repo": "some/one", "revision": "main"}, "files": {"vae.safetensors": {"bytes": 4_000}}}
    roles["unet"] |= {"source": {"repo": "some/one", "revision": "main"}, "files": {"unet.safetensors": {}}}
    edited(tiny, folder / "partly", roles=roles)
    (folder / "partly/vae.safetensors").unlink()
    (folder / "partly/unet.safetensors").unlink()
    assert "2 of 7 files are missing, at least 4 kB." in call("packs", "show", "partly").stderr
    assert "1 of 1 files are missing, at least 359 MB." in call("packs", "show", "sam-vit-b").stderr


def test_a_segmenter_pack_states_nothing_of_an_engine(folder: Path, tiny: Path) -> None:
    roles = yaml.safe_load((tiny / "manifest.yaml").read_text())["roles"]
    plain = {"kind": "segmenter", "title": "Cuts", "licence": "Apache-2.0", "terms": {"commercial": "yes"}}
    for name, more, told in (
        ("cuts", {}, ""),
        ("paints", {"roles": roles}, "got controlnet, scheduler, text_encoder, tokenizer, unet, vae"),
        ("sized", {"native_px": [64, 64]}, "no field of an engine, got native_px"),
        ("blind", {"roles": {}}, "must have the role segmenter"),
    ):
        shutil.copytree(tiny, folder / name)
        manifest: dict[str, Any] = plain | {"name": name, "roles": {"segmenter": roles["segmenter"]}} | more
        (folder / name / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        result = call("packs", "verify", name)
        assert (told in result.stderr, result.exit_code == 0) == (True, not told), result.stderr


def test_serve_lists_what_is_missing_before_ray_starts(
    folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.local.run_forever", lambda *_, **__: pytest.fail("Ray was started"))
    monkeypatch.setenv("PACKSHOT_PACK", "sd15")
    result = call("serve")
    assert result.exit_code == 1
    assert "pack 'sd15' needs 7 files that are not on this machine: segmenter/model.safetensors" in result.stderr
    assert "run packshot packs fetch sd15, then start again" in result.stderr
    monkeypatch.setenv("PACKSHOT_PACK", "sam-vit-b")
    assert "name it as PACKSHOT_SEGMENTER" in call("serve").stderr
    edited(tiny, folder / "tiny")
    monkeypatch.setenv("PACKSHOT_PACK", "tiny")
    unet = folder / "tiny/unet.safetensors"
    unet.write_bytes(unet.read_bytes()[:-8])
    assert "must have" in call("serve").stderr
    unet.unlink()
    assert f"unet/unet.safetensors; put them into {folder / 'tiny'}" in call("serve").stderr


def test_serve_starts_when_everything_is_there(folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("cluster.local.run_forever", lambda profile, **_: started.append(profile.name))
    edited(tiny, folder / "tiny")
    monkeypatch.setenv("PACKSHOT_PACK", "tiny")
    assert call("serve").exit_code == 0
    assert started == ["laptop"]


def test_importing_tells_what_it_made_and_what_is_no_checkpoint(folder: Path, tiny: Path, tmp_path: Path) -> None:
    result = call("packs", "import", str(tmp_path / "nothing here"), "--name", "mine", "--json")
    assert (result.exit_code, answer(result)["error"]["code"]) == (1, "pack_mismatch")
    edited(tiny, folder / "tiny")
    unet = yaml.safe_load((tiny / "manifest.yaml").read_text())["roles"]["unet"]["config"]
    own = tmp_path / "My Photos v2"
    (own / "unet").mkdir(parents=True)
    (own / "unet/config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"} | unet))
    shutil.copy2(tiny / "unet.safetensors", own / "unet/diffusion_pytorch_model.safetensors")
    result = call("packs", "import", str(own), "--like", "tiny", "--json")
    assert result.exit_code == 0, result.stderr
    assert (answer(result)["name"], answer(result)["missing_files"]) == ("my-photos-v2", 0)
    assert "PACKSHOT_ACCEPT_NONCOMMERCIAL=true serves it" in result.stderr
    assert "my-photos-v2" in {row["name"] for row in answer(call("packs", "list", "--json"))["packs"]}
