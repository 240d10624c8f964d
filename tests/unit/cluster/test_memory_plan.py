"""The memory plan: which packs fit cards of 24, 48 and 80 GB, with the text encoder on the GPU or on the CPU."""

from functools import cache

import pytest

from cluster.plan.gpu_shares import need
from cluster.plan.gpus import GPUS
from cluster.plan.memory import BESIDE, CARDS, MOST_ROWS, Arrangement, arrangements, fit
from cluster.plan.packing import MAX_DEVICE_SHARE
from packshot.models.footprint.pack_footprint import find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings


@cache
def planned(name: str) -> tuple[Arrangement, ...]:
    pack = find_pack(name, Settings())
    return tuple(arrangements(pack.manifest, find_footprint(pack)))


def one_of(name: str, *, beside: bool, text_on_cpu: bool) -> Arrangement:
    (found,) = (one for one in planned(name) if bool(one.beside) == beside and one.text_on_cpu == text_on_cpu)
    return found


@pytest.mark.parametrize("name", ["sd15", "sdxl", "klein", "zimage"])
def test_a_batch_is_the_largest_that_fits(name: str) -> None:
    for arrangement in planned(name):
        for gpu in CARDS:
            rows, room_gib = fit(arrangement, gpu).rows, MAX_DEVICE_SHARE * gpu.memory_gib
            if rows:
                assert arrangement.total_gib(rows) <= room_gib
            if rows < MOST_ROWS:
                assert arrangement.total_gib(max(rows + 1, arrangement.fewest_rows)) > room_gib


def test_a_text_encoder_on_the_cpu_makes_room_for_whole_engines() -> None:
    """klein and its other stages fit 24 GB only so; zimage then fits the 24 GB of an RTX 4090, but not an L4's."""
    whole = one_of("klein", beside=True, text_on_cpu=False)
    assert fit(whole, GPUS["L4"]).rows == 0
    assert fit(whole, GPUS["L4"]).sentence() == "2.4 GiB too little"
    assert fit(one_of("klein", beside=True, text_on_cpu=True), GPUS["L4"]).rows >= 4
    alone = one_of("zimage", beside=False, text_on_cpu=True)
    assert (fit(alone, GPUS["RTX4090"]).rows >= 1, fit(alone, GPUS["L4"]).rows) == (True, 0)
    assert all(fit(one, GPUS["H100"]).rows >= 16 for name in ("klein", "zimage") for one in planned(name))


def test_the_setting_changes_what_a_profile_is_checked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = find_pack("zimage", Settings())
    footprint = find_footprint(pack).stages["generator"]
    on_gpu = need("generator", footprint, 2, pack.manifest)
    monkeypatch.setenv("PACKSHOT_TEXT_ENCODER_DEVICE", "cpu")
    assert on_gpu.total_gib - need("generator", footprint, 2, pack.manifest).total_gib == pytest.approx(7.492)


def test_a_pack_whose_engine_is_elsewhere_has_no_arrangement() -> None:
    """A segmenter's pack paints nothing, and a vendor's service needs no GPU of ours."""
    assert planned("remote") == planned("sam-vit-h") == ()


def test_the_other_stages_of_a_pack_stand_beside_its_generator() -> None:
    assert {one.stage for one in one_of("sdxl", beside=True, text_on_cpu=False).beside} <= set(BESIDE)
    assert {one.text_on_cpu for one in planned("sdxl")} == {False}, "the choice is for flow-matching engines"
