"""The capacity plan: enough replicas, devices within their memory and time, and a correct picture."""

import json
import math
import xml.etree.ElementTree as ElementTree
from functools import cache
from typing import Any

import pytest

from cluster.plan import rates
from cluster.plan.drawing import draw
from cluster.plan.gpu_shares import StagePacks
from cluster.plan.gpus import GPUS
from cluster.plan.packing import MAX_DEVICE_SHARE
from cluster.plan.plan import Demand, Plan
from cluster.plan.planner import make_plan
from cluster.profiles import Profile, load_profile
from packshot.errors import BadInput
from packshot.models.footprint.pack_footprint import find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings


@cache
def planned(profile: str = "node", images_per_hour: float = 20_000.0, **demand: Any) -> Plan:
    loaded = load_profile(profile)
    pack = find_pack(loaded.pack or "mini", Settings())
    return make_plan(loaded, StagePacks.of_one(pack.manifest, find_footprint(pack)), Demand(images_per_hour, **demand))


PLANS = [("one-gpu", 1000.0), ("node", 3_000.0), ("node", 20_000.0), ("production", 0.0), ("production", 60_000.0)]


@pytest.mark.parametrize(("profile", "images"), PLANS)
def test_replicas_carry_the_demand_and_stay_in_their_ranges(profile: str, images: float) -> None:
    plan = planned(profile, images)
    for one in plan.stages:
        replicas = plan.profile.stage(one.stage).range
        assert replicas.min <= one.replicas <= replicas.max
        assert one.busy <= one.replicas * plan.demand.utilisation + 1e-9
    for stage in plan.profile.gpu_stages:
        laid_out = sum(device.get(stage, 0) for pool in plan.pools for device in pool.devices)
        assert laid_out == plan.stage(stage).replicas


@pytest.mark.parametrize(("profile", "images"), PLANS)
def test_no_device_is_over_its_memory_its_shares_or_its_time(profile: str, images: float) -> None:
    plan = planned(profile, images)
    for pool in plan.pools:
        assert pool.pool.nodes.min <= pool.nodes <= pool.pool.nodes.max
        assert len(pool.devices) <= pool.gpus
        for device in pool.devices:
            share, gib, busy = plan.device_sums(device)
            assert share <= MAX_DEVICE_SHARE + 1e-9
            assert gib <= MAX_DEVICE_SHARE * pool.pool.device.memory_gib
            assert busy <= plan.demand.utilisation + 1e-9


def test_a_remote_engine_needs_no_device() -> None:
    """Its calls are a generator's rows, and the vendor's seconds are its time."""
    stated = load_profile("one-gpu").model_dump(exclude_unset=True) | {"pack": "", "engines": ("mini", "remote")}
    stated["pools"]["machine"]["cpus"] = 10
    stated["stages"]["generator-remote"] = {"gpu_share": None, "cpus": 0.1, "tunables": {"max_rows": 4}}
    profile = Profile.model_validate(stated)
    found = {name: find_pack(name, Settings()) for name in profile.engines}
    both = {name: (pack.manifest, find_footprint(pack)) for name, pack in found.items()}
    packs = StagePacks(both["mini"], {"generator": both["mini"], "generator-remote": both["remote"]})
    plan = make_plan(profile, packs, Demand(20.0, engines={"remote": 0.5}))
    vendor = plan.stage("generator-remote")
    endpoint = found["remote"].manifest.endpoint
    assert endpoint is not None
    assert (vendor.gpu_share, vendor.replicas) == (None, 1)
    assert vendor.seconds == 0.5 * endpoint.latency_s / endpoint.in_flight


def test_painters_sleep_when_nothing_is_asked_for_and_the_gateway_does_not() -> None:
    plan = planned("production", 0.0)
    assert plan.stage("generator").replicas == 0
    assert plan.stage("gateway").replicas == 2
    assert plan.gpus == {"L4": 1}


def test_what_a_profile_makes_at_most_it_makes_and_no_more() -> None:
    most = planned("node", 1.0).at_most
    assert planned("node", math.floor(most)).demand.images_per_hour <= most
    with pytest.raises(
        BadInput, match=r"makes at most [\d,]+ images per hour, got .*: .* needs \d+ .*max is \d+; raise"
    ):
        planned("node", most * 1.05)


def test_fewer_photos_an_image_make_room_for_more_images() -> None:
    assert planned("one-gpu", 1.0, photos_per_image=0.1).at_most > planned("one-gpu", 1.0).at_most


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        ({"images_per_hour": -1.0}, "images_per_hour must be a number ≥ 0, got -1"),
        ({"images_per_hour": math.nan}, "images_per_hour must be a number"),
        ({"photos_per_image": -1.0}, "photos_per_image must be"),
        ({"utilisation": 1.1}, "utilisation must be over 0 and at most 1, got 1.1"),
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(demand: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Demand(**{"images_per_hour": 1.0, **demand})


def test_a_profile_without_gpus_has_no_plan() -> None:
    with pytest.raises(BadInput, match="profile laptop has none"):
        planned("laptop")


def test_whole_nodes_are_paid_for() -> None:
    plan = planned("node", 1.0)
    assert plan.gpus == {"L40S": 8}
    assert plan.cost_per_hour({"": 2.0}) == 16.0
    assert plan.cost_per_hour({"L40S": 1.5, "": 9.0}) == 12.0
    with pytest.raises(BadInput, match="L40S have none; add KIND=PRICE"):
        plan.cost_per_hour({"L4": 1.0})


def test_the_json_says_what_the_plan_says() -> None:
    plan = planned("production", 60_000.0)
    described = json.loads(json.dumps(plan.as_json({"": 2.0})))
    assert set(described["stages"]) == set(load_profile("production").deployments)
    assert described["source"] == "estimate"
    assert described["gpu_hours_per_hour"] == sum(plan.gpus.values())
    assert described["cost_per_1000_images"] == pytest.approx(2.0 * described["gpu_hours_per_1000_images"], abs=0.01)
    assert (
        sum(device["replicas"]["generator"] for device in described["pools"]["paint"]["devices"])
        == plan.stage("generator").replicas
    )


def test_the_picture_has_a_bar_for_each_kind_of_device_and_says_that_times_are_estimates() -> None:
    plan = planned("node", 10_000.0)
    root = ElementTree.fromstring(draw(plan))
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    counts = [text.split(" × ")[0] for text in texts if text.endswith("L40S")]
    assert sum(int(count) for count in counts if count.isdigit()) == 8
    assert any("times are estimates" in text for text in texts)
    assert all(any(text.startswith(f"{stage}: ") for text in texts) for stage in plan.profile.gpu_stages)


@pytest.mark.parametrize("gpu", rates.PUBLIC_STEPS_PER_S)
def test_estimates_are_never_faster_than_the_public_figures(gpu: str) -> None:
    footprint = find_footprint(find_pack("sd15", Settings())).stages["generator"]
    public = 1 / (rates.PUBLIC_STEPS_PER_S[gpu] * rates.PUBLIC_ROWS)
    assert 0.99 <= rates.row_seconds(GPUS[gpu], footprint) / public <= 2.0


def test_the_estimates_are_fitted_to_the_a100() -> None:
    footprint = find_footprint(find_pack("sd15", Settings())).stages["generator"]
    public = 1 / (rates.PUBLIC_STEPS_PER_S["A100"] * rates.PUBLIC_ROWS)
    assert rates.row_seconds(GPUS["A100"], footprint) == pytest.approx(public, rel=0.02)
