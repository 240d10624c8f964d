"""What a hub does wrong is told apart, and the remedy that each message names is applied and works."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from packshot.errors import PackRefused
from packshot.models.packs.files import sha256_of
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from tests.loopback_hub import COMMIT, TOKEN, HubRepo, LoopbackHub, loopback_hub
from tests.tiny_pack import build_tiny_pack

torch.set_num_threads(1)
FILE = "vae.safetensors"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pack(tmp_path_factory.mktemp("hub") / "tiny", "sd15")


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub whose repository some/one holds the tiny pack's VAE in the subfolder vae."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with loopback_hub(some__one=HubRepo({f"vae/{FILE}": (tiny / FILE).read_bytes()})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture
def pack(tiny: Path, tmp_path: Path) -> Callable[..., Pack]:
    """The tiny pack, whose VAE comes from the hub. `change` edits the VAE's entry in the manifest."""

    def build(change: Change = lambda vae: None, **more: Any) -> Pack:
        folder = tmp_path / "packs/hubbed"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = yaml.safe_load((tiny / "manifest.yaml").read_text())
        manifest["name"] = "hubbed"
        vae = manifest["roles"]["vae"]
        vae["source"] = {"repo": "some/one", "revision": COMMIT, "subfolder": "vae"}
        change(vae)
        (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        for path in tiny.iterdir():
            if path.name not in ("manifest.yaml", FILE) and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
        return find_pack("hubbed", Settings(pack_path=str(folder), home=tmp_path / "home", offline=False, **more))

    return build


def unhashed(vae: dict[str, Any]) -> None:
    vae["files"] = {FILE: {}}


def refusal(pack: Pack) -> str:
    """The refusal of fetching the VAE, as `code: detail`."""
    with pytest.raises(PackRefused) as refused:
        pack.fetch(role="vae")
    return f"{refused.value.code}: {refused.value.detail}"


def fetched(pack: Pack, tiny: Path) -> None:
    """The VAE is fetched, it is the hub's, and it loads."""
    (path,) = pack.fetch(role="vae")
    assert sha256_of(path) == sha256_of(tiny / FILE)
    assert pack.missing("vae") == []
    pack.load("vae")


def test_files_are_fetched_once_into_the_cache(hub: LoopbackHub, pack: Any, tiny: Path, tmp_path: Path) -> None:
    told: list[str] = []
    (path,) = pack().fetch(told.append, role="vae")
    assert path == tmp_path / f"home/packs/hubbed/vae/vae/{FILE}"
    assert len(told) == 1
    pack().load("vae")
    assert pack().fetch(role="vae") == []
    assert [method for method, *_ in hub.asked].count("GET") == 1


def test_files_beside_the_manifest_spare_the_hub(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    built = pack()
    (built.folder / "vae").mkdir()
    (built.folder / "vae" / FILE).symlink_to(tiny / FILE)
    built.load("vae")
    assert hub.asked == []


def test_offline_the_message_names_a_path_that_is_read(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    offline = pack()
    offline = Pack(offline.manifest, offline.folder, offline.settings.model_copy(update={"offline": True}))
    with pytest.raises(PackRefused, match="packshot packs fetch hubbed") as refused:
        offline.load("vae")
    named = Path(refused.value.detail.rpartition(", as ")[2])
    named.parent.mkdir(parents=True)
    named.write_bytes((tiny / FILE).read_bytes())
    offline.load("vae")
    assert hub.asked == []


def test_a_repository_that_is_not_there(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    def elsewhere(vae: dict[str, Any]) -> None:
        vae["source"]["repo"] = "some/other"

    told = refusal(pack(elsewhere))
    assert told.startswith("pack_missing: ")
    assert "has no repository some/other" in told
    assert "correct `source.repo` in the manifest" in told
    fetched(pack(), tiny)


def test_a_gated_repository(hub: LoopbackHub, pack: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos["some/one"].gated = True
    told = refusal(pack())
    assert f"some/one is gated; accept its terms at {hub.url}/some/one, then set HF_TOKEN" in told
    monkeypatch.setenv("HF_TOKEN", "hf_ofnobody")
    assert "the hub does not accept HF_TOKEN" in refusal(pack())
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetched(pack(), tiny)


def test_a_revision_that_is_not_there(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    def at(revision: str) -> Change:
        return lambda vae: vae["source"].update(revision=revision)

    told = refusal(pack(at("d" * 40)))
    assert "some/one has no revision dddd" in told
    (commit,) = re.findall(r"main is at (\w{40}): set `source.revision`", told)
    fetched(pack(at(commit)), tiny)


@pytest.mark.parametrize("named", ["vae.fp16.safetensors", "vae.safetensors"])
def test_a_repository_with_the_other_precision_alone(hub: LoopbackHub, pack: Any, tiny: Path, named: str) -> None:
    """The same weights are taken, and the machine knows them by the manifest's name."""
    (other,) = {"vae.fp16.safetensors", "vae.safetensors"} - {named}
    hub.repos["some/one"].files = {f"vae/{other}": (tiny / FILE).read_bytes()}
    built = pack(lambda vae: vae.update(files={named: {}}))
    told: list[str] = []
    (path,) = built.fetch(told.append, role="vae")
    assert path.name == named
    assert f"fetching {other}, the same weights in another precision" in told[-1]
    built.load("vae")
    assert built.fetch(role="vae") == []


def test_a_stated_hash_forbids_the_other_precision(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    hub.repos["some/one"].files = {"vae/vae.fp16.safetensors": (tiny / FILE).read_bytes()}
    told = refusal(pack())
    assert f"in vae has no {FILE}, but vae.fp16.safetensors; name that under `files`" in told
    fetched(pack(lambda vae: vae.update(files={"vae.fp16.safetensors": vae["files"][FILE]})), tiny)


def test_a_repository_with_a_pickle_alone(hub: LoopbackHub, pack: Any, tiny: Path, tmp_path: Path) -> None:
    torch.save(load_file(tiny / FILE), tmp_path / "vae.bin")
    hub.repos["some/one"].files = {"vae/vae.bin": (tmp_path / "vae.bin").read_bytes()}
    told = refusal(pack())
    assert "only the pickle vae.bin; it is read without running code and converted once" in told
    (row,) = re.findall(r"`(vae\.bin: \{.*?\})`", told)
    built = pack(lambda vae: vae.update(files=yaml.safe_load(row)))
    built.fetch(role="vae")
    saved = load_file(tiny / FILE)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in built.load("vae").state_dict().items())


def test_a_file_that_is_not_there_names_what_is(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    hub.repos["some/one"].files = {"vae/other.safetensors": b"x"}
    assert f"has no {FILE}; it has other.safetensors. Correct `files` or `source.subfolder`" in refusal(pack())


def test_another_hash_is_told_before_the_download(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    told = refusal(pack(lambda vae: vae.update(files={FILE: {"sha256": "0" * 64}})))
    assert told.startswith("pack_corrupt: ")
    assert "must have sha256 0000" in told
    assert [method for method, *_ in hub.asked] == ["HEAD"], "nothing was downloaded"
    (offered,) = re.findall(r"has ([0-9a-f]{64}); nothing", told)
    fetched(pack(lambda vae: vae.update(files={FILE: {"sha256": offered}})), tiny)


def test_a_file_that_is_altered_on_the_way(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    right = (tiny / FILE).read_bytes()
    hub.repos["some/one"].announced = {f"vae/{FILE}": right}
    hub.repos["some/one"].files = {f"vae/{FILE}": right[:-1] + bytes([right[-1] ^ 1])}
    built = pack(unhashed)
    told = refusal(built)
    assert told.startswith("pack_corrupt: ")
    assert "Something on the way alters downloads" in told
    assert built.missing("vae") == [("vae", FILE)], "the altered file was removed"
    hub.repos["some/one"].files = {f"vae/{FILE}": right}
    fetched(pack(unhashed), tiny)


def test_a_cut_download_is_taken_up_again(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    hub.repos["some/one"].cut_at = [1000]
    fetched(pack(), tiny)
    assert [method for method, *_ in hub.asked].count("GET") == 2


def test_a_download_that_ends_early_can_be_repeated(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    right = (tiny / FILE).read_bytes()
    hub.repos["some/one"].announced = {f"vae/{FILE}": right}
    hub.repos["some/one"].files = {f"vae/{FILE}": right[:-9]}
    told = refusal(pack())
    assert told.startswith("pack_missing: ")
    assert "the download was cut off" in told
    assert "run the command again" in told
    hub.repos["some/one"].files = {f"vae/{FILE}": right}
    fetched(pack(), tiny)


def test_a_hub_that_is_unwell_or_away(hub: LoopbackHub, pack: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos["some/one"].status = 500
    assert "the hub answered 500; run the command again later" in refusal(pack())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in refusal(pack())
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.repos["some/one"].status = 0
    fetched(pack(), tiny)


@pytest.mark.parametrize("change", [unhashed, lambda vae: None])
@pytest.mark.parametrize("spoil", [lambda data: data[:-5], lambda data: b"<html>not here</html>"])
def test_fetching_again_repairs_a_truncated_or_wrong_file(
    hub: LoopbackHub, pack: Any, tiny: Path, change: Change, spoil: Callable[[bytes], bytes]
) -> None:
    built = pack(change)
    (path,) = built.fetch(role="vae")
    path.write_bytes(spoil(path.read_bytes()))
    assert {row.status for row in built.verify() if row.role == "vae"} == {"corrupt"}
    with pytest.raises(PackRefused, match="run packshot packs fetch hubbed, which replaces it"):
        built.load("vae")
    fetched(built, tiny)
    assert {row.status for row in built.verify() if row.role == "vae"} <= {"ok", "unverified"}


def test_a_wrong_file_of_ones_own_is_kept_under_another_name(hub: LoopbackHub, pack: Any, tiny: Path) -> None:
    built = pack()
    own = built.folder / "vae" / FILE
    own.parent.mkdir()
    save_file({"x": torch.zeros(1)}, own)
    fetched(built, tiny)
    assert own.with_name(f"{FILE}.wrong").is_file()
    assert not own.exists()
