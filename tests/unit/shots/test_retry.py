"""A picture is painted again while a named finding fails; the best is kept, and every painting is counted."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from packshot.contract.retry import Retry, Try
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Finding
from packshot.errors import EngineFailed
from packshot.settings import Settings
from packshot.shots import Director, Finished, Painted, Prepared
from packshot.shots.flow import retry_seeds
from packshot.store.records import ImageRecord
from packshot.store.store import Store
from tests.unit.shots.painter import Painter, accepted, expire_leases, now

RETRY = Retry(2, ("floating", "hallucination"))


class Faulty(Painter):
    """The pictures of these seeds float; those of `worse` have a second failed finding."""

    def __init__(self, store: Store, floating: Collection[int], worse: Collection[int] = (), **others: Any) -> None:
        super().__init__(store, **others)
        self._floating, self._worse = floating, worse

    async def finish(self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
        made = await super().finish(prepared, painted, spec, products)
        seed = painted.render.seed
        verdict = replace(made.verdict, findings=())
        if seed in self._floating:
            verdict = verdict.with_findings(Finding("floating", "failed", "it floats", 0.2, (0.1, 0.8, 0.4, 0.9)))
        if seed in self._worse:
            verdict = verdict.with_findings(Finding("hallucination", "failed", "a second one", 0.5))
        return replace(made, verdict=verdict)


async def _made(
    store: Store, settings: Settings, painter: Painter, spec: ShotSpec
) -> tuple[list[ImageRecord], tuple[int, float]]:
    """The pictures of a shot, and the (pictures, device-seconds) of its tenant's usage."""
    shot = accepted(store, spec)
    await Director(store, painter, settings, worker="w").run_next()
    done = now(store, shot)
    assert done.status == "done", done.error_detail
    total = store.usage.page(store.tenants.local().id, "day").total
    return list(done.images), (total.pictures, total.device_s)


async def test_a_picture_that_fails_is_painted_by_another_seed(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    images, (pictures, _) = await _made(store, settings, Faulty(store, floating=(5,)), spec_for(retry=RETRY))
    assert [(image.index, image.seed, image.verdict.level) for image in images] == [(0, 7, "ok"), (1, 6, "ok")]
    assert images[0].recipe.tries == (Try(5, ("floating",)), Try(7))
    assert images[1].recipe.tries == (Try(6),)
    assert images[0].recipe.timing_ms["steps"] == pytest.approx(2 * images[1].recipe.timing_ms["steps"])
    assert pictures == 3
    assert images[0].recipe.to_json()["tries"] == [{"seed": 5, "failed": ["floating"]}, {"seed": 7, "failed": []}]


async def test_the_best_is_kept_when_none_passes(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    painter = Faulty(store, floating=range(100), worse=(5, 7))
    images, (pictures, _) = await _made(store, settings, painter, spec_for(retry=RETRY, images=1))
    assert [(image.seed, len(image.recipe.tries)) for image in images] == [(5 + 1, 2 + 1)]
    assert pictures == 3


async def test_without_retry_nothing_is_painted_again_and_no_recipe_says_so(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    images, (pictures, _) = await _made(store, settings, Faulty(store, floating=range(100)), spec_for(images=1))
    assert (pictures, images[0].recipe.tries, "tries" in images[0].recipe.to_json()) == (1, (), False)


async def test_an_error_of_a_retry_keeps_the_picture_that_is_there(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    class Refusing(Faulty):
        async def finish(self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
            self.faults = [EngineFailed("engine_nan", "no")]
            return await super().finish(prepared, painted, spec, products)

    images, _ = await _made(store, settings, Refusing(store, range(100)), spec_for(retry=RETRY, images=1))
    assert [one.error for one in images[0].recipe.tries] == [None, "engine_nan"]
    assert images[0].seed == 5


async def test_a_director_that_dies_in_a_retry_leaves_one_picture_and_one_account(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(retry=RETRY, images=1))
    slow, quick = Faulty(store, floating=(5,)), Faulty(store, floating=(5,))
    again = asyncio.Event()
    finish = slow.finish

    async def held(*args: Any) -> Finished:
        made = await finish(*args)
        slow.let_go.clear()  # the second painting waits
        again.set()
        return made

    slow.finish = held  # type: ignore[method-assign, assignment]
    first = asyncio.create_task(Director(store, slow, settings, worker="slow").run_next())
    await again.wait()
    expire_leases(store)
    assert await Director(store, quick, settings, worker="quick").run_next() == shot
    slow.let_go.set()
    await first
    done = now(store, shot)
    assert [(image.seed, len(image.recipe.tries)) for image in done.images] == [(6, 2)]
    assert store.usage.page(store.tenants.local().id, "day").total.pictures == 2


def test_no_two_paintings_of_a_shot_have_one_seed(spec_for: Callable[..., ShotSpec]) -> None:
    spec = spec_for(retry=Retry(4, ("floating",)), images=8, seed=2**31 - 1 - 8)
    seeds = [seed for index in range(spec.images) for seed in retry_seeds(spec, index)]
    assert len(set(seeds)) == len(seeds) == spec.paintings == 40
    assert max(seeds) <= 2**31 - 1
    assert ShotSpec.from_json(spec.to_json()) == spec
