"""The flow's `Stages` over Serve handles, for the director.

Arrays travel by reference. Pure stages are retried once. Ray's errors are converted to PackshotErrors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import ray
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.ray_support.calls import await_with_arguments, retry_once, to_blaming_error
from deployments.ray_support.context import with_context
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.imaging.fingerprint import Fingerprint
from packshot.models.packs.pack import find_pack
from packshot.models.packs.served import not_served
from packshot.settings import Settings
from packshot.shots import Finished, LayoutFiles, Painted, Placed, Step, Understood
from packshot.shots.pictures import PictureFile
from packshot.shots.stages import ClipOrder, Filmed, Proofread, RepaintOrder, TextOrder
from packshot.types import F32, Brief, Framing


class ServeStages:
    """The flow's `Stages` over Serve handles.

    `generators` maps the name of each engine's pack to its generators. A call waits while there is none that runs, and
    wakes one. `sees_scenes` says that `understand` knows the depth of whole pictures.
    """

    def __init__(
        self,
        settings: Settings,
        finisher: DeploymentHandle[Any],
        understand: DeploymentHandle[Any],
        canny: DeploymentHandle[Any],
        generators: Mapping[str, DeploymentHandle[Any]],
        reference_encoder: DeploymentHandle[Any],
        *,
        sees_scenes: bool = False,
    ) -> None:
        self._sees_scenes = sees_scenes
        self._understand = with_context(understand)
        self._reference_encoder = with_context(reference_encoder).options(stream=True)
        self._manifests = {pack: find_pack(pack, settings).manifest for pack in generators}
        self._finisher = with_context(finisher)
        self._preparer = self._finisher.options(stream=True)
        self._understander = self._understand.options(stream=True)
        self._canny = with_context(canny)
        self._painters = {pack: generator.options(stream=True) for pack, generator in generators.items()}
        self._generators = {pack: with_context(painters) for pack, painters in self._painters.items()}

    def painters_came(self) -> bool:
        """Whether any engine's generator has had a replica that is ready."""
        return any(painters.running_replicas_populated() for painters in self._painters.values())

    def framing_of(self, canvas: Canvas, engine: str) -> Framing:
        if engine not in self._manifests:
            raise not_served(engine, self._manifests)
        return self._manifests[engine].framing(canvas)

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        return await self._placed(lambda: self._preparer.prepare.remote(files, framing))

    async def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        return await self._placed(lambda: self._preparer.prepare_repaint.remote(order, framing))

    async def _placed(self, call: Callable[[], Any]) -> Placed:
        async def ask() -> Placed:
            answers = await _responses(call())
            covered = await (await anext(answers))
            fitted, prepared = await anext(answers), await anext(answers)  # references: the pixels stay in Ray's store
            return Placed(covered, prepared, fitted)

        return await retry_once(ask)

    async def understand(self, files: LayoutFiles) -> Understood:
        cutouts = tuple(layer.cutout for layer in files.layers)
        understander = self._understander.options(session_id=cutouts[0].mask_key)

        async def ask() -> Understood:
            answers = await _responses(understander.understand.remote(cutouts))
            return Understood(await (await anext(answers)), await anext(answers))

        return await retry_once(ask)

    def edges(self, fitted: Any) -> Any:
        return self._canny.edges.remote(fitted)

    async def control_maps(self, fitted: Any, products: Any, spec: ShotSpec) -> Any:
        return self._finisher.control_maps.remote(fitted, products, spec, self.framing_of(spec.canvas, spec.engine))

    async def references(self, files: tuple[PictureFile, ...], strength: float, engine: str) -> Any:
        encoder = self._reference_encoder.options(session_id=files[0].asset_key)

        async def ask() -> Any:
            answers = await _responses(encoder.read.remote(files, strength, engine))
            await (await anext(answers))  # it has read the pictures
            return await anext(answers)

        return await retry_once(ask)

    async def paint(
        self,
        fitted: Any,
        edges: Any,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: Any = None,
        references: Any = None,
    ) -> AsyncIterator[Step | Painted]:
        made = [one for one in (edges, maps) if one is not None]
        if brief.engine not in self._generators:
            raise not_served(brief.engine, self._generators)
        generator = self._generators[brief.engine]
        if brief.adapters:  # a replica that has the first one loaded comes first
            generator = generator.options(multiplexed_model_id=brief.adapters[0].asset_key)
        stream = generator.paint.remote(fitted, edges, brief, interactive, alone, maps, references)
        assert isinstance(stream, DeploymentResponseGenerator)
        try:
            given = [fitted, *made] if references is None else [fitted, *made, references]
            yield await await_with_arguments(anext(stream), *given)
            async for update in stream:
                yield update
        except Exception as error:
            for one in made:
                one.cancel()  # else a response that never comes would be awaited until the shot ends
            raise await to_blaming_error(error) from error
        finally:
            stream.cancel()

    async def finish(self, prepared: Any, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
        references = [prepared] if products is None else [prepared, products]
        return await retry_once(
            lambda: await_with_arguments(self._finisher.finish.remote(prepared, painted, spec, products), *references)
        )

    async def finish_repaint(self, prepared: Any, painted: Painted, order: RepaintOrder) -> Finished:
        return await retry_once(
            lambda: await_with_arguments(self._finisher.finish_repaint.remote(prepared, painted, order), prepared)
        )

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        return await retry_once(lambda: self._finisher.finish_plain.remote(files, spec))

    async def fingerprint(self, asset_key: str) -> Fingerprint | None:
        return await retry_once(lambda: self._finisher.fingerprint.remote(asset_key))

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        return await retry_once(lambda: self._finisher.proofread.remote(png, order))

    async def scene_depth(self, image_key: str) -> F32 | None:
        if not self._sees_scenes:  # a replica that can only say so would have to wake
            return None
        return await retry_once(lambda: self._understand.scene_depth.remote(image_key))

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        stream = self._preparer.film.remote(order)
        assert isinstance(stream, DeploymentResponseGenerator)
        try:
            async for update in stream:
                yield update
        except Exception as error:
            raise await to_blaming_error(error) from error
        finally:
            stream.cancel()


async def _responses(call: Any) -> AsyncIterator[ray.ObjectRef[Any]]:
    """References to the responses of a call that yields several, in order. None of them is fetched."""
    assert isinstance(call, DeploymentResponseGenerator)
    responses: AsyncIterator[ray.ObjectRef[Any]] = await call._to_object_ref_gen()
    return responses
