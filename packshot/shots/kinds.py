"""The flow of each kind of work that the director claims from the queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from packshot.contract.status import ShotKind
from packshot.shots.clip_flow import make_clip
from packshot.shots.flow import OnStep, shoot
from packshot.shots.repaint_flow import enhance, touch_up
from packshot.shots.stages import Stages
from packshot.store.clip_records import NewClip
from packshot.store.records import Claim, NewImage
from packshot.store.store import Store

Flow = Callable[[Store, Claim, Stages, OnStep], Awaitable[Sequence[NewImage | NewClip]]]
"""Does a claim's work and returns its pictures, or its clip. It reports progress, and raises as `shoot` does."""


async def _shot(store: Store, claim: Claim, stages: Stages, on_step: OnStep) -> Sequence[NewImage]:
    return await shoot(store, claim.tenant, claim.spec, stages, on_step, alone=claim.crashes > 0)


FLOWS: Mapping[ShotKind, Flow] = {"shot": _shot, "touchup": touch_up, "clip": make_clip, "enhancement": enhance}
