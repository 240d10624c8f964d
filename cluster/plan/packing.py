"""Packing of replicas onto devices: the fewest devices, and the number of devices that is enough in every order.

A replica uses two resources of a device: a share of its memory, which Ray and PyTorch enforce, and a part of its time,
which nothing enforces, because models on one device take turns. A device is full when either sum is at its limit. Ray
uses the shares only: it places a replica wherever its share fits and never moves it. So the fewest devices may not be
enough for Ray. `sure_devices` computes how many are enough in every order in which replicas start and stop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

MAX_DEVICE_SHARE = 0.95
"""The largest sum of shares on a device. The rest is for fragmentation and for the contexts of other processes."""
TOLERANCE = 1e-9
SEARCHED = 1_000
"""Arrangements that the exact search tries before it gives up. A larger plan is well served by the greedy packings."""

Device = dict[str, int]
"""The replicas on a device: deployment to count."""


@dataclass(frozen=True)
class Kind:
    """`count` equal replicas. Each uses the fraction `share` of a device's memory and `busy` of its time on average."""

    name: str
    count: int
    share: float
    busy: float = 0.0

    def at_most(self, max_share: float, max_busy: float) -> int:
        """How many of these replicas fit an empty device."""
        by_share = math.floor((max_share + TOLERANCE) / self.share)
        by_time = math.floor((max_busy + TOLERANCE) / self.busy) if self.busy else by_share
        return min(by_share, by_time)


def fewest_devices(kinds: Sequence[Kind], max_busy: float = 1.0) -> list[Device]:
    """Pack all replicas onto the fewest devices.

    `max_busy` limits the fraction of a device's time. The result is exact for small plans and the best greedy packing
    for large ones. Raises ValueError when a replica does not fit an empty device.
    """
    kinds = [kind for kind in kinds if kind.count]
    for kind in kinds:
        if not kind.at_most(MAX_DEVICE_SHARE, max_busy):
            raise ValueError(
                f"a replica of {kind.name} must fit an empty device (share ≤ {MAX_DEVICE_SHARE}, busy ≤ {max_busy:g}), "
                f"got share {kind.share:.3f}, busy {kind.busy:.3f}"
            )
    best = min((_greedy(order, max_busy) for order in permutations(kinds)), key=len)
    search = _Search(kinds, max_busy)
    for devices in range(search.least([kind.count for kind in kinds]), len(best)):
        found = search.within(devices)
        if found is not None:
            return found
    return best


def _greedy(kinds: Sequence[Kind], max_busy: float) -> list[Device]:
    """First-fit packing, kind by kind: each replica goes to the first device with room."""
    devices: list[Device] = []
    shares: list[float] = []
    busy: list[float] = []
    for kind in kinds:
        first = 0
        for _ in range(kind.count):
            while first < len(devices) and not (
                shares[first] + kind.share <= MAX_DEVICE_SHARE + TOLERANCE
                and busy[first] + kind.busy <= max_busy + TOLERANCE
            ):
                first += 1
            if first == len(devices):
                devices.append({})
                shares.append(0.0)
                busy.append(0.0)
            devices[first][kind.name] = devices[first].get(kind.name, 0) + 1
            shares[first] += kind.share
            busy[first] += kind.busy
    return devices


