"""Camera, lamps and sky of a take. Exposure is metered: a level white card has radiance 1 in every take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

from training.path_traced.scene_plan import CameraPlan, LightPlan, SetPlan

TINTS = {"neutral": (1.0, 1.0, 1.0), "warm": (1.22, 0.96, 0.62), "cool": (0.80, 0.97, 1.28)}
CLAMP = 12.0
"""An HDRI's lamps are held to so many times its mean: the key lamp alone casts hard shadows."""
SEEN = {"night": 0.05, "sunset": 0.55, "studio": 0.25}
"""Mean radiance of a photograph seen behind the product; SEEN_ELSE for the others."""
SEEN_ELSE = 0.42
SKY_MAP_PX = 256
"""Width of the map by which Cycles aims at the sky's bright parts. At an HDRI's own size it takes 2.3 s a take."""


@dataclass(frozen=True)
class Sky:
    """A loaded HDRI: light that falls on a level card, mean radiance around the horizon, and the clamp."""

    image: Any
    irradiance: float
    horizon: float
    clamp: float


def load_sky(path: Path, loaded: dict[Path, Sky]) -> Sky:
    if path not in loaded:
        image = bpy.data.images.load(str(path))
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
        rgb = pixels.reshape(height, width, 4)[..., :3]  # bottom row first
        clamp = float(rgb.mean() * CLAMP)
        rgb = np.minimum(rgb, clamp)
        tilt = (np.arange(height) + 0.5) / height * math.pi - math.pi / 2
        grey: NDArray[np.float64] = rgb.mean((1, 2)).astype(np.float64)
        up = np.clip(np.sin(tilt), 0, None) * np.cos(tilt)
        irradiance = float((grey * up).sum() * (math.pi / height) * math.tau)
        band = (tilt > math.radians(-12)) & (tilt < math.radians(25))
        loaded[path] = Sky(image, irradiance, float(grey[band].mean()), clamp)
    return loaded[path]


def camera(plan: CameraPlan) -> Any:
    data = bpy.data.cameras.new("camera")
    thing = bpy.data.objects.new("camera", data)
    bpy.context.collection.objects.link(thing)
    tilt = math.radians(plan.elevation_deg)
    at = mathutils.Vector(plan.look_at)
    thing.location = at + plan.distance * mathutils.Vector((0, -math.cos(tilt), math.sin(tilt)))
    gaze = (at - thing.location).to_track_quat("-Z", "Y").to_matrix()
    thing.rotation_euler = (gaze @ mathutils.Matrix.Rotation(math.radians(plan.roll_deg), 3, "Z")).to_euler()
    data.angle = math.radians(plan.fov_deg)
    data.clip_start, data.clip_end = 0.01, 1000.0
    if plan.aperture > 0:
        data.dof.use_dof = True
        data.dof.focus_distance = plan.distance * 0.97
        data.dof.aperture_fstop = data.lens / 1000 / (2 * plan.aperture)
    bpy.context.scene.camera = thing
    return thing


def key(plan: LightPlan, *, outdoors: bool) -> Any:
    """The key lamp: a sun outdoors or where the light is hard, a softbox else."""
    azimuth, elevation = math.radians(plan.azimuth_deg), math.radians(plan.elevation_deg)
    flat = math.cos(elevation)
    way = mathutils.Vector((math.sin(azimuth) * flat, -math.cos(azimuth) * flat, math.sin(elevation)))
    falls = math.pi * plan.key_share / math.sin(elevation)
    sun = outdoors or plan.quality == "hard"
    data = bpy.data.lights.new("key", "SUN" if sun else "AREA")
    tint = TINTS[plan.tint]
    data.color = [c / max(tint) for c in tint]
    falls *= max(tint)
    if sun:
        data.angle, data.energy = math.radians(plan.angular_size_deg), falls
    else:
        distance = 4.5
        data.shape, data.size = "SQUARE", 2 * distance * math.tan(math.radians(plan.angular_size_deg) / 2)
        data.energy = falls * math.pi * distance**2
    thing = bpy.data.objects.new("key", data)
    bpy.context.collection.objects.link(thing)
    thing.location = way * 4.5 + mathutils.Vector((0, 0, 0.3))
    thing.rotation_euler = way.to_track_quat("Z", "Y").to_euler()
    thing.visible_camera = False
    return thing


def world(light: LightPlan, set_plan: SetPlan, view: CameraPlan, hdris: Path, loaded: dict[Path, Sky]) -> None:
    """Fill light from one HDRI; behind the product another one is seen, or a dusk where the set is built."""
    scene = bpy.context.scene
    if scene.world is not None:
        bpy.data.worlds.remove(scene.world)
    scene.world = bpy.data.worlds.new("world")
    scene.world.cycles.sampling_method, scene.world.cycles.sample_map_resolution = "MANUAL", SKY_MAP_PX
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    tree.nodes.clear()
    fill = load_sky(hdris / f"{light.hdri}.exr", loaded)
    tint = [0.5 + 0.5 * c for c in TINTS[light.tint]]
    strength = math.pi * (1 - light.key_share) / fill.irradiance
    lit = _backdrop(tree, fill, (0.0, 0.0, math.radians(light.hdri_turn_deg)), strength, tint)
    if set_plan.hdri:
        sky = load_sky(hdris / f"{set_plan.hdri}.exr", loaded)
        strength = SEEN.get(set_plan.hdri, SEEN_ELSE) / sky.horizon
        tilt = math.radians(set_plan.horizon_drop_deg)
        seen = _backdrop(tree, sky, (tilt, 0.0, math.radians(set_plan.hdri_turn_deg)), strength, tint)
    else:
        seen = tree.nodes.new("ShaderNodeBackground")
        seen.inputs["Color"].default_value = (0.006, 0.008, 0.014, 1)
    paths = tree.nodes.new("ShaderNodeLightPath")
    either = tree.nodes.new("ShaderNodeMath")
    either.operation = "MAXIMUM"
    tree.links.new(paths.outputs["Is Camera Ray"], either.inputs[0])
    tree.links.new(paths.outputs["Is Transmission Ray"], either.inputs[1])
    mix, out = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeOutputWorld")
    tree.links.new(either.outputs[0], mix.inputs[0])
    tree.links.new(lit.outputs[0], mix.inputs[1])
    tree.links.new(seen.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], out.inputs["Surface"])


def _backdrop(tree: Any, sky: Sky, turn: tuple[float, float, float], strength: float, tint: list[float]) -> Any:
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value = turn
    picture = tree.nodes.new("ShaderNodeTexEnvironment")
    picture.image = sky.image
    held = tree.nodes.new("ShaderNodeVectorMath")
    held.operation = "MINIMUM"
    held.inputs[1].default_value = (sky.clamp,) * 3
    tinted = tree.nodes.new("ShaderNodeVectorMath")
    tinted.operation = "MULTIPLY"
    tinted.inputs[1].default_value = tint
    shader = tree.nodes.new("ShaderNodeBackground")
    shader.inputs["Strength"].default_value = strength
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], picture.inputs["Vector"])
    tree.links.new(picture.outputs["Color"], held.inputs[0])
    tree.links.new(held.outputs[0], tinted.inputs[0])
    tree.links.new(tinted.outputs[0], shader.inputs["Color"])
    return shader
