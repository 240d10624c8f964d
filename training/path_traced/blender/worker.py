"""Render one shard: `python -m training.path_traced.blender.worker JOB.json`, in the environment that has bpy.

The job names the plan, the folders and the file to write. Every view is built once; its takes change set and light
only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from training.path_traced import develop
from training.path_traced.blender import products, sets, studio, surfaces
from training.path_traced.scene_plan import ProductPlan, ShardPlan, TakePlan, ViewPlan

F32 = NDArray[np.float32]
ALPHA_SAMPLES = 64
TABLE_CM = 74.0


class Worker:
    """Renders a shard. `lean`: without plate and shadow, and with a coverage that is not smoothed."""

    def __init__(
        self, plan: ShardPlan, folders: dict[str, str], labels: dict[str, str], threads: int, *, lean: bool
    ) -> None:
        self.plan, self.labels, self.lean = plan, labels, lean
        self.catalogues, self.hdris, self.cache = (Path(folders[name]) for name in ("catalogues", "hdris", "cache"))
        surfaces.TEXTURES = Path(folders["textures"])
        self.threads, self.skies = threads, dict[Path, studio.Sky]()
        self.columns: dict[str, list[Any]] = {}
        self.seconds: list[float] = []

    def run(self) -> dict[str, NDArray[Any]]:
        for number, view in enumerate(self.plan.views):
            self._view(number, view)
        return {name: np.stack(rows) for name, rows in self.columns.items()}

    def _view(self, number: int, view: ViewPlan) -> None:
        _fresh(self.plan.size_px, self.threads)
        self.skies.clear()
        scale = view.unit_cm / 100
        main = self._place(view.main, f"{number}", scale)
        others = [self._place(plan, f"{number}.{index}", scale) for index, plan in enumerate(view.neighbours)]
        for index, thing in enumerate([main, *others]):
            thing.pass_index = index + 1
        for slot, material in enumerate(main.data.materials):
            if material is not None:
                material.pass_index = slot + 1
        for thing in others:
            for material in thing.data.materials:
                if material is not None:
                    material.pass_index = 0
        camera = studio.camera(view.camera)
        reach = max(_reach(plan) for plan in (view.main, *view.neighbours))
        alpha = None if self.lean else _alpha([*others], self.plan.size_px)
        built: tuple[Any, list[Any]] | None = None
        for take in view.takes:
            begin = time.perf_counter()
            if built is None or built[0] != take.set:
                _remove(built[1] if built else [])
                things = sets.build(take.set, reach, TABLE_CM / view.unit_cm, camera.location)
                things += [self._prop(prop, scale, TABLE_CM / view.unit_cm) for prop in take.set.props]
                built = (take.set, things)
            lamp = studio.key(take.light, outdoors=take.set.backdrop in ("foliage", "sea"))
            studio.world(take.light, take.set, view.camera, self.hdris, self.skies)
            self._take(take, main, camera, alpha)
            bpy.data.objects.remove(lamp)
            self.seconds.append(time.perf_counter() - begin)

    def _place(self, plan: ProductPlan, key: str, scale: float) -> Any:
        path = products.unpack(self.catalogues, self.cache, plan) if plan.archive else None
        return products.place(plan, path, self.labels.get(key, ""), scale)

    def _prop(self, plan: ProductPlan, scale: float, drop: float) -> Any:
        thing = self._place(plan, "", scale)
        thing.location.z -= drop
        return thing

    def _take(self, take: TakePlan, main: Any, camera: Any, alpha: F32 | None) -> None:
        scene = bpy.context.scene
        scene.cycles.samples, scene.cycles.seed = self.plan.samples, take.seed
        passes = _render(indexed=True)
        picture = passes["Combined"][..., :3]
        row: dict[str, Any] = {}
        if alpha is None:
            alpha = (passes["IndexOB"] == 1).astype(np.float32)
            gain = develop.exposure(picture, alpha > 0.5)
        else:
            gain = develop.exposure(picture, alpha > 0.5)
            main.hide_render = True
            scene.render.resolution_percentage = 50
            plate = _render(indexed=False)["Combined"][..., :3]
            main.hide_render = False
            scene.render.resolution_percentage = 100
            sky = (passes["Depth"] > develop.NOTHING) | (passes["IndexOB"] == develop.SHINES)
            beyond = develop.halved(sky.astype(np.float32)) > 0
            row["plate"] = develop.tone(plate, gain)
            row["shadow"] = develop.shadow(develop.halved(picture), plate, develop.halved(alpha), beyond)
        index, part = develop.indices(passes["IndexOB"], passes["IndexMA"], alpha)
        rotation = np.array(camera.matrix_world.to_3x3(), np.float32)
        row |= {
            "image": develop.tone(picture, gain),
            "alpha": (alpha * 255 + 0.5).astype(np.uint8),
            "index": index,
            "part": part,
            "depth": develop.depth16(passes["Depth"]),
            "normals": develop.camera_normals(passes["Normal"], rotation),
            "gain": np.float32(gain),
        }
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)


def _reach(plan: ProductPlan) -> float:
    """How far a product reaches from the origin on the ground."""
    return float(np.hypot(*plan.at_xy) + np.hypot(plan.size_xyz[0], plan.size_xyz[1]) / 2)


def _fresh(size_px: int, threads: int) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.use_persistent_data = True
    scene.render.resolution_x = scene.render.resolution_y = size_px
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.exr_codec = "NONE"
    if threads:
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.view_settings.view_transform = "Raw"
    cycles = scene.cycles
    cycles.device, cycles.feature_set = "CPU", "SUPPORTED"
    cycles.use_adaptive_sampling = False
    cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter, cycles.denoising_quality = "FAST", "HIGH"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 6, 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.sample_clamp_direct = 4.0, 0.0
    cycles.blur_glossy = 1.0


def _alpha(others: list[Any], size_px: int) -> F32:
    """Coverage of the main product, 0..1, less what neighbours hide: its own picture over nothing, many cheap
    samples."""
    scene = bpy.context.scene
    for thing in others:
        thing.is_holdout = True
    scene.world = bpy.data.worlds.new("none")
    bounces = scene.cycles.max_bounces
    scene.render.film_transparent, scene.cycles.max_bounces = True, 0
    scene.cycles.samples, scene.cycles.seed = ALPHA_SAMPLES, 1
    scene.cycles.use_denoising = False
    coverage = _read(_write(), ("Combined",))["Combined"][..., 3].clip(0, 1)
    scene.render.film_transparent, scene.cycles.max_bounces = False, bounces
    for thing in others:
        thing.is_holdout = False
    return coverage.reshape(size_px, size_px)


def _render(*, indexed: bool) -> dict[str, F32]:
    layer = bpy.context.view_layer
    layer.use_pass_z = layer.use_pass_normal = indexed
    layer.use_pass_object_index = layer.use_pass_material_index = indexed
    bpy.context.scene.cycles.use_denoising = True
    return _read(_write(), ("Combined", "Depth", "Normal", "IndexOB", "IndexMA") if indexed else ("Combined",))


def _write() -> Path:
    path = Path(tempfile.gettempdir()) / "passes.exr"
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return path


def _read(path: Path, names: tuple[str, ...]) -> dict[str, F32]:
    """Passes of a multilayer file: HxWx4 or HxWx3 in the order RGBA or XYZ, HxW for single channels."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {
            name.split(".", 1)[1]: np.asarray(channel.pixels, np.float32) for name, channel in file.channels().items()
        }
    found = {}
    for name in names:
        parts = {key.rsplit(".", 1)[1]: value for key, value in channels.items() if key.rsplit(".", 1)[0] == name}
        order = "RGBA" if "R" in parts else "XYZ" if "X" in parts and "Y" in parts else "".join(parts)
        stacked = [parts[letter] for letter in order if letter in parts]
        found[name] = np.stack(stacked, axis=-1) if len(stacked) > 1 else stacked[0]
    return found


def _remove(things: list[Any]) -> None:
    for thing in things:
        bpy.data.objects.remove(thing)


def main(path: Path) -> None:
    job = json.loads(path.read_text())
    plan = ShardPlan.from_json(json.dumps(job["plan"]))
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        worker = Worker(plan, job["folders"], job["labels"], job["threads"], lean=job["lean"])
        arrays = worker.run()
        tempfile.tempdir = None
    with Path(job["out"]).open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    print(json.dumps({"seconds": [round(value, 2) for value in worker.seconds]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
