"""The fewest devices, compared with an exhaustive search; and enough devices for Ray in every order."""

import itertools
import random
from functools import cache

import pytest

from cluster.plan.packing import MAX_DEVICE_SHARE, Kind, fewest_devices, overfull, sure_devices

PLANS = 200


def random_plan(seed: int) -> list[Kind]:
    draw = random.Random(seed)
    kinds = []
    for name in "abc"[: draw.randint(1, 3)]:
        kinds.append(Kind(name, draw.randint(0, 6), draw.uniform(0.03, 0.95), draw.choice([0.0, draw.uniform(0, 0.8)])))
    return kinds


def fewest_by_exhaustion(kinds: tuple[Kind, ...], max_busy: float) -> int:
    """The smallest number of devices, by an exhaustive search over all ways to fill one device after the other."""
    counts = tuple(kind.count for kind in kinds)
    fillings = [
        put
        for put in itertools.product(*(range(count + 1) for count in counts))
        if any(put)
        and sum(n * kind.share for n, kind in zip(put, kinds, strict=True)) <= MAX_DEVICE_SHARE + 1e-9
        and sum(n * kind.busy for n, kind in zip(put, kinds, strict=True)) <= max_busy + 1e-9
    ]

    @cache
    def least(left: tuple[int, ...]) -> int:
        if not any(left):
            return 0
        rests = (
            tuple(have - n for have, n in zip(left, put, strict=True))
            for put in fillings
            if all(n <= have for have, n in zip(left, put, strict=True))
        )
        return 1 + min(map(least, rests))

    return least(counts)


def test_two_hundred_random_plans_are_within_a_tenth_of_the_best_and_hold_everything() -> None:
    for seed in range(PLANS):
        kinds = random_plan(seed)
        devices = fewest_devices(kinds, 0.8)
        best = fewest_by_exhaustion(tuple(kinds), 0.8)
        assert best <= len(devices) <= 1.1 * best, (seed, kinds)
        for kind in kinds:
            assert sum(device.get(kind.name, 0) for device in devices) == kind.count, (seed, kinds)
        for device in devices:
            assert sum(kind.share * device.get(kind.name, 0) for kind in kinds) <= MAX_DEVICE_SHARE + 1e-9
            assert sum(kind.busy * device.get(kind.name, 0) for kind in kinds) <= 0.8 + 1e-9


@pytest.mark.parametrize("scale", [1, 10, 100])
def test_large_plans_are_within_a_tenth_of_what_the_sums_allow(scale: int) -> None:
    kinds = [
        Kind("generator", 9 * scale, 0.6, 0.7),
        Kind("encoder", 7 * scale, 0.15, 0.1),
        Kind("decoder", 3 * scale, 0.05, 0.02),
    ]
    busy = sum(kind.count * kind.busy for kind in kinds)
    assert len(fewest_devices(kinds, 0.8)) <= 1.1 * max(9 * scale, busy / 0.8)


def test_time_fills_a_device_as_memory_does() -> None:
    small_and_busy = [Kind("a", 4, 0.1, 0.6)]
    assert len(fewest_devices(small_and_busy, 0.8)) == 4
    assert len(fewest_devices(small_and_busy, 1.2)) == 2


def test_a_replica_that_fits_no_device_is_refused_with_its_numbers() -> None:
    with pytest.raises(ValueError, match=r"share ≤ 0.95.*busy ≤ 0.8.*got share 0.300, busy 0.900"):
        fewest_devices([Kind("a", 1, 0.3, 0.9)], 0.8)


def lost_in_some_order(kinds: list[Kind], devices: int) -> bool:
    """Whether any order of arrival and choice of devices leaves Ray without room, by an exhaustive search."""
    seen = set()

    def down(left: tuple[int, ...], loads: tuple[float, ...]) -> bool:
        if (left, loads) in seen:
            return False
        seen.add((left, loads))
        for index, kind in enumerate(kinds):
            if not left[index]:
                continue
            places = [d for d, load in enumerate(loads) if load + kind.share <= 1 + 1e-9]
            if not places:
                return True
            rest = (*left[:index], left[index] - 1, *left[index + 1 :])
            for place in places:
                after = tuple(sorted((*loads[:place], round(loads[place] + kind.share, 6), *loads[place + 1 :])))
                if down(rest, after):
                    return True
        return False

    return down(tuple(kind.count for kind in kinds), (0.0,) * devices)


@pytest.mark.parametrize("seed", range(40))
def test_on_sure_devices_no_order_of_arrival_leaves_a_replica_out(seed: int) -> None:
    draw = random.Random(seed)
    kinds = [Kind(name, draw.randint(1, 3), draw.choice([0.05, 0.15, 0.25, 0.4, 0.6, 0.95])) for name in "ab"]
    assert not lost_in_some_order(kinds, sure_devices(kinds)), kinds


def test_the_fewest_devices_may_be_too_few_for_ray() -> None:
    kinds = [Kind("generator", 2, 0.7), Kind("encoder", 2, 0.25)]
    assert len(fewest_devices(kinds)) == 2
    assert lost_in_some_order(kinds, 2)
    assert sure_devices(kinds) == 3


def test_shares_that_ray_would_put_over_the_limit_are_found() -> None:
    assert overfull([Kind("encoder", 5, 0.2)]) == {"encoder": 5}
    assert overfull([Kind("encoder", 4, 0.2)]) is None
    assert overfull([Kind("encoder", 5, 0.21)]) is None  # five would be over Ray's own limit
    assert overfull([Kind("generator", 1, 0.7), Kind("encoder", 2, 0.14)]) == {"generator": 1, "encoder": 2}
