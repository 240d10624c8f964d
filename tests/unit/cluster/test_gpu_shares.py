"""Shares that hold: enough for the pack, on every device, in whatever order; and refused, with the numbers,
before anything starts."""

import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from cluster.local import serving
from cluster.plan.gpu_shares import Need, StagePacks, check_profile, kinds_of, need, refuse_misfits
from cluster.plan.packing import MAX_DEVICE_SHARE, overfull, sure_devices
from cluster.profiles import Profile, load_profile, profile_names
from cluster.render import serve_config
from cluster.stages import GPU_STAGES
from packshot.errors import BadInput, PackRefused
from packshot.models.device import CUDA_CONTEXT_GIB, allocator_fraction
from packshot.models.footprint.pack_footprint import find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.tiny_pack import build_tiny_pack

GPU_PROFILES = [name for name in profile_names() if load_profile(name).device == "cuda"]


def changed(tmp_path: Path, change: dict[str, Any], base: str = "one-gpu") -> Profile:
    """An included profile with `change` merged in."""

    def merge(into: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        for key, value in new.items():
            into[key] = merge(into.get(key) or {}, value) if isinstance(value, dict) else value
        return into

    data = load_profile(base).model_dump(mode="json", exclude_unset=True)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(merge(data, {"name": "mine", **change})))
    return load_profile(str(file))


def check(profile: Profile) -> dict[str, Need]:
    return check_profile(profile, Settings())


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_a_shipped_profile_holds_its_pack(name: str) -> None:
    profile = load_profile(name)
    for stage, one in check(profile).items():
        device_gib = profile.pools[profile.pool_of(stage)].device.memory_gib
        share = profile.stage(stage).gpu_share
        assert share is not None
        assert one.total_gib <= share * device_gib
        assert one.share(device_gib) <= share + 1e-9


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_the_allocator_of_a_shipped_profiles_replica_has_what_its_plan_says(name: str) -> None:
    profile = load_profile(name)
    for stage, one in check(profile).items():
        device_gib = profile.pools[profile.pool_of(stage)].device.memory_gib
        share = profile.stage(stage).gpu_share
        assert share is not None
        allowed_gib = allocator_fraction(share, device_gib) * device_gib
        assert allowed_gib + CUDA_CONTEXT_GIB == pytest.approx(share * device_gib)
        assert one.total_gib - one.context_gib <= allowed_gib


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_ray_finds_room_for_a_shipped_profiles_replicas_in_any_order_and_never_overfills_a_device(name: str) -> None:
    profile = load_profile(name)
    for pool_name, pool in profile.pools.items():
        kinds = kinds_of(profile, pool_name)
        assert sure_devices(kinds) <= pool.max_devices
        assert overfull(kinds) is None


def test_one_painter_a_device_whatever_ray_does() -> None:
    share = load_profile("node").stages["generator"].gpu_share
    assert share is not None
    assert share * 2 > 1


def test_a_profile_without_gpus_needs_none() -> None:
    assert check(load_profile("laptop")) == {}


def test_a_share_too_small_is_refused_and_either_remedy_mends_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"needs 12\.02 GiB .* gpu_share 0\.4 of 22 GiB is 8\.80") as refused:
        check(changed(tmp_path, {"stages": {"generator": {"gpu_share": 0.4}}}))
    described = re.search(
        r"raise gpu_share to ([\d.]+), or lower stages.generator.tunables.max_rows to (\d+)", str(refused.value)
    )
    assert described is not None
    check(changed(tmp_path, {"stages": {"generator": {"gpu_share": float(described[1])}}}))
    check(changed(tmp_path, {"stages": {"generator": {"gpu_share": 0.4, "tunables": {"max_rows": int(described[2])}}}}))
    one_more = {"generator": {"gpu_share": 0.4, "tunables": {"max_rows": int(described[2]) + 1}}}
    with pytest.raises(BadInput):
        check(changed(tmp_path, {"stages": one_more}))


def test_a_pack_too_large_for_the_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"must fit 0.95 of a device: generator of pack sd15 .*max_rows 256 needs .* use a larger GPU"
    ):
        check(changed(tmp_path, {"stages": {"generator": {"tunables": {"max_rows": 256}}}}))


def test_a_device_that_is_smaller_than_planned_is_refused() -> None:
    profile, pack = load_profile("one-gpu"), find_pack("sd15", Settings())
    refuse_misfits(profile, StagePacks.of_one(pack.manifest, find_footprint(pack)), 22.0)
    with pytest.raises(BadInput, match=r"of 15 GiB is 2\.55"):
        refuse_misfits(profile, StagePacks.of_one(pack.manifest, find_footprint(pack)), 15.0)


