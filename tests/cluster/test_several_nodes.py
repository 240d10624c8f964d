"""Two nodes with a GPU each: replicas sit where the plan says,
and the death of a node loses nothing that was accepted."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from cluster.plan.gpu_shares import StagePacks
from cluster.plan.packing import MAX_DEVICE_SHARE
from cluster.plan.plan import Demand
from cluster.plan.planner import make_plan
from cluster.profiles import load_profile
from packshot.models.footprint.pack_footprint import find_footprint
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.cluster.on_several_nodes import Nodes, Session, assert_each_done_once, started, wait_for, write_profile

TWO = {"min": 2, "max": 2}
STAGES = {
    # More than half a node, so that each node has one; one node has room for all the others.
    "gateway": {"replicas": TWO, "cpus": 0.51},
    "sam_encoder": {"cpus": 0.05, "gpu_share": 0.2, "tunables": {"max_batch_size": 2}},
    "mask_decoder": {"cpus": 0.05, "gpu_share": 0.07, "tunables": {"max_batch_size": 4}},
    "canny": {"cpus": 0.05},
    "finisher": {"cpus": 0.05},
    "generator": {"replicas": TWO, "cpus": 0.1, "gpu_share": 0.67, "tunables": {"max_rows": 8}},
    "director": {"replicas": TWO, "cpus": 0.05},
}
NODE = {"num_cpus": 1, "num_gpus": 1}
SHOTS, PEOPLE, PAUSE_S = 6, 3, 0.1
NOTICE = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
"""A dead node is known to be dead in 3 s, not in 15 s."""


Placed = dict[str, tuple[dict[str, float], Counter[str]]]
"""Node id -> (Ray's own account of what is in use, replicas of each deployment)."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    machine = {"nodes": TWO, "cpus": 1, "memory_gib": 6, "object_store_mib": 128, "gpus": 1, "gpu": "L4"}
    threads = {"encoder": 1, "decoder": 1, "generator": 1}
    file = tmp_path_factory.mktemp("profile") / "two-nodes.yaml"
    return write_profile(file, threads=threads, pools={"machine": machine}, stages=STAGES)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with started(tmp_path_factory.mktemp("nodes"), [NODE, NODE], **NOTICE) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def session(nodes: Nodes, profile: str) -> Iterator[Session]:
    with Session(nodes.deploy(profile)) as person:
        yield person


@pytest.fixture(scope="module")
def placed(nodes: Nodes, session: Session) -> Placed:
    """The nodes of the replicas before a test killed a node."""
    return on_workers(nodes)


def on_workers(nodes: Nodes) -> Placed:
    """The present nodes that have CPUs."""
    return {
        node: (found["used"], Counter(name for name, _, _ in found["replicas"]))
        for node, found in nodes.nodes().items()
        if found["total"].get("CPU")
    }


@pytest.mark.timeout(500)
def test_replicas_sit_where_the_plan_says(placed: Placed, profile: str) -> None:
    loaded = load_profile(profile)
    pack = find_pack(loaded.pack, Settings())
    plan = make_plan(loaded, StagePacks.of_one(pack.manifest, find_footprint(pack)), Demand(images_per_hour=100))
    (pool,) = plan.pools
    assert pool.sure == len(pool.devices) == 2  # so Ray needs no more, in whatever order they start

    assert len(placed) == pool.nodes
    for used, replicas in placed.values():
        device: dict[str, int] = {stage: replicas[stage] for stage in loaded.gpu_stages if replicas[stage]}
        share, _, _ = plan.device_sums(device)
        assert used["GPU"] == pytest.approx(share)
        assert share <= MAX_DEVICE_SHARE
        assert replicas["generator"] == replicas["gateway"] == 1
    awake = [stage for stage in loaded.deployments if loaded.stage(stage).range.min]
    assert sum((replicas for _, replicas in placed.values()), Counter()) == {
        stage: plan.stage(stage).replicas for stage in awake
    }


@pytest.mark.timeout(500)
def test_a_node_killed_under_load_loses_no_accepted_shot(nodes: Nodes, session: Session, placed: Placed) -> None:
    victim, (_, lost) = max(placed.items(), key=lambda row: row[1][1].total())
    looked_at = session.accept(seed=1000)
    session.finished([looked_at])
    with (
        session.people(looked_at, count=PEOPLE, pause_s=PAUSE_S) as once,
        session.people(looked_at, count=PEOPLE, retries=1, pause_s=PAUSE_S) as patient,
    ):
        shots = [session.accept(seed) for seed in range(SHOTS)]
        killed_at = time.monotonic()
        nodes.kill(victim)
        dead_at = time.monotonic()
        shots += [session.accept(seed) for seed in range(SHOTS, 2 * SHOTS)]
        wait_for(lambda: victim not in nodes.nodes(), 120, every_s=1.0)
        noticed_s = time.monotonic() - killed_at
        ended = session.finished(shots)
    slowest_s = max(end - begun for begun, end, _ in once.answers + patient.answers)
    print(
        f"killed a node with {dict(lost)}: Ray noticed after {noticed_s:.1f} s; {len(once.answers)} light requests "
        "without retry, "
        f"{len(once.failures)} failed; {len(patient.answers)} with one, {len(patient.failures)} failed; slowest "
        f"{slowest_s:.1f} s"
    )
    for begun, end, failure in once.failures:
        print(f"{begun - killed_at:.2f} {end - killed_at:.2f} (dead {dead_at - killed_at:.2f}) {failure}")
    assert_each_done_once(ended)
    assert patient.failures == []
    # Only what was on its way when the node died: what came later went to the other gateway.
    assert all(begun <= dead_at and killed_at <= end for begun, end, _ in once.failures)