class _Search:
    """Depth-first search over full devices. The replicas that remain after a device are a smaller problem; failed
    problems are memoised."""

    def __init__(self, kinds: Sequence[Kind], max_busy: float) -> None:
        self._kinds = kinds
        self._max_busy = max_busy
        self._failed: dict[tuple[int, ...], int] = {}
        self._tried = 0

    def least(self, counts: Sequence[int]) -> int:
        """A lower bound on the number of devices, from the sums of shares and times."""
        shares = sum(kind.share * count for kind, count in zip(self._kinds, counts, strict=True))
        busy = sum(kind.busy * count for kind, count in zip(self._kinds, counts, strict=True))
        least = max(shares / MAX_DEVICE_SHARE, busy / self._max_busy if busy else 0)
        by_kind = max(
            (
                count / kind.at_most(MAX_DEVICE_SHARE, self._max_busy)
                for kind, count in zip(self._kinds, counts, strict=True)
            ),
            default=0,
        )
        return math.ceil(max(least, by_kind) - 1e-6)

    def within(self, devices: int) -> list[Device] | None:
        found = self._down(tuple(kind.count for kind in self._kinds), devices)
        if found is None:
            return None
        names = [kind.name for kind in self._kinds]
        return [{name: count for name, count in zip(names, counts, strict=True) if count} for counts in found]

    def _down(self, left: tuple[int, ...], devices: int) -> list[tuple[int, ...]] | None:
        if not any(left):
            return []
        if self.least(left) > devices or self._failed.get(left, -1) >= devices or self._tried > SEARCHED:
            return None
        for device in self._full(left):
            self._tried += 1
            rest = self._down(tuple(have - put for have, put in zip(left, device, strict=True)), devices - 1)
            if rest is not None:
                return [device, *rest]
        self._failed[left] = devices
        return None

    def _full(self, left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Yield devices to which no remaining replica can be added, those with the most of the first kind first.

        Each has a replica of the first remaining kind: some device must hold that kind, so this one does.
        """
        first = next(index for index, count in enumerate(left) if count)

        def fill(index: int, put: tuple[int, ...], share: float, busy: float) -> Iterator[tuple[int, ...]]:
            if index == len(self._kinds):
                if not any(
                    put[k] < left[k] and self._fits(share + kind.share, busy + kind.busy)
                    for k, kind in enumerate(self._kinds)
                ):
                    yield put
                return
            kind = self._kinds[index]
            for count in range(left[index], (1 if index == first else 0) - 1, -1):
                if self._fits(share + count * kind.share, busy + count * kind.busy):
                    yield from fill(index + 1, (*put, count), share + count * kind.share, busy + count * kind.busy)

        yield from fill(0, (), 0.0, 0.0)

    def _fits(self, share: float, busy: float) -> bool:
        return share <= MAX_DEVICE_SHARE + TOLERANCE and busy <= self._max_busy + TOLERANCE


def sure_devices(kinds: Sequence[Kind]) -> int:
    """The number of devices on which Ray finds room for every replica, in every order of starts and stops.

    Ray has no room for a replica of share s only when every device holds more than 1 - s of other replicas' shares.
    Another replica of share r contributes r / (1 - s) of that to its device, at most 1. So the sum of these
    contributions bounds the number of blocked devices.
    """
    enough = 0
    for kind in kinds:
        if not kind.count:
            continue
        room = 1 - kind.share
        blocked = sum(
            (other.count - (other is kind)) * min(1.0, other.share / room if room > TOLERANCE else 1.0)
            for other in kinds
        )
        enough = max(enough, math.floor(blocked + TOLERANCE) + 1)
    return enough


def overfull(kinds: Sequence[Kind]) -> Mapping[str, int] | None:
    """Replicas that Ray may put on one device although their shares sum to more than `MAX_DEVICE_SHARE`, or None.

    Ray's limit is 1.0. No sum of shares may lie between the two limits.
    """

    def fill(index: int, put: dict[str, int], share: float) -> dict[str, int] | None:
        if index == len(kinds):
            return put if share > MAX_DEVICE_SHARE + TOLERANCE else None
        kind = kinds[index]
        for count in range(kind.count + 1):
            if share + count * kind.share > 1 + TOLERANCE:
                break
            found = fill(index + 1, {**put, kind.name: count} if count else put, share + count * kind.share)
            if found:
                return found
        return None

    return fill(0, {}, 0.0)


__all__ = ["MAX_DEVICE_SHARE", "Device", "Kind", "fewest_devices", "overfull", "sure_devices"]