def test_shares_that_ray_would_add_up_to_more_than_the_limit_are_refused(tmp_path: Path) -> None:
    shares = {"generator": {"gpu_share": 0.6}, "sam_encoder": {"gpu_share": 0.15}, "mask_decoder": {"gpu_share": 0.05}}
    with pytest.raises(
        BadInput,
        match=r"1 x sam_encoder 0.15 \+ .* \+ 1 x detector 0.08 \+ 1 x understand 0.08 \+ .* = 0.96 in pool machine",
    ):
        check(changed(tmp_path, {"stages": shares}, "node"))


def test_more_replicas_than_a_pools_devices_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"3 x generator 0.53 need 3 devices, pool machine has at most 2"):
        check(
            changed(
                tmp_path,
                {
                    "pools": {"machine": {"gpus": 2}},
                    "stages": {
                        "generator": {"replicas": {"max": 3}},
                        "sam_encoder": {"replicas": {"max": 1}},
                        "mask_decoder": {"replicas": {"max": 1}},
                        "detector": {"gpu_share": None},
                        "understand": {"gpu_share": 0.04},
                    },
                },
                "node",
            )
        )


def test_a_share_without_its_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"set stages.generator.tunables.max_rows"):
        check(changed(tmp_path, {"stages": {"generator": {"tunables": None}}}))


def test_a_profile_for_an_unknown_pack_or_one_that_cannot_render_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_pack(tmp_path / "later", edit={"renderable": False, "reason": "it needs more"})
    with pytest.raises(PackRefused, match="pack must be one of"):
        check(changed(tmp_path, {"pack": "nothing"}))
    with pytest.raises(PackRefused, match="cannot render in this version"):
        check_profile(changed(tmp_path, {"pack": "later"}), Settings(pack_path=str(folder)))


def test_sdxl_fits_one_gpu_of_24_gb_as_its_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/packs.md").read_text("utf-8")
    (told,) = re.findall(r"```yaml\n(pack: sdxl\n.*?)```", page, re.DOTALL)
    whole = load_profile("one-gpu").model_dump(mode="json", exclude_unset=True)
    del whole["stages"]["detector"]
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(whole))
    found = check(changed(tmp_path, yaml.safe_load(told), str(tmp_path / "base.yaml")))
    assert found["generator"].batch == 5


def test_memory_that_the_manifest_states_counts_where_it_is_more() -> None:
    pack = find_pack("sd15", Settings())
    footprint = find_footprint(pack).stages["sam_encoder"]
    stated = pack.manifest.model_copy(update={"memory_gib": {"segmenter": 9.0}})
    assert need("sam_encoder", footprint, 1, stated).total_gib == pytest.approx(9.0 + CUDA_CONTEXT_GIB)
    assert need("sam_encoder", footprint, 16, stated).total_gib > 16


def test_a_share_that_the_context_alone_would_fill_is_refused() -> None:
    with pytest.raises(BadInput, match=r"larger than a CUDA context \(0.6 GiB\), got 0.02 of 22.0 GiB"):
        allocator_fraction(0.02, 22.0)


@pytest.fixture
def no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test in which starting Ray would fail; that it runs already says nothing: the graph's tests start it, too."""

    def init(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", init)


@pytest.mark.usefixtures("no_start")
def test_nothing_is_rendered_or_started_for_a_profile_that_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = changed(tmp_path, {"stages": {"generator": {"gpu_share": 0.4}}})
    with pytest.raises(BadInput, match="must fit its share"):
        serve_config(small)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="nvidia-smi shows 0 here"), serving(load_profile("one-gpu"), port=0):
        pass
    with (
        pytest.raises(BadInput, match="the profile must need one machine only"),
        serving(load_profile("production")),
    ):
        pass


@pytest.mark.usefixtures("no_start")
@pytest.mark.parametrize(("memory_mib", "reason"), [(16376, "of 15.99 GiB"), (23034, "must fit its share")])
def test_the_start_asks_what_gpus_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_mib: int, reason: str
) -> None:
    small = changed(tmp_path, {"stages": {"generator": {"gpu_share": 0.5}}})
    described = tmp_path / "nvidia-smi"
    described.write_text(f"#!/bin/sh\necho {memory_mib}\n")
    described.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=reason), serving(small, port=0):
        pass


def test_every_gpu_stage_is_planned() -> None:
    on_the_cpu = {"reference_encoder"}  # sd15 serves references only where a setting says so
    assert set(check(load_profile("one-gpu"))) == set(GPU_STAGES) - on_the_cpu
    assert MAX_DEVICE_SHARE == 0.95
